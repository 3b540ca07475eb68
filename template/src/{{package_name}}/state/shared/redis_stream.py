"""A log as a Redis server keeps it: the stream, its snapshot, and the election before an epoch."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import _json
from ..errors import StoreUnavailableError
from .redis_link import RedisLink

logger = logging.getLogger(__name__)

LEASE_MILLISECONDS = 10_000
# Seconds in which the process that has read most opens an epoch, and after which any may.
FURTHEST_SECONDS, ANY_SECONDS, ELECTION_STEP = 0.3, 1.0, 0.05


class Place(NamedTuple):
    """The id of an element of the stream: the first of an epoch is 0, and none is left out."""

    epoch: int
    number: int

    @classmethod
    def parse(cls, name: bytes) -> "Place":
        """Return the place that an id names."""
        epoch, _, number = name.partition(b"-")
        return cls(int(epoch), int(number))

    @property
    def following(self) -> "Place":
        """The place of the next element."""
        return Place(self.epoch, self.number + 1)

    def __str__(self) -> str:
        """Return the id."""
        return f"{self.epoch}-{self.number}"


NOWHERE = Place(0, 0)


class RedisStream:
    """The keys of a log. Every process on it reads and writes them, each with a link of its own.

    Args:
        key: The name of the stream; those of all other keys begin with it.
        process: The name of this process.
        snapshot: Returns everything that the next entries depend on, as this process has it.
    """

    def __init__(self, key: str, process: str, snapshot: Callable[[], bytes]) -> None:
        self._key, self._process, self._snapshot = key, process, snapshot
        self._candidates = f"{key}:candidates"

    async def find_last(self, link: RedisLink) -> Place:
        """Return the place of the last element, `NOWHERE` if there is none."""
        found = await link.ask("XREVRANGE", self._key, "+", "-", "COUNT", 1)
        return Place.parse(found[0][0]) if found else NOWHERE

    async def _find_first(self, link: RedisLink) -> Place:
        found = await link.ask("XRANGE", self._key, "-", "+", "COUNT", 1)
        return Place.parse(found[0][0]) if found else NOWHERE

    def _snapshot_of(self, place: Place) -> str:
        return f"{self._key}:snapshot:{place.epoch}"

    async def has_snapshot(self, link: RedisLink, place: Place) -> bool:
        """Return whether the epoch of a place has its snapshot."""
        return await self._read_place(link, self._snapshot_of(place)) != NOWHERE

    async def _read_place(self, link: RedisLink, key: str) -> Place:
        return _read_head(await link.ask("GETRANGE", key, 0, 80))[0]

    async def load_snapshot(self, link: RedisLink, known: Place) -> tuple[Place, str, Any]:
        """Return the place, the server of the epoch and the content of the newest snapshot.

        Args:
            link: The link to the server.
            known: The place after everything that this process has read.

        Raises:
            StoreUnavailableError: It is missing, does not go beyond that place, or is something
                that another program has written.
        """
        key = self._snapshot_of(await self.find_last(link))
        data = await link.ask("GET", key)
        place, run_id = _read_head(data or b"")
        if place <= known:
            raise StoreUnavailableError(
                f"{key} is missing, too old or not a snapshot: the server must not evict keys "
                "(maxmemory-policy noeviction). A running process soon writes it again from its "
                "states: start this one again then. If none runs, the states are lost: delete "
                f"the keys that begin with {self._key}, and start again"
            )
        return place, run_id, _json.decode(data.partition(b"\n")[2], key)

    async def keep_snapshot(
        self, link: RedisLink, place: Place, run_id: str, counted_from: Place
    ) -> None:
        """Replace the snapshot, unless another process does, and forget the entries before it.

        Args:
            link: The link to the server.
            place: The place after everything that this process has read.
            run_id: The server that has begun the epoch.
            counted_from: The place of the former snapshot, as far as this process knows.
        """
        lease, key = f"{self._key}:lease", self._snapshot_of(place)
        if not await link.ask("SET", lease, self._process, "NX", "PX", LEASE_MILLISECONDS):
            return
        await link.ask("WATCH", key)
        if is_missing := (former := await self._read_place(link, key)) == NOWHERE:
            former = await self._find_first(link)
        # Beyond the next entry, others have trimmed the stream or begun an epoch.
        if former > (place.following if is_missing else counted_from):
            await link.ask("UNWATCH")
            await link.ask("DEL", lease)
            return
        data = _to_head(place, run_id) + self._snapshot()
        # A process that has just loaded the former snapshot finds its continuation.
        is_kept = await link.transact(
            ("SET", key, data), ("XTRIM", self._key, "MINID", str(former)), ("DEL", lease)
        )
        if is_kept and is_missing:
            logger.warning(
                "%s was missing, and is written again: the server must not evict keys "
                "(maxmemory-policy noeviction)",
                key,
            )

    async def may_begin(self, link: RedisLink, place: Place) -> bool:
        """Let the process go first that has read most, and return whether this one may go.

        Args:
            link: The link to the server.
            place: The place after everything that this process has read.
        """
        name = f"{place.epoch:016}-{place.number:016}-{self._process}"
        await link.ask("ZADD", self._candidates, 0, name)
        await link.ask("PEXPIRE", self._candidates, int(ANY_SECONDS * 3_000))
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (waited := loop.time() - began) < ANY_SECONDS:
            await asyncio.sleep(ELECTION_STEP)
            if await self.find_last(link) > place:
                return False
            if waited < FURTHEST_SECONDS or place == NOWHERE:
                continue  # one that has read nothing waits for all others
            # Without any candidate, another process has just begun the epoch.
            if await link.ask("ZREVRANGE", self._candidates, 0, 0) == [name.encode()]:
                break
        return True

    async def begin_epoch(self, link: RedisLink, known: Place, now: int) -> Place | None:
        """Begin an epoch with the states of this process, unless another is faster.

        Args:
            link: The link to the server.
            known: The place after everything that this process has read.
            now: Milliseconds since the epoch of the clock.

        Returns:
            The place of its first element; None if another process was faster.
        """
        await link.ask("WATCH", self._key)
        last = await self.find_last(link)
        if last > known:
            await link.ask("UNWATCH")
            return None
        place = Place(max(now, last.epoch + 1, known.epoch + 1), 0)
        data = _to_head(place, link.run_id) + self._snapshot()
        is_begun = await link.transact(
            ("SET", self._snapshot_of(place), data),
            ("XADD", self._key, str(place), "run", link.run_id),
            ("XTRIM", self._key, "MINID", str(place)),
            ("DEL", self._candidates, self._snapshot_of(last), self._snapshot_of(known)),
        )
        return place if is_begun else None


def name_epoch(place: Place, run_id: str) -> str:
    """Return the name of an epoch that a server has begun."""
    return f"{place.epoch}-{run_id[:6]}"


def _to_head(place: Place, run_id: str) -> bytes:
    """Return the first line of a snapshot."""
    return f"{place} {run_id}\n".encode()


def _read_head(data: bytes) -> tuple[Place, str]:
    """Return the place of a snapshot, and the server of its epoch, as its first line has them.

    They are `NOWHERE` and empty where the line is something else.
    """
    place, _, run_id = data.partition(b"\n")[0].partition(b" ")
    try:
        return Place.parse(place), run_id.decode()
    except ValueError:  # nothing, or bytes of another program
        return NOWHERE, ""
