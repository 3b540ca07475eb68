"""Feeds under load: slow readers cost the others nothing, and catching up is not punished."""

import asyncio
import json
import tracemalloc
from typing import Any

import pytest

EVENTS = 10_000
READERS = 100


class Host:
    """A session with a client that writes numbered entries."""

    def __init__(self, engine: Any, state: Any, text: str = "") -> None:
        class Board(state.State):
            score: int = 0
            text: str = ""

        self._engine, self.board, self._number = engine, Board(text=text), 0
        self.session: Any = None

    async def open(self) -> Any:
        machine = self._engine.OperationMachine({"board": self.board})
        self.session = await self._engine.Session.open(machine)
        return self.session

    async def write(self, count: int) -> None:
        do = [{"op": "increment", "path": ["board", "score"], "value": 1}]
        pending: list[Any] = []
        for _ in range(count):
            self._number += 1
            entry = self._engine.Entry(f"client-0:{self._number}", do)
            pending.append(self.session.enqueue(entry))
            if len(pending) == 100:
                await asyncio.gather(*pending)
                pending.clear()
        await asyncio.gather(*pending)


def numbers(messages: list[bytes]) -> list[int]:
    return [json.loads(message)["seq"] for message in messages]


def test_a_stalled_reader_costs_the_others_nothing(
    engine: Any, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A slow machine would end turns earlier.
    monkeypatch.setattr(engine.session, "TURN_SECONDS", 60)

    async def story() -> None:
        host = Host(engine, state)
        session = await host.open()
        feeds = [session.feed(session.position) for _ in range(READERS)]
        got: list[list[int]] = [[] for _ in feeds]
        calls = [0] * READERS

        def reader(index: int) -> Any:
            def read() -> None:
                calls[index] += 1
                got[index].extend(numbers(feeds[index].take()))

            return read

        for index, feed in enumerate(feeds):
            feed.on_ready = reader(index)
            assert feed.take() == []
        stalled = session.feed(session.position)
        assert stalled.take() == []
        await host.write(1_000)
        known = session.position
        await host.write(EVENTS - 1_000)
        for each in got:
            assert each == [*range(1, EVENTS + 1)]
        # One call for all that a turn has for a reader: 64 entries, and the other 36 of 100.
        assert {*calls} == {EVENTS / 50}
        with pytest.raises(engine.Refused) as raised:
            stalled.take()
        assert raised.value.code == "slow_client"
        again = session.feed(known)
        assert again.resumed == "snapshot"
        assert numbers(again.take()) == [EVENTS]
        await host.write(500)
        assert numbers(await drain(again)) == [*range(EVENTS + 1, EVENTS + 501)]
        await session.close()

    asyncio.run(story())


def test_memory_is_bounded_however_long_a_reader_stalls(engine: Any, state: Any) -> None:
    async def story() -> int:
        host = Host(engine, state)
        session = await host.open()
        stalled = [session.feed(session.position) for _ in range(20)]
        assert not any(feed.take() for feed in stalled)
        tracemalloc.start()
        await host.write(2_500)
        before, _ = tracemalloc.get_traced_memory()
        await host.write(5_000)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await session.close()
        return after - before

    assert asyncio.run(story()) < 200_000


def test_a_reader_of_a_large_snapshot_catches_up_under_load(engine: Any, state: Any) -> None:
    async def story() -> None:
        host = Host(engine, state, "x" * 20_000_000)
        session = await host.open()
        await host.write(10)
        slow = session.feed(None, limit=8, max_bytes=1_000)
        [snapshot] = slow.take()
        assert len(snapshot) > 20_000_000
        # A thousand entries are applied while the snapshot is on its way.
        await host.write(1_000)
        seen = numbers(await drain(slow))
        assert seen == [*range(11, 1_011)]
        # From here on it is live, and its limit counts.
        await host.write(9)
        with pytest.raises(engine.Refused):
            slow.take()
        await session.close()

    asyncio.run(story())


def test_all_that_the_ring_holds_can_be_resumed(engine: Any, state: Any) -> None:
    async def story() -> None:
        host = Host(engine, state)
        session = await host.open()
        await host.write(3_000)
        epoch, seq = session.position
        feed = session.feed(engine.Position(epoch, seq - 1_024), limit=1, max_bytes=1)
        assert feed.resumed == "entries"
        assert numbers(await drain(feed)) == [*range(seq - 1_023, seq + 1)]
        assert session.feed(engine.Position(epoch, seq - 1_025)).resumed == "snapshot"
        await session.close()

    asyncio.run(story())


async def drain(feed: Any) -> list[bytes]:
    taken: list[bytes] = []
    while due := feed.take():
        taken += due
        await asyncio.sleep(0)
    return taken
