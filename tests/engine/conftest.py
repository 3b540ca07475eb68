"""The fixtures of the proofs: an emitted package with the engine in it."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from support import questions, render

PACKAGE = "driven"
# A type of project that has the engine.
PROJECT_TYPE = "state_server"
if PROJECT_TYPE not in questions()["project_type"]["choices"].values():
    PROJECT_TYPE = "library"
ANSWERS: dict[str, Any] = {
    "project_type": PROJECT_TYPE,
    "include_typed_state": True,
    "state_stores": ["json", "sqlite"],
}


@pytest.fixture(scope="session")
def engine_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a project with the engine and return where its package lies."""
    project = tmp_path_factory.mktemp("emitted") / "project"
    render(project, package_name=PACKAGE, **ANSWERS)
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
