"""A game on a log that several processes share.

    several_program.py SOURCE URL --port PORT

SOURCE has the package `several`, URL is that of a Redis server. With uvicorn, `SEVERAL` has both.
"""

# The package is rendered for the run.
# mypy: disable-error-code=import-not-found
# pyright: reportMissingImports=false

import os
import sys
from typing import Any

import uvicorn

PAGE = """<title>Game</title><link rel="icon" href="data:,">
<b data-live-text="game.score"></b> <button data-live-on-click="game.score += 1">Score</button>"""


def make_app() -> Any:
    source, url = os.environ["SEVERAL"].split(" ")
    sys.path.insert(0, source)

    from fastapi import FastAPI
    from several.live import Counter, Live, door, presence
    from several.state import State
    from several.state.shared import RedisLog

    class Game(State):
        score: Counter = 0

    # So that a test need not wait for 45 s.
    door.TICK_SECONDS, presence.LEASE_SECONDS = 0.5, 2.0
    presence.GRACE_SECONDS = 1.0
    live = Live(log=RedisLog(url, "game"))

    def game() -> Game:
        return Game()

    state = live.shared(game)
    app = FastAPI()
    live.mount(app)

    @app.get("/")
    def show() -> Any:
        return live.page(PAGE, csp={"img-src": "data:"})

    @app.get("/facts")
    def tell() -> Any:
        return {"pid": os.getpid(), "score": state.score, "visitors": len(live.visitors)}

    @app.post("/add")
    def add() -> None:
        state.score += 1

    return app


def main() -> None:
    source, url, _, port = sys.argv[1:]
    os.environ["SEVERAL"] = f"{source} {url}"
    uvicorn.run(make_app(), port=int(port), ws="websockets-sansio", ws_max_size=65_536)


if __name__ == "__main__":
    main()
