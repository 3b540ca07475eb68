"""A process killed at any moment leaves the old state or the new one, and no litter."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from durability.children import Children
from durability.protocols import PROTOCOLS
from durability.tracing import UMASK, calls, injecting

KILLS = 200


@pytest.mark.needs("Linux")
def test_kills_at_random_leave_what_was_saved_or_under_way(
    children: Children, tmp_path: Path
) -> None:
    said = children.run("kill_at_random", tmp_path / "state.json", KILLS)
    rounds = [json.loads(line) for line in said.splitlines()]
    assert len(rounds) == KILLS
    assert not [each for each in rounds if each["found"] not in (each["saved"], each["saved"] + 1)]
    assert not [each for each in rounds if each["still"]]
    # Otherwise the kills would all have missed the saves.
    assert sum(each["left"] for each in rounds) > KILLS // 20


def violations(
    name: str, children: Children, persistence: Any, tmp_path: Path, plant: str = ""
) -> Iterator[str]:
    """Kill a protocol at each of its calls and yield what is wrong with what is left."""
    protocol, log = PROTOCOLS[name], tmp_path / "strace"
    root = protocol.prepare(tmp_path / "recorded")
    for number, (call, when) in enumerate(calls(protocol.command(children, root, plant), log)):
        root = protocol.prepare(tmp_path / str(number))
        killing = injecting(call, when, "signal=KILL", log)
        command = [*killing, *protocol.command(children, root, plant)]
        killed = subprocess.run(command, capture_output=True, check=False, umask=UMASK)
        assert killed.returncode == -signal.SIGKILL
        assert log.read_text().count(" getppid(") == 1, "killed outside of the protocol"
        found = protocol.start(persistence, root)
        if not protocol.allows(found, returned=False):
            yield f"{found} after a kill at {call}"


@pytest.mark.needs("Linux", "strace")
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_kill_at_each_call_leaves_the_old_state_or_the_new_one(
    name: str, children: Children, persistence: Any, tmp_path: Path
) -> None:
    wrong = [*violations(name, children, persistence, tmp_path)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.needs("Linux", "strace")
@pytest.mark.parametrize("plant", ["written_in_place", "renamed_before_written"])
def test_a_planted_mistake_is_caught(
    plant: str, children: Children, persistence: Any, tmp_path: Path
) -> None:
    name = "a save over an existing file"
    assert [*violations(name, children, persistence, tmp_path, plant)]
