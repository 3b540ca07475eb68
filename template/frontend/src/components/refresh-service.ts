import { useDashboardState } from "../lib/state";

export const AGENT = "Health check";

/** Ask the service for its health, and add the answer to the dashboard. */
export async function refreshService(): Promise<void> {
  const { addActivity, addAlert, setError, setLoading } = useDashboardState.getState();
  setLoading({ isLoading: true, loadingAgents: [AGENT] });
  const fault = await findFault();
  setLoading({ isLoading: false, loadingAgents: [] });
  setError(AGENT, fault && `The service is not ready: ${fault}.`);
  if (fault) addAlert({ ...stamp(), level: "error", message: "The service was not ready." });
  else addActivity({ ...stamp(), agent: AGENT, text: "The service is ready." });
}

/** Return the reason why the service is not ready, or null. */
async function findFault(): Promise<string | null> {
  try {
    const { ok, status } = await fetch("/health/ready");
    return ok ? null : `it answered with status ${status}`;
  } catch {
    return "it cannot be reached";
  }
}

function stamp(): { id: string; at: number } {
  const at = Date.now();
  // crypto.randomUUID() needs HTTPS or a page from this machine.
  return { id: `${at.toString(36)}-${Math.random().toString(36).slice(2)}`, at };
}
