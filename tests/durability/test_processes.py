"""Processes and threads that share a file lose nothing, and never wait for a dead process."""

import json
import os
import signal
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.tracing import injecting, wait_for

pytestmark = pytest.mark.needs("Linux")

JUNK = b'{"count": 1'


def count_in(persistence: Any, path: Path) -> int:
    count: int = persistence.StatefulObject(path).count
    return count


def test_eight_processes_make_five_hundred_increments_each(
    children: Children, persistence: Any, memory: Path
) -> None:
    path = memory / "state.json"
    running = [children.start("transact", path, 500) for _ in range(8)]
    assert [each.communicate(timeout=100)[0] for each in running] == ["done\n"] * 8
    assert count_in(persistence, path) == 4000


def test_threads_with_objects_of_their_own_lose_nothing(
    children: Children, persistence: Any, memory: Path
) -> None:
    path = memory / "state.json"
    assert children.run("transact_in_threads", 200, path, path, path) == "[]"
    assert count_in(persistence, path) == 600


def test_threads_of_several_processes_that_lock_several_files_do_not_fail(
    children: Children, persistence: Any, memory: Path
) -> None:
    """POSIX locks belong to processes: the system may see a deadlock that does not exist."""
    paths = memory / "a.json", memory / "b.json"
    running = [children.start("transact_in_threads", 100, *paths) for _ in range(3)]
    assert [each.communicate(timeout=100)[0] for each in running] == ["[]\n"] * 3
    assert [count_in(persistence, path) for path in paths] == [300, 300]


def test_a_process_killed_in_a_transaction_leaves_no_lock_and_no_change(
    children: Children, persistence: Any, memory: Path
) -> None:
    path = memory / "state.json"
    assert children.run("transact", path) == "done"
    holder = children.start("hold", path)
    assert holder.stdout
    assert holder.stdout.readline() == "inside\n"
    waiting = children.start("transact", path)
    holder.kill()
    assert waiting.communicate(timeout=30)[0] == "done\n"
    assert count_in(persistence, path) == 2


@pytest.mark.parametrize("how", ["is killed", "leaves"])
def test_a_fork_does_not_keep_the_lock_of_its_parent(
    how: str, children: Children, persistence: Any, memory: Path
) -> None:
    path = memory / "state.json"
    parent = children.start("fork_and_hold", path, how)
    assert parent.stdout
    fork = int(parent.stdout.readline())
    try:
        if how == "is killed":
            parent.kill()
        else:
            assert parent.stdout.readline() == "left\n"
        assert children.run("transact", path) == "done"
        os.kill(fork, 0)  # it is alive
    finally:
        os.kill(fork, signal.SIGKILL)
    assert count_in(persistence, path) == (1 if how == "is killed" else 2)


def test_a_fork_made_in_a_transaction_waits_for_its_turn(children: Children, memory: Path) -> None:
    assert children.run("fork_and_transact", memory / "state.json") == "3 0"


@pytest.mark.parametrize("how", ["save", "transact"])
def test_only_one_of_several_processes_sets_a_corrupt_file_aside(
    how: str, children: Children, persistence: Any, memory: Path
) -> None:
    rounds, processes = 60, 6
    for number in range(rounds):
        (memory / str(number)).mkdir()
        (memory / str(number) / "state.json").write_bytes(JUNK)
    said = children.run("start_together", memory, processes, rounds, how, stderr=DEVNULL)
    assert json.loads(said) == [0] * processes
    for number in range(rounds):
        folder = memory / str(number)
        assert [file.read_bytes() for file in folder.glob("*.corrupt-*")] == [JUNK]
        assert count_in(persistence, folder / "state.json") == (1 if how == "save" else processes)


def test_starting_does_not_disturb_busy_savers(
    children: Children, persistence: Any, tmp_path: Path
) -> None:
    """A start removes the files of dead writers, and must leave those of living ones."""
    path = tmp_path / "state.json"
    assert children.run("save", path, 1) == "done"
    savers = [children.start("save_many", path, 2) for _ in range(2)]
    starters = [children.start("start_many", path, 2) for _ in range(3)]
    assert [each.wait(timeout=60) for each in savers] == [0] * 2
    assert [each.communicate(timeout=60)[0] for each in starters] == ["0\n"] * 3
    assert {file.name for file in tmp_path.iterdir()} == {"state.json"}
    assert count_in(persistence, path) > 1


@pytest.mark.needs("strace")
def test_the_slower_of_two_starts_creates_no_file(
    children: Children, persistence: Any, memory: Path, tmp_path: Path
) -> None:
    """A temporary file that one start has removed must not come back, empty, and be renamed."""
    path, saving, sweeping = memory / "state.json", tmp_path / "saving", tmp_path / "sweeping"
    assert children.run("save", path, 1) == "done"
    held = injecting("/^rename", 1, "delay_enter=3s", saving)
    saver = children.start("save", path, 2, tracer=held)
    wait_for("rename", saving)
    (temporary,) = memory.glob(".*.tmp")
    held = injecting("openat", 1, "delay_enter=1500ms", sweeping)
    held += ["-e", "inject=/^unlink:delay_enter=3s", "-P", str(temporary)]
    slow = children.start("start", path, tracer=held)
    wait_for("openat", sweeping)
    children.run("start", path)
    assert saver.communicate(timeout=60)[0] == "done\n"
    assert slow.wait(timeout=60) == 0
    assert {file.name for file in memory.iterdir()} == {"state.json"}
    assert count_in(persistence, path) == 2


def test_starting_while_another_process_clears_is_not_an_error(
    children: Children, memory: Path
) -> None:
    programs = ["clear_many", "start_many", "start_many"]
    running = [children.start(program, memory / "state.json", 3) for program in programs]
    assert [each.wait(timeout=60) for each in running] == [0] * len(running)


def test_starting_in_one_thread_does_not_disturb_saving_in_another(
    children: Children, persistence: Any, tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    assert children.run("save_while_starting_in_threads", path, 200) == "[]"
    assert {file.name for file in tmp_path.iterdir()} == {"state.json"}
    assert count_in(persistence, path) == 200
