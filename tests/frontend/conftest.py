"""The built dashboard, the services and the browser of these tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from chromium import open_chromium
from playwright.sync_api import Browser, BrowserContext
from services.test_web_service import Service
from stores.redis_server import RedisServer, running

from frontend.release import Release

# The state that the dashboard uses with `--dev`.
STATE = "/api/state/demo/me"

Device = Callable[[], BrowserContext]


@pytest.fixture(scope="session")
def release(shared: Path) -> Release:
    return Release(shared / "frontend")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def device(browser: Browser) -> Iterator[Device]:
    """Return a function that makes a device: a browser with a storage of its own."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def make() -> BrowserContext:
        context = browser.new_context()
        context.on("weberror", lambda fault: faults.append(str(fault.error)))
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    assert not faults, "exceptions that no code of the page has caught"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def running_service(
    release: Release, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    command = [*release.command, "--dev", "--redis-url", redis.url]
    with Service(command, tmp_path_factory.mktemp("service") / "log") as service:
        yield service


@pytest.fixture
def service(running_service: Service) -> Iterator[Service]:
    """Give the service without a state; a test may kill it."""
    httpx.delete(running_service.url + STATE)
    yield running_service
    if not running_service.is_running():
        running_service.start()


@pytest.fixture
def refusing_service(release: Release, redis: RedisServer, tmp_path: Path) -> Iterator[Service]:
    """Give a service as it is without `--dev` and `authorize`."""
    command = [*release.command, "--redis-url", redis.url]
    with Service(command, tmp_path / "log") as service:
        yield service
