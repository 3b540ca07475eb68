"""A process may die at any moment: each acknowledged entry was applied, exactly once."""

import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crashlab.disks import Disk, Mount
from crashlab.tracing import trace

PROGRAMS = Path(__file__).with_name("session_programs.py")
# For a long run: HOLDFAST_ENGINE_KILLS=50.
KILLS = int(os.environ.get("HOLDFAST_ENGINE_KILLS", "5"))
POWER_CUTS = 3
CLIENTS = [f"client-{index}" for index in range(8)]

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(engine_source: Path) -> Iterator[Start]:
    """Return a function that starts a program in a process, killed after the test."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **options: Any) -> "subprocess.Popen[str]":
        command = [sys.executable, str(PROGRAMS), str(engine_source), *map(str, arguments)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def applied_in(start: Start, path: Path, durability: str) -> tuple[int, str]:
    """Return the number of applied entries, each applied once, and the epoch."""
    said, _ = start("count_applied", path, durability).communicate(timeout=60)
    total, epoch = said.split()
    return int(total), epoch


@pytest.mark.parametrize("durability", ["process", "power"])
def test_every_acknowledged_entry_is_there_once(
    durability: str, start: Start, memory: Path
) -> None:
    """The clients go on with the ids that have no answer, as they must."""
    path = memory / "session.edits"
    positions: dict[tuple[str, int], int] = {}
    epochs = set[str]()
    for _ in range(KILLS):
        first = {client: first_open(client, positions) for client in CLIENTS}
        writer = start("write_for_ever", path, durability, json.dumps(first))
        assert writer.stdout
        epochs.add(writer.stdout.readline().split()[1])
        time.sleep(random.uniform(0.01, 0.5))  # noqa: S311 - a delay, no secret
        writer.kill()
        # The kill may have cut the last line.
        *lines, _ = writer.communicate(timeout=60)[0].split("\n")
        for line in lines:
            client, number, seq = line.split()
            # The same entry has the same position for ever.
            assert positions.setdefault((client, int(number)), int(seq)) == int(seq)
    assert len(epochs) == 1
    assert len(set(positions.values())) == len(positions)
    total, epoch = applied_in(start, path, durability)
    assert {epoch} == epochs
    # Entries without an answer may have been applied too.
    assert max(positions.values()) <= total
    assert {*positions.values()} <= {*range(1, total + 1)}
    assert total - len(positions) <= KILLS * 8 * 128
    assert len(positions) > KILLS * 20


def first_open(client: str, positions: dict[tuple[str, int], int]) -> int:
    """Return the lowest number of a client that has no answer."""
    answered = {number for name, number in positions if name == client}
    return next(number for number in range(1, len(answered) + 2) if number not in answered)


@pytest.mark.needs("Linux", "strace")
@pytest.mark.parametrize("durability", ["process", "power"])
def test_the_system_has_an_entry_before_its_answer(
    durability: str, engine_source: Path, tmp_path: Path
) -> None:
    program = [sys.executable, str(PROGRAMS), str(engine_source), "write_some"]
    program += [str(tmp_path / "session.edits"), durability, "20"]
    since_answer: list[str] = []
    answers = 0
    for line in trace(program, tmp_path / "trace"):
        call, _, arguments = line.split(maxsplit=1)[1].partition("(")
        since_answer.append(call)
        if call == "write" and arguments.startswith("1<"):
            answers += 1
            assert "pwrite64" in since_answer
            flushed = {*since_answer[since_answer.index("pwrite64") :]} & {"fsync", "fdatasync"}
            assert flushed or durability == "process"
            since_answer.clear()
    assert answers == 20


@pytest.mark.needs("Linux", "root", "mount")
def test_a_power_cut_takes_nothing_that_was_acknowledged_from_a_journal_for_it(
    start: Start, disk: Disk
) -> None:
    path = disk.folder / "session.edits"
    for _ in range(POWER_CUTS):
        writer = start("write_until_it_fails", path, "power", stderr=subprocess.DEVNULL)
        saved, last = disk.cut_and_restart_under(writer)
        total, _ = applied_in(start, path, "power")
        assert saved <= total <= last + 1


@pytest.mark.needs("Linux", "root", "mount")
def test_a_power_cut_takes_no_older_second_from_an_ordinary_journal(
    start: Start, disk: Disk
) -> None:
    path = disk.folder / "session.edits"
    # So slowly that SQLite itself flushes nothing.
    writer = start("write_until_it_fails", path, "process", 0.01, stderr=subprocess.DEVNULL)
    assert writer.stdout
    time.sleep(2)
    flushed = int(os.read(writer.stdout.fileno(), 1 << 16).split()[-1])
    time.sleep(2.5)
    disk.cut()
    writer.kill()
    writer.communicate(timeout=60)
    disk.restart()
    total, _ = applied_in(start, path, "process")
    assert total >= flushed > 1


@pytest.mark.needs("Linux", "root", "mount")
@pytest.mark.parametrize("durability", ["process", "power"])
def test_on_a_full_disk_nothing_half_is_kept_and_work_goes_on_with_space(
    durability: str, start: Start, mount: Mount
) -> None:
    folder = mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")
    path, filler = folder / "session.edits", folder / "filler"
    filler.write_bytes(bytes(400_000))
    for _ in range(2):
        writer = start("write_until_it_fails", path, durability, stderr=subprocess.PIPE)
        said, problem = writer.communicate(timeout=120)
        assert writer.returncode == 1
        assert "StoreUnavailableError" in problem
        filler.write_bytes(b"")
        total, _ = applied_in(start, path, durability)
        assert total == int(said.split()[-1])


@pytest.mark.needs("Linux", "root", "mount")
@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_session_outlives_a_full_disk(
    durability: str, engine: Any, state: Any, mount: Mount
) -> None:
    folder = mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")
    filler = folder / "filler"
    filler.write_bytes(bytes(500_000))

    class Notes(state.State):
        lines: list[str] = state.field(default_factory=list)

    async def opened() -> tuple[Any, Any]:
        notes = Notes()
        log = engine.LocalLog(engine.EditJournal(folder / "session.edits", durability))
        return await engine.Session.open(engine.OperationMachine({"notes": notes}), log=log), notes

    def entry(number: int) -> Any:
        do = [{"op": "append", "path": ["notes", "lines"], "value": f"{number}" * 100}]
        return engine.Entry(f"client-0:{number}", do)

    async def fill(session: Any) -> None:
        for number in itertools.count(1):
            await session.submit(entry(number))
            assert session.position.seq == number

    async def story() -> None:
        session, notes = await opened()
        with pytest.raises(state.StoreUnavailableError):
            await fill(session)
        number = session.position.seq
        assert len(notes.lines) == number > 10
        before = session.view()
        results = await asyncio.gather(
            *(session.submit(entry(number + ahead)) for ahead in range(1, 9)),
            return_exceptions=True,
        )
        assert {type(each).__name__ for each in results} == {"StoreUnavailableError"}
        assert session.view() == before
        filler.write_bytes(b"")
        for ahead in range(1, 9):
            answer = await session.submit(entry(number + ahead))
            assert answer.position.seq == number + ahead
        await session.close()
        session, again = await opened()
        assert again == notes
        await session.close()

    asyncio.run(story())
