"""SQLite recognizes most damage of an edit journal, and the file then stays as it is."""

import asyncio
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.killing import kill

PAGE = 4096


@pytest.fixture
def journal_path(engine: Any, state: Any, memory: Path) -> Path:
    """Return the path of a journal with a large snapshot and many entries."""
    path = memory / "session.edits"

    async def fill() -> None:
        session = await open_session(engine, state, path)
        for number in range(1, 301):
            await session.submit(entry(engine, number))
            if number == 150:
                session.compact()
        # The last connection copies the log of SQLite into the database.
        kill(session)

    asyncio.run(fill())
    return path


def entry(engine: Any, number: int) -> Any:
    value = f"{number}" * 20
    do = [{"op": "set", "path": ["notes", "by_name", f"note-{number}"], "value": value}]
    return engine.Entry(f"client-0:{number}", do)


async def open_session(engine: Any, state: Any, path: Path) -> Any:
    class Notes(state.State):
        by_name: dict[str, str] = state.field(default_factory=dict)

    machine = engine.OperationMachine({"notes": Notes()})
    return await engine.Session.open(machine, log=engine.LocalLog(engine.EditJournal(path)))


def test_a_page_of_garbage_is_an_error_and_stays_as_it_is(
    engine: Any, state: Any, journal_path: Path
) -> None:
    good = journal_path.read_bytes()
    chance = random.Random(5)  # noqa: S311 - no secret
    ends = {"opened": 0, "refused": 0}
    for page in range(len(good) // PAGE):
        damaged = bytearray(good)
        damaged[page * PAGE : (page + 1) * PAGE] = chance.randbytes(PAGE)
        path = journal_path.with_name(f"damaged-{page}")
        path.write_bytes(damaged)

        async def try_to_open(path: Path = path) -> str:
            try:
                session = await open_session(engine, state, path)
            except state.CorruptStateError:
                return "refused"
            await session.close()
            return "opened"

        end = asyncio.run(try_to_open())
        ends[end] += 1
        if end == "refused":
            assert path.read_bytes() == damaged
            moved = engine.EditJournal(path).move_away()
            assert moved.read_bytes() == damaged
            assert asyncio.run(try_to_open()) == "opened"
    # Pages that are not in use may hold anything.
    assert ends["refused"] > ends["opened"]


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_journal_that_was_cut_short_is_an_error(
    part: float, engine: Any, state: Any, journal_path: Path
) -> None:
    size = int(journal_path.stat().st_size * part) // PAGE * PAGE
    copy = journal_path.with_name("short")
    shutil.copy(journal_path, copy)
    with copy.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(state.CorruptStateError, match="move it away"):
        asyncio.run(open_session(engine, state, copy))
    assert copy.stat().st_size == size
