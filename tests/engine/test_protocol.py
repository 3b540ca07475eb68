"""The protocol of the state server: faulty clients, slow clients, and its page to the letter."""

import asyncio
import contextlib
import functools
import importlib
import json
import os
import random
import re
import resource
import socket
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import render

PACKAGE = "wired"
SEED = 20_261_130
MUTATIONS = 10_000
READERS, EVENTS = 100, 5_000
# For a long run: HOLDFAST_ENGINE_KILLS=50.
KILLS = int(os.environ.get("HOLDFAST_ENGINE_KILLS", "5"))
# So many that the clients are at work during each kill.
CLIENTS, COMMANDS = 8, 40 * KILLS
BODIES = [
    b'{"id":"a","source":"x","target":"server","domain":"d","command":"c"}',
    b'{"text":"\\r\\n\\r\\nContent-Length: 5\\r\\n\\r\\n"}',
    "{}  ü".encode(),
]
HELLO = {"name": "raw", "versions": [1], "client": "k3J9x2Qw"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Render a state server, and make its package importable here and in child processes."""
    folder = tmp_path_factory.mktemp("wired") / "project"
    answers: dict[str, Any] = {
        "include_example": False,
        "package_name": PACKAGE,
        "project_name": PACKAGE,
    }
    render(folder, project_type="state_server", **answers)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "src"))
        patch.setenv("PYTHONPATH", str(folder / "src"))
        yield folder


@pytest.fixture(scope="module")
def server(project: Path) -> Callable[[str], Any]:
    """Return a function that imports a module of the emitted package."""
    return lambda name: importlib.import_module(f"{PACKAGE}.server.{name}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a short path: that of a socket has a limit of about 100 bytes."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


class Raw:
    """A client of nothing but sockets and JSON, as one in another language would be."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.data = b""
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise

    def send(self, domain: str, command: str, payload: Any = None, label: str = "r") -> None:
        message = {"id": label, "source": "x", "target": "server", "domain": domain}
        self.write(message | {"command": command, "payload": payload or {}})

    def write(self, message: Any) -> None:
        body = json.dumps(message).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def read_frame(self) -> bytes | None:
        """Return the next frame as it came, None at the end."""
        while True:
            head, found, rest = self.data.partition(b"\r\n\r\n")
            length = int(head.partition(b": ")[2]) if found else 0
            if found and len(rest) >= length:
                self.data = rest[length:]
                return head + found + rest[:length]
            try:
                received = self.socket.recv(65_536)
            except ConnectionResetError:
                return None
            if not received:
                return None
            self.data += received

    def read(self) -> Any:
        frame = self.read_frame()
        return None if frame is None else json.loads(frame.partition(b"\r\n\r\n")[2])

    def ask(self, domain: str, command: str, payload: Any = None, label: str = "r") -> Any:
        """Send a command, and return its answer."""
        self.send(domain, command, payload, label)
        while message := self.read():
            if message["kind"] in ("reply", "error"):
                return message
        raise ConnectionError("the server has closed the connection")

    @classmethod
    def greet(cls, path: Path, **hello: Any) -> "Raw":
        client = cls(path)
        welcome = client.ask("session", "hello", HELLO | hello)
        assert welcome["kind"] == "reply", welcome
        return client

    def close(self) -> None:
        self.socket.close()


def _parse(framing: Any, limits: tuple[int, ...], *pieces: bytes) -> tuple[list[bytes], str | None]:
    """Return the bodies in a stream, and the code of the fault that ends it."""
    parser = framing.FrameParser(*limits)
    found: list[bytes] = []
    try:
        for piece in pieces:
            parser.feed(piece)
            while (body := parser.next()) is not None:
                found.append(body)
    except framing.FramingError as error:
        return found, error.code
    return found, None


def test_three_frames_are_read_however_they_are_split(server: Callable[[str], Any]) -> None:
    framing = server("framing")
    data = b"".join(map(framing.frame, BODIES))
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            pieces = data[:first], data[first:second], data[second:]
            assert _parse(framing, (), *pieces) == (BODIES, None)


def test_mutated_streams_end_in_the_same_way_however_they_are_split(
    server: Callable[[str], Any],
) -> None:
    framing, envelope = server("framing"), server("envelope")
    chance = random.Random(SEED)  # noqa: S311 - not a secret
    valid = b"".join(map(framing.frame, BODIES))
    faults = 0
    for _ in range(MUTATIONS):
        data = bytearray(valid)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place : place + chance.randint(1, 9)]
                case 2:
                    data[place:place] = chance.randbytes(chance.randint(1, 9))
                case _:
                    data[place:place] = data[place : place + 30]
        whole = bytes(data)
        cuts = sorted(chance.randrange(len(whole) + 1) for _ in range(3))
        pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        bodies, fault = _parse(framing, (200, 64), whole)
        assert _parse(framing, (200, 64), *pieces) == (bodies, fault)
        assert fault in (None, "invalid_envelope", "too_large")
        faults += fault is not None
        for body in bodies:
            with contextlib.suppress(envelope.EnvelopeError):
                envelope.parse_command(body)
    assert faults > MUTATIONS / 4


def test_faulty_clients_get_one_error_and_others_notice_nothing(
    server: Callable[[str], Any], folder: Path
) -> None:
    tail = b"Host: localhost:1\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}"
    faults = {
        b"POST / HTTP/1.1\r\n" + tail: "invalid_envelope",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n": "invalid_envelope",
        b"X" * 300: "invalid_envelope",
        b"Content-Length: 1e3\r\n\r\n": "invalid_envelope",
        b"Content-Length: -1\r\n\r\n": "invalid_envelope",
        b"Content-Length: +5\r\n\r\n": "invalid_envelope",
        b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}": "invalid_envelope",
        b"Content-Length: 1048577\r\n\r\n": "too_large",
    }
    with server("testing_process").ServerProcess(folder) as process:
        path = process.address.path
        witness = Raw.greet(path)
        witness.ask("project", "new", {"name": "a"}, "k3J9x2Qw:1")
        for number, (data, code) in enumerate(faults.items()):
            client = Raw(path)
            client.socket.sendall(data)
            assert client.read()["error"]["code"] == code
            assert client.read() is None
            client.close()
            reply = witness.ask("tally", "count", {}, f"k3J9x2Qw:{number + 2}")
            assert reply["payload"] == {"tally": number + 1}
        largest = Raw.greet(path, client="largest-1")
        space = " " * (1_048_576 - len(json.dumps({"x": ""})))
        largest.write({"x": space})
        assert largest.read()["error"]["code"] == "invalid_envelope"
        assert largest.ask("session", "ping")["kind"] == "reply"
        for client in (witness, largest):
            client.close()
        assert process.stop() == 0


@contextlib.asynccontextmanager
async def _serving(server: Callable[[str], Any], folder: Path) -> AsyncGenerator[Any]:
    """Serve the emitted domains in this process, with a project that is open."""
    shared = importlib.import_module(f"{PACKAGE}.state.shared")
    domains, model = server("domains"), server("model")
    dispatcher = server("dispatcher").Dispatcher(domains.DOMAINS)
    dispatcher.put({"project": model.Project()})
    session = await shared.Session.open(dispatcher)
    address = server("address").Address(path=folder / "s")
    limits = server("limits").Limits(commands_per_second=1e9, burst=10**9)
    running = server("server").Server(dispatcher, session, address, limits)
    try:
        await running.start()
        yield running
    finally:
        await running.stop()


SEQUENCE = re.compile(rb'"counted".*"seq":(\d+)')


class Reader(asyncio.Protocol):
    """Count the events, which must have no gaps."""

    def __init__(self, framing: Any, name: str) -> None:
        self.framing, self.parser = framing, framing.FrameParser(1_048_576)
        self.name, self.last, self.end = name, 0, ""
        self.greeted = asyncio.get_running_loop().create_future()
        self.complete = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        message = {"id": "h", "source": "x", "target": "server", "domain": "session"}
        payload = {**HELLO, "client": self.name, "subscribe": ["tally"]}
        hello = message | {"command": "hello", "payload": payload}
        transport.write(self.framing.frame(json.dumps(hello).encode()))

    def data_received(self, data: bytes) -> None:
        self.parser.feed(data)
        while (body := self.parser.next()) is not None:
            if not self.greeted.done():
                self.greeted.set_result(None)
            if found := SEQUENCE.search(body):
                assert int(found[1]) == self.last + 1
                self.last += 1
            elif b'"error"' in body:
                self.end = json.loads(body)["error"]["code"]
        if self.last == EVENTS and not self.complete.done():
            self.complete.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.complete.done():
            self.complete.set_result(None)


def test_a_stalled_reader_is_dropped_and_a_hundred_others_miss_nothing(
    server: Callable[[str], Any], folder: Path
) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with _serving(server, folder) as running, running.client() as sender:
            path = str(running.address.path)
            names = ["stalled-1", *(f"healthy-{number}" for number in range(READERS))]
            readers = [
                (
                    await loop.create_unix_connection(
                        functools.partial(Reader, server("framing"), name), path
                    )
                )[1]
                for name in names
            ]
            await asyncio.gather(*(reader.greeted for reader in readers))
            readers[0].transport.pause_reading()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(EVENTS // 100):
                await asyncio.gather(*(sender.send("tally", "count") for _ in range(100)))
            await asyncio.gather(*(reader.complete for reader in readers[1:]))
            assert {reader.last for reader in readers[1:]} == {EVENTS}
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 64 * 1024  # KiB
            readers[0].transport.resume_reading()
            await readers[0].complete
            assert readers[0].last < EVENTS
            assert readers[0].end == "slow_client"
            for reader in readers:
                reader.transport.abort()

    asyncio.run(test())


def test_an_editor_and_an_audio_engine_work_together(
    server: Callable[[str], Any], folder: Path
) -> None:
    """The editor sends commands; the engine keeps a copy from the operations."""
    with server("testing_process").ServerProcess(folder) as process:
        path = process.address.path
        engine = Raw.greet(path, name="engine", client="engine-1", subscribe=["state"])
        copy = engine.read()["payload"]["states"]
        editor = Raw.greet(path, name="editor", client="editor-1")
        editor.ask("project", "new", {"name": "Song"}, "editor-1:1")
        seen = 0
        for number in range(2, 60):
            reply = editor.ask("tally", "count", {"by": number}, f"editor-1:{number}")
            if number == 30:  # the engine comes back, and goes on where it was
                engine.close()
                resume = {"epoch": reply["epoch"], "seq": seen}
                hello = {"subscribe": ["state"], "resume": resume}
                engine = Raw.greet(path, name="engine", client="engine-1", **hello)
            if number == 45:  # the server is killed: nothing that was answered is lost
                engine.close()
                editor.close()
                process.kill()
                process.start()
                editor = Raw.greet(path, name="editor", client="editor-1", pending=[45])
                again = editor.ask("tally", "count", {"by": 45}, "editor-1:45")
                assert (again["duplicate"], again["payload"]) == (True, reply["payload"])
                resume = {"epoch": reply["epoch"], "seq": seen}
                engine = Raw.greet(
                    path, name="engine", client="engine-1", subscribe=["state"], resume=resume
                )
            while seen < reply["seq"]:
                event = engine.read()
                if event["kind"] == "snapshot":
                    copy, seen = event["payload"]["states"], event["seq"]
                    continue
                assert event["seq"] == seen + 1
                seen = event["seq"]
                for operation in event["payload"]["operations"]:
                    assert operation["op"] == "set"
                    *way, last = operation["path"]
                    target = copy
                    for step in way:
                        target = target[step]
                    target[last] = operation["value"]
        states = editor.ask("session", "snapshot")["payload"]["states"]
        assert copy == states
        assert states["project"]["tally"] == sum(range(2, 60))
        engine.close()
        editor.close()
        assert process.stop() == 0


class Worker(threading.Thread):
    """Count by one, as the page says: each command is kept until it is answered."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__()
        self.path, self.client = path, name
        self.answered: dict[int, int] = {}

    def run(self) -> None:
        pending: list[int] = []
        number = 0
        while len(self.answered) < COMMANDS:
            time.sleep(0.02)  # between two attempts to connect
            with contextlib.suppress(OSError):
                client = Raw(self.path)
                with contextlib.closing(client):
                    welcome = client.ask(
                        "session", "hello", HELLO | {"client": self.client, "pending": pending}
                    )
                    assert welcome["payload"]["last"] <= number
                    for each in pending:
                        self.count(client, each)
                    while len(self.answered) < COMMANDS:
                        while len(pending) < 16 and number < COMMANDS:
                            pending.append(number := number + 1)
                            self.count(client, number)
                        self.take(client, pending)

    def count(self, client: Raw, number: int) -> None:
        client.send("tally", "count", {"by": 1}, f"{self.client}:{number}")

    def take(self, client: Raw, pending: list[int]) -> None:
        if (message := client.read()) is None:
            raise ConnectionError
        if message["kind"] == "reply":
            number = int(message["correlation_id"].partition(":")[2])
            assert number == pending.pop(0)
            self.answered[number] = message["seq"]


def test_eight_clients_lose_nothing_while_the_server_is_killed(
    server: Callable[[str], Any], folder: Path
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - not a secret
    with server("testing_process").ServerProcess(folder) as process:
        path = process.address.path
        maker = Raw.greet(path)
        maker.ask("project", "new", {"name": "a"}, "k3J9x2Qw:1")
        maker.close()
        workers = [Worker(path, f"worker-{number}") for number in range(CLIENTS)]
        for worker in workers:
            worker.start()
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 0.25))
            process.kill()
            process.start()
        for worker in workers:
            worker.join(60)
        places = [seq for worker in workers for seq in worker.answered.values()]
        assert sorted(places) == [*range(2, CLIENTS * COMMANDS + 2)]
        reader = Raw.greet(path)
        states = reader.ask("session", "snapshot")["payload"]["states"]
        reader.close()
        assert states["project"]["tally"] == CLIENTS * COMMANDS


TIMES = re.compile(rb'"timestamp":"[^"]{24}"')
EPOCHS = re.compile(rb'"\d{13}-[0-9a-f]{6}"')
VERSIONS = re.compile(rb'"server":\{[^}]*\}')


@pytest.mark.parametrize("example", [True, False])
def test_a_server_answers_as_in_the_transcript_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, example: bool
) -> None:
    project, package = tmp_path / "project", f"spoken_{int(example)}"
    answers: dict[str, Any] = {
        "include_example": example,
        "package_name": package,
        "project_name": package,
    }
    render(project, project_type="state_server", **answers)
    monkeypatch.syspath_prepend(str(project / "src"))
    monkeypatch.setenv("PYTHONPATH", str(project / "src"))
    process = importlib.import_module(f"{package}.server.testing_process").ServerProcess(folder)
    page = (project / "user-docs/reference/protocol.md").read_text("utf-8")
    transcripts = re.findall(r"```text\n(> .*?)\n```", page, re.DOTALL)
    assert len(transcripts) == 2
    epoch = b""
    with process:
        for transcript in transcripts:
            client = Raw(process.address.path)
            for side, frame in _frames_of(transcript):
                head, _, body = frame.partition(b"\r\n\r\n")
                assert head == b"" or int(head.partition(b": ")[2]) == len(body)
                if side == ">":
                    client.socket.sendall(EPOCHS.sub(b'"%b"' % epoch, frame) if epoch else frame)
                elif side == "=":
                    assert client.read_frame() is None
                else:
                    said = client.read_frame()
                    assert said is not None
                    epoch = epoch or json.loads(said.partition(b"\r\n\r\n")[2])["epoch"].encode()
                    assert _lasting(said) == _lasting(frame)
            client.close()


def _frames_of(transcript: str) -> Iterator[tuple[str, bytes]]:
    lines = iter(transcript.splitlines())
    for line in lines:
        if line == "= closed":
            yield "=", b""
            continue
        empty, body = next(lines), next(lines)
        assert (empty, body[:2]) == (line[0], f"{line[0]} ")
        yield line[0], f"{line[2:]}\r\n\r\n{body[2:]}".encode()


def _lasting(frame: bytes) -> bytes:
    """Return a frame without the parts that differ in each run; their lengths do not."""
    for pattern in (TIMES, EPOCHS, VERSIONS):
        frame = pattern.sub(b"", frame)
    return frame
