import { useDashboardState } from "../lib/state";

export const AGENT = "Health check";

/** Ask the service for its health, and add the answer to the dashboard. */
export async function refreshService(): Promise<void> {
  const { addActivity, addAlert, setError, setLoading } = useDashboardState.getState();
  setLoading({ isLoading: true, loadingAgents: [AGENT] });
  try {
    const response = await fetch("/health/ready");
    if (!response.ok) throw new Error(`It answered with status ${response.status}.`);
    setError(AGENT, null);
    addActivity({ ...stamp(), agent: AGENT, text: "The service is ready." });
  } catch (error) {
    setError(AGENT, `The service is not ready. ${error instanceof Error ? error.message : ""}`);
    addAlert({ ...stamp(), level: "error", message: "The service was not ready." });
  } finally {
    setLoading({ isLoading: false, loadingAgents: [] });
  }
}

function stamp(): { id: string; at: number } {
  const at = Date.now();
  // crypto.randomUUID() needs HTTPS or a page from this machine.
  return { id: `${at.toString(36)}-${Math.random().toString(36).slice(2)}`, at };
}
