import { useDashboardState } from "../lib/state";
import { Time } from "./Time";

export function Activities() {
  const activities = useDashboardState((state) => state.widgets.activities);
  return (
    <section aria-labelledby="activities">
      <h2 id="activities">Activities</h2>
      {activities?.length ? (
        <ol>
          {activities.map(({ id, agent, text, at }) => (
            <li key={id}>
              <strong>{agent}</strong> {text} <Time at={at} />
            </li>
          ))}
        </ol>
      ) : (
        <p className="empty">Refresh to see what the service does.</p>
      )}
    </section>
  );
}
