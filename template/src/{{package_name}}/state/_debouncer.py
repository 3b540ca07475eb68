"""Save soon after a change, together with the changes that follow, and again after a failure."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Self

logger = logging.getLogger(__name__)

_MIN_BACKOFF = 1.0
_MAX_BACKOFF = 60.0


class Debouncer:
    """Calls a function some time after a change, from a thread of its own.

    Call `changed()` as often as you like: changes in quick succession are saved together.
    A save that fails stays pending. The error is logged and passed to `on_error`, and the
    save is retried after 1 s, then 2 s, up to every 60 s, and at once by `flush()`. A
    pending change is saved by `flush()`, by `close()`, and when the interpreter ends. A
    forked child leaves the pending changes of its parent to the parent.

    Args:
        save: Saves everything that has changed. It runs in the thread of the debouncer or
            in the one that calls `flush()`, never in two threads at the same time.
        name: Identifies the debouncer in log messages and errors.
        delay: Seconds without a change after which it saves.
        max_wait: Seconds after the first change after which it saves although changes go on.
        on_error: Called with each exception that a save in the background raises.

    Raises:
        ValueError: `delay` is negative or above `max_wait`, or `max_wait` is too long.
    """

    def __init__(
        self,
        save: Callable[[], object],
        name: str,
        *,
        delay: float = 1.0,
        max_wait: float = 10.0,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        if not 0 <= delay <= max_wait < threading.TIMEOUT_MAX:
            raise ValueError(f"delay is {delay}: give seconds from 0 to max_wait, {max_wait}")
        self._save = save
        self._name = name
        self._delay = delay
        self._max_wait = max_wait
        self._on_error = on_error
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._saving = threading.RLock()
        self._condition = threading.Condition()
        self._changes = 0
        self._changed_at: float | None = None
        self._due = 0.0
        self._retry_at = 0.0
        self._backoff = _MIN_BACKOFF
        self._thread: threading.Thread | None = None

    def _leave_to_parent(self) -> None:
        """In a forked child, begin without the changes, the locks and the thread of the parent."""
        if self._process != os.getpid():
            self._begin()

    @property
    def pending(self) -> bool:
        """Whether there is a change that is not saved."""
        self._leave_to_parent()
        return self._changed_at is not None

    def changed(self) -> None:
        """Schedule a save, and return at once.

        Raises:
            ValueError: It is closed.
        """
        self._leave_to_parent()
        with self._condition:
            if self._closed:
                raise ValueError(f"The autosave of {self._name!r} is closed: create a new one")
            now = time.monotonic()
            self._changes += 1
            if self._changed_at is None:
                self._changed_at = now
            soon = min(now + self._delay, self._changed_at + self._max_wait)
            self._due = max(soon, self._retry_at)
            if self._thread is None:
                name = f"autosave {self._name!r}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
                atexit.register(self._save_at_exit)
            self._condition.notify()

    def flush(self) -> None:
        """Save now if there is a change that is not saved.

        Raises:
            Exception: The save raised it; the change stays pending.
        """
        self._leave_to_parent()
        with self._saving:
            with self._condition:
                if self._changed_at is None:
                    return
                seen = self._changes
            try:
                self._save()
            except BaseException:
                with self._condition:
                    self._due = self._retry_at = time.monotonic() + self._backoff
                    self._backoff = min(2 * self._backoff, _MAX_BACKOFF)
                    self._condition.notify()
                raise
            with self._condition:
                self._backoff, self._retry_at = _MIN_BACKOFF, 0.0
                # The save may have missed a change that was made while it ran.
                now = time.monotonic()
                self._changed_at = None if self._changes == seen else now
                self._due = now + self._delay
                self._condition.notify()

    def close(self) -> None:
        """Save a pending change, and stop; closing twice is fine.

        Raises:
            Exception: The save raised it; the last change is not saved.
        """
        self._leave_to_parent()
        with self._condition:
            self._closed = True
            self._condition.notify()
        atexit.unregister(self._save_at_exit)
        self.flush()

    def __enter__(self) -> Self:
        """Return it, to be closed at the end of the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Save a pending change, and stop."""
        self.close()

    def _run(self) -> None:
        while self._wait_until_due():
            try:
                self.flush()
            except Exception as error:
                left = max(0.0, self._due - time.monotonic())
                message = "Cannot save %r, trying again in %.0f s: %s"
                logger.warning(message, self._name, left, error, exc_info=True)
                self._report(error)

    def _wait_until_due(self) -> bool:
        with self._condition:
            while not self._closed:
                left = None if self._changed_at is None else self._due - time.monotonic()
                if left is not None and left <= 0:
                    return True
                self._condition.wait(left)
            return False

    def _report(self, error: Exception) -> None:
        if self._on_error:
            try:
                self._on_error(error)
            except Exception:
                logger.exception("on_error failed")

    def _save_at_exit(self) -> None:
        try:
            self.flush()
        except Exception:
            logger.exception("The last changes of %r are not saved", self._name)
