"""A log of one process, kept in an edit journal or in memory only."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import StoreUnavailableError
from .edit_journal import EditJournal
from .entry import Entry
from .log import Follower, Log, LoggedEntry, Recovery

logger = logging.getLogger(__name__)


class LocalLog(Log):
    """Orders the entries of one process by their arrival.

    Args:
        journal: Keeps the entries after the end of the process; None keeps them in memory.
        clock: Returns the seconds since the epoch of the clock.
    """

    def __init__(
        self, journal: EditJournal | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(clock)
        self._journal = journal
        self._arrived = deque[Entry]()
        self._changed = asyncio.Event()
        self._stopped = False

    @property
    def size(self) -> int:
        """The number of bytes that it keeps on disk."""
        return self._journal.size if self._journal else 0

    async def open(self, follower: Follower) -> Recovery:
        """Return the content of the journal; a log that was closed can be opened again."""
        self._arrived.clear()
        self._changed, self._stopped = asyncio.Event(), False  # of the current event loop
        return self._journal.open() if self._journal else Recovery()

    def append(self, entry: Entry) -> None:
        """Put an entry at the end."""
        self._arrived.append(entry)
        self._changed.set()

    async def read(self) -> Sequence[Entry]:
        """Wait for the next entries, and return them in order; none once it is closing."""
        if not (self._arrived or self._stopped):
            self._changed.clear()
            await self._changed.wait()
        return self.recall()

    def stamp(self, entry: Entry, earliest: int) -> Entry:
        """Return an entry with the current time."""
        return replace(entry, at=max(earliest, self._now))

    def recall(self) -> Sequence[Entry]:
        """Take back the entries that were not read yet, and return them."""
        entries = [*self._arrived]
        self._arrived.clear()
        return entries

    def commit(self, entries: Sequence[LoggedEntry]) -> bool:
        """Keep the applied entries of one turn, all or none."""
        return self._journal is not None and self._journal.append(entries)

    def rewrite(self, snapshot: bytes) -> None:
        """Begin the journal again with a snapshot."""
        if self._journal:
            self._journal.rewrite(snapshot)

    def set_aside(self, entries: Sequence[LoggedEntry]) -> str:
        """Keep entries that no longer apply in a file beside the journal."""
        return self._journal.set_aside(entries) if self._journal else ""

    def stop(self) -> None:
        """Take no further entry."""
        self._stopped = True
        self._changed.set()

    async def close(self, snapshot: bytes | None) -> None:
        """End the journal with a snapshot; on a full disk it stays as it is, and complete."""
        if self._journal:
            try:
                if snapshot is not None:
                    self._journal.rewrite(snapshot, final=True)
            except StoreUnavailableError as error:
                logger.warning("The next start replays the edit journal: %s", error)
            self._journal.close()
