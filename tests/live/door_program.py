"""A web service with one live state, for the proofs of the door.

    python door_program.py SOURCE PORT [JOURNAL]

SOURCE has the package `shown`. Without a journal, the log is
in memory. Clients may be faster than browsers are.
"""

# The package is rendered for the run.
# mypy: disable-error-code=import-not-found
# pyright: reportMissingImports=false

import sys
from typing import Any

import uvicorn


def make_app(journal: str | None) -> Any:
    from shown.live import Counter, Limits, Live, anyone
    from shown.problems import ProblemAPI
    from shown.state import State
    from shown.state.shared import EditJournal, LocalLog

    class Board(State):
        count: Counter = 0
        text: str = ""

    log = LocalLog(EditJournal(journal)) if journal else None
    live = Live(log=log, authorize=anyone, limits=Limits(rate=1e6, burst=1_000_000))

    @live.shared
    def board() -> Board:
        return Board()

    app = ProblemAPI(hosts=["127.0.0.1"])
    live.mount(app)
    return app


def main() -> None:
    source, port, *journal = sys.argv[1:]
    sys.path.insert(0, source)
    uvicorn.run(
        make_app(journal[0] if journal else None),
        port=int(port),
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=65_536,
        ws_per_message_deflate=False,
    )


if __name__ == "__main__":
    main()
