"""Computed values, effects and queries where states leave, tasks start, and threads write.

The emitted tests show when each of them runs.
"""

import asyncio
import threading
from typing import Any

import pytest

EMITTED = "test_reactive"


@pytest.fixture(autouse=True)
def forget_calls(emitted: Any) -> None:
    emitted.calls.clear()
    emitted.shown.clear()


def test_a_value_does_not_follow_a_removed_state(emitted: Any) -> None:
    line = emitted.Line(price=2)
    summary = emitted.Summary(order=emitted.Order(lines=[line]))
    assert summary.total == 2
    summary.order.lines.clear()
    assert summary.total == 0
    emitted.calls.clear()
    line.price = 3
    assert (summary.total, emitted.calls) == (0, [])


def test_an_effect_of_a_state_made_in_a_batch_runs_after_it(emitted: Any) -> None:
    order = emitted.Order(customer="Ada")
    with order.batch():
        screen = emitted.Screen(order=order)
        assert emitted.shown == []
    assert emitted.shown == [screen.order.customer]


def test_an_effect_does_not_follow_the_reads_of_a_task_that_it_starts(
    state: Any, emitted: Any
) -> None:
    class Watching(state.State):
        count: int = 0
        other: int = 0

        @state.effect
        def start(self) -> None:
            emitted.shown.append(str(self.count))
            tasks.append(asyncio.create_task(self.work()))

        @state.query
        async def fetched(self) -> int:
            await asyncio.sleep(0)
            return 1

        async def work(self) -> None:
            fetching = asyncio.create_task(self.fetch())
            await asyncio.sleep(0)
            emitted.shown.append(f"task {self.other}")
            await fetching

        async def fetch(self) -> Any:
            return await self.fetched

    async def main() -> None:
        watching = Watching()
        await asyncio.gather(*tasks)
        watching.other = 1

    tasks = list[asyncio.Task[None]]()
    asyncio.run(main())
    assert emitted.shown == ["0", "task 0"]


def test_a_query_outlives_an_event_loop(emitted: Any) -> None:
    async def give_up() -> None:
        waiting = asyncio.gather(report.slow)
        while not emitted.calls:  # noqa: ASYNC110 - the call sets no event
            await asyncio.sleep(0)
        waiting.cancel()

    async def read() -> Any:
        return await report.slow

    report = emitted.Report()
    asyncio.run(give_up())
    assert asyncio.run(read()) == 2026


def test_no_change_is_lost_and_one_is_notified_at_a_time(state: Any, emitted: Any) -> None:
    class Pair(emitted.Pair):
        log: list[int] = state.field(default_factory=list)

    pair, notified = Pair(), list[int]()
    active, most = list[int](), set[int]()

    def listener(change: Any) -> None:
        active.append(1)
        most.add(len(active))
        notified.extend(path[1] for path in change.paths)
        active.pop()

    pair.on_change(listener)

    def append() -> None:
        for number in range(100):
            pair.log.append(number)

    emitted.run_all([threading.Thread(target=append) for _ in range(4)])
    assert len(pair.log) == 400
    assert (notified, most) == ([*range(400)], {1})


def test_the_last_run_of_an_effect_has_seen_the_last_change(emitted: Any) -> None:
    pair = emitted.Pair()

    def write(start: int) -> None:
        for number in range(50):
            pair.left = start + number

    emitted.run_all([threading.Thread(target=write, args=(start,)) for start in (100, 200, 300)])
    assert emitted.shown[-1] == f"{pair.left} {pair.left}"
