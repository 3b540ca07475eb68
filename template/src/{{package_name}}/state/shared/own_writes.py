"""Changes made past a log that other processes share: they show before they have their place."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import cast

from ..errors import StoreUnavailableError
from ..typed import Operation, RefusedOperation, State, transaction
from ..typed.operations import apply_rendered
from .entry import Entry

# As many as a replica lets wait.
MAX_WAITING = 1_000


class _Write:
    def __init__(self, entry: Entry, inverses: Sequence[Operation]) -> None:
        self.entry, self.inverses = entry, inverses
        self.is_shown = True

    def show(self, states: Mapping[str, State]) -> None:
        with suppress(RefusedOperation), transaction(states) as changes:
            apply_rendered(states, cast(Sequence[Operation], self.entry.do))
            self.inverses, self.is_shown = changes.inverses, True

    def hide(self, states: Mapping[str, State]) -> None:
        if self.is_shown:
            apply_rendered(states, self.inverses)
            self.is_shown = False


class OwnWrites:
    """The changes of this process that its log has not ordered yet, in their order.

    As in a replica, an entry of another process takes them back, and they are applied again
    after it. The caller must hold the lock.

    Args:
        states: The states by name.
    """

    def __init__(self, states: Mapping[str, State | None]) -> None:
        self._states = cast(Mapping[str, State], states)
        self._writes: dict[str, _Write] = {}

    def add(self, entry: Entry, inverses: Sequence[Operation]) -> None:
        """Add an entry whose changes are in the states already.

        Raises:
            StoreUnavailableError: Too many are waiting.
        """
        if len(self._writes) >= MAX_WAITING:
            raise StoreUnavailableError(
                f"{MAX_WAITING} changes wait for the log: write again once it answers"
            )
        self._writes[entry.id] = _Write(entry, inverses)

    def hide(self, following: str) -> None:
        """Take all of them back, apart from the first if it is the entry that follows."""
        for index, (name, write) in reversed([*enumerate(self._writes.items())]):
            if index or name != following:
                write.hide(self._states)

    def take(self, name: str) -> Sequence[Operation] | None:
        """Forget the write of an entry that has its place now.

        Returns:
            The operations that take it back, if its changes are in the states.
        """
        write = self._writes.pop(name, None)
        return write.inverses if write and write.is_shown else None

    def drop(self, is_settled: Callable[[str], object]) -> None:
        """Forget the entries that are settled; all must be hidden."""
        self._writes = {name: each for name, each in self._writes.items() if not is_settled(name)}

    def show(self) -> None:
        """Apply them again, once all were taken back; the log decides on one that does not fit."""
        for write in self._writes.values():
            write.show(self._states)
