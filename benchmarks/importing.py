"""Importing `utils.persistence`, against the modules that anybody would need for the same.

Whole interpreters are timed, from start to end. The package is on the path with the metadata
of an installed one. Beside the library there is the module alone, as in a project that
exists already, to tell what the module costs from what its package costs.
"""

import os
import subprocess
import sys
from pathlib import Path

from support import render

from benchmarks.report import Bars, Result, Verdict, milliseconds
from benchmarks.timing import Rival, take_turns

LIMIT = 5.0

_EMPTY = "an empty program"
_STANDARD = "json, logging, tempfile, pathlib"
_ALONE = "the module alone"
_WHOLE = "the module in a library"


def measure(folder: Path, quick: bool) -> Result:
    library = importable_library(folder / "library")
    alone = render(folder / "alone", project_type="modules_only", package_name="alone") / "src"
    (alone / "alone" / "__init__.py").touch()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{library}{os.pathsep}{alone}",
        "PYTHONDONTWRITEBYTECODE": "",
    }

    statements = {
        _EMPTY: "pass",
        _STANDARD: "import json, logging, tempfile, pathlib",
        _ALONE: "import alone.utils.persistence",
        _WHOLE: "import measured.utils.persistence",
    }

    def rival(statement: str) -> Rival:
        command = [sys.executable, "-c", statement]
        return Rival(lambda: subprocess.run(command, cwd=folder, env=environment, check=True))

    timings = take_turns(
        {name: rival(statement) for name, statement in statements.items()},
        rounds=15 if quick else 121,
    )
    more = {name: timings.difference(name, _STANDARD) for name in (_ALONE, _WHOLE)}
    return Result(
        name="import",
        title="Importing `utils.persistence`",
        introduction="Milliseconds that `python -c` takes from start to end.",
        columns=("process", "more than an empty program", "more than the four modules"),
        rows={
            name: (
                milliseconds(timings.median(name)),
                milliseconds(timings.difference(name, _EMPTY)) if name != _EMPTY else "",
                milliseconds(more[name]) if name in more else "",
            )
            for name in statements
        },
        rounds={"import": timings.rounds},
        verdicts=[Verdict("import", more[_WHOLE] * 1000, LIMIT, " ms more")],
        plot=Bars(
            title="Importing utils.persistence",
            unit="milliseconds more than json, logging, tempfile and pathlib take",
            values={name: value * 1000 for name, value in more.items()},
            limit=LIMIT,
        ),
    )


def importable_library(destination: Path) -> Path:
    """Render a library and return the folder to import its package, `measured`, from."""
    project = render(
        destination,
        project_type="library",
        project_name="measured",
        package_name="measured",
    )
    # A package may ask for its own version, which only installed ones have.
    metadata = project / "src" / "measured-0.1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: measured\nVersion: 0.1.0\n")
    return project / "src"
