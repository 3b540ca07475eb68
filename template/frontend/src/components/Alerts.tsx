import { useDashboardState } from "../lib/state";
import { Time } from "./Time";

const LEVELS = { info: "Information", warning: "Warning", error: "Error" };

export function Alerts() {
  const alerts = useDashboardState((state) => state.widgets.alerts);
  return (
    <section aria-labelledby="alerts">
      <h2 id="alerts">Alerts</h2>
      {alerts?.length ? (
        <ul>
          {alerts.map(({ id, level, message, at }) => (
            <li key={id} className={level}>
              <strong>{LEVELS[level]}</strong> {message} <Time at={at} />
            </li>
          ))}
        </ul>
      ) : (
        <p className="empty">There are no alerts.</p>
      )}
    </section>
  );
}
