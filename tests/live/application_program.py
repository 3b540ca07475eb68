"""An application that is not the chat: a board of nested lists, with each kind of state.

    application_program.py SOURCE --port PORT

SOURCE has the package `shown`. The state is in memory: each start is a new epoch.
"""

# The package is rendered for the run.
# mypy: disable-error-code=import-not-found
# pyright: reportMissingImports=false

import sys
from pathlib import Path
from typing import Annotated, Any

import uvicorn

HERE = Path(__file__).parent


def make_app() -> Any:
    from fastapi.responses import FileResponse
    from shown.live import Counter, Live, ServerOnly
    from shown.problems import ProblemAPI
    from shown.state import Keep, State, field

    class Card(State):
        id: str
        title: str
        tags: list[str] = field(default_factory=list[str])
        votes: Counter = 0

    class Column(State):
        id: str
        name: str
        cards: list[Card] = field(default_factory=list[Card])

    class Step(State):
        text: str
        is_done: bool = False

    class Circle(State):
        radius: float = 1.0

    class Square(State):
        side: float = 1.0

    class Board(State):
        columns: list[Column] = field(default_factory=list[Column])
        steps: list[Step] = field(default_factory=list[Step])
        news: Annotated[list[str], Keep(3)] = field(default_factory=list[str])
        shape: Circle | Square = field(default_factory=Circle)
        shapes: list[Circle | Square] = field(default_factory=list[Circle | Square])
        limit: int = 10
        owner: str = ""
        link: str = ""
        is_open: bool = True
        labels: dict[str, str] = field(default_factory=dict[str, str])
        visits: ServerOnly[int] = 0

    def make_values() -> dict[str, Any]:
        columns = [Column(id="a", name="To do"), Column(id="b", name="Done")]
        lists: dict[str, Any] = {"columns": columns, "steps": [], "news": [], "shapes": []}
        texts = {"owner": "", "link": ""}
        numbers = {"limit": 10, "visits": 0, "is_open": True}
        return {**lists, **texts, **numbers, "shape": Circle(), "labels": {}}

    live = Live()

    def board() -> Board:
        return Board(**make_values())

    state: Any = live.shared(board)

    @live.local
    def ui() -> dict[str, Any]:
        return {"draft": ""}

    app = ProblemAPI(hosts=["127.0.0.1"])
    live.mount(app)

    @app.get("/")
    def show() -> Any:
        state.visits += 1
        return live.page(HERE / "application.html", script="/application.js")

    @app.get("/application.js")
    def get_script() -> Any:
        return FileResponse(HERE / "application.js", media_type="text/javascript")

    @app.post("/clear")
    def clear() -> None:
        with live.change():
            for name, value in make_values().items():
                setattr(state, name, value)

    @app.get("/elsewhere")
    def leave() -> Any:
        return live.page("<title>Elsewhere</title><p>Elsewhere</p>")

    return app


def main() -> None:
    source, _, port = sys.argv[1:]
    sys.path.insert(0, source)
    uvicorn.run(make_app(), port=int(port), ws="websockets-sansio", ws_max_size=65_536)


if __name__ == "__main__":
    main()
