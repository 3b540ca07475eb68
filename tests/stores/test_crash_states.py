"""After any crash, a store that is opened again holds the state from before or after.

Each protocol is run once and recorded; the emitted code then opens a store in every state that
the recorded calls can leave on the disk. Planted mistakes must be caught in the same way.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crashlab.crash_states import File, Tree, write_tree
from crashlab.experiments import Experiment, Experiments

from stores.protocols import PROTOCOLS

pytestmark = pytest.mark.needs("Linux", "strace")

# SQLite's index of its log is shared memory in a file, created anew after a crash.
INDEX = "state-shm"
# A write to a database is of a page: its log has as many as eight before it is flushed.
MOST = 100


def violations(name: str, experiment: Experiment) -> Iterator[str]:
    """Yield the states that a protocol may crash into and must not."""
    protocol = PROTOCOLS[name]
    for number, (returned, tree) in enumerate(experiment.crash_states(INDEX, MOST)):
        root = experiment.folder / str(number)
        write_tree(tree, root)
        if protocol.kind == "sqlite" and number % 2:
            (root / INDEX).write_bytes(b"\xa5" * 32_768)
        try:
            found = protocol.find(experiment.emitted, root)
        except (OSError, ValueError, AssertionError) as error:
            found = error
        if not protocol.allows(found, returned=returned):
            when = "after" if returned else "before"
            yield f"{when} it returned: {found!r:.200} from {str(tree)[:500]}"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_crash_state_is_the_old_state_or_the_new_one(
    name: str, experiment: Experiments, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = [*violations(name, experiment(name))]
    assert not wrong, "\n".join(wrong)
    assert not caplog.messages


def torn(file: File) -> Iterator[File]:
    """Yield the possible remains of a file on a disk."""
    half = len(file.data) // 2
    yield File(b"")
    yield File(file.data[:half])
    yield File(file.data[:half] + bytes(len(file.data) - half))
    yield File(bytes(len(file.data)))


@pytest.mark.parametrize("name", ["file: a later save", "file: a delete"])
def test_in_every_crash_state_the_previous_generation_replaces_a_torn_file(
    name: str,
    experiment: Experiments,
    state: Any,
    memory: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def torn_states() -> Iterator[Tree]:
        for _, tree in experiment(name).crash_states(INDEX, MOST):
            newest = tree["state"]
            assert isinstance(newest, File)
            for file in torn(newest):
                yield {**tree, "state": file}

    for number, tree in enumerate(torn_states()):
        root = memory / str(number)
        write_tree(tree, root)
        caplog.clear()
        assert PROTOCOLS[name].find(state, root) in (0, 1)
        assert "Its previous generation state.previous is used" in caplog.text
        (aside,) = root.glob("state.corrupt-*")
        assert File(aside.read_bytes()) == tree["state"]


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("no_fsync", "file: the first save"),
        ("no_fsync", "file: a later save"),
        ("written_in_place", "file: a later save"),
        ("no_fsync", "sqlite: a later save"),
        ("flushed_at_checkpoints_only", "sqlite: a later save"),
        ("flushed_at_checkpoints_only", "sqlite: a delete"),
    ],
)
def test_a_planted_mistake_is_caught(fault: str, name: str, experiment: Experiments) -> None:
    assert next(violations(name, experiment(name, fault)), None)
