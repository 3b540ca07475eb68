"""Changes of states: collected under one lock, delivered after it, traced to their readers."""

import logging
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

from ..base import Subscription

if TYPE_CHECKING:
    from ._journal import Journal

logger = logging.getLogger(__name__)

KeyPath = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """The paths that one outermost change of a state has touched.

    Replacing a value by an equal one is not a change.

    Attributes:
        paths: Each changed path once, in the order of the changes: names of fields, indices
            of lists and keys of dicts. The value at a path is the new one; a removed value
            has left nothing there. Where a list has moved its elements, or a set has
            changed, the path leads to the list or set.
    """

    paths: tuple[KeyPath, ...]


Listener = Callable[[Change], object]


class Dependent(ABC):
    """A value or effect that becomes invalid when something it has read changes."""

    __slots__ = ("__weakref__",)

    @abstractmethod
    def invalidate(self) -> None:
        """Handle a change of something it has read. The caller must hold the lock."""


class Dependents(set["ref[Dependent]"]):
    """Weak references to the readers of one value; much lighter than a WeakSet.

    The caller of each method must hold the lock.
    """

    def add_dependent(self, dependent: Dependent) -> None:
        """Add a reader until it is garbage-collected."""
        self.add(ref(dependent, self.discard))

    def forget(self, dependent: Dependent) -> None:
        """Remove a reader."""
        self.discard(ref(dependent))

    def notify(self) -> None:
        """Invalidate all readers."""
        for dependent in [dependent for reference in self if (dependent := reference())]:
            dependent.invalidate()


class ChangeDispatcher:
    """Delivers the changes of one state to its listeners, in order and one at a time."""

    __slots__ = ("_delivering", "_queue", "subscriptions")

    def __init__(self) -> None:
        self.subscriptions: tuple[ListenerSubscription, ...] = ()
        self._queue = deque[Change]()
        self._delivering = False

    def subscribe(self, listener: Listener) -> Subscription:
        """Add a listener. The caller must hold the lock."""
        subscription = ListenerSubscription(self, listener)
        self.subscriptions = (*self.subscriptions, subscription)
        return subscription

    def enqueue(self, change: Change) -> None:
        """Add a change to deliver. The caller must hold the lock."""
        self._queue.append(change)

    def deliver(self) -> None:
        """Call the listeners, unless another thread or an outer call is doing so already."""
        while change := self._next():
            try:
                for subscription in self.subscriptions:
                    subscription.notify(change)
            finally:
                self._delivering = False

    def _next(self) -> Change | None:
        with CHANGES.lock:
            if self._delivering or not self._queue:
                return None
            self._delivering = True
            return self._queue.popleft()


class ListenerSubscription(Subscription):
    """One listener of a state."""

    def __init__(self, dispatcher: ChangeDispatcher, listener: Listener) -> None:
        self._dispatcher = dispatcher
        self._listener: Listener | None = listener

    def notify(self, change: Change) -> None:
        """Call the listener, and log any exception that it raises."""
        if listener := self._listener:
            try:
                listener(change)
            except Exception:
                logger.exception("A listener failed")

    def close(self) -> None:
        """End the calls; closing twice is fine."""
        self._listener = None
        with CHANGES.lock:
            others = (each for each in self._dispatcher.subscriptions if each is not self)
            self._dispatcher.subscriptions = tuple(others)


# The paths that each dispatcher is to deliver, and the effects to run.
Pending = tuple[dict[ChangeDispatcher, dict[KeyPath, None]], dict[Callable[[], None], None]]


class _PendingChanges:
    """The changes in progress. All states share one lock: they may contain and read each other.

    As a context manager it holds the lock. At the end of the outermost block it delivers
    the changes, without the lock.

    Attributes:
        lock: The lock of all states.
        depth: The number of blocks that the thread with the lock is in.
        journal: Where each change is recorded, while a transaction or a history needs it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0
        self.journal: Journal | None = None
        self._delivery: Delivery | None = None
        self._paths: dict[ChangeDispatcher, dict[KeyPath, None]] = {}
        self._effects: dict[Callable[[], None], None] = {}

    def __enter__(self) -> Self:
        """Acquire the lock."""
        self.lock.acquire()
        self.depth += 1
        return self

    def __exit__(self, *exception: object) -> None:
        """Deliver the changes at the end of the outermost block."""
        for task in self.leave():
            task()

    def leave(self) -> list[Callable[[], None]]:
        """Leave a block, and return the calls that deliver its changes."""
        if self.journal is not None and self.depth == 1:
            return self._leave_recorded(self.journal)
        self.depth -= 1
        if self.depth or not (self._paths or self._effects):
            self.lock.release()
            return []
        tasks = self._collect()
        self.lock.release()
        return tasks

    def _leave_recorded(self, journal: "Journal") -> list[Callable[[], None]]:
        try:
            journal.finish()
        finally:
            self.depth = 0
            tasks = self._collect() if self._paths or self._effects else []
            delivery, self._delivery = self._delivery, None
            self.lock.release()
        return [partial(delivery.run, tasks)] if delivery else tasks

    def expect_delivery(self) -> "Delivery":
        """Return the delivery of the outermost block, which is ending."""
        self._delivery = self._delivery or Delivery()
        return self._delivery

    def _collect(self) -> list[Callable[[], None]]:
        paths, effects = self.set_aside()
        for dispatcher, touched in paths.items():
            dispatcher.enqueue(Change(tuple(touched)))
        return [*(dispatcher.deliver for dispatcher in paths), *effects]

    def set_aside(self) -> Pending:
        """Return the changes and effects to deliver, and collect anew."""
        pending = self._paths, self._effects
        self._paths, self._effects = {}, {}
        return pending

    def drop_since(self, pending: Pending) -> None:
        """Drop all that was collected since `set_aside()`."""
        self._paths, self._effects = pending

    def add_to(self, pending: Pending) -> None:
        """Deliver all that was collected since `set_aside()` too, after the earlier changes."""
        (paths, effects), (more, further) = pending, self.set_aside()
        for dispatcher, touched in more.items():
            paths.setdefault(dispatcher, {}).update(touched)
        self._paths, self._effects = paths, {**effects, **further}

    def forbid_in_batch(self, call: str) -> None:
        """Raise RuntimeError if this thread is in a block; wait for one of another thread."""
        with self.lock:
            if self.depth:
                raise RuntimeError(f"{call} in a batch: call it afterwards")

    def record(self, dispatcher: ChangeDispatcher, path: KeyPath) -> None:
        """Collect a change for the listeners of a state."""
        self._paths.setdefault(dispatcher, {})[path] = None

    def schedule(self, effect: Callable[[], None]) -> None:
        """Collect an effect to run."""
        self._effects[effect] = None


CHANGES = _PendingChanges()
# A child forked while another thread holds the lock would wait for ever. On Windows, which
# cannot fork, `dict` takes the arguments and does nothing.
getattr(os, "register_at_fork", dict)(
    before=CHANGES.lock.acquire,
    after_in_parent=CHANGES.lock.release,
    after_in_child=CHANGES.lock.release,
)


class Delivery:
    """The calls of listeners and effects after an outermost block that was recorded."""

    __slots__ = ("_outer",)

    _outer: "Delivery | None"

    def run(self, tasks: list[Callable[[], None]]) -> None:
        """Make the calls."""
        self._outer, _thread.delivery = _thread.delivery, self
        try:
            for task in tasks:
                task()
        finally:
            _thread.delivery = self._outer

    def is_running(self) -> bool:
        """Return whether this thread makes the calls, or those that follow from them."""
        current = _thread.delivery
        while current is not None and current is not self:
            current = current._outer
        return current is self


class DependencyTracker:
    """Records the values that a dependent reads in a block; None records nothing there."""

    __slots__ = ("_outer", "dependent", "sources")

    # The number of trackers in all threads: reading a field checks this before anything else.
    running = 0

    def __init__(self, dependent: Dependent | None) -> None:
        self.dependent = dependent
        self.sources: list[Dependents] = []

    def __enter__(self) -> Self:
        """Start to record."""
        self._outer: DependencyTracker | None = _thread.tracker
        _thread.tracker = self
        with CHANGES.lock:
            DependencyTracker.running += 1
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop recording."""
        with CHANGES.lock:
            DependencyTracker.running -= 1
        _thread.tracker = self._outer


class _ThreadContext(threading.local):
    # Not a context variable: a task that a dependent starts does not read on its behalf.
    tracker: DependencyTracker | None = None
    delivery: Delivery | None = None


_thread = _ThreadContext()


def track_read(find_dependents: Callable[[], Dependents]) -> None:
    """Record that the current dependent of this thread, if there is one, reads a value."""
    tracker = _thread.tracker
    # A thread that records nothing need not wait for the lock.
    if tracker and tracker.dependent:
        with CHANGES.lock:
            dependents = find_dependents()
            # A loop reads the same value again and again.
            if ref(tracker.dependent) not in dependents:
                dependents.add_dependent(tracker.dependent)
                tracker.sources.append(dependents)
