"""Fixtures of the proofs: the emitted package, its children, and a Redis server."""

import compileall
import importlib
import importlib.util
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.experiments import Experiment, Experiments
from support import render

from stores.protocols import PROTOCOLS
from stores.redis_server import RedisServer, running

STORES = ["memory", "file", "sqlite", "redis"]
SHARED = STORES[1:]
FILES = STORES[1:3]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a project with every store and return where its package lies."""
    project = tmp_path_factory.mktemp("emitted") / "project"
    answers: dict[str, Any] = {"package_name": "kept", "include_example": False}
    answers["state_stores"] = ["json", "sqlite", "redis"]
    render(project, project_type="library", **answers)
    # Compile now, not in the middle of a trace.
    compileall.compile_dir(project / "src", quiet=1)
    return project / "src"


@pytest.fixture(scope="session")
def state(source: Path) -> Any:
    """Import the emitted package, to use it in the process of the tests."""
    sys.path.insert(0, str(source))
    importlib.import_module("redis")  # the package does so at the first connection
    return importlib.import_module("kept.state")


@pytest.fixture
def children(source: Path, state: Any) -> Iterator[Children]:
    """Return a starter of child programs; `state` has compiled the package's modules."""
    spec = importlib.util.find_spec("redis")
    assert spec
    assert spec.origin
    libraries = Path(spec.origin).parents[1]
    family = Children(f"stores:kept:{source}{os.pathsep}{libraries}")
    yield family
    family.end()


@pytest.fixture
def experiment(children: Children, state: Any, memory: Path, tmp_path: Path) -> Experiments:
    def make(name: str, fault: str = "") -> Experiment:
        return Experiment(PROTOCOLS[name], children, state, memory, tmp_path / "strace", fault)

    return make


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    """Run a server that keeps its data in memory only."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        yield server


UrlOf = Callable[[str], str]


@pytest.fixture
def url_of(memory: Path, request: pytest.FixtureRequest) -> UrlOf:
    """Return a function that gives the URL of a new store of a kind, which waits for no disk."""

    def url_of_kind(kind: str) -> str:
        if kind == "redis":
            server: RedisServer = request.getfixturevalue("server")
            return server.url
        return "memory:" if kind == "memory" else f"{kind}:{memory / 'state'}"

    return url_of_kind


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition is true; a busy machine may be slow."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "nothing of it in 30 seconds"
        time.sleep(0.01)


class RecordedChanges:
    """The changes that a watcher got: the versions of each key, None for a deletion."""

    def __init__(self) -> None:
        self._records: dict[str, list[Any]] = {}

    def __call__(self, key: str, record: Any) -> None:
        self._records.setdefault(key, []).append(record)

    def __len__(self) -> int:
        return sum(map(len, self._records.values()))

    def latest(self, key: str) -> Any:
        """Return the latest value of a key, None if it was deleted."""
        records = self._records.get(key, [None])
        return records[-1] and records[-1].value

    def gone(self, key: str) -> bool:
        return self._records.get(key, [...])[-1] is None

    def repeated(self) -> list[int]:
        """Return the versions that came more than once, or after a later one."""
        recorded = [[r.version for r in records if r] for records in self._records.values()]
        return [b for versions in recorded for a, b in itertools.pairwise(versions) if a >= b]
