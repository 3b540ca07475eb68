"""The fixtures of the proofs: the emitted package."""

import importlib
import importlib.util
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


@pytest.fixture(scope="module")
def emitted(request: pytest.FixtureRequest, source: Path, state: Any) -> Any:
    """Import the emitted tests that a module of more cases names, with their classes and checks."""
    name: str = request.module.EMITTED
    file = source.parent / f"tests/state/typed/{name}.py"
    spec = importlib.util.spec_from_file_location(f"emitted_{name}", file)
    assert spec
    assert spec.loader
    # The names in annotations of states are looked up in the module of this name.
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
