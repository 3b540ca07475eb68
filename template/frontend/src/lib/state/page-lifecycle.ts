export interface PageListener {
  /** The page is hidden, or left: on a phone, it may never run again. */
  onHide(): void;
  /** The page may be kept in the back/forward cache, if nothing is open. */
  onSuspend(): void;
  /** The page returns from the back/forward cache. */
  onResume(): void;
}

/** Call a listener until the returned function is called. */
export function listenToPage(listener: PageListener): () => void {
  const listening = new AbortController();
  const { signal } = listening;
  let isSuspended = false;

  function onVisibilityChange(): void {
    if (document.visibilityState === "hidden") listener.onHide();
  }

  function onPageHide(): void {
    isSuspended = true;
    listener.onHide();
    listener.onSuspend();
  }

  function onPageShow(): void {
    if (isSuspended) listener.onResume();
    isSuspended = false;
  }

  document.addEventListener("visibilitychange", onVisibilityChange, { signal });
  window.addEventListener("pagehide", onPageHide, { signal });
  window.addEventListener("pageshow", onPageShow, { signal });
  return () => listening.abort();
}
