"""Captures get the operations of each outermost block that changes some states."""

# pyright: reportPrivateUsage=false

from abc import abstractmethod
from collections.abc import Mapping
from weakref import ref

from ._changes import CHANGES
from ._journal import Journal, current_journal
from ._records import Record
from ._rendering import Operations, Rendering, observe
from .state import State


class Block:
    """An outermost block that is about to end.

    Attributes:
        operations: Its changes, in their order.
        inverses: The operations that take them back, in the order in which to apply them.
    """

    def __init__(self, rendering: Rendering, journal: Journal) -> None:
        self.operations: Operations = rendering.operations
        self.inverses: Operations = rendering.inverses
        self._journal = journal

    def rollback(self) -> None:
        """Take all changes of the block back, and notify no listener of them."""
        self._journal.roll_back()
        CHANGES.set_aside()


class Capture(Rendering):
    """Abstract base class of those that get the changes of some states block by block.

    Nothing else refers to a capture: one that is dropped gets nothing any more.

    Attributes:
        states: The states by name.
        paused: Whether it gets nothing for now. Only the thread with the lock may set it.
    """

    def __init__(self, states: Mapping[str, State | None]) -> None:
        super().__init__(states)
        self.paused = False
        with CHANGES.lock:
            for state in states.values():
                if state is not None:
                    observe(state)
            current_journal().observers.append(ref(self))

    @abstractmethod
    def finish(self, block: Block) -> None:
        """Handle the end of an outermost block with changes. The caller holds the lock.

        It must change no state. It may take the block back. If it raises, the block is taken
        back too, and the exception comes from the line that wrote.
        """

    def add(self, number: int, record: Record) -> None:
        """Render a change that was just made."""
        if not self.paused:
            super().add(number, record)

    def end_block(self, journal: Journal) -> None:
        """Hand the block over, unless it changed nothing."""
        if self.is_empty:
            return
        if problem := self.problem:
            raise problem
        self.finish(Block(self, journal))

    def close(self) -> None:
        """End the capture; closing twice is fine."""
        with CHANGES.lock:
            journal = current_journal()
            journal.observers = [each for each in journal.observers if each() is not self]
            journal.end_if_unused()
