"""The child processes of the proofs of sessions.

`python session_programs.py SOURCE PROGRAM ARGUMENT…` imports the emitted package from SOURCE and
runs a program. The tests never import this module.
"""

import asyncio
import hashlib
import importlib
import itertools
import json
import os
import random
import sys
from typing import Any

_, SOURCE, PROGRAM, *ARGUMENTS = sys.argv
sys.path[:0] = [SOURCE, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
state: Any = importlib.import_module("driven.state")
shared: Any = importlib.import_module("driven.state.shared")

CLIENTS = 8
IN_FLIGHT = 32
# So small that the journal begins again many times.
MAX_BYTES = 100_000


def say(*words: object) -> None:
    """Answer the test, in one write that a kill cannot divide."""
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


class Ledger(state.State):
    """Counts how often each entry was applied."""

    applied: dict[str, int] = state.field(default_factory=dict)
    total: int = 0


def ledger_entry(client: str, number: int) -> Any:
    name = f"{client}:{number}"
    ones = {"op": "increment", "path": ["ledger", "applied", name], "value": 1}
    return shared.Entry(name, [ones, {"op": "increment", "path": ["ledger", "total"], "value": 1}])


async def open_ledger(path: str, durability: str) -> tuple[Any, Any]:
    ledger = Ledger()
    log = shared.LocalLog(shared.EditJournal(path, durability, max_bytes=MAX_BYTES))
    return await shared.Session.open(shared.OperationMachine({"ledger": ledger}), log=log), ledger


async def write_for_ever(path: str, durability: str, first: str) -> None:
    """Submit entries of several clients, and say each one that is answered.

    Args:
        path: The journal.
        durability: Its durability.
        first: The first number of each client, as JSON by name.
    """
    session, _ = await open_ledger(path, durability)
    say("open", session.position.epoch)

    async def write(client: str, numbers: Any) -> None:
        for number in numbers:
            outcome = await session.submit(ledger_entry(client, number))
            say(client, number, outcome.position.seq)

    async def write_in_parallel(client: str, start: int) -> None:
        numbers = itertools.count(start)
        await asyncio.gather(*(write(client, numbers) for _ in range(IN_FLIGHT)))

    await asyncio.gather(*(write_in_parallel(*item) for item in json.loads(first).items()))


async def write_until_it_fails(path: str, durability: str, pause: str = "0") -> None:
    """Submit entries one by one, say the number of each answered one, and end with an error."""
    session, ledger = await open_ledger(path, durability)
    for number in itertools.count(ledger.total + 1):
        await session.submit(ledger_entry("client-0", number))
        say(number)
        await asyncio.sleep(float(pause))


async def write_some(path: str, durability: str, count: str) -> None:
    """Submit some entries one by one, and say the number of each answered one."""
    session, _ = await open_ledger(path, durability)
    for number in range(1, int(count) + 1):
        await session.submit(ledger_entry("client-0", number))
        say(number)
    os._exit(0)


async def count_applied(path: str, durability: str) -> None:
    """Say how many entries were applied."""
    session, ledger = await open_ledger(path, durability)
    assert set(ledger.applied.values()) <= {1}
    assert len(ledger.applied) == ledger.total
    say(ledger.total, session.position.epoch)
    os._exit(0)  # as a kill does


async def fingerprint(seed: str, count: str) -> None:
    """Say the hash of the snapshot after random entries."""
    engine_model: Any = importlib.import_module("engine.random_entries")
    model = engine_model.make_model(state)
    session = await shared.Session.open(shared.OperationMachine({"model": model()}))
    chance = random.Random(int(seed))  # noqa: S311 - no secret
    applied = 0
    for number in range(1, int(count) + 1):
        do = engine_model.random_operations(chance, json.loads(session.view())["model"])
        answer = await session.submit(shared.Entry(f"client-0:{number}", do))
        applied += isinstance(answer, shared.Outcome)
    snapshot = json.loads(session.snapshot())
    for volatile in ("epoch", "at"):
        del snapshot[volatile]
    say(hashlib.sha256(json.dumps(snapshot).encode()).hexdigest(), applied)
    await session.close()


asyncio.run(globals()[PROGRAM](*ARGUMENTS))
