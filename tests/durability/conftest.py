"""Fixtures of the proofs: the emitted module, its children, and experiments with them."""

import importlib.util
import py_compile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.experiments import Experiment, Experiments
from support import render

from durability.protocols import PROTOCOLS


@pytest.fixture(scope="session")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a project and return its persistence module."""
    project = tmp_path_factory.mktemp("emitted") / "project"
    render(project, project_type="library", package_name="proved")
    module = project / "src" / "proved" / "utils" / "persistence.py"
    py_compile.compile(str(module), doraise=True)  # once, not in each child
    return module


@pytest.fixture(scope="session")
def persistence(module: Path) -> Any:
    """Load the emitted module, to read the files of the children."""
    spec = importlib.util.spec_from_file_location("emitted_persistence", module)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def children(module: Path) -> Iterator[Children]:
    family = Children(module)
    yield family
    family.end()


@pytest.fixture
def experiment(children: Children, persistence: Any, tmp_path: Path) -> Experiments:
    def make(name: str, fault: str = "") -> Experiment:
        log = tmp_path / "strace"
        return Experiment(PROTOCOLS[name], children, persistence, tmp_path, log, fault)

    return make
