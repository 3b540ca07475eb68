"""A process killed at any moment leaves the old state or the new one, and no litter."""

import json
from pathlib import Path

import pytest
from crashlab.children import Children
from crashlab.experiments import Experiments

from durability.protocols import PROTOCOLS

KILLS = 200


@pytest.mark.needs("Linux")
def test_random_kills_leave_the_last_save_or_the_one_in_progress(
    children: Children, tmp_path: Path
) -> None:
    said = children.run("kill_at_random", tmp_path / "state.json", KILLS)
    rounds = [json.loads(line) for line in said.splitlines()]
    assert len(rounds) == KILLS
    assert not [each for each in rounds if each["found"] not in (each["saved"], each["saved"] + 1)]
    assert not [each for each in rounds if each["still"]]
    # Otherwise the kills would all have missed the saves.
    assert sum(each["left"] for each in rounds) > KILLS // 20


@pytest.mark.needs("Linux", "strace")
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_kill_at_each_call_leaves_the_old_state_or_the_new_one(
    name: str, experiment: Experiments
) -> None:
    wrong = [*experiment(name).kill_at_each_call()]
    assert not wrong, "\n".join(wrong)


@pytest.mark.needs("Linux", "strace")
@pytest.mark.parametrize("fault", ["written_in_place", "renamed_before_written"])
def test_a_planted_mistake_is_caught(fault: str, experiment: Experiments) -> None:
    assert [*experiment("a save over an existing file", fault).kill_at_each_call()]
