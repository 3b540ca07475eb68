"""The fixtures of the proofs: an emitted package with the engine in it."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from support import render

PACKAGE = "driven"


@pytest.fixture(scope="session")
def engine_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a project with the engine and return where its package lies."""
    project = tmp_path_factory.mktemp("emitted") / "project"
    render(project, package_name=PACKAGE, project_type="state_server")
    return project / "src"


@pytest.fixture(scope="session")
def engine(engine_source: Path) -> Any:
    """Import the emitted engine, to use it in the process of the tests."""
    sys.path.insert(0, str(engine_source))
    return importlib.import_module(f"{PACKAGE}.state.shared")


@pytest.fixture(scope="session")
def state(engine: Any) -> Any:
    """Import the emitted package of states."""
    return importlib.import_module(f"{PACKAGE}.state")
