"""A worker of the proofs: it submits the entries that the test names, and says the answers.

    worker_program.py SOURCE URL

It reads lines from standard input: `CLIENT:NUMBER` submits an entry, `own COUNT` changes the state
past the log so often, `state` says the state. The tests never import this module.
"""

import asyncio
import importlib
import json
import os
import sys
from typing import Any

_, SOURCE, URL, *SETTINGS = sys.argv
sys.path[:0] = [SOURCE]
state: Any = importlib.import_module("several.state")
shared: Any = importlib.import_module("several.state.shared")
modules = [
    importlib.import_module(f"several.state.shared.redis_{name}") for name in ("log", "link")
]


class Ledger(state.State):
    """Counts how often each entry was applied."""

    applied: dict[str, int] = state.field(default_factory=dict)
    own: Any = 0


def say(**members: Any) -> None:
    """Answer the test, in one write that a kill cannot divide."""
    os.write(1, json.dumps(members).encode() + b"\n")


def entry(name: str) -> Any:
    path = ["ledger", "applied", name]
    return shared.Entry(name, [{"op": "increment", "path": path, "value": 1}])


async def answer(session: Any, name: str, future: Any) -> None:
    try:
        outcome = await future
    except state.StoreUnavailableError:
        say(id=name, fault="unavailable")
        return
    if hasattr(outcome, "code"):
        say(id=name, fault=outcome.code)
    else:
        say(id=name, epoch=outcome.position.epoch, duplicate=outcome.duplicate)


async def main() -> None:
    for setting in SETTINGS:
        name, _, value = setting.partition("=")
        for module in modules:
            setattr(module, name, json.loads(value))
    ledger = Ledger()
    machine = shared.OperationMachine({"ledger": ledger})
    session = await shared.Session.open(
        machine, log=shared.RedisLog(URL, "ledger"), capture="submit"
    )
    say(ready=session.position.epoch)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = set()
    while line := (await reader.readline()).decode().strip():
        match line.split():
            case ["state"]:
                view = json.loads(session.view())["ledger"]
                say(state=view, epoch=session.position.epoch, seq=session.position.seq)
            case ["own", count]:
                for number in range(int(count)):
                    ledger.applied[f"own-{os.getpid()}:{number}"] = 1
            case [name]:
                task = asyncio.create_task(answer(session, name, session.enqueue(entry(name))))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            case words:
                raise ValueError(f"{words} is not a command")
    await session.close()


asyncio.run(main())
