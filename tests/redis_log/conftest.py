"""The fixtures of the proofs: a web service with live state, and workers on a Redis server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from stores.redis_server import RedisServer, running
from support import render_once

from redis_log.driver import Cluster

ANSWERS: dict[str, Any] = {
    "package_name": "several",
    "project_type": "web_service",
    "include_typed_state": True,
    "include_live_state": True,
    "state_stores": ["redis"],
}
# By the name of the setting: the options of a server.
PERSISTENCE = {
    "always": ("--appendonly", "yes", "--appendfsync", "always"),
    "everysec": ("--appendonly", "yes", "--appendfsync", "everysec"),
    "none": (),
}

Start = Callable[..., AbstractAsyncContextManager[tuple[RedisServer, Cluster]]]


@pytest.fixture(scope="session")
def source(shared: Path) -> Path:
    """Render a web service with live state on Redis, once for a run."""
    return render_once(shared, **ANSWERS) / "src"


@pytest.fixture
def start(source: Path, tmp_path: Path) -> Start:
    """Return a context manager with a server and two workers on it."""

    @asynccontextmanager
    async def start(persistence: str = "always") -> AsyncIterator[tuple[RedisServer, Cluster]]:
        folder = tmp_path / "redis"
        folder.mkdir()
        with running(folder, *PERSISTENCE[persistence]) as server:
            async with asyncio.timeout(50), Cluster(source, server.url) as cluster:
                await cluster.add_worker("first")
                await cluster.add_worker("second")
                yield server, cluster

    return start
