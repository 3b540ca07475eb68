"""Feeds notify subscribers of applied entries; the last ones are kept for late subscribers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import NamedTuple

from ..typed._changes import CHANGES
from .entry import Position
from .machine import Message
from .refusal import Outcome, Refused

RING_ENTRIES = 1_024
RING_BYTES = 4 * 1024 * 1024
# Bytes of missed messages that a feed gives out at a time.
PIECE = 256 * 1024


class Published(NamedTuple):
    """An applied entry, as subscribers and clients that ask again get it."""

    seq: int
    outcome: Outcome
    messages: Sequence[Message]

    @property
    def size(self) -> int:
        """The number of bytes of its messages."""
        return sum(len(data) for _, data in self.messages)


class Ring:
    """The last applied entries: 1,024 of them, or 4 MiB of messages."""

    def __init__(self) -> None:
        self._entries = deque[Published]()
        self._bytes = 0

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
        self._bytes = 0

    def append(self, entry: Published) -> None:
        """Add an entry, and drop the oldest ones that are over the limit."""
        self._entries.append(entry)
        self._bytes += entry.size
        while len(self._entries) > RING_ENTRIES or self._bytes > RING_BYTES:
            self._bytes -= self._entries.popleft().size

    def find(self, seq: int) -> Published | None:
        """Return the entry of a number, None once it was dropped."""
        index = seq - self._entries[0].seq if self._entries else -1
        return self._entries[index] if 0 <= index < len(self._entries) else None

    def since(self, seq: int, max_bytes: int) -> list[Published]:
        """Return the entries after a number, as many as fit, but at least one if there is one."""
        found: list[Published] = []
        size = 0
        while (entry := self.find(seq + 1)) and (not found or size + entry.size <= max_bytes):
            found.append(entry)
            size, seq = size + entry.size, entry.seq
        return found


class Source(NamedTuple):
    """The part of a session that a feed reads. Its functions must be called under the lock."""

    ring: Ring
    position: Callable[[], Position]
    snapshot: Callable[[], bytes]
    forget: Callable[["Feed"], None]


class Feed:
    """The messages of a session to one subscriber, in the order of the log.

    Iterate over it, or call `take()` whenever `on_ready` was called. It begins with the
    entries after a position, or with a snapshot where those are no longer kept. Missed
    messages are read from the ring of the session, and do not count against the limits. Of
    later ones a subscriber may leave `limit` or `max_bytes` untaken, then it is dropped.

    Args:
        source: The session.
        since: The position that the subscriber knows; None if it knows none.
        domains: The domains to subscribe to, `*` for all; it may be changed in place.
        limit: Number of messages that may wait.
        max_bytes: Number of bytes that may wait beside the largest message.

    Attributes:
        domains: The domains subscribed to.
        on_ready: Called in the event loop when something is due, at most once until the next
            `take()`. Take once after setting it.
        resumed: Whether it began with `entries` or with a `snapshot`.
    """

    def __init__(
        self,
        source: Source,
        since: Position | None,
        domains: Iterable[str],
        limit: int,
        max_bytes: int,
    ) -> None:
        self.domains = set(domains)
        self._ready = asyncio.Event()
        self.on_ready: Callable[[], object] = self._ready.set
        self._source, self._limit, self._max_bytes = source, limit, max_bytes
        # The last number that it has taken, while it catches up from the ring; -1 before a
        # snapshot.
        self._taken: int | None = self._find_start(since)
        self.resumed = "snapshot" if self._taken == -1 else "entries"
        self._outbox: list[bytes] = []
        self._size = 0
        self._is_armed = False
        self._is_slow = self._is_closed = False

    def _find_start(self, since: Position | None) -> int:
        now = self._source.position()
        if since is None or since.epoch != now.epoch or not 0 <= since.seq <= now.seq:
            return -1
        kept = since.seq == now.seq or self._source.ring.find(since.seq + 1)
        return since.seq if kept else -1

    @property
    def is_catching_up(self) -> bool:
        """Whether missed messages may be left to take."""
        return self._taken is not None

    def take(self) -> list[bytes]:
        """Return the messages that are due.

        Raises:
            Refused: The subscriber was too slow, and was dropped: `slow_client`.
        """
        with CHANGES.lock:
            self._is_armed = True
            if self._is_slow:
                raise Refused(
                    "slow_client",
                    f"More than {self._limit} messages or {self._max_bytes} bytes were waiting: "
                    "read faster, and resume",
                    messages=self._limit,
                    bytes=self._max_bytes,
                )
            if self._taken is not None:
                return self._catch_up(self._taken)
            due, self._outbox, self._size = self._outbox, [], 0
            return due

    def _catch_up(self, taken: int) -> list[bytes]:
        now = self._source.position()
        entries = self._source.ring.since(taken, PIECE)
        if not entries and taken == now.seq:
            self._taken = None
            return []
        # The next call finds out whether more has come meanwhile.
        asyncio.get_running_loop().call_soon(self.wake)
        if entries and taken >= 0:
            self._taken = entries[-1].seq
            return self._filter(entries)
        self._taken = now.seq
        return [self._source.snapshot()]

    def _filter(self, entries: Iterable[Published]) -> list[bytes]:
        everything = "*" in self.domains
        return [
            data
            for entry in entries
            for domain, data in entry.messages
            if everything or domain in self.domains
        ]

    def offer(self, entries: Iterable[Published]) -> bool:
        """Add the entries of a turn, and return whether to wake the subscriber.

        The caller must hold the lock.
        """
        if self._taken is not None:
            return True
        due = self._filter(entries)
        self._outbox += due
        self._size += sum(map(len, due))
        if len(self._outbox) > self._limit or self._is_full():
            self._outbox, self._is_slow = [], True
            self._source.forget(self)
        return bool(due)

    def _is_full(self) -> bool:
        """Return whether too many bytes wait beside the largest message.

        That one alone may be larger than the limit, however fast the subscriber is.
        """
        if self._size <= self._max_bytes:
            return False
        return self._size - max(map(len, self._outbox)) > self._max_bytes

    def restart(self) -> None:
        """Begin again with a snapshot. The caller must hold the lock."""
        self._taken, self._outbox, self._size = -1, [], 0

    def wake(self) -> None:
        """Call `on_ready`, unless it was called since the last `take()`."""
        if self._is_armed:
            self._is_armed = False
            self.on_ready()

    def close(self) -> None:
        """End the feed; an iteration ends after the messages that are due."""
        with CHANGES.lock:
            self._is_closed = True
            self._source.forget(self)
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the messages."""
        while True:
            self._ready.clear()
            due = self.take()
            for message in due:
                yield message
            if not due and self._is_closed:
                return
            if not due:
                await self._ready.wait()
