"""The cost of a save is that of encoding and of the disk."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def fastest(action: Callable[[], object]) -> float:
    """Return the processor time of the fastest of several runs."""
    times: list[float] = []
    for _ in range(9):
        start = time.thread_time()
        action()
        times.append(time.thread_time() - start)
    return min(times)


@pytest.mark.parametrize("bases", [1, 30])
def test_collecting_many_attributes_costs_little(
    bases: int, persistence: Any, tmp_path: Path
) -> None:
    kind = persistence.StatefulObject
    for _ in range(bases):
        kind = type("Derived", (kind,), {"title": "", "size": property(len)})
    state = kind(tmp_path / "state.json")
    vars(state).update({f"attribute{number}": number for number in range(5_000)})

    def collect_by_hand() -> dict[str, Any]:
        return {k: v for k, v in vars(state).copy().items() if not k.startswith("_")}

    assert state._get_state() == collect_by_hand()
    assert fastest(state._get_state) < 5 * fastest(collect_by_hand)


def test_a_class_that_changes_later_is_seen(persistence: Any, tmp_path: Path) -> None:
    kind = type("Open", (persistence.StatefulObject,), {})
    state = kind(tmp_path / "state.json")
    state.size = 3
    assert state._get_state() == {"size": 3}
    setattr(kind, "size", property(lambda self: 4))  # noqa: B010 - a type has no such attribute
    assert state._get_state() == {}
