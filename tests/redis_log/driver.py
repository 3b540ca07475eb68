"""Clients that keep entries in flight, and go on at another worker when theirs ends."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

PROGRAM = Path(__file__).with_name("worker_program.py")
CLIENTS, IN_FLIGHT = 20, 8


class Worker:
    """A process with a session, which submits entries of clients."""

    def __init__(self, process: asyncio.subprocess.Process, hear: Callable[[Any], None]) -> None:
        self.process, self._hear = process, hear
        self.ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._state: asyncio.Future[Any] | None = None
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stdout
        while line := await self.process.stdout.readline():
            message = json.loads(line)
            if "ready" in message:
                self.ready.set_result(message["ready"])
            elif "state" in message:
                assert self._state
                self._state.set_result(message)
            else:
                self._hear(message)

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())

    async def state(self) -> Any:
        """Return the state with the position."""
        self._state = asyncio.get_running_loop().create_future()
        self.tell("state")
        return await self._state

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._listening


class Client:
    """A client that has some entries in flight, and sends them again to another worker."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self._left = name, iter(range(1, total + 1))
        self.pending: dict[str, None] = {}
        self.worker: Worker | None = None

    def connect(self, worker: Worker) -> None:
        """Send everything that has no answer, in order."""
        self.worker = worker
        for name in self.pending:
            worker.tell(name)
        self.send()

    def send(self) -> None:
        assert self.worker
        while len(self.pending) < IN_FLIGHT and (number := next(self._left, None)):
            self.pending[f"{self.name}:{number}"] = None
            self.worker.tell(f"{self.name}:{number}")


class Cluster:
    """Workers on one log, and the clients behind them.

    Attributes:
        acknowledged: The epochs in which entries were acknowledged, by id.
        workers: The workers by name.
    """

    def __init__(self, source: Path, url: str) -> None:
        self._source, self._url = source, url
        self.acknowledged: dict[str, str] = {}
        self.workers: dict[str, Worker] = {}
        self.clients: dict[str, Client] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        for worker in self.workers.values():
            await worker.kill()

    async def add_worker(self, name: str, *settings: str, url: str | None = None) -> Worker:
        """Start a worker, and wait until it has read the log."""
        command = [str(PROGRAM), str(self._source), url or self._url, *settings]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
        )
        worker = self.workers[name] = Worker(process, self._hear)
        await worker.ready
        return worker

    def begin(self, total: int, worker: str | None = None) -> None:
        """Let 20 clients send so many entries each, shared by all workers or at one."""
        names = [worker] if worker else [*self.workers]
        begun = len(self.clients)
        for number in range(CLIENTS):
            client = Client(f"client-{begun + number:03}", total)
            self.clients[client.name] = client
            client.connect(self.workers[names[number % len(names)]])

    def move_clients(self, former: str, to: str) -> None:
        """Connect the clients of one worker to another."""
        for client in self.clients.values():
            if client.worker is self.workers[former]:
                client.connect(self.workers[to])

    def _hear(self, message: Any) -> None:
        name = message["id"]
        client = self.clients[name.partition(":")[0]]
        if message.get("fault") == "unavailable":
            # The door closes the connection: everything comes again, in order.
            if name == next(iter(client.pending), None):
                assert client.worker
                client.connect(client.worker)
            return
        assert "fault" not in message, message
        if name in client.pending:  # else a former worker has answered it too
            del client.pending[name]
            self.acknowledged[name] = message["epoch"]
            client.send()
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for answers until something is true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def finish(self) -> None:
        """Wait until no client waits for anything."""
        await self.until(lambda: not any(client.pending for client in self.clients.values()))

    async def agree(self) -> Any:
        """Return the state of all workers, once all are the same."""
        while True:
            states = [await worker.state() for worker in self.workers.values()]
            if all(state == states[0] for state in states):
                return states[0]
            await asyncio.sleep(0.02)

    async def check(self, lost: Callable[[str], bool] = lambda name: False) -> Any:
        """Assert that each acknowledged entry was applied exactly once, and return the state.

        Args:
            lost: Whether an entry may be lost.
        """
        found = await self.agree()
        applied = found["state"]["applied"]
        assert {*applied.values()} <= {1}
        missing = [name for name in self.acknowledged if name not in applied]
        assert not [name for name in missing if not lost(name)], missing[:5]
        return found
