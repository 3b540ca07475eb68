"""A state of many entries costs about ten times as much as one with a tenth of them."""

import gc
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# For a long run: HOLDFAST_ENTRIES=1000000.
MANY = int(os.environ.get("HOLDFAST_ENTRIES", "300000"))
FEW = MANY // 10
# Ten times as many take ten times as long, and more where they no longer fit the caches of
# the processor; a quadratic algorithm would take a hundred times as long.
LINEAR = 40

DATA: dict[str, tuple[Any, Callable[[int], Any]]] = {
    "a list": (list[int], lambda size: [*range(size)]),
    "a dict": (dict[str, int], lambda size: {str(i): i for i in range(size)}),
    "a set": (set[int], lambda size: {*range(size)}),
    "lists in a list": (
        list[list[int]],
        lambda size: [[*range(i, i + 10)] for i in range(0, size, 10)],
    ),
    "dicts in a dict": (
        dict[str, dict[int, int]],
        lambda size: {str(i): {j: j for j in range(i, i + 50)} for i in range(0, size, 50)},
    ),
    "anything": (Any, lambda size: [{"more": [*range(i, i + 99)]} for i in range(0, size, 100)]),
}


@pytest.fixture
def without_collections() -> Iterator[None]:
    """Keep the cyclic garbage collector, which runs at any time, out of the figures."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def declare(state: Any, name: str) -> tuple[Any, Callable[[int], Any]]:
    annotation, make = DATA[name]
    namespace = {"__annotations__": {"data": annotation}, "__module__": __name__}
    return type("Big", (state.State,), namespace), make


def seconds(task: Callable[[], object]) -> float:
    """Return the time of a task in seconds, without that of other processes."""
    begun = time.process_time()
    task()
    return time.process_time() - begun


@pytest.mark.usefixtures("without_collections")
@pytest.mark.parametrize("name", DATA)
def test_time_is_proportional_to_the_size_of_the_state(state: Any, name: str) -> None:
    cls, make = declare(state, name)
    codec = state.JsonCodec()

    def steps(size: int) -> dict[str, float]:
        made = cls(data=make(size))
        payload = made.drain()
        encoded = codec.encode(cls, payload)
        decoded = codec.decode(encoded)
        tasks: dict[str, Callable[[], object]] = {
            "drain": made.drain,
            "encode": lambda: codec.encode(cls, payload),
            "decode": lambda: codec.decode(encoded),
            "hydrate": lambda: cls.hydrate(decoded),
            "hydrate as drained": lambda: cls.hydrate(payload),
        }
        # A short measurement may be disturbed, and is repeated.
        times = 1 if size == MANY else 3
        return {step: min(seconds(task) for _ in range(times)) for step, task in tasks.items()}

    def find_slow() -> dict[str, tuple[float, float]]:
        few, many = steps(FEW), steps(MANY)
        # Steps that take almost no time cannot be compared.
        limits = {step: 0.02 + LINEAR * each for step, each in few.items()}
        return {step: (few[step], each) for step, each in many.items() if each > limits[step]}

    # Other processes share the memory and its caches: such a disturbance does not last.
    slow = find_slow()
    assert not slow or not slow.keys() & find_slow().keys(), slow


@pytest.mark.parametrize("name", DATA)
def test_memory_stays_under_three_times_that_of_the_data(state: Any, name: str) -> None:
    cls, make = declare(state, name)
    # Tracing takes its time, and a cost for each entry shows with few of them too.
    size = MANY if name == "a list" else FEW
    codec = state.JsonCodec()
    held: dict[str, Any] = {}
    peaks: dict[str, float] = {}
    tracemalloc.start()
    try:
        held["data"] = make(size)
        plain = tracemalloc.get_traced_memory()[0]

        def do(step: str, task: Callable[[], Any], spent: str = "") -> None:
            """Execute a step, keep its result only, and record the peak of memory."""
            tracemalloc.reset_peak()
            held[step] = task()
            peaks[step] = tracemalloc.get_traced_memory()[1] / plain
            held.pop(spent, None)

        do("make", lambda: cls(data=held["data"]), spent="data")
        do("drain", lambda: held["make"].drain(), spent="make")
        do("hydrate", lambda: cls.hydrate(held["drain"]))
        do("dump", lambda: codec.dump(cls, held["drain"]), spent="hydrate")
        held.pop("drain")
        do("hydrate JSON", lambda: cls.hydrate(held["dump"]))
    finally:
        tracemalloc.stop()
    # The memory used before is in each figure: the data or the state, and the result.
    assert max(peaks.values()) < 3, peaks
