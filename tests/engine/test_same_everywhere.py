"""States, mirror and snapshots stay equal under random entries, in every process."""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.killing import kill
from engine.random_entries import fitting_operation, make_model, random_operations

PROGRAMS = Path(__file__).with_name("session_programs.py")
SEEDS = int(os.environ.get("HOLDFAST_ENGINE_SEEDS", "12"))
ENTRIES = 60


@pytest.fixture
def view_module(engine: Any) -> Any:
    return sys.modules[engine.__package__.removesuffix("shared") + "typed._view"]


def test_after_each_entry_the_mirror_equals_the_state_and_the_hydrated_snapshot(
    engine: Any, state: Any, view_module: Any
) -> None:
    async def check(seed: int) -> tuple[int, int]:
        cls = make_model(state)
        model, chance = cls(), random.Random(seed)  # noqa: S311 - no secret
        session = await engine.Session.open(engine.OperationMachine({"model": model}))
        applied = 0
        for number in range(1, ENTRIES + 1):
            before = session.view(), session.position, view_module.view(model)
            do = random_operations(chance, json.loads(session.view())["model"])
            answer = await session.submit(engine.Entry(f"client-0:{number}", do))
            mirror, seen = session.view(), json.dumps(view_module.view(model))
            assert json.dumps(json.loads(mirror)["model"]) == seen, (seed, number, do)
            if isinstance(answer, engine.Refusal):
                assert answer.code != "internal", (seed, number, do)
                assert (mirror, session.position, json.loads(seen)) == before
            applied += isinstance(answer, engine.Outcome)
            snapshot = json.loads(session.snapshot())
            restored = view_module.hydrate_view(
                cls, snapshot["states"]["model"], snapshot["versions"]
            )
            assert json.dumps(view_module.view(restored)) == seen, (seed, number, do)
            assert restored == model, (seed, number, do)
        await session.close()
        return applied, ENTRIES

    results = [asyncio.run(check(seed)) for seed in range(SEEDS)]
    applied, entries = (sum(each) for each in zip(*results, strict=True))
    assert 0.1 < applied / entries < 0.9, "random entries should be of both kinds"


def test_a_session_that_was_restarted_gives_the_same_bytes_as_one_that_was_not(
    engine: Any, state: Any, memory: Path
) -> None:
    """It hydrates a snapshot in the middle, replays, and goes on."""

    async def drive(seed: int, folder: Path, restarts: list[int]) -> bytes:
        cls, chance = make_model(state), random.Random(seed)  # noqa: S311 - no secret
        path = folder / f"{seed}-{len(restarts)}.edits"

        async def opened() -> Any:
            log = engine.LocalLog(engine.EditJournal(path), clock=lambda: 0.0)
            return await engine.Session.open(engine.OperationMachine({"model": cls()}), log=log)

        session = await opened()
        for number in range(1, ENTRIES + 1):
            do = random_operations(chance, json.loads(session.view())["model"])
            answer = await session.submit(engine.Entry(f"client-0:{number}", do))
            if restarts and number == restarts[0]:
                session.compact()
            # A journal keeps refusals with the next applied entry: one that was refused last
            # may be decided anew after a kill.
            if restarts and number >= restarts[0] and isinstance(answer, engine.Outcome):
                restarts.pop(0)
                kill(session)
                session = await opened()
        snapshot: bytes = session.snapshot()
        epoch = session.position.epoch.encode()
        await session.close()
        return snapshot.replace(epoch, b"")

    for seed in range(SEEDS // 2):
        once = asyncio.run(drive(seed, memory, []))
        often = asyncio.run(drive(seed, memory, [10, 20, 35]))
        assert once == often, seed


def change_in_python(chance: random.Random, model: Any) -> None:
    """Change a model as a program does that knows nothing of operations."""
    number, word = chance.randrange(9), chance.choice(["x", "y", "z"])
    branch = next(iter(model.branches.values()), None)
    leaf = next(iter(model.by_number.values()), None)
    changes: list[Callable[[], object]] = [
        lambda: setattr(model, "score", model.score + number),
        lambda: model.log.extend([word] * number),
        lambda: model.log.insert(number, word),
        lambda: model.rows.sort(),
        lambda: model.rows.reverse(),
        lambda: model.rows.append([number]),
        lambda: model.rows.__setitem__(slice(0, number), [[number], [1]]),
        lambda: model.rows.__delitem__(slice(None, None, 2)),
        lambda: model.numbers.symmetric_difference_update({number, word, 3}),
        lambda: model.numbers.clear(),
        lambda: model.by_number and model.by_number.popitem(),
        lambda: model.by_number.clear(),
        lambda: leaf and leaf.marks.update({word, "w"}),
        lambda: setattr(leaf or model.pair[0], "size", number),
        lambda: branch and branch.leaves.clear(),
        lambda: branch and branch.order.extend([word, word]),
        lambda: model.branches and model.branches.pop(next(iter(model.branches))),
    ]
    for change in chance.sample(changes, chance.choice([1, 2, 3])):
        change()


def test_changes_past_the_log_replay_to_the_same_states(
    engine: Any, state: Any, view_module: Any, memory: Path
) -> None:
    async def check(seed: int, path: Path) -> None:
        cls, chance = make_model(state), random.Random(seed)  # noqa: S311 - no secret

        async def opened(model: Any) -> Any:
            log = engine.LocalLog(engine.EditJournal(path))
            machine = engine.OperationMachine({"model": model})
            return await engine.Session.open(machine, log=log, capture="submit")

        model = cls()
        session = await opened(model)
        for number in range(ENTRIES):
            operation = fitting_operation(chance, json.loads(session.view())["model"])
            with contextlib.suppress(state.RefusedOperation):
                state.apply_operations({"model": model}, [operation])
            with model.batch():
                change_in_python(chance, model)
            seen = json.dumps(view_module.view(model))
            assert json.dumps(json.loads(session.view())["model"]) == seen, (seed, number)
        view, position = session.view(), session.position
        kill(session)
        session = await opened(again := cls())
        assert (session.view(), session.position) == (view, position), seed
        assert again == model
        await session.close()

    for seed in range(SEEDS):
        asyncio.run(check(seed, memory / f"{seed}.edits"))


@pytest.mark.parametrize("seed", [1, 2])
def test_two_processes_with_two_hash_seeds_give_equal_snapshots(
    seed: int, engine_source: Path
) -> None:
    command = [sys.executable, str(PROGRAMS), str(engine_source), "fingerprint", str(seed), "200"]
    said = {
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(said) == 1
    [applied] = {int(line.split()[1]) for line in said}
    assert applied > 20
