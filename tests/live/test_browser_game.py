"""The game of the guides, in Python alone, in two real windows."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from services.test_web_service import Service

from live.test_examples import GAME
from live.windows import Open, states_of

pytestmark = pytest.mark.needs("chromium")

SERVE = '''
import sys
import uvicorn
from fastapi import FastAPI

app = FastAPI()
live.mount(app)

@app.get("/")
def index():
    return live.page("""<button data-live-on-click="score_point">Score</button>
        <b data-live-text="game_state.score"></b> <pre data-live-log></pre>""")

@app.get("/favicon.ico", status_code=204)
def have_no_icon(): pass

uvicorn.run(app, port=int(sys.argv[2]), ws="websockets-sansio")
'''


@pytest.fixture
def service(live_source: Path, pyodide: Path, tmp_path: Path) -> Iterator[Service]:
    assert pyodide.is_dir()
    program = tmp_path / "game.py"
    program.write_text(GAME + SERVE)
    command = ["env", f"PYTHONPATH={live_source}", sys.executable, str(program)]
    with Service(command, tmp_path / "log") as service:
        yield service


def test_points_of_python_in_two_windows_all_count(service: Service, open_window: Open) -> None:
    windows = [open_window(service.url, has_python=True) for _ in range(2)]
    for window in windows:
        window.page.get_by_role("button").click()
    for window in windows:
        # Python is there when it has printed.
        expect(window.page.locator("pre")).to_have_text("Player 1 scored!")
        expect(window.page.locator("b")).to_have_text("2")
    with windows[0].line.held(), windows[1].line.held():
        for window in windows:
            for _ in range(5):
                window.page.get_by_role("button").click()
            expect(window.page.locator("b")).to_have_text("7")
    for window in windows:
        expect(window.page.locator("b")).to_have_text("12")
        expect(window.page.locator("pre div")).to_have_text(["Player 1 scored!"] * 6)
    assert states_of(service.url)["game_state"] == {"score": 12}
