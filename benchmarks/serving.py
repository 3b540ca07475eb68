"""The engine and the state server: commands over a socket, and commands on states of two sizes.

Servers run in processes of their own, on Unix sockets. The limits of speed are raised for clients
that send without waiting.
"""

# mypy: disable-error-code=no-untyped-call

import asyncio
import importlib
import itertools
import json
import socket
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.importing import importable_package
from benchmarks.report import Bars, Result, Verdict, duration
from benchmarks.timing import Rival, Timings, take_turns

_PACKAGE = "serving"
_ECHO, _MEMORY, _PROCESS, _POWER = "echo", "memory", "process", "power"
_NAMES = {
    _ECHO: "bare echo of the same bytes",
    _MEMORY: "log in memory",
    _PROCESS: "edit journal, process",
    _POWER: "edit journal, power",
}
# A server that joins the events for each client, and one that writes each of them.
_FANS = (_MEMORY, "separate")
_CLIENTS, _IN_FLIGHT = 8, 128
_READERS = 100
_SIZES = (100, 50_000)
_SMALL, _LARGE = (f"{size:,} nodes" for size in _SIZES)
_ENTRIES = 10_000
_REPLY, _EVENT, _HEADER = b'"kind":"reply"', b'"kind":"event"', b"Content-Length: "


def measure(folder: Path, quick: bool) -> Result:
    package = importable_package(
        folder / "project", _PACKAGE, project_type="state_server", include_example=False
    )
    sys.path.insert(0, str(package))
    with ExitStack() as stack:
        names = (*_NAMES, "separate", *(f"{kind} for one" for kind in _FANS))
        places = {name: stack.enter_context(_running(package, folder, name)) for name in names}
        trips = _time_round_trips(places, 21 if quick else 1_001)
        rates = _time_pipelines(places, 1 if quick else 7, 300 if quick else 2_000)
        fans = asyncio.run(_time_fan_out(places, 3 if quick else 15))
        stalls = asyncio.run(_time_stalled(places[_MEMORY], 20 if quick else 150))
    sizes, views = asyncio.run(_time_sizes(21 if quick else 301))
    starts = asyncio.run(_time_starts(folder, _ENTRIES // (10 if quick else 1)))
    return Result(
        name="serve",
        title="Sending commands to a state server",
        introduction=(
            "The time from a command to its reply over a Unix socket, and the commands per second "
            f"of {_CLIENTS} clients with {_IN_FLIGHT} unanswered commands each."
        ),
        columns=("round trip", "commands per second"),
        rows={
            name: (
                duration(trips.median(kind)),
                f"{1 / rates.median(kind):,.0f}" if kind in rates.seconds else "",
            )
            for kind, name in _NAMES.items()
        },
        rounds={
            "round trip": trips.rounds,
            "commands of many clients": rates.rounds,
            "fan-out": fans.rounds,
            "command by size": next(iter(sizes.values())).rounds,
        },
        verdicts=[*_verdicts(trips, rates, fans, stalls, sizes, views)],
        plot=Bars(
            title="A command to a state server, and its reply",
            unit="round trip over a Unix socket, times a bare echo of the same bytes",
            values={name: trips.ratio(kind, _ECHO) for kind, name in _NAMES.items()},
            limit=3.0,
        ),
        notes=[
            (
                f"A command in a session without a door, in a dict of {_SMALL} and of {_LARGE}: "
                + ", ".join(
                    f"{case} {duration(times.median(_SMALL))} and {duration(times.median(_LARGE))}"
                    for case, times in sizes.items()
                )
                + "."
            ),
            (
                f"The view of {_LARGE}: {duration(views.median('view'))}; "
                f"`drain()` and encoding: {duration(views.median('drain'))}."
            ),
            (
                f"One event to {_READERS - 1} more subscribers: {duration(fans.median(_MEMORY))}; "
                f"with a write for each: {duration(fans.median('separate'))}."
            ),
            (
                f"Start with {_ENTRIES:,} entries in the edit journal: "
                f"{duration(starts['entries'])}; with a snapshot of the same states: "
                f"{duration(starts['snapshot'])}."
            ),
        ],
    )


def _verdicts(
    trips: Timings,
    rates: Timings,
    fans: Timings,
    stalls: Mapping[str, float],
    sizes: Mapping[str, Timings],
    views: Timings,
) -> Iterator[Verdict]:
    yield Verdict("round trip, log in memory, against a bare echo", trips.ratio(_MEMORY, _ECHO), 3)
    for kind, limit in ((_PROCESS, 1.5), (_POWER, 4.0)):
        ratio = trips.ratio(kind, _MEMORY)
        yield Verdict(f"round trip, {_NAMES[kind]}, against memory", ratio, limit)
    for kind, limit in ((_PROCESS, 0.8), (_POWER, 0.5)):
        # Time, where the target is for commands per second.
        ratio = rates.ratio(kind, _MEMORY)
        yield Verdict(f"time of many commands, {_NAMES[kind]}, against memory", ratio, 1 / limit)
    ratio = fans.ratio(_MEMORY, "separate")
    yield Verdict(f"event to {_READERS}, against a write for each", ratio, 1 / 3)
    ratio = stalls["one stalled"] / stalls["all read"]
    yield Verdict(f"99th percentile, one of {_READERS} stalled, against none", ratio, 1.5)
    for case, times in sizes.items():
        yield Verdict(f"{case}, {_LARGE} against {_SMALL}", times.ratio(_LARGE, _SMALL), 1.5)
    yield Verdict(f"view of {_LARGE} against drain", views.ratio("view", "drain"), 0.05)


@contextmanager
def _running(package: Path, folder: Path, name: str) -> Iterator[str]:
    kind = name.removesuffix(" for one")
    place = str(folder / f"{name}.sock")
    program = Path(__file__).with_name("_served.py")
    command = [sys.executable, str(program), str(package), place, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        try:
            yield place
        finally:
            process.kill()


def _frame(message: Mapping[str, Any]) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _hello(client: str, *domains: str) -> bytes:
    payload = {"client": client, "name": "benchmark", "versions": [1], "subscribe": [*domains]}
    return _command(f"{client}:1", "session", "hello", payload)


def _command(entry: str, domain: str, command: str, payload: Any) -> bytes:
    head = {"v": 1, "kind": "command", "id": entry, "source": "benchmark", "target": "server"}
    return _frame(head | {"domain": domain, "command": command, "payload": payload})


def _count(client: str, number: int) -> bytes:
    return _command(f"{client}:{number}", "tally", "count", {"by": 1})


def _time_round_trips(places: Mapping[str, str], rounds: int) -> Timings:
    numbers = itertools.count(2)
    with ExitStack() as stack:
        rivals: dict[str, Rival] = {}
        for kind in _NAMES:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(places[kind])
            client = f"trips-{kind:-<8}"
            if kind != _ECHO:
                connection.sendall(_hello(client))
                connection.recv(65_536)
            rivals[kind] = _round_trip(connection, client, numbers)
        return take_turns(rivals, rounds)


def _round_trip(connection: socket.socket, client: str, numbers: Iterator[int]) -> Rival:
    pending: list[bytes] = []

    def prepare() -> None:
        pending[:] = [_count(client, next(numbers))]

    def run() -> None:
        connection.sendall(pending[0])
        assert connection.recv(65_536)  # a reply is sent in one piece

    return Rival(run, prepare)


class _Connection(asyncio.Protocol):
    """Counts the marks of frames of one kind."""

    def __init__(self, client: str) -> None:
        self.client, self.number = client, 1
        self.mark, self.last, self.count, self.expected = _REPLY, b"", 0, 0
        self.goals: deque[tuple[int, asyncio.Future[float]]] = deque()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        data = self.last + data
        self.count += data.count(self.mark)
        self.last = data[1 - len(self.mark) :]
        while self.goals and self.count >= self.goals[0][0]:
            self.goals.popleft()[1].set_result(time.perf_counter())

    def expect(self, mark: bytes, count: int) -> asyncio.Future[float]:
        """Return the future of the time when so many more have arrived than expected before."""
        if mark != self.mark:
            self.mark, self.count, self.expected = mark, 0, 0
        self.expected += count
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.goals.append((self.expected, future))
        return future

    def next_command(self) -> bytes:
        self.number += 1
        return _count(self.client, self.number)


async def _connect(place: str, client: str, *domains: str, bare: bool = False) -> _Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_unix_connection(lambda: _Connection(client), place)
    if not bare:
        greeted = connection.expect(_REPLY, 1)
        connection.transport.write(_hello(client, *domains))
        await greeted
    return connection


def _time_pipelines(places: Mapping[str, str], rounds: int, commands: int) -> Timings:
    clients = itertools.count(1)

    async def run(place: str) -> None:
        names = [f"pipeline-{next(clients):08}" for _ in range(_CLIENTS)]
        connections = [await _connect(place, name) for name in names]
        await asyncio.gather(*(_send_all(each, commands) for each in connections))

    def rival(kind: str) -> Rival:
        return Rival(lambda: asyncio.run(run(places[kind])), times=commands * _CLIENTS)

    return take_turns({kind: rival(kind) for kind in (_MEMORY, _PROCESS, _POWER)}, rounds)


async def _send_all(connection: _Connection, commands: int) -> None:
    """Send commands, of which at most `_IN_FLIGHT` are unanswered."""
    part = _IN_FLIGHT // 2
    answers: deque[asyncio.Future[float]] = deque()
    for _ in range(commands // part):
        answers.append(connection.expect(_REPLY, part))
        connection.transport.write(b"".join(connection.next_command() for _ in range(part)))
        if len(answers) > 1:
            await answers.popleft()
    await answers.popleft()


async def _time_fan_out(places: Mapping[str, str], rounds: int) -> Timings:
    """Time until many subscribers, or one, have an event, of several sent together."""
    count = _IN_FLIGHT // 2
    crowds = {
        name: await _crowd(
            places[name],
            "fan",
            1 if name.endswith(" for one") else _READERS,
            bare=name.startswith("separate"),
        )
        for kind in _FANS
        for name in (kind, f"{kind} for one")
    }
    seconds: dict[str, list[float]] = {name: [] for name in crowds}
    for number in range(-1, rounds):
        for name, (publisher, readers) in crowds.items():
            mark = _HEADER if name.startswith("separate") else _EVENT
            arrivals = [reader.expect(mark, count) for reader in readers]
            frames = [publisher.next_command() for _ in range(count)]
            begun = time.perf_counter()
            publisher.transport.write(b"".join(frames))
            ended = max(await asyncio.gather(*arrivals))
            if number >= 0:
                seconds[name].append((ended - begun) / count)
    # The event itself takes the rest.
    return Timings(
        {
            kind: [
                many - one
                for many, one in zip(seconds[kind], seconds[f"{kind} for one"], strict=True)
            ]
            for kind in _FANS
        }
    )


async def _crowd(
    place: str, name: str, size: int = _READERS, *, bare: bool = False
) -> tuple[_Connection, list[_Connection]]:
    readers = [
        await _connect(place, f"{name}-{number:08}", "tally", bare=bare) for number in range(size)
    ]
    return await _connect(place, f"{name}-sender", bare=bare), readers


async def _time_stalled(place: str, rounds: int) -> dict[str, float]:
    """Return the 99th percentile of the time until each reader has an event."""
    publisher, readers = await _crowd(place, "stall")
    found: dict[str, float] = {}
    for case in ("all read", "one stalled"):
        healthy = readers
        if case == "one stalled":
            stalled, *healthy = readers
            stalled.transport.pause_reading()
        times: list[float] = []
        for number in range(-5, rounds):
            arrivals = [reader.expect(_EVENT, _IN_FLIGHT // 2) for reader in healthy]
            frames = [publisher.next_command() for _ in range(_IN_FLIGHT // 2)]
            begun = time.perf_counter()
            publisher.transport.write(b"".join(frames))
            ended = await asyncio.gather(*arrivals)
            times += [each - begun for each in ended] if number >= 0 else []
        found[case] = statistics.quantiles(times, n=100)[-1]
    return found


async def _open_session(size: int, log: Any = None) -> tuple[Any, Any]:
    state: Any = importlib.import_module(f"{_PACKAGE}.state")
    shared = importlib.import_module(f"{_PACKAGE}.state.shared")

    class Node(state.State):  # type: ignore[misc]  # its package is rendered for the run
        count: int = 0
        label: str = "node"

    class Graph(state.State):  # type: ignore[misc]  # as above
        nodes: dict[str, Node] = state.field(default_factory=dict)

    graph = Graph(nodes={f"n{number}": Node() for number in range(size)})
    machine = shared.OperationMachine({"graph": graph})
    return graph, await shared.Session.open(machine, log=log)


async def _time_sizes(rounds: int) -> tuple[dict[str, Timings], Timings]:
    entry = importlib.import_module(f"{_PACKAGE}.state.shared").Entry
    encode = importlib.import_module(f"{_PACKAGE}.state._json").encode
    operations: dict[str, Callable[[int], list[dict[str, Any]]]] = {
        "set": lambda n: [_operation("set", n % 90, n)],
        "add": lambda n: [{"op": "set", "path": ["graph", "nodes", f"new{n}"], "value": {}}],
        "rolled back": lambda n: [
            _operation("set", n % 90, n + 1),
            _operation("test", n % 90) | {"absent": True},
        ],
    }
    opened = {size: await _open_session(size) for size in _SIZES}
    seconds = {case: {_SMALL: list[float](), _LARGE: list[float]()} for case in operations}
    numbers = itertools.count(1)
    for number, case in itertools.product(range(-5, rounds), operations):
        for name, size in zip((_SMALL, _LARGE), _SIZES, strict=True):
            unique = next(numbers)
            made = entry(f"benchmark:{unique}", operations[case](unique))
            begun = time.perf_counter()
            await opened[size][1].submit(made)
            if number >= 0:
                seconds[case][name].append(time.perf_counter() - begun)
    graph, session = opened[_SIZES[-1]]
    views: dict[str, list[float]] = {"view": [], "drain": []}
    for _ in range(5):
        unique = next(numbers)
        await session.submit(entry(f"benchmark:{unique}", operations["set"](unique)))
        begun = time.perf_counter()
        session.view()
        between = time.perf_counter()
        encode("graph", graph.drain())
        views["view"].append(between - begun)
        views["drain"].append(time.perf_counter() - between)
    for _, each in opened.values():
        await each.close()
    return {case: Timings(each) for case, each in seconds.items()}, Timings(views)


def _operation(op: str, node: int, value: int | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"op": op, "path": ["graph", "nodes", f"n{node}", "count"]}
    return made if value is None else {**made, "value": value}


async def _time_starts(folder: Path, entries: int) -> dict[str, float]:
    shared = importlib.import_module(f"{_PACKAGE}.state.shared")
    path = folder / "starting.edits"

    def make_log() -> Any:
        return shared.LocalLog(shared.EditJournal(path))

    _, session = await _open_session(100, make_log())
    for first in range(1, entries, 100):
        made = [
            shared.Entry(f"starting:{n}", [_operation("set", n % 90, n)])
            for n in range(first, first + 100)
        ]
        await asyncio.gather(*(session.submit(each) for each in made))
    # Keep the files as a kill would leave them: close() replaces all entries by a snapshot.
    files = await asyncio.to_thread(_read_all, path)
    await session.close()
    found: dict[str, float] = {}
    for name in ("snapshot", "entries"):
        if name == "entries":
            for each, data in files.items():
                each.write_bytes(data)
        begun = time.perf_counter()
        _, session = await _open_session(100, make_log())
        found[name] = time.perf_counter() - begun
        await session.close()
    return found


def _read_all(path: Path) -> dict[Path, bytes]:
    """Return the content of a database and of the files beside it."""
    return {each: each.read_bytes() for each in path.parent.glob(f"{path.name}*")}
