"""The fixtures of the proofs: the emitted package."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from support import render

PACKAGE = "shaped"


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a project with declared state and return where its package lies."""
    project = tmp_path_factory.mktemp("emitted") / "project"
    answers: dict[str, Any] = {"include_typed_state": True, "state_stores": ["json"]}
    render(project, project_type="library", package_name=PACKAGE, **answers)
    return project / "src"


@pytest.fixture(scope="session")
def state(source: Path) -> Any:
    """Import the emitted package, to use it in the process of the tests."""
    sys.path.insert(0, str(source))
    return importlib.import_module(f"{PACKAGE}.state")
