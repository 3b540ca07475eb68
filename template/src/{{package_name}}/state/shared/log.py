"""The interface of a log: it puts the entries of all clients into one order."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .entry import Entry


class LoggedEntry(NamedTuple):
    """An applied entry with its number.

    Attributes:
        seq: Its number in the epoch.
        entry: The entry.
        refused: The codes of entries of the same client, by number, that were refused since
            the last one that was applied.
    """

    seq: int
    entry: Entry
    refused: dict[int, str]


class Recovery(NamedTuple):
    """The content of a log, as a session opens it.

    Attributes:
        snapshot: The last snapshot, decoded; None for a new log.
        entries: The entries after it.
        is_complete: Whether nothing can be missing at the end.
    """

    snapshot: dict[str, Any] | None = None
    entries: tuple[LoggedEntry, ...] = ()
    is_complete: bool = True


class Log(ABC):
    """Puts entries into one order, which every session on it sees.

    Args:
        clock: Returns the seconds since the epoch of the clock.

    Attributes:
        at: The time of the last entry, in milliseconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.at = 0
        self._clock = clock

    def stamp(self, entry: Entry) -> Entry:
        """Return an entry with the current time, which never runs backwards in a log."""
        self.at = max(self.at, int(self._clock() * 1_000))
        return replace(entry, at=self.at)

    def new_epoch(self) -> str:
        """Return a name that no epoch has had."""
        return f"{int(self._clock() * 1_000)}-{os.urandom(3).hex()}"

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of bytes that it keeps on disk."""

    @abstractmethod
    async def open(self) -> Recovery:
        """Return the content of the log.

        Raises:
            CorruptStateError: It is damaged, and was left untouched.
            StoreUnavailableError: It cannot be used now.
        """

    @abstractmethod
    def append(self, entry: Entry) -> None:
        """Put an entry at the end."""

    @abstractmethod
    async def read(self) -> Sequence[Entry]:
        """Wait for the next entries, and return them in order; none once it is closing."""

    @abstractmethod
    def recall(self) -> Sequence[Entry]:
        """Take back the entries that were not read yet, and return them."""

    @abstractmethod
    def commit(self, entries: Sequence[LoggedEntry]) -> bool:
        """Keep the applied entries of one turn, all or none.

        Returns:
            Whether the log would like a new snapshot.

        Raises:
            StoreUnavailableError: None was kept.
        """

    @abstractmethod
    def rewrite(self, snapshot: bytes) -> None:
        """Begin again with a snapshot.

        Raises:
            StoreUnavailableError: The log is as it was.
        """

    @abstractmethod
    def set_aside(self, entries: Sequence[LoggedEntry]) -> str:
        """Keep entries that no longer apply outside of the log, and return where they are."""

    @abstractmethod
    def stop(self) -> None:
        """Take no further entry: `read()` returns those that are there, then none."""

    @abstractmethod
    def close(self, snapshot: bytes | None) -> None:
        """End with a snapshot, after which nothing can be missing; or as it is, without one."""
