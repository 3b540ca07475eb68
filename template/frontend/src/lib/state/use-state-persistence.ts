/** React hooks that keep the state of a store. */
import { useCallback, useEffect, useRef, useSyncExternalStore } from "react";

import type { Migrate, Stamped, StateDefinition } from "./definition";
import type { PersistenceError } from "./errors";
import {
  NOT_INITIALIZED,
  PERSISTENCE_DEBOUNCE_MS,
  PERSISTENCE_MAX_WAIT_MS,
  type PersistenceUser,
  STATE_TTL_MS,
} from "./persistence";
import { PersistenceRegistry } from "./registry";
import type { SyncStatus } from "./server-sync";
import { stateUrl } from "./state-client";

export type Scope = readonly [workspaceId: string, userId: string];

export interface UseStatePersistenceOptions {
  /** If false, nothing is read, written or sent. */
  enabled?: boolean;
  storageKey?: string;
  debounceMs?: number;
  /** The longest time that steady changes postpone a save. */
  maxWaitMs?: number;
  /** A stored state older than this is removed when it is loaded. */
  ttlMs?: number;
  enableCrossTabSync?: boolean;
  /** Log to the console. */
  debug?: boolean;
  /** Part of the storage key and of the address on the server: users of one browser never meet. */
  scope?: Scope;
  /** Keep the state on the server too; a text comes before `/api/state`. Needs `scope`. */
  server?: boolean | string;
  /** Return a state of an earlier version in the current form. */
  migrate?: Migrate;
  onError?: (error: PersistenceError) => void;
}

export interface UseStatePersistenceResult {
  /** Whether the stored state has been loaded. */
  isInitialized: boolean;
  /** Remove the state here, from the storage, in the other tabs and on the server. */
  clearPersistedState(): void;
  /** Save now. */
  forceSave(): void;
  syncStatus: SyncStatus;
  /** Milliseconds since the epoch. */
  lastSavedAt: number | null;
}

export interface StatePersistence {
  useStatePersistence(options?: UseStatePersistenceOptions): UseStatePersistenceResult;
  clearPersistedState(key?: string): void;
  hasPersistedState(key?: string): boolean;
}

/** Return the key in localStorage under which the state of a scope is kept. */
export function scopedStorageKey(storageKey: string, scope?: Scope): string {
  // An id must not end like the keys beside it do, in "-version".
  const ids = (scope ?? []).map((id) => encodeURIComponent(id).replaceAll("-", "%2D"));
  return [storageKey, ...ids].join(":");
}

/**
 * Make the hook that keeps the state of a store, and the functions that belong to it.
 *
 * Components that use the hook with the same key share one persistence, which the first of them
 * configures.
 */
export function createStatePersistence<S extends Stamped>(
  definition: StateDefinition<S>,
  defaultKey: string,
): StatePersistence {
  const registry = new PersistenceRegistry(definition);

  function useStatePersistence(
    options: UseStatePersistenceOptions = {},
  ): UseStatePersistenceResult {
    const {
      enabled = true,
      storageKey = defaultKey,
      debounceMs = PERSISTENCE_DEBOUNCE_MS,
      maxWaitMs = PERSISTENCE_MAX_WAIT_MS,
      ttlMs = STATE_TTL_MS,
      enableCrossTabSync = true,
      debug = false,
      scope,
      server = false,
    } = options;
    const key = scopedStorageKey(storageKey, scope);
    const url = addressOf(server, scope);

    // Functions may differ in each render without a restart.
    const latest = useRef(options);
    useEffect(() => {
      latest.current = options;
    });

    // The subscription is the use: React ends it when the component or the key goes.
    const subscribe = useCallback(
      (onChange: () => void) => {
        if (!enabled) return () => {};
        const user: PersistenceUser = {
          onChange,
          onError: (error) => latest.current.onError?.(error),
          migrate: (stored, from) => (latest.current.migrate ?? keep)(stored, from),
        };
        const config = { debounceMs, maxWaitMs, ttlMs, enableCrossTabSync, url, debug };
        return registry.get(key).acquire(user, config);
      },
      [enabled, key, debounceMs, maxWaitMs, ttlMs, enableCrossTabSync, url, debug],
    );
    const getSnapshot = () => (enabled && registry.find(key)?.snapshot) || NOT_INITIALIZED;
    const snapshot = useSyncExternalStore(subscribe, getSnapshot, () => NOT_INITIALIZED);

    const clearPersistedState = useCallback(() => {
      if (enabled) registry.clear(key);
    }, [enabled, key]);
    const forceSave = useCallback(() => {
      if (enabled) registry.find(key)?.forceSave();
    }, [enabled, key]);
    return { ...snapshot, clearPersistedState, forceSave };
  }

  return {
    useStatePersistence,
    clearPersistedState: (key = defaultKey) => registry.clear(key),
    hasPersistedState: (key = defaultKey) => registry.has(key),
  };
}

function keep(stored: unknown): unknown {
  return stored;
}

function addressOf(server: boolean | string, scope: Scope | undefined): string | null {
  if (server === false) return null;
  if (!scope) {
    throw new TypeError("The option 'server' needs a 'scope': [workspaceId, userId] of the user.");
  }
  return stateUrl(server === true ? "" : server, scope);
}
