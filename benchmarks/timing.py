"""Time rivals in turns, so that a slow machine slows all of them."""

import random
import statistics
import time
import timeit
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_LOOP_SECONDS = 0.002


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Rival:
    """A statement to time, its untimed preparation, and how often it runs."""

    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing
    times: int = 1


@dataclass(frozen=True)
class Timings:
    """The seconds that each rival took in each round, for one execution."""

    seconds: Mapping[str, list[float]]

    @property
    def rounds(self) -> int:
        return len(next(iter(self.seconds.values())))

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """Return the median of the ratios within each round."""
        return statistics.median(a / b for a, b in self._pairs(name, to))

    def difference(self, name: str, to: str) -> float:
        """Return the median of the differences within each round, in seconds."""
        return statistics.median(a - b for a, b in self._pairs(name, to))

    def _pairs(self, name: str, other: str) -> Iterable[tuple[float, float]]:
        return zip(self.seconds[name], self.seconds[other], strict=True)


def loop(statement: str, **names: Any) -> Rival:
    """Return a rival that executes a statement many times, as `timeit` does it.

    A call of some nanoseconds can be timed in no other way; the loop itself adds a few. All
    loops take about as long, so that interruptions hit all of them alike.
    """
    timer = timeit.Timer(statement, globals=names)
    times = 1 + int(1000 * _LOOP_SECONDS / timer.timeit(1000))
    return Rival(lambda: timer.timeit(times), times=times)


def take_turns(rivals: Mapping[str, Rival], rounds: int) -> Timings:
    """Time every rival once a round, after one round that does not count.

    Each round has its own order, the same in every run: a rival that always followed the same
    one would find the caches as that one leaves them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    order, shuffle = list(rivals), random.Random(0).shuffle  # noqa: S311 - an order
    for number in range(-1, rounds):
        shuffle(order)
        for name in order:
            rivals[name].prepare()
            start = time.perf_counter()
            rivals[name].run()
            elapsed = time.perf_counter() - start
            if number >= 0:
                seconds[name].append(elapsed / rivals[name].times)
    return Timings(seconds)
