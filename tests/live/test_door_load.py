"""Many clients at the door of a real service, some of which stall, are cut off, or outlive it."""

import asyncio
import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

PROGRAM = Path(__file__).with_name("door_program.py")
COUNT = {"op": "increment", "path": ["board", "count"], "value": 1}
GONE = (OSError, WebSocketException)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found: int = listener.getsockname()[1]
        return found


@pytest.fixture
def start(live_source: Path, port: int) -> Iterator[Start]:
    """Return a function that starts the service, which is killed after the test."""
    running: list[subprocess.Popen[str]] = []

    def start(*journal: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, str(PROGRAM), str(live_source), str(port), *map(str, journal)]
        running.append(subprocess.Popen(command, text=True))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return running[-1]
            time.sleep(0.02)
        raise AssertionError("The service does not listen")

    yield start
    for process in running:
        process.kill()
        process.communicate()


class Client:
    """A client that follows the protocol, and checks that no entry is missing."""

    def __init__(self, port: int, number: int) -> None:
        self.address = f"ws://127.0.0.1:{port}/live/ws"
        self.secret = f"client-{number:025}"
        self.epoch: str | None = None
        self.id, self.seq, self.count, self.number = "", 0, 0, 0
        self.pending: dict[int, Any] = {}
        self.arrived: list[float] = []
        self.is_online = False
        self.changed = asyncio.Event()
        self._connection: ClientConnection | None = None

    async def run(self) -> None:
        """Stay connected."""
        while True:
            with contextlib.suppress(*GONE):
                async with connect(self.address, max_size=None) as self._connection:
                    await self._greet(self._connection)
                    async for frame in self._connection:
                        for message in json.loads(frame):
                            await self._handle(message)
            self.is_online = False
            await asyncio.sleep(0.02)

    async def cut(self) -> None:
        """Drop the connection."""
        if self._connection:
            self._connection.transport.abort()

    async def write(self, *operations: Any) -> None:
        """Write an entry, which is sent again until it has an outcome."""
        self.number += 1
        self.pending[self.number] = operations
        if self.is_online:
            await self._send(self.number)

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self.changed.clear()
            await self.changed.wait()

    async def until_online(self) -> None:
        await self.until(lambda: self.is_online)

    async def until_settled(self) -> None:
        await self.until(lambda: not self.pending)

    async def until_entry(self, seq: int) -> None:
        await self.until(lambda: self.seq == seq)

    async def _greet(self, connection: ClientConnection) -> None:
        hello = {"type": "hello", "v": 1, "secret": self.secret, "epoch": self.epoch}
        await connection.send(json.dumps({**hello, "seq": self.seq, "pending": [*self.pending]}))

    async def _send(self, number: int) -> None:
        message = {"type": "do", "id": number, "do": self.pending[number]}
        with contextlib.suppress(*GONE):
            assert self._connection
            await self._connection.send(json.dumps(message))

    async def _handle(self, message: Any) -> None:
        match message["type"]:
            case "snapshot" | "resume" as kind:
                if kind == "snapshot":
                    self.seq = message["seq"]
                    self.count = message["states"]["board"]["count"]
                self.id, self.epoch = message["client"], message["epoch"]
                for number in message["outcomes"]:
                    self.pending.pop(int(number), None)
                self.is_online = True
                for number in [*self.pending]:
                    await self._send(number)
            case "sync":
                self.seq += 1
                assert message["seq"] == self.seq, "an entry is missing"
                self.arrived.append(time.perf_counter())
                self.count += sum(
                    each["value"] for each in message["do"] if each["op"] == "increment"
                )
                client, _, number = message["id"].partition(":")
                if client == self.id:
                    self.pending.pop(int(number), None)
            case "done":
                self.pending.pop(message["id"], None)
            case "refused":
                raise AssertionError(message)
            case other:
                assert other in ("visitors", "tick")
        self.changed.set()


async def together(clients: list[Client], story: Coroutine[Any, Any, None]) -> None:
    """Run a story while clients stay connected."""
    running = [asyncio.create_task(client.run()) for client in clients]
    try:
        async with asyncio.timeout(90):
            telling = asyncio.create_task(story)
            await asyncio.wait([telling, *running], return_when=asyncio.FIRST_COMPLETED)
            for task in (*running, telling):
                if task.done():
                    task.result()
            await telling
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


def test_a_hundred_clients_that_are_cut_off_miss_no_entry(start: Start, port: int) -> None:
    start()
    rounds, numbers = 20, random.Random(14)  # noqa: S311 - a test
    clients = [Client(port, number) for number in range(100)]

    async def use(client: Client) -> None:
        await client.until_online()
        for _ in range(rounds):
            await client.write(COUNT)
            if numbers.random() < 0.1:
                await client.cut()
            await asyncio.sleep(numbers.random() / 20)
        await client.until_settled()

    async def story() -> None:
        await asyncio.gather(*map(use, clients))
        total = rounds * len(clients)
        for client in clients:
            await client.until_entry(total)
            assert client.count == total

    asyncio.run(together(clients, story()))


def test_one_client_of_fifty_that_does_not_read_delays_no_other(start: Start, port: int) -> None:
    start()
    entries = 300
    clients = [Client(port, number) for number in range(49)]
    writer = clients[0]

    async def story() -> None:
        for client in clients:
            await client.until_online()
        with contextlib.closing(stalled(port)):
            first = writer.seq
            for number in range(entries):
                begun = time.perf_counter()
                text = f"{number:05}" * 4_000
                await writer.write({"op": "set", "path": ["board", "text"], "value": text})
                for client in clients:
                    await client.until_entry(first + number + 1)
                # The ratio to times without it is measured in benchmarks.
                assert max(client.arrived[-1] for client in clients) - begun < 2

    asyncio.run(together(clients, story()))


def stalled(port: int) -> socket.socket:
    """Return a connection that has greeted the door, and from which nothing more is read."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(
        b"GET /live/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert connection.recv(1_024).startswith(b"HTTP/1.1 101 ")
    hello = {"type": "hello", "v": 1, "secret": "s" * 32, "epoch": None, "seq": 0, "pending": []}
    text = json.dumps(hello).encode().ljust(200)
    # A frame of text, under a mask of four zeros.
    connection.sendall(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)
    return connection


def test_clients_outlive_services_that_are_killed(start: Start, port: int, tmp_path: Path) -> None:
    journal = tmp_path / "board.edits"
    clients = [Client(port, number) for number in range(8)]
    numbers, stopping = random.Random(9), asyncio.Event()  # noqa: S311 - a test

    async def use(client: Client) -> None:
        while not stopping.is_set():
            if len(client.pending) < 32:
                await client.write(COUNT)
            await asyncio.sleep(0.001)

    async def story() -> None:
        using = [asyncio.create_task(use(client)) for client in clients]
        epochs = set[str | None]()
        service = await asyncio.to_thread(start, journal)
        for _ in range(4):
            await clients[0].until_online()
            epochs.add(clients[0].epoch)
            await asyncio.sleep(0.3 + numbers.random() / 5)
            service.send_signal(signal.SIGKILL)
            service.wait()
            service = await asyncio.to_thread(start, journal)
        stopping.set()
        await asyncio.gather(*using)
        total = sum(client.number for client in clients)
        for client in clients:
            await client.until_settled()
            await client.until_entry(total)
            assert client.count == total
        assert total > 500
        assert len(epochs) == 1

    asyncio.run(together(clients, story()))


def test_an_id_that_was_seen_cannot_be_borrowed(start: Start, port: int) -> None:
    start()
    owner, thief = Client(port, 1), Client(port, 2)

    async def story() -> None:
        await owner.until_online()
        await owner.write(COUNT)
        await owner.until_settled()
        # It sends the same number, under everything that it can know of the owner.
        thief.secret = (owner.id * 2)[:32]
        running = asyncio.create_task(thief.run())
        await thief.until_online()
        assert thief.id not in (owner.id, "")
        await thief.write(COUNT)
        await thief.until_settled()
        await owner.until(lambda: owner.count == 2)
        assert owner.is_online
        running.cancel()

    asyncio.run(together([owner], story()))
