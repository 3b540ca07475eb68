"""The log on Redis, against bare XADD and XREAD, and against the log in memory."""

import asyncio
import importlib
import itertools
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from redis.asyncio import Redis
from stores.redis_server import RedisServer, running

from benchmarks.importing import importable_package
from benchmarks.report import Bars, Result, Verdict, duration
from benchmarks.timing import Timings

_PACKAGE = "ordering"
_BARE, _MEMORY, _REDIS = "bare", "memory", "redis"
_NAMES = {_BARE: "bare XADD, XREAD", _MEMORY: "log in memory", _REDIS: "log on Redis"}
_CLIENTS, _IN_FLIGHT = 20, 100
# Processes that say when they have an entry: the clock is the same for all of a machine.
_READER = """
import asyncio, sys, time
from redis.asyncio import Redis
async def read():
    client, last = Redis.from_url(sys.argv[2]), "0-0"
    print("ready", flush=True)
    while True:
        for _, elements in await client.xread({"bare": last}, count=100, block=1_000):
            now = time.perf_counter()
            last = elements[-1][0]
            print(now, flush=True)
asyncio.run(read())
"""
_FOLLOWER = """
import asyncio, sys, time
sys.path.insert(0, sys.argv[1])
from ordering.state import State
from ordering.state.shared import OperationMachine, RedisLog, Session
class Game(State):
    score: int = 0
async def follow():
    machine = OperationMachine({"game": Game()})
    session = await Session.open(machine, log=RedisLog(sys.argv[2], "game"))
    feed, arrived = session.feed(session.position), asyncio.Queue()
    feed.on_ready = lambda: arrived.put_nowait(time.perf_counter())
    print("ready", flush=True)
    while True:
        while feed.take():
            pass
        now = await arrived.get()
        if "say" in sys.argv:
            print(now, flush=True)
asyncio.run(follow())
"""


def measure(folder: Path, quick: bool) -> Result:
    package = importable_package(
        folder / "project", _PACKAGE, project_type="state_server", state_stores=["redis"]
    )
    sys.path.insert(0, str(package))
    with running(folder) as server:
        trips = asyncio.run(_time_trips(server, package, 21 if quick else 501))
        rates = asyncio.run(_time_pipelines(server, package, 1 if quick else 7))
    return Result(
        name="order",
        title="One order for several workers",
        introduction=(
            "The time from an entry at one worker until another has applied it, and the entries "
            f"per second of {_CLIENTS} clients with {_IN_FLIGHT} in flight each, which another "
            "process applies too."
        ),
        columns=("to another worker", "entries per second"),
        rows={
            name: (
                duration(trips.median(kind)) if kind in trips.seconds else "",
                f"{1 / rates.median(kind):,.0f}" if kind in rates.seconds else "",
            )
            for kind, name in _NAMES.items()
        },
        rounds={"trip": trips.rounds, "pipelined": rates.rounds},
        verdicts=[
            Verdict("to another worker, against XADD and XREAD", trips.ratio(_REDIS, _BARE), 2),
            # Time, where the target is for entries per second.
            Verdict("pipelined, against the log in memory", rates.ratio(_REDIS, _MEMORY), 2.5),
        ],
        plot=Bars(
            title="An entry of one worker, applied by another",
            unit="time, times bare XADD and XREAD",
            values={"one entry": trips.ratio(_REDIS, _BARE)},
            limit=2,
        ),
    )


async def _open(log: Any) -> Any:
    state: Any = importlib.import_module(f"{_PACKAGE}.state")
    shared = importlib.import_module(f"{_PACKAGE}.state.shared")

    class Game(state.State):  # type: ignore[misc]  # its package is rendered for the run
        score: int = 0

    return await shared.Session.open(shared.OperationMachine({"game": Game()}), log=log)


def _entry(client: str, number: int) -> Any:
    shared = importlib.import_module(f"{_PACKAGE}.state.shared")
    do = [{"op": "increment", "path": ["game", "score"], "value": 1}]
    return shared.Entry(f"{client}:{number}", do)


def _start(stack: ExitStack, program: str, *arguments: str) -> IO[bytes]:
    """Start a program, and return its output once it is ready."""
    command = [sys.executable, "-c", program, *arguments]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
    stack.callback(process.kill)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return process.stdout


async def _time_trips(server: RedisServer, package: Path, rounds: int) -> Timings:
    """Time one entry at a time, from this process to another."""
    shared = importlib.import_module(f"{_PACKAGE}.state.shared")
    url, seconds = server.url, dict[str, list[float]]({_BARE: [], _REDIS: []})
    with ExitStack() as stack:
        session = await _open(shared.RedisLog(url, "game"))
        follower = _start(stack, _FOLLOWER, str(package), url, "say")
        writer = Redis.from_url(url.partition("?")[0])
        await writer.xadd("bare", {"entries": b""}, id="1-0")
        reader = _start(stack, _READER, "", url.partition("?")[0])
        reader.readline()
        for number in range(1, rounds + 1):
            entry = _entry("k3J9x2Qw", number)
            for kind, other in ((_BARE, reader), (_REDIS, follower)):
                await asyncio.sleep(0.003)
                began = time.perf_counter()
                if kind == _BARE:
                    await writer.xadd("bare", {"entries": entry.encoded}, id="1-*")
                else:
                    await session.submit(entry)
                seconds[kind].append(float(other.readline()) - began)
        await session.close()
        await writer.aclose()
    return Timings(seconds)


async def _time_pipelines(server: RedisServer, package: Path, rounds: int) -> Timings:
    shared = importlib.import_module(f"{_PACKAGE}.state.shared")
    url, seconds = server.url, dict[str, list[float]]({_MEMORY: [], _REDIS: []})
    with ExitStack() as stack:
        sessions = {
            _MEMORY: await _open(shared.LocalLog()),
            _REDIS: await _open(shared.RedisLog(url, "game")),
        }
        _start(stack, _FOLLOWER, str(package), url)
        numbers = itertools.count(1, _IN_FLIGHT)
        for _ in range(rounds):
            first = next(numbers)
            for kind, session in sessions.items():
                began = time.perf_counter()
                await asyncio.gather(
                    *(
                        session.enqueue(_entry(f"client-{client:03}", number))
                        for number in range(first, first + _IN_FLIGHT)
                        for client in range(_CLIENTS)
                    )
                )
                elapsed = time.perf_counter() - began
                seconds[kind].append(elapsed / _CLIENTS / _IN_FLIGHT)
        for session in sessions.values():
            await session.close()
    return Timings(seconds)
