"""Listeners, computed values, effects and queries where they are interrupted or run in parallel."""

import asyncio
import threading
from typing import Any

import pytest


def listen(state: Any) -> list[Any]:
    """Return a list that grows by the paths of each notified change."""
    notified: list[Any] = []
    state.on_change(lambda change: notified.append(change.paths))
    return notified


def test_listeners_are_called_again_after_one_was_interrupted(state: Any) -> None:
    class Order(state.State):
        customer: str = ""

    def interrupt(change: Any) -> None:
        raise KeyboardInterrupt

    order = Order()
    with order.on_change(interrupt), pytest.raises(KeyboardInterrupt):
        order.customer = "Ada"
    notified = listen(order)
    order.customer = "Bob"
    assert notified == [(("customer",),)]


def test_an_effect_that_was_interrupted_runs_again(state: Any) -> None:
    shown: list[int] = []

    class Interrupted(state.State):
        count: int = 0

        @state.effect
        def show(self) -> None:
            shown.append(self.count)
            if self.count == 1:
                raise KeyboardInterrupt

    interrupted = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        interrupted.count = 1
    interrupted.count = 2
    assert shown == [0, 1, 2]


def test_a_subclass_may_override_a_computed_value_and_effects_follow_it(state: Any) -> None:
    shown: list[int] = []

    class Line(state.State):
        price: int = 0

        @state.computed
        def total(self) -> int:
            return self.price

    class Dear(Line):
        @state.computed
        def total(self) -> int:
            return 100 * self.price

        @state.effect
        def show(self) -> None:
            shown.append(self.total)

    dear = Dear(price=1)
    dear.price = 2
    assert (Line(price=1).total, dear.total, shown) == (1, 200, [100, 200])


def test_all_threads_get_the_same_value_of_a_query(state: Any) -> None:
    class Report(state.State):
        @state.query
        def totals(self) -> list[int]:
            return [2026]

    report, values = Report(), list[Any]()
    threads = [threading.Thread(target=lambda: values.append(report.totals)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(values) == 4
    assert all(value is report.totals for value in values)


def test_an_asynchronous_query_is_not_cached_if_it_fails_and_fetched_again_once_deleted(
    state: Any,
) -> None:
    class Report(state.State):
        year: int = 2026
        fails: bool = False

        @state.query
        async def slow(self) -> int:
            year: int = self.year
            await asyncio.sleep(0)
            if self.fails:
                raise ConnectionError
            return year

    async def main() -> None:
        report = Report(fails=True)
        with pytest.raises(ConnectionError):
            await report.slow
        report.fails = False
        assert await report.slow == 2026
        report.year = 2027
        assert await report.slow == 2026
        del report.slow
        assert await report.slow == 2027

    asyncio.run(main())


def test_tasks_of_asyncio_change_a_state_in_turn_and_share_computed_values(state: Any) -> None:
    calls: list[str] = []

    class Order(state.State):
        customer: str = ""
        notes: list[str] = state.field(default_factory=list)

        @state.computed
        def length(self) -> int:
            calls.append("length")
            return len(self.notes)

    async def main() -> None:
        order = Order()
        notified = listen(order)

        async def note(text: str) -> None:
            for _ in range(3):
                with order.batch():
                    order.customer = text
                    order.notes.append(text)
                await asyncio.sleep(0)

        async def read() -> Any:
            return order.length

        await asyncio.gather(note("x"), note("y"))
        assert order.notes == ["x", "y"] * 3
        assert notified == [(("customer",), ("notes", i)) for i in range(6)]
        assert [*await asyncio.gather(read(), read())] == [6, 6]
        assert calls == ["length"]

    asyncio.run(main())
