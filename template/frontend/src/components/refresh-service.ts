import { type Alert, useDashboardState } from "../lib/state";

const AGENT = "health check";

/** Ask the service for its health, and add the answer to the dashboard. */
export async function refreshService(): Promise<void> {
  const { addActivity, addAlert, setError, setLoading } = useDashboardState.getState();
  setLoading({ isLoading: true, loadingAgents: [AGENT] });
  try {
    const response = await fetch("/health/ready");
    if (!response.ok) throw new Error(`status ${response.status}`);
    setError(AGENT, null);
    addActivity({ ...stamp(), agent: AGENT, text: "The service is ready." });
  } catch (error) {
    const message = `The service is not ready: ${error instanceof Error ? error.message : error}`;
    setError(AGENT, message);
    addAlert({ ...stamp(), level: "error", message });
  } finally {
    setLoading({ isLoading: false, loadingAgents: [] });
  }
}

function stamp(): Pick<Alert, "id" | "at"> {
  const at = Date.now();
  // crypto.randomUUID() exists only on pages that are served over HTTPS or from this machine.
  return { id: `${at.toString(36)}-${Math.random().toString(36).slice(2)}`, at };
}
