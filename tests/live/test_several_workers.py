"""Browsers at several workers on one log: the same pages, whatever ends."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from redis_log.conftest import ANSWERS, PERSISTENCE
from services.test_web_service import Service
from stores.redis_server import RedisServer, running
from support import render_once

from live.windows import Open, Window

PROGRAM = Path(__file__).with_name("several_program.py")
# One `+=` after the other, each an entry of its own where the line is fast enough.
COUNT = """new Promise((resolve) => {
  let left = 1000;
  const timer = setInterval(() => {
    for (let i = 0; i < 5 && left > 0; i += 1, left -= 1) shared.game.score += 1;
    if (!left) { clearInterval(timer); resolve(); }
  }, 10);
})"""


@pytest.fixture(scope="session")
def source(shared: Path) -> Path:
    return render_once(shared, **ANSWERS) / "src"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running(tmp_path, *PERSISTENCE["always"]) as server:
        yield server


@pytest.fixture
def workers(source: Path, server: RedisServer, tmp_path: Path) -> Iterator[list[Service]]:
    """Run two workers."""
    with contextlib.ExitStack() as stack:
        command = [sys.executable, str(PROGRAM), str(source), server.url]
        yield [stack.enter_context(Service(command, tmp_path / f"log-{n}")) for n in range(2)]


def facts(worker: Service) -> Any:
    return httpx.get(f"{worker.url}/facts").json()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)


def counts(worker: Service, visitors: int) -> bool:
    return bool(facts(worker)["visitors"] == visitors)


def shows(window: Window, score: int) -> None:
    expect(window.page.locator("b")).to_have_text(str(score))


@pytest.mark.needs("chromium")
def test_a_counter_in_two_windows_on_two_workers_counts_all(
    workers: list[Service], server: RedisServer, open_window: Open
) -> None:
    windows = [open_window(worker.url, is_routed=False) for worker in workers]
    for window in windows:
        window.expect_status("online")
        window.run(f"window.counted = {COUNT}; 0")
    windows[0].page.wait_for_function("() => +document.querySelector('b').textContent > 500")
    server.kill()
    server.start()
    for window in windows:
        window.run("await window.counted; await live.settled()")
    for window in windows:
        shows(window, 2_000)
    assert [facts(worker)["score"] for worker in workers] == [2_000, 2_000]


@pytest.mark.needs("chromium")
def test_a_browser_goes_on_at_another_worker_and_a_killed_workers_visitors_go(
    workers: list[Service], open_window: Open
) -> None:
    windows = [open_window(worker.url, is_routed=False) for worker in workers]
    for window in windows:
        window.expect_status("online")
    for worker in workers:
        until(partial(counts, worker, 2))
    for window in windows:
        window.expect_visitors(2)
    windows[0].page.get_by_role("button").click()
    shows(windows[1], 1)
    httpx.post(f"{workers[1].url}/add")
    for window in windows:
        shows(window, 2)
    workers[0].kill()
    until(lambda: facts(workers[1])["visitors"] == 1)
    windows[0].page.get_by_role("button").click()
    # Another process takes the place of the worker, as behind a proxy.
    workers[0].start()
    for window in windows:
        window.expect_status("online")
        shows(window, 3)


def test_uvicorn_starts_several_workers(source: Path, server: RedisServer, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "uvicorn", "several_program:make_app", "--factory"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROGRAM.parent),
        "SEVERAL": f"{source} {server.url}",
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    url, scores = f"http://127.0.0.1:{port}", dict[int, int]()

    def ask() -> bool:
        with contextlib.suppress(httpx.TransportError):
            httpx.post(f"{url}/add")
            found = httpx.get(f"{url}/facts").json()
            scores[found["pid"]] = found["score"]
        return len(scores) == 2

    command += ["--port", port, "--workers", "2"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stderr=log) as process,
    ):
        try:
            until(ask)
            assert max(scores.values()) >= 2
        finally:
            process.terminate()
