"""The journal: the changes of the blocks in progress, so that they can be taken back."""

# pyright: reportPrivateUsage=false

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self
from weakref import ref

from ._changes import CHANGES
from ._records import Action, BecameLenient, Linked, Record
from ._tree import Parent

logger = logging.getLogger(__name__)


class Observer(ABC):
    """Sees each change in the journal as it is made. The caller must hold the lock."""

    @abstractmethod
    def add(self, number: int, record: Record) -> None:
        """Handle a change that was just made.

        Args:
            number: The number of changes before it.
            record: The change.
        """

    @abstractmethod
    def drop_since(self, number: int) -> None:
        """Forget all changes but the first ones: the others were taken back."""

    @abstractmethod
    def end_block(self, journal: "Journal") -> None:
        """End the outermost block. If it raises, the block is taken back."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all changes: the outermost block has ended."""


class Journal:
    """The changes of the blocks in progress, in order. The caller must hold the lock.

    Attributes:
        records: The changes, each of which can be taken back.
        transactions: The number of transactions in progress.
        observers: Weak references: an observer ends when its owner drops it.
    """

    __slots__ = ("observers", "records", "transactions")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.observers: list[ref[Observer]] = []
        self.transactions = 0

    def record(self, record: Record) -> None:
        """Keep a change of a value in a state, after it was made."""
        self.records.append(record)
        if self.observers:
            for observer in self._find_observers():
                observer.add(len(self.records) - 1, record)

    def record_link(self, child: Parent, parent: Parent) -> None:
        """Keep the link of a node or container to a parent, which is about to change."""
        self.records.append(Linked(child, parent))

    def record_lenient(self, parent: Parent) -> None:
        """Keep that a node or container held valid values only."""
        self.records.append(BecameLenient(parent))

    def roll_back(self, mark: int = 0) -> None:
        """Take back all changes but the first ones."""
        CHANGES.journal = None  # the rollback itself is not recorded
        while len(self.records) > mark:
            try:
                self.records.pop().undo()
            except Exception:
                # The others are taken back nevertheless.
                logger.exception("A rollback could not take a change back")
        CHANGES.journal = self
        for observer in self._find_observers():
            observer.drop_since(mark)

    def finish(self) -> None:
        """End the outermost block; take it back if an observer raises."""
        observers = self._find_observers()
        try:
            for observer in observers:
                observer.end_block(self)
        except BaseException:
            self.roll_back()
            CHANGES.set_aside()
            raise
        finally:
            self.records.clear()
            for observer in observers:
                observer.reset()
            if len(observers) < len(self.observers):
                self.observers = [ref(observer) for observer in observers]
            self.end_if_unused()

    def _find_observers(self) -> list[Observer]:
        return [each for reference in self.observers if (each := reference()) is not None]

    def end_if_unused(self) -> None:
        """End if no transaction is in progress, and no observer left."""
        if not (self.transactions or self.observers):
            CHANGES.journal = None


def current_journal() -> Journal:
    """Return the journal, a new one if there is none. The caller must hold the lock."""
    CHANGES.journal = CHANGES.journal or Journal()
    return CHANGES.journal


class JournaledBlock:
    """A block that is taken back if it raises. Blocks nest.

    Args:
        observer: Sees the changes of the block.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer

    def __enter__(self) -> Self:
        """Acquire the lock, and record each change."""
        CHANGES.__enter__()
        self._journal = current_journal()
        self._journal.transactions += 1
        if self._observer:
            self._journal.observers.append(ref(self._observer))
        self._mark, self._pending = len(self._journal.records), CHANGES.set_aside()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Keep the changes, or take them back."""
        self._journal.transactions -= 1
        if error is None:
            CHANGES.add_to(self._pending)
        else:
            self._journal.roll_back(self._mark)
            CHANGES.drop_since(self._pending)
        if self._observer:
            self._journal.observers.remove(ref(self._observer))
        self._journal.end_if_unused()
        CHANGES.__exit__()


def on_rollback(undo: Callable[[], object]) -> None:
    """Call a function if the transaction in progress is taken back.

    It must not change states. An exception that it raises is logged.

    Raises:
        RuntimeError: No transaction is in progress in this thread.
    """
    with CHANGES.lock:
        if not is_recording():
            raise RuntimeError("on_rollback() outside of a transaction: call it in one")
        current_journal().records.append(Action(undo))


def is_recording() -> bool:
    """Return whether changes may be taken back now. The caller must hold the lock."""
    return CHANGES.journal is not None and CHANGES.depth > 0
