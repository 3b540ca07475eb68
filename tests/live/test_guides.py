"""The pages about live state are correct where no block of Python shows it."""

import dataclasses
import importlib
import re
import zipfile
from pathlib import Path
from typing import Any

from redis_log.conftest import ANSWERS as WITH_REDIS
from support import ProjectEnvironment, commit_all, render, render_once

from live.conftest import ANSWERS, PACKAGE

GUIDE = "user-docs/how-to/deploy-live-state.md"
REFERENCE = "user-docs/reference/live-protocol.md"
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}


def rows_of(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its own heading."""
    section = page.read_text().partition(f"\n## {heading}\n")[2]
    (table, *_) = re.findall(r"(?m)^\| -.*\n((?:\|.*\n)+)", section)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()]


def test_node_accepts_every_block_of_javascript(
    live_project: Path, environment: ProjectEnvironment, npm: dict[str, str]
) -> None:
    command = ("pytest", "tests/test_guides.py", "-p", "no:cacheprovider", "-k", "javascript")
    variables = {**npm, "PYTHONPATH": "src"}
    said = environment.run_module(*command, cwd=live_project, env=variables)
    assert "1 passed" in said


def test_the_reference_has_every_code_that_closes_a_connection(
    live_project: Path, live_module: Any
) -> None:
    own = importlib.import_module(f"{live_module.__name__}.messages").CloseCode
    rows = rows_of(live_project / REFERENCE, "Close codes")
    documented = {int(code) for row in rows for code in row[0].split(", ")}
    # The web server has two more: for its end, and for an exception.
    assert documented == {*own, 1001, 1011}


def test_the_reference_has_every_name_of_the_module(live_project: Path, live_static: Path) -> None:
    rows = rows_of(live_project / REFERENCE, "The module live.js")
    documented = {name for row in rows for name in re.findall(r"`(\w+)", row[0])}
    types = (live_static / "live.d.ts").read_text()
    assert documented == {*re.findall(r"export (?:const|function) (\w+)", types)}


def test_the_guide_has_every_limit_with_its_default(live_project: Path, live_module: Any) -> None:
    rows = rows_of(live_project / GUIDE, "Limits")
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    found = [each for row in rows for each in re.findall(r"(\d[\d,]*)(?: ([KM]iB))?", row[1])]
    defaults = [int(number.replace(",", "")) * UNITS[unit] for number, unit in found]
    fields = dataclasses.fields(live_module.Limits)
    assert list(zip(names, defaults, strict=True)) == [(each.name, each.default) for each in fields]


def test_the_commands_for_uvicorn_have_the_options_of_the_service(
    live_project: Path, live_module: Any, shared: Path
) -> None:
    command = live_project / "src" / PACKAGE / "serve.py"
    passed = dict(re.findall(r"\b(ws\w*|timeout\w*)=(.+),", command.read_text()))
    expected = {name: value.strip('"').lower() for name, value in passed.items()}
    expected["ws_max_size"] = str(live_module.Limits().frame)
    assert len(expected) == 6
    several = render_once(shared, **WITH_REDIS) / "user-docs/how-to/run-several-workers.md"
    for page in (live_project / "README.md", live_project / GUIDE, several):
        options = re.findall(r"--((?:ws|timeout)[\w-]*) (\S+)", page.read_text())
        assert {name.replace("-", "_"): value for name, value in options} == expected, page
        assert " --no-server-header " in page.read_text()


def test_the_tests_of_live_state_are_those_of_the_template(
    live_project: Path, environment: ProjectEnvironment
) -> None:
    places = ("tests/utils", "tests/live", f"src/{PACKAGE}/live")
    options = ("--collect-only", "-q", "-m", "template")
    path = {"PYTHONPATH": "src"}
    said = environment.run_module("pytest", *options, *places, cwd=live_project, env=path)
    assert "tests/live/test_door.py" in said
    assert "deselected" not in said


def test_a_package_contains_pyodide_although_git_ignores_it(
    tmp_path: Path, environment: ProjectEnvironment
) -> None:
    project = render(tmp_path / "project", **ANSWERS)
    commit_all(project)
    folder = project / "src" / PACKAGE / "live/static/pyodide"
    folder.mkdir()
    (folder / "pyodide.mjs").touch()
    environment.run_module("hatchling", "build", "--target", "wheel", cwd=project)
    (wheel,) = project.glob("dist/*.whl")
    assert f"{PACKAGE}/live/static/pyodide/pyodide.mjs" in zipfile.ZipFile(wheel).namelist()
