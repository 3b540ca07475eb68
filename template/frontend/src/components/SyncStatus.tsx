import type { SyncStatus as Status } from "../lib/state";
import { Time } from "./Time";

const TEXTS: Record<Status, string> = {
  off: "Saved in this browser",
  connecting: "Connecting…",
  online: "Synchronized",
  offline: "Offline: changes are kept in this browser",
  refused: "Access refused: changes are kept in this browser",
};

export interface SyncStatusProps {
  status: Status;
  /** Milliseconds since the epoch. */
  lastSavedAt: number | null;
}

/** Shows where the state is kept; screen readers announce a change. */
export function SyncStatus({ status, lastSavedAt }: SyncStatusProps) {
  return (
    <p className="sync-status">
      <span role="status" data-status={status}>
        {TEXTS[status]}
      </span>
      {/* Outside the status, because screen readers would announce every save. */}
      {lastSavedAt !== null && (
        <span className="saved-at">
          Saved at <Time at={lastSavedAt} />
        </span>
      )}
    </p>
  );
}
