"""A process to measure: live state, or a bare broadcast on the same web server.

    python _broadcast.py LIBRARY PORT bare|door

`bare` sends each text frame to all connections, one after the other. `door` is live state with
the package `broadcasting` of the library and a log in memory, without limits of speed.
"""

# The package is rendered for the run.
# mypy: disable-error-code=import-not-found
# pyright: reportMissingImports=false

import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


def main() -> None:
    library, port, kind = sys.argv[1:]
    sys.path.insert(0, library)
    uvicorn.run(
        _make_bare() if kind == "bare" else _make_door(),
        port=int(port),
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=65_536,
        ws_per_message_deflate=False,
    )


def _make_bare() -> Starlette:
    sockets = set[WebSocket]()

    async def serve(socket: WebSocket) -> None:
        await socket.accept()
        sockets.add(socket)
        try:
            while True:
                text = await socket.receive_text()
                for each in [*sockets]:
                    await each.send_text(text)
        except WebSocketDisconnect:
            sockets.discard(socket)

    return Starlette(routes=[WebSocketRoute("/live/ws", serve)])


def _make_door() -> Any:
    from broadcasting.live import Counter, Limits, Live, anyone
    from broadcasting.problems import ProblemAPI
    from broadcasting.state import State

    class Board(State):  # type: ignore[misc]  # its package is rendered for the run
        count: Counter = 0
        text: str = ""

    live = Live(authorize=anyone, limits=Limits(rate=1e9, burst=1_000_000_000))

    @live.shared  # type: ignore[untyped-decorator]  # as above
    def board() -> Board:
        return Board()

    app = ProblemAPI(hosts=["127.0.0.1"])
    live.mount(app)
    return app


if __name__ == "__main__":
    main()
