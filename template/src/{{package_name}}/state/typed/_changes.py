"""What has changed, at which path: noticed under one lock, told after it."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self
from weakref import ref

from ..base import Subscription

logger = logging.getLogger(__name__)

KeyPath = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What one outermost change of a state has touched; an equal value is no change.

    Attributes:
        paths: Where, each once, in the order of the changes: names of fields, indices of
            lists and keys of dicts. What stands at a path now is the new value; nothing
            stands there if it was removed. Where a list has moved its elements, or a set
            was changed, it is the path of the list or set.
    """

    paths: tuple[KeyPath, ...]


Listener = Callable[[Change], object]


class Slot(Protocol):
    """Where a child stands; the key may be out of date, and is then put right."""

    key: Any


class Parent(Protocol):
    """What contains values that change."""

    def locate(self, slot: Slot, child: object) -> Any:
        """Return under which key a child stands, if it stands there once."""
        ...

    def find(self, child: object) -> list[Any]:
        """Return every key under which a child stands."""
        ...

    def record(self, path: KeyPath) -> None:
        """Take note of a change at a path."""
        ...

    def coerce(self, handler: Any, value: Any, place: Any) -> Any:
        """Return a value as it is kept there, of a type, checked and tracked."""
        ...

    def parents(self) -> list[Any]:
        """Return what contains this."""
        ...


class Dependent(Protocol):
    """What is told when something it has read changes."""

    def invalidate(self) -> None:
        """Take note that something was changed; the lock is held."""
        ...


class Dependents(set[Any]):
    """Who has read something, as long as they are there; much lighter than a WeakSet."""

    def add_dependent(self, dependent: Dependent) -> None:
        """Add one; the lock is held."""
        self.add(ref(dependent, self.discard))

    def forget(self, dependent: Dependent) -> None:
        """Remove one; the lock is held."""
        self.discard(ref(dependent))

    def notify(self) -> None:
        """Tell all that something was changed; the lock is held."""
        for dependent in [dependent for reference in self if (dependent := reference())]:
            dependent.invalidate()


class ChangeDispatcher:
    """The listeners of one state; they get its changes in order, and one at a time."""

    __slots__ = ("_delivering", "_queue", "listeners")

    def __init__(self) -> None:
        self.listeners: tuple[ListenerSubscription, ...] = ()
        self._queue = deque[Change]()
        self._delivering = False

    def add(self, listener: Listener) -> Subscription:
        """Add a listener."""
        listening = ListenerSubscription(self, listener)
        self.listeners = (*self.listeners, listening)
        return listening

    def enqueue(self, change: Change) -> None:
        """Add a change, under the lock."""
        self._queue.append(change)

    def deliver(self) -> None:
        """Tell the listeners, unless another thread or an outer call is at it already."""
        while change := self._next():
            try:
                for each in self.listeners:
                    each.notify(change)
            finally:
                self._delivering = False

    def _next(self) -> Change | None:
        with CHANGES.lock:
            if self._delivering or not self._queue:
                return None
            self._delivering = True
            return self._queue.popleft()


class ListenerSubscription(Subscription):
    def __init__(self, dispatcher: ChangeDispatcher, listener: Listener) -> None:
        self._dispatcher = dispatcher
        self._listener: Listener | None = listener

    def notify(self, change: Change) -> None:
        if listener := self._listener:
            try:
                listener(change)
            except Exception:
                logger.exception("A listener failed")

    def close(self) -> None:
        self._listener = None
        with CHANGES.lock:
            others = (each for each in self._dispatcher.listeners if each is not self)
            self._dispatcher.listeners = tuple(others)


class _PendingChanges:
    """Changes under way. One lock for all states: they may contain and read each other.

    As a context manager it holds the lock. At the end of the outermost block, what has
    changed is told, without the lock.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._depth = 0
        self._paths: dict[ChangeDispatcher, dict[KeyPath, None]] = {}
        self._effects: dict[Callable[[], None], None] = {}

    def __enter__(self) -> Self:
        """Hold the lock."""
        self.lock.acquire()
        self._depth += 1
        return self

    def __exit__(self, *exception: object) -> None:
        """Tell what has changed, at the end of the outermost block."""
        for task in self.leave():
            task()

    def leave(self) -> list[Callable[[], None]]:
        """Leave a block, and return what is to be called to tell its changes."""
        self._depth -= 1
        if self._depth or not (self._paths or self._effects):
            self.lock.release()
            return []
        paths, self._paths = self._paths, {}
        effects, self._effects = self._effects, {}
        for dispatcher, touched in paths.items():
            dispatcher.enqueue(Change(tuple(touched)))
        self.lock.release()
        return [*(dispatcher.deliver for dispatcher in paths), *effects]

    def forbid_in_batch(self, call: str) -> None:
        """Raise RuntimeError if this thread is in a block; another thread's is waited for."""
        with self.lock:
            if self._depth:
                raise RuntimeError(f"{call} in a batch: call it afterwards")

    def record(self, dispatcher: ChangeDispatcher, path: KeyPath) -> None:
        """Have a change told to listeners."""
        self._paths.setdefault(dispatcher, {})[path] = None

    def schedule(self, effect: Callable[[], None]) -> None:
        """Have an effect run."""
        self._effects[effect] = None


CHANGES = _PendingChanges()
# A child forked while another thread holds the lock would wait for ever. On Windows, which
# cannot fork, `dict` takes the arguments and does nothing.
getattr(os, "register_at_fork", dict)(
    before=CHANGES.lock.acquire,
    after_in_parent=CHANGES.lock.release,
    after_in_child=CHANGES.lock.release,
)


class DependencyTracker:
    """Records what an dependent reads, to have it told when that changes."""

    __slots__ = ("_outer", "dependent", "sources")

    # How many there are, in all threads: reading a field asks this before anything else.
    running = 0

    def __init__(self, dependent: Dependent | None) -> None:
        self.dependent = dependent
        self.sources: list[Dependents] = []

    def __enter__(self) -> Self:
        """Record from now on."""
        self._outer: DependencyTracker | None = _thread.reading
        _thread.reading = self
        with CHANGES.lock:
            DependencyTracker.running += 1
        return self

    def __exit__(self, *exception: object) -> None:
        """Record no more."""
        with CHANGES.lock:
            DependencyTracker.running -= 1
        _thread.reading = self._outer


class _ThreadContext(threading.local):
    # No variable of a context: a task that an dependent starts does not read for it.
    reading: DependencyTracker | None = None


_thread = _ThreadContext()


def track_read(source: Callable[[], Dependents]) -> None:
    """Take note that this thread reads something, which has these dependents."""
    reading = _thread.reading
    # Others, who record nothing, need not wait for the lock.
    if reading and reading.dependent:
        with CHANGES.lock:
            dependents = source()
            # In a loop, the same is read again and again.
            if ref(reading.dependent) not in dependents:
                dependents.add_dependent(reading.dependent)
                reading.sources.append(dependents)
