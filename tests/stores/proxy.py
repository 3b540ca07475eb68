"""A network that can be cut, between a client and a server on loopback."""

import contextlib
import selectors
import socket
import threading
from typing import Self

from stores.redis_server import HOST


class Proxy:
    """Passes data between a client and a server, until it has to stop.

    Args:
        port: Where the server listens.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silent: set[socket.socket] = set()
        self._answers: dict[socket.socket, bytes] = {}
        self._refusing = False
        self._closed = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def cut(self) -> None:
        """End every connection, and each new one, until `mend()`."""
        with self._lock:
            self._refusing = True
            self._drop()

    def go_silent(self) -> None:
        """Pass on no more data in the open connections, without ending them."""
        with self._lock:
            for pair in self._pairs:
                self._silent.update(pair)

    def answer(self, line: bytes) -> None:
        """Answer everything in the open connections with this line."""
        with self._lock:
            self._answers = {client: line + b"\r\n" for client, _ in self._pairs}

    def mend(self) -> None:
        """Serve new connections."""
        with self._lock:
            self._refusing = False

    def turn_to(self, port: int) -> None:
        """Lead new connections to another server, as the name of a cluster does."""
        with self._lock:
            self._server = port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        socket.create_connection((HOST, self.port)).close()
        self._thread.join()
        self._drop()
        self._selector.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._closed:
            ready = [key.fileobj for key, _ in self._selector.select()]
            with self._lock:
                for each in ready:
                    assert isinstance(each, socket.socket)
                    if each is self._listener:
                        self._accept()
                    elif each.fileno() >= 0:  # it may be the other one of a pair just closed
                        self._pass_on(each)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            if self._refusing:
                raise ConnectionRefusedError
            server = socket.create_connection((HOST, self._server))
        except OSError:
            client.close()
            return
        self._pairs.append((client, server))
        for each in (client, server):
            self._selector.register(each, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        pair = next(pair for pair in self._pairs if source in pair)
        (target,) = {*pair} - {source}
        data = b""
        with contextlib.suppress(OSError):
            data = source.recv(1 << 16)
            if data and source in self._answers:
                source.sendall(self._answers[source])
            elif data and source not in self._silent:
                target.sendall(data)
        if not data:
            self._close(pair)

    def _close(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.remove(pair)
        for each in pair:
            self._silent.discard(each)
            self._answers.pop(each, None)
            self._selector.unregister(each)
            each.close()

    def _drop(self) -> None:
        for pair in [*self._pairs]:
            self._close(pair)
