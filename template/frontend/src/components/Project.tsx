import { useDashboardState } from "../lib/state";

const PROJECTS = ["Apollo", "Borealis", "Cassini"];

export function Project() {
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
