import { useState } from "react";

import { type PersistenceError, useDashboardState, useStatePersistence } from "../lib/state";
import { Activities } from "./Activities";
import { Alerts } from "./Alerts";
import { Project } from "./Project";
import { refreshService } from "./refresh-service";
import { SyncStatus } from "./SyncStatus";

// `--dev` gives access to this workspace. In your application, both ids come from the session.
const SCOPE = ["demo", "me"] as const;

const REFUSED =
  "The service refuses access to this state. For development, start it with --dev. " +
  "For your users, pass a function that authorizes them to create_app().";

export function Dashboard() {
  const [error, setError] = useState<PersistenceError | null>(null);
  const { isInitialized, syncStatus, lastSavedAt, clearPersistedState, forceSave } =
    useStatePersistence({
      scope: SCOPE,
      server: true,
      onError: setError,
    });

  return (
    <>
      <header>
        <h1>Dashboard</h1>
        <SyncStatus status={syncStatus} lastSavedAt={lastSavedAt} />
      </header>
      <main aria-busy={!isInitialized}>
        <div role="alert">
          {error && <Problem error={error} onDismiss={() => setError(null)} />}
        </div>
        <div className="toolbar" role="group" aria-label="Actions">
          <RefreshButton />
          <button type="button" onClick={forceSave}>
            Save now
          </button>
          <button type="button" className="danger" onClick={clearPersistedState}>
            Clear everything
          </button>
        </div>
        <div className="widgets">
          <Project />
          <Alerts />
          <Activities />
        </div>
      </main>
    </>
  );
}

function Problem({ error, onDismiss }: { error: PersistenceError; onDismiss: () => void }) {
  return (
    <div className="problem">
      <p>{error.code === "refused" ? REFUSED : error.message}</p>
      <button type="button" onClick={onDismiss}>
        Dismiss
      </button>
    </div>
  );
}

function RefreshButton() {
  const isLoading = useDashboardState((state) => state.loading.isLoading);
  // A disabled button would lose the focus.
  return (
    <button
      type="button"
      aria-disabled={isLoading}
      onClick={() => isLoading || void refreshService()}
    >
      {isLoading ? "Refreshing…" : "Refresh"}
    </button>
  );
}
