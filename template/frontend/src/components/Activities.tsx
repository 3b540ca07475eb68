import { useDashboardState } from "../lib/state";
import { AGENT } from "./refresh-service";
import { Time } from "./Time";

export function Activities() {
  const activities = useDashboardState((state) => state.widgets.activities);
  const error = useDashboardState((state) => state.errors[AGENT]);
  return (
    <section aria-labelledby="activities">
      <h2 id="activities">Activities</h2>
      <p className="error" aria-live="polite">
        {error}
      </p>
      {activities?.length ? (
        <ol>
          {activities.map(({ id, agent, text, at }) => (
            <li key={id}>
              <strong>{agent}</strong> {text} <Time at={at} />
            </li>
          ))}
        </ol>
      ) : (
        <p className="empty">Refresh asks the service for its health.</p>
      )}
    </section>
  );
}
