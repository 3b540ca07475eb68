/** Keep the dashboard's state over reloads, in all tabs and on the server. */
import { STORAGE_KEY } from "./storage-keys";
import { dashboardDefinition, useDashboardState } from "./store";
import {
  createStatePersistence,
  type UseStatePersistenceOptions,
  type UseStatePersistenceResult,
} from "./use-state-persistence";

export const { useStatePersistence, clearPersistedState, hasPersistedState } =
  createStatePersistence(dashboardDefinition, STORAGE_KEY);

export { clearPersistedState as clearPersistedDashboardState };
export { hasPersistedState as hasPersistedDashboardState };

/** Keep the state, and return the store's hook too. */
export function useDashboardStateWithPersistence(
  options?: UseStatePersistenceOptions,
): UseStatePersistenceResult & { useDashboardState: typeof useDashboardState } {
  return { ...useStatePersistence(options), useDashboardState };
}

/** Keep the state on the server too; `scope` is required. */
export function useServerStateSync(
  options?: UseStatePersistenceOptions,
): UseStatePersistenceResult {
  return useStatePersistence({ server: true, ...options });
}

export { useServerStateSync as useAgentStateSync };

export { PersistenceError, type PersistenceErrorCode } from "./errors";
export {
  MAX_STATE_SIZE_BYTES,
  PERSISTENCE_DEBOUNCE_MS,
  PERSISTENCE_DEBOUNCE_MS as DEBOUNCE_MS,
  PERSISTENCE_MAX_WAIT_MS,
  STATE_TTL_MS,
} from "./persistence";
export * from "./schema";
export type { SyncStatus } from "./server-sync";
export * from "./storage-keys";
export { type DashboardActions, useDashboardState } from "./store";
export {
  scopedStorageKey,
  type Scope,
  type UseStatePersistenceOptions,
  type UseStatePersistenceResult,
} from "./use-state-persistence";
