import { type ReactNode, useState } from "react";

import { type PersistenceError, useDashboardState, useStatePersistence } from "../lib/state";
import { Activities } from "./Activities";
import { Alerts } from "./Alerts";
import { refreshService } from "./refresh-service";
import { SyncStatus } from "./SyncStatus";

// `--dev` gives access to this workspace; in your application, both ids come from the session.
const SCOPE = ["demo", "me"] as const;
const PROJECTS = ["Apollo", "Borealis", "Cassini"];

const ADVICE: Partial<Record<PersistenceError["code"], string>> = {
  refused:
    "The service refuses access to this state. While you develop, start it with --dev; otherwise, " +
    "pass a function that authorizes your users to create_app().",
};

export function Dashboard() {
  const [error, setError] = useState<PersistenceError | null>(null);
  const { isInitialized, syncStatus, lastSavedAt, clearPersistedState, forceSave } = useStatePersistence({
    scope: SCOPE,
    server: true,
    onError: setError,
  });

  function clear() {
    setError(null);
    clearPersistedState();
  }

  return (
    <>
      <header>
        <h1>Dashboard</h1>
        <SyncStatus status={syncStatus} lastSavedAt={lastSavedAt} />
      </header>
      <main aria-busy={!isInitialized}>
        <div role="alert">{error && <p className="problem">{ADVICE[error.code] ?? error.message}</p>}</div>
        <Toolbar>
          <RefreshButton />
          <button type="button" onClick={forceSave}>
            Save now
          </button>
          <button type="button" className="danger" onClick={clear}>
            Clear everything
          </button>
        </Toolbar>
        <div className="widgets">
          <Project />
          <Alerts />
          <Activities />
        </div>
      </main>
    </>
  );
}

function Toolbar({ children }: { children: ReactNode }) {
  return (
    <div className="toolbar" role="group" aria-label="Actions">
      {children}
    </div>
  );
}

function RefreshButton() {
  const isLoading = useDashboardState((state) => state.loading.isLoading);
  // Not disabled while it loads, because that would take the focus away.
  return (
    <button type="button" aria-disabled={isLoading} onClick={() => isLoading || void refreshService()}>
      {isLoading ? "Refreshing…" : "Refresh"}
    </button>
  );
}

function Project() {
  const activeProject = useDashboardState((state) => state.activeProject);
  const setActiveProject = useDashboardState((state) => state.setActiveProject);
  return (
    <section aria-labelledby="project">
      <h2 id="project">Project</h2>
      <label htmlFor="active-project">Active project</label>
      <select
        id="active-project"
        value={activeProject ?? ""}
        onChange={(event) => setActiveProject(event.target.value || null)}
      >
        <option value="">None</option>
        {PROJECTS.map((project) => (
          <option key={project}>{project}</option>
        ))}
      </select>
    </section>
  );
}
