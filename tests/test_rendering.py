"""Every combination of answers renders a project without anything to clean up."""

from pathlib import Path
from typing import Any

import pytest
from answers import PROJECT_TYPES, everything, label, nothing, pairwise
from checks import find_faults
from support import ProjectEnvironment, files_of, render

pytestmark = pytest.mark.in_memory
COMBINATIONS = [
    *(make(project_type) for project_type in PROJECT_TYPES for make in (everything, nothing)),
    *pairwise(),
]


@pytest.mark.parametrize("answers", COMBINATIONS, ids=label)
def test_any_combination_of_answers_renders_cleanly(
    answers: dict[str, Any], tmp_path: Path, environment: ProjectEnvironment
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
        environment.import_everything(project, package, answers.get("project_name"))


def test_a_default_project_has_few_files(tmp_path: Path) -> None:
    assert len(files_of(render(tmp_path / "sample"))) <= 46
