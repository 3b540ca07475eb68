"""A process to measure: a state server, or something much smaller on the same socket.

    python _served.py LIBRARY SOCKET echo|separate|memory|process|power

It prints a line once it listens. `echo` sends each frame back. `separate` sends each frame to all
connections, with a write for each frame and connection. The others are state servers with the
package `serving` of the library, whose log is in memory or on disk, without limits of speed.
"""

# The package is rendered for the run.
# mypy: disable-error-code=import-not-found
# pyright: reportMissingImports=false

import asyncio
import sys
from pathlib import Path
from typing import Any, ClassVar

_HEADER = b"Content-Length: "


def main() -> None:
    library, place, kind = sys.argv[1:]
    sys.path.insert(0, library)
    if kind in ("echo", "separate"):
        asyncio.run(_serve_bare(place, _Echo if kind == "echo" else _Broadcast))
    else:
        asyncio.run(_serve_states(Path(place), kind))


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class _Broadcast(asyncio.Protocol):
    all: ClassVar[set[Any]] = set()

    def connection_made(self, transport: Any) -> None:
        self.rest = b""
        self.all.add(transport)

    def data_received(self, data: bytes) -> None:
        first, *others = (self.rest + data).split(_HEADER)
        assert not first
        self.rest = _HEADER + others.pop()
        # Whole frames only: the length is in the header.
        length, _, body = self.rest[len(_HEADER) :].partition(b"\r\n\r\n")
        if body and len(body) == int(length):
            others.append(self.rest[len(_HEADER) :])
            self.rest = b""
        for other in others:
            for transport in self.all:
                transport.write(_HEADER + other)


async def _serve_bare(place: str, protocol: type[asyncio.Protocol]) -> None:
    server = await asyncio.get_running_loop().create_unix_server(protocol, place)
    print("ready", flush=True)
    await server.serve_forever()


async def _serve_states(place: Path, kind: str) -> None:
    from serving.server.address import Address
    from serving.server.dispatcher import Dispatcher
    from serving.server.domains import tally
    from serving.server.limits import Limits
    from serving.server.model import Project
    from serving.server.server import Server
    from serving.state.shared import EditJournal, LocalLog, Session

    journal = None if kind == "memory" else EditJournal(place.with_suffix(".edits"), kind)
    dispatcher = Dispatcher([tally.domain], {"project": Project})
    dispatcher.put({"project": Project()})
    session = await Session.open(dispatcher, log=LocalLog(journal))
    limits = Limits(commands_per_second=1e9, burst=1_000_000_000)
    server = Server(dispatcher, session, Address.parse(str(place)), limits, data=place.parent)
    await server.serve_forever(lambda address: print("ready", flush=True))


if __name__ == "__main__":
    main()
