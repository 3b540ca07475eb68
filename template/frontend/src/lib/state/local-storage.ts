/** localStorage that may be missing, blocked or full. */

function storage(): Storage | null {
  try {
    return typeof window === "undefined" ? null : window.localStorage;
  } catch {
    return null; // cookies are blocked
  }
}

export function readItem(key: string): string | null {
  try {
    return storage()?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

/**
 * Write a text, and return whether there is a storage.
 *
 * @throws DOMException If the quota is used up. The item keeps its previous text.
 */
export function writeItem(key: string, text: string): boolean {
  const target = storage();
  target?.setItem(key, text);
  return target !== null;
}

/** Write a text that the state can do without. */
export function tryWriteItem(key: string, text: string): void {
  try {
    writeItem(key, text);
  } catch {
    // The quota is used up.
  }
}

export function removeItem(key: string): void {
  try {
    storage()?.removeItem(key);
  } catch {
    // A storage that cannot be written has nothing to remove.
  }
}
