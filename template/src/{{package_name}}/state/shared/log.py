"""The interface of a log: it puts the entries of all clients into one order."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

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


class Follower(Protocol):
    """The session on a log, which the log may call while the session waits for `read()`."""

    def snapshot(self) -> bytes:
        """Return everything that the next entries depend on."""
        ...

    def begin_epoch(self, epoch: str) -> None:
        """Count from 1 again in a new epoch."""
        ...

    def reload(self, snapshot: Mapping[str, Any], epoch: str) -> None:
        """Take a snapshot in the place of the states, and go on in an epoch."""
        ...


def _ignore(process: str, message: bytes) -> None:
    """Do nothing."""


class Log(ABC):
    """Puts entries into one order, which every session on it sees.

    Args:
        clock: Returns the seconds since the epoch of the clock.

    Attributes:
        is_shared: Whether other processes may append to it too. An entry then has its place
            only when it is read back.
        is_current: Whether everything was read that had been in it when it was opened.
        on_message: Called with the name of another process and a message from it.
    """

    is_shared = False
    is_current = True

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.on_message: Callable[[str, bytes], object] = _ignore
        self._clock = clock

    @property
    def _now(self) -> int:
        return int(self._clock() * 1_000)

    def new_epoch(self) -> str:
        """Return a name that no epoch has had."""
        return f"{self._now}-{os.urandom(3).hex()}"

    @property
    def size(self) -> int:
        """The number of bytes that it keeps on the disk of this machine."""
        return 0

    @abstractmethod
    async def open(self, follower: Follower) -> Recovery:
        """Return the content of the log.

        Raises:
            CorruptStateError: It is damaged, and was left untouched.
            StoreUnavailableError: It cannot be used now.
        """

    @abstractmethod
    def append(self, entry: Entry) -> None:
        """Put an entry at the end; any thread that has the lock of changes may do so.

        Raises:
            Refused: A log that sends it before it is applied cannot keep it.
        """

    @abstractmethod
    async def read(self) -> Sequence[Entry]:
        """Wait for the next entries, and return them in order; none once it is closing.

        Raises:
            StoreUnavailableError: Entries have waited too long for their place. They may still
                get it.
        """

    @abstractmethod
    def stamp(self, entry: Entry, earliest: int) -> Entry:
        """Return an entry that was read with its time, in milliseconds.

        Args:
            entry: The entry.
            earliest: The time of the last applied entry: time never runs backwards in a log.
        """

    @abstractmethod
    def stop(self) -> None:
        """Take no further entry: `read()` returns those that are there, then none."""

    @abstractmethod
    async def close(self, snapshot: bytes | None) -> None:
        """Close it.

        Args:
            snapshot: Replaces its content, so that nothing can be missing; None leaves it as it is.
        """

    def broadcast(self, message: bytes) -> None:  # noqa: B027 - most logs have no other process
        """Send a message, which no log keeps, to all other processes that use it now."""

    # A log that has an entry before it is read keeps nothing when it is applied.

    def recall(self) -> Sequence[Entry]:
        """Take back the entries that were not read yet, and return them."""
        return ()

    def commit(self, entries: Sequence[LoggedEntry]) -> bool:
        """Keep the applied entries of one turn, all or none.

        Returns:
            Whether the log would like a new snapshot.

        Raises:
            StoreUnavailableError: None was kept.
        """
        return False

    def rewrite(self, snapshot: bytes) -> None:  # noqa: B027 - see above
        """Begin again with a snapshot.

        Raises:
            StoreUnavailableError: The log is as it was.
        """

    def set_aside(self, entries: Sequence[LoggedEntry]) -> str:
        """Keep entries that no longer apply outside of the log, and return where they are."""
        return ""
