"""Live state: an entry to many browsers, against a bare broadcast of the same bytes.

The servers run in processes of their own, under uvicorn with the same options. Clients count the
entries in the bytes that arrive, without decoding them.
"""

import asyncio
import itertools
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.importing import importable_live_service
from benchmarks.report import Bars, Result, Verdict, duration
from benchmarks.timing import Timings

_PACKAGE = "broadcasting"
_BARE, _DOOR = "bare", "door"
_NAMES = {_BARE: "bare broadcast", _DOOR: "live state"}
_READERS, _SOME = 100, 50
# Entries that are sent at once: a client may have twice as many without an answer.
_BURST = 64
# Seconds between entries that are sent one by one, and those that many readers get.
_PAUSE = 0.05
_LARGE = 20_000
_MARK = b'{"type":"sync",'


def measure(folder: Path, quick: bool) -> Result:
    package = importable_live_service(folder / "project", _PACKAGE)
    with ExitStack() as stack:
        ports = {kind: stack.enter_context(_running(package, kind)) for kind in _NAMES}
        single, bursts = asyncio.run(_time_fan_out(ports, 5 if quick else 51))
        stalls = asyncio.run(_time_stalled(ports[_DOOR], 20 if quick else 150))
    rates = {kind: _READERS * _BURST / bursts.median(kind) for kind in _NAMES}
    return Result(
        name="broadcast",
        title="Sharing live state with browsers",
        introduction=(
            f"The time until half of {_READERS} clients have an entry of another one, of 20 in a "
            f"second, and the entries that arrive in a second if {_BURST} are sent at once."
        ),
        columns=("one entry", "arrivals per second"),
        rows={
            name: (duration(single.median(kind)), f"{rates[kind]:,.0f}")
            for kind, name in _NAMES.items()
        },
        rounds={"entry to many": single.rounds, "burst to many": bursts.rounds},
        verdicts=[
            Verdict(
                f"one entry to {_READERS}, against a bare broadcast",
                single.ratio(_DOOR, _BARE),
                1.5,
            ),
            # Time, where the target is for arrivals per second.
            Verdict(f"{_BURST} entries to {_READERS}, likewise", bursts.ratio(_DOOR, _BARE), 0.5),
            Verdict(
                f"an entry of {_LARGE:,} bytes, one of {_SOME} stalled, against none",
                statistics.median(stalls["one stalled"]) / statistics.median(stalls["all read"]),
                1.2,
            ),
            Verdict("the longest of these times, with one stalled", max(stalls["one stalled"]), 1),
        ],
        plot=Bars(
            title="An entry of one browser, at 100 others",
            unit="time, times a bare broadcast of the same bytes",
            values={
                "one by one": single.ratio(_DOOR, _BARE),
                f"{_BURST} at once": bursts.ratio(_DOOR, _BARE),
            },
            limit=1.5,
        ),
    )


@contextmanager
def _running(package: Path, kind: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    program = Path(__file__).with_name("_broadcast.py")
    with subprocess.Popen([sys.executable, str(program), str(package), str(port), kind]) as process:
        try:
            _wait_until_listening(port)
            yield port
        finally:
            process.kill()


def _wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError("A server to measure does not listen")


class _Client(asyncio.Protocol):
    """A WebSocket that counts the entries in the bytes that arrive."""

    def __init__(self) -> None:
        self.count, self.last = 0, b""
        self.goal, self.arrival = 0, asyncio.get_running_loop().create_future()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(
            b"GET /live/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self.opened.set_result(None)
        data = self.last + data
        self.count += data.count(_MARK)
        self.last = data[1 - len(_MARK) :]
        if self.goal and self.count >= self.goal:
            self.goal = 0
            self.arrival.set_result(time.perf_counter())

    def expect(self, more: int) -> "asyncio.Future[float]":
        """Return the future of the time when so many more entries have arrived."""
        self.arrival = asyncio.get_running_loop().create_future()
        self.goal = self.count + more
        return self.arrival

    def send(self, *messages: Mapping[str, Any]) -> None:
        frames: list[bytes] = []
        for message in messages:
            text = json.dumps(message, separators=(",", ":")).encode().ljust(126)
            # A text frame, under a mask of four zeros.
            frames.append(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)
        self.transport.write(b"".join(frames))


class _Writer:
    """A client that writes entries: the door gets them, and a bare broadcast their result."""

    def __init__(self, client: _Client, kind: str) -> None:
        self._client, self._kind, self._numbers = client, kind, itertools.count(1)

    def write(self, times: int, operation: Mapping[str, Any]) -> None:
        numbers = itertools.islice(self._numbers, times)
        self._client.send(*(self._message(number, operation) for number in numbers))

    def _message(self, number: int, operation: Mapping[str, Any]) -> dict[str, Any]:
        if self._kind == _DOOR:
            return {"type": "do", "id": number, "do": [operation]}
        head = {"type": "sync", "seq": number, "id": f"k3J9x2QwTr0aLm5Ncb81Vf:{number}"}
        return {**head, "at": 1_764_450_000_123, "by": "", "do": [operation]}


_COUNT = {"op": "increment", "path": ["board", "count"], "value": 1}


async def _connect(port: int, name: str, kind: str) -> _Client:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(_Client, "127.0.0.1", port)
    await client.opened
    if kind == _DOOR:
        hello = {"type": "hello", "v": 1, "secret": f"{name:-<32}", "epoch": None, "seq": 0}
        client.send({**hello, "pending": []})
    return client


async def _crowd(port: int, size: int, kind: str) -> tuple[_Writer, list[_Client]]:
    readers = [await _connect(port, f"reader-{number}-{size}", kind) for number in range(size)]
    writer = await _connect(port, f"writer-{size}", kind)
    await asyncio.sleep(0.5)  # until all have their snapshots and know each other
    return _Writer(writer, kind), readers


async def _time_fan_out(ports: Mapping[str, int], rounds: int) -> tuple[Timings, Timings]:
    """Time until half of the readers have one entry, and all have many that were sent at once."""
    crowds = {kind: await _crowd(port, _READERS, kind) for kind, port in ports.items()}
    found: dict[int, dict[str, list[float]]] = {
        count: {kind: [] for kind in crowds} for count in (1, _BURST)
    }
    for number, count in itertools.product(range(-2, rounds), found):
        for kind, (writer, readers) in crowds.items():
            await asyncio.sleep(_PAUSE / 2)
            arrivals = [reader.expect(count) for reader in readers]
            begun = time.perf_counter()
            writer.write(count, _COUNT)
            ended = await asyncio.gather(*arrivals)
            if number >= 0:
                arrived = statistics.median(ended) if count == 1 else max(ended)
                found[count][kind].append(arrived - begun)
    return Timings(found[1]), Timings(found[_BURST])


async def _time_stalled(port: int, entries: int) -> dict[str, list[float]]:
    """Time until each reader has an entry, with and without one that reads nothing."""
    writer, readers = await _crowd(port, _SOME, _DOOR)
    found: dict[str, list[float]] = {}
    for case in ("all read", "one stalled"):
        healthy = readers
        if case == "one stalled":
            stalled, *healthy = readers
            stalled.transport.pause_reading()
        times: list[float] = []
        for number in range(entries):
            text = f"{number:05}" * (_LARGE // 5)
            arrivals = [reader.expect(1) for reader in healthy]
            begun = time.perf_counter()
            writer.write(1, {"op": "set", "path": ["board", "text"], "value": text})
            times += [each - begun for each in await asyncio.gather(*arrivals)]
        found[case] = times
    return found
