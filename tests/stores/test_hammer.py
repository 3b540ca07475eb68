"""Processes that read, modify and write the same key lose nothing."""

from pathlib import Path

import pytest
from crashlab.children import Children

from stores.conftest import SHARED, UrlOf

PROCESSES = 8
TIMES = 500


def count(children: Children, url: str, times: int, gate: Path, fault: str = "") -> int:
    """Let all begin at the same time, and return the final count."""
    arguments = "update_many", url, times, gate
    running = [children.start(*arguments, fault=fault) for _ in range(PROCESSES)]
    for each in running:
        assert each.stdout
        assert each.stdout.readline() == "ready\n"
    gate.touch()
    assert [each.communicate(timeout=150)[0] for each in running] == ["done\n"] * PROCESSES
    return int(children.run("load", url))


@pytest.mark.parametrize("kind", SHARED)
def test_eight_processes_make_five_hundred_increments_each(
    kind: str, children: Children, url_of: UrlOf, tmp_path: Path
) -> None:
    assert count(children, url_of(kind), TIMES, tmp_path / "gate") == PROCESSES * TIMES


@pytest.mark.parametrize("kind", SHARED)
def test_a_planted_mistake_is_caught(
    kind: str, children: Children, url_of: UrlOf, tmp_path: Path
) -> None:
    counted = count(children, url_of(kind), 50, tmp_path / "gate", "nothing_is_compared")
    assert counted < PROCESSES * 50
