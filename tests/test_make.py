"""The commands of an emitted project, as its README and CONTRIBUTING name them."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from answers import SERVICES, everything
from support import ProjectEnvironment, commit_all, render, run

# It stands for uv: it notes each command, and runs git and Python only.
UV = f"""\
#!/bin/sh
echo "$*" >> "$NOTES"
case "$*" in
    "$FAILING"*) exit 1 ;;
    "run pre-commit install") git rev-parse --git-dir ;;
    "run python "*) shift 2; exec "{sys.executable}" "$@" ;;
esac
"""


class Desk:
    """A new project, and a shell in which it is worked on."""

    def __init__(self, folder: Path) -> None:
        self.project = render(folder / "sample", project_type="library", repository_owner="ada")
        self._notes = folder / "notes.txt"
        uv = folder / "bin/uv"
        uv.parent.mkdir()
        uv.write_text(UV)
        uv.chmod(0o755)
        self._path = f"{uv.parent}:{os.environ['PATH']}"

    def run(self, script: str, failing: str = "nothing") -> tuple[int, str, list[str]]:
        """Return the exit code, the output and the commands that uv was given."""
        self._notes.write_text("")
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.project,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
                "PATH": self._path,
                "NOTES": str(self._notes),
                "FAILING": failing,
                "GIT_CEILING_DIRECTORIES": str(self.project.parent),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, self._notes.read_text().splitlines()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def console(page: Path, after: str) -> str:
    """Return the commands of the first console block below a line of a page."""
    found = re.search(r"```console\n(.*?)```", page.read_text().partition(after)[2], re.DOTALL)
    assert found
    return "\n".join(re.findall(r"(?m)^\$ (.*)$", found[1]))


def test_the_first_commands_work_in_a_new_folder(desk: Desk) -> None:
    commands = console(desk.project / "CONTRIBUTING.md", "# Contributing")
    status, said, noted = desk.run(commands)
    assert status == 0, said
    assert noted == ["run pre-commit install"]
    assert desk.run("git status --short; git log --oneline | wc -l")[1].strip() == "1"


@pytest.mark.parametrize("failing", ["run ruff format", "run ruff check", "run mypy"])
def test_the_quick_check_runs_all_steps_and_fails_at_the_end(desk: Desk, failing: str) -> None:
    status, said, noted = desk.run("make quick", failing)
    assert status != 0, said
    for step in ("run ruff format", "run mypy", "run pytest -m not template"):
        assert step in noted, said
    assert desk.run("make quick")[0] == 0


def test_the_quick_check_runs_the_pages_if_one_has_changed(desk: Desk) -> None:
    commit_all(desk.project)
    pages = "run pytest tests/test_guides.py"
    assert pages not in desk.run("make quick")[2]
    new = desk.project / "user-docs/new/page.md"
    new.parent.mkdir()
    new.write_text("# New\n")
    assert pages in desk.run("make quick")[2]
    assert desk.run("make quick TESTS=tests/x.py")[2][-1] == "run pytest tests/x.py"


@pytest.mark.parametrize("kind", ["cli_tool", "library", *SERVICES])
def test_the_list_of_the_commands_fits_a_terminal(kind: str, tmp_path: Path) -> None:
    project = render(tmp_path / "sample", **everything(kind))
    lines = run("make", "--no-print-directory", "help", cwd=project).stdout.splitlines()
    assert len(lines) > 5
    assert [line for line in lines if len(line) > 80] == []


def test_a_release_has_every_file_of_the_folder(desk: Desk) -> None:
    commit_all(desk.project)
    (desk.project / "src/sample/billing.py").write_text('"""New, and not yet known to git."""\n')
    status, said, noted = desk.run("make release")
    assert status != 0
    assert "src/sample/billing.py" in said
    assert noted == []
    commands = console(desk.project / "README.md", "## Release").replace("git push", "true")
    status, said, noted = desk.run(commands)
    assert status == 0, said
    assert noted[-1] == "build"
    assert "run pytest --cov" in noted
    assert "src/sample/billing.py" in desk.run("git ls-tree -r --name-only v0.1.0")[1]


def test_a_release_needs_a_repository(desk: Desk) -> None:
    status, said, noted = desk.run("make release")
    assert (status, noted) == (2, []), said


def test_a_port_that_is_in_use_is_one_line_with_a_way_out(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        status, said, noted = desk.run(f"make serve PORT={port}")
    assert status != 0
    first, *rest = said.splitlines()
    assert first.startswith(f"Port {port} is in use")
    assert "make serve PORT=8002" in first
    assert len(rest) == 1
    assert not any("mkdocs" in each for each in noted)
    assert f"run mkdocs serve --dev-addr 127.0.0.1:{port}" in desk.run(f"make serve PORT={port}")[2]


def test_a_module_is_documented_as_contributing_says(
    environment: ProjectEnvironment, tmp_path: Path
) -> None:
    project = render(tmp_path / "sample", project_type="cli_tool")
    section = (project / "CONTRIBUTING.md").read_text().partition("## Documentation")[2]
    page, folder, line = (
        re.search(rf"`({each})`", section) for each in (r"\w+\.md", "user-docs/.*?/", "- .*?")
    )
    text = re.search(r"```md\n(.*?)```", section, re.DOTALL)
    assert page
    assert folder
    assert line
    assert text
    (project / "src/sample/billing.py").write_text(
        '"""Bills."""\n\n\ndef bill() -> int:\n    """Return an amount."""\n    return _bill()\n'
        '\n\ndef _bill() -> int:\n    """Count."""\n    return 1\n'
    )
    (project / folder[1] / page[1]).write_text(text[1])
    configuration = project / "mkdocs.yml"
    mark = "  # Add your pages below this line"
    before, _, after = configuration.read_text().partition(mark)
    rest = after.partition("\n")[2]
    configuration.write_text(f"{before}{mark}\n  {line[1]}\n{rest}")
    environment.run("mkdocs", "build", "--strict", cwd=project)
    built = (project / "site/reference/api/billing/index.html").read_text()
    assert "Return an amount." in built
    assert re.findall(r'<h[1-6] id="([^"]+)"', built) == ["billing", "sample.billing.bill"]
    assert "sample.billing._bill" not in built
    # The first page shows the use that the README describes.
    first = re.sub(r"<[^>]+>", "", (project / "site/index.html").read_text())
    assert "sample add search" in first
    assert "8&lt;" not in first
    # The successor of Material for MkDocs takes the same commands.
    assert "Zensical" in section
    assert "--dev-addr" in environment.run("zensical", "serve", "--help", cwd=project)
