"""Time rivals in turns, so that whatever slows the machine slows all of them."""

import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Rival:
    """Something to time, and what has to happen before it, untimed."""

    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing


@dataclass(frozen=True)
class Timings:
    """The seconds that each rival took in each round."""

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


def take_turns(rivals: Mapping[str, Rival], rounds: int) -> Timings:
    """Time every rival once a round, after one round that does not count.

    Each round has its own order, the same in every run: whoever always came after the same
    rival would find the caches as that one leaves them.
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
                seconds[name].append(elapsed)
    return Timings(seconds)
