"""Every combination of answers renders a project without anything to clean up."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from answers import PROJECT_TYPES, everything, label, nothing, pairwise
from checks import find_faults
from support import ProjectEnvironment, copy_template, files_of, render, run

pytestmark = pytest.mark.in_memory
COMBINATIONS = [
    *(make(project_type) for project_type in PROJECT_TYPES for make in (everything, nothing)),
    *pairwise(),
]


# A program that imports modules of one project after another, each in a process of its own. Those
# share the packages that take longest: alone, each would import them for most of its time.
IMPORTER = """
import gc, importlib, json, os, sys
import fastapi, mcp, redis
gc.freeze()  # else each process goes through all that was imported here
for line in sys.stdin:
    folder, path, modules = json.loads(line)
    if child := os.fork():
        print(os.waitpid(child, 0)[1], flush=True)
    else:
        os.chdir(folder)
        sys.path[1:1] = path
        for name in modules:
            importlib.import_module(name)
        break
"""
ImportEverything = Callable[[Path, Path, str], None]


@pytest.fixture(scope="session")
def import_everything(environment: ProjectEnvironment) -> Iterator[ImportEverything]:
    """Return a function that imports each module of a package, any warning being an error.

    The project is not installed, so that its oldest Python may be newer than this
    one; the information from its metadata is put beside it.
    """
    command = (environment.tool("python"), "-W", "error", "-c", IMPORTER)
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    process: Any = subprocess.Popen(command, **pipes)

    def import_everything(project: Path, package: Path, name: str) -> None:
        stem = re.sub(r"[-_.]+", "_", name).lower()
        metadata = project.with_name("metadata") / f"{stem}-0.1.0.dist-info/METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 0.1.0\nSummary: A\n")
        modules = [
            ".".join(path.relative_to(package.parent).with_suffix("").parts)
            for path in package.rglob("*.py")
            if path.name not in ("__main__.py", "__init__.py")
        ]
        path = [str(package.parent), str(metadata.parents[1])]
        print(json.dumps([str(project), path, [package.name, *modules]]), file=process.stdin)
        assert process.stdout.readline() == "0\n"

    with process:
        yield import_everything


@pytest.mark.parametrize("answers", COMBINATIONS, ids=label)
def test_any_combination_of_answers_renders_cleanly(
    answers: dict[str, Any],
    tmp_path: Path,
    environment: ProjectEnvironment,
    import_everything: ImportEverything,
) -> None:
    project = render(tmp_path / "sample", **answers)
    assert find_faults(project, answers) == []
    # In an existing project its own configuration counts: the files are written for 100 columns.
    width = "--line-length=100"
    environment.run("ruff", "format", "--check", "--no-cache", width, cwd=project)
    environment.run("ruff", "check", "--no-cache", width, cwd=project)
    name = answers.get("package_name", "sample")
    package = project / (name if answers.get("layout") == "flat" else f"src/{name}")
    if package.exists():  # not where nothing was added to an existing project
        (package / "__init__.py").touch()
        import_everything(project, package, answers.get("project_name", name))


@pytest.mark.parametrize("project_type", ["state_server", "web_service"])
def test_the_command_of_copier_renders_the_same(project_type: str, tmp_path: Path) -> None:
    """It has none of the short cuts by which these tests render."""
    answers, template = everything(project_type), copy_template(tmp_path / "template")
    render(tmp_path / "another", project_type="library")
    ours = render(tmp_path / "ours/sample", template, **answers)
    (tmp_path / "answers.yml").write_text(yaml.safe_dump(answers))
    command = (sys.executable, "-m", "copier", "copy", "--defaults", "--data-file", "answers.yml")
    run(*command, template, "theirs/sample", cwd=tmp_path)
    assert files_of(tmp_path / "theirs/sample") == files_of(ours)


def test_a_default_project_has_few_files(tmp_path: Path) -> None:
    files = files_of(render(tmp_path / "sample")).keys() - {".copier-answers.yml"}
    assert len(files) <= 50, sorted(files)
