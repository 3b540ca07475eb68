"""Importing each module of `utils`, against the standard modules that it cannot do without.

Whole interpreters are timed, from start to end. Each module is measured as a file that was
copied alone, and in a library, which has all of them and the metadata of an installed package:
so that the cost of the module is separate from that of its package. A library with no other
module shows the cost of keeping state.
"""

import ast
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import render

from benchmarks.report import Bars, Result, Verdict, milliseconds
from benchmarks.timing import Rival, take_turns

LIMIT = 10.0
PERSISTENCE_LIMIT = 5.0

_PERSISTENCE = "persistence"
_OTHERS = ("validation", "responses", "errors")
# The modules for keeping a state in a file without Holdfast.
_BY_HAND = "import json, logging, tempfile, pathlib"
_EMPTY = "pass"
_KEEP = f"import keeper.utils.{_PERSISTENCE}"


def measure(folder: Path, quick: bool) -> Result:
    library = importable_library(folder / "library")
    keeper = importable_library(folder / "keeper", "keeper", include_api_utilities=False)
    alone = folder / "alone"
    alone.mkdir()
    modules = (_PERSISTENCE, *_OTHERS)
    for module in modules:
        shutil.copy(library / f"measured/utils/{module}.py", alone)
    standard = {module: _standard_imports(alone / f"{module}.py") for module in modules}
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (library, keeper, alone))),
        "PYTHONDONTWRITEBYTECODE": "",
    }

    def rival(statement: str) -> Rival:
        command = [sys.executable, "-c", statement]
        return Rival(lambda: subprocess.run(command, cwd=folder, env=environment, check=True))

    statements = [
        _EMPTY,
        _BY_HAND,
        *standard.values(),
        *map(_import_alone, modules),
        *map(_import_from_library, modules),
        _KEEP,
    ]
    timings = take_turns(
        {statement: rival(statement) for statement in statements}, rounds=15 if quick else 121
    )

    def added(statement: str, to: str = _EMPTY) -> float:
        return timings.difference(statement, to)

    adds = {f"`{module}`": added(_import_alone(module)) * 1000 for module in _OTHERS}
    more = added(_KEEP, to=_BY_HAND)
    return Result(
        name="import",
        title="Importing the modules of `utils`",
        introduction=(
            "Milliseconds that an import adds to `python -c`, which takes "
            f"{milliseconds(timings.median(_EMPTY))} from start to end with an empty program."
        ),
        columns=(
            "the standard modules it imports",
            "the module alone",
            "added time",
            "the module in a library",
        ),
        rows={
            f"`{module}`": (
                milliseconds(added(standard[module])),
                milliseconds(added(_import_alone(module))),
                milliseconds(added(_import_alone(module), to=standard[module])),
                milliseconds(added(_import_from_library(module))),
            )
            for module in modules
        },
        rounds={"import": timings.rounds},
        verdicts=[
            *(Verdict(f"{name} alone", value, LIMIT, " ms") for name, value in adds.items()),
            Verdict(
                f"`{_PERSISTENCE}` in a library that has no other, against `{_BY_HAND}`",
                more * 1000,
                PERSISTENCE_LIMIT,
                " ms more",
            ),
        ],
        plot=Bars(
            title="Importing the modules of utils",
            unit="milliseconds more than an empty program takes",
            values={name.strip("`"): value for name, value in adds.items()},
            limit=LIMIT,
        ),
    )


def importable_library(destination: Path, name: str = "measured", **answers: Any) -> Path:
    """Render a library and return the folder to import its package from."""
    return importable_package(destination, name, project_type="library", **answers)


def importable_package(destination: Path, name: str, **answers: Any) -> Path:
    """Render a project and return the folder to import its package from."""
    answers |= {"project_name": name, "package_name": name}
    project = render(destination, **answers)
    # A package may ask for its own version, which only installed ones have.
    metadata = project / "src" / f"{name}-0.1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    return project / "src"


def importable_live_service(destination: Path, name: str) -> Path:
    """Render a web service with live state, and return the folder to import its package from."""
    return importable_package(
        destination,
        name,
        project_type="web_service",
        include_typed_state=True,
        include_live_state=True,
        include_example=False,
    )


def import_emitted(module: str, library: Path) -> Any:
    """Render a library there, and import a module of its `utils` into this process."""
    sys.path.insert(0, str(importable_library(library)))
    return importlib.import_module(f"measured.utils.{module}")


def _import_alone(module: str) -> str:
    return f"import {module}"


def _import_from_library(module: str) -> str:
    return f"import measured.utils.{module}"


def _standard_imports(path: Path) -> str:
    """Return a statement with the imports at a module's top."""
    names: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Import():
                names += (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(name)):
                names.append(name)
            case _:
                pass
    return f"import {', '.join(dict.fromkeys(names))}"
