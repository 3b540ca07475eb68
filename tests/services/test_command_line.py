"""Programs of the command line, as people use them: on a terminal, in a shell, by the README."""

import contextlib
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Environment, ProjectEnvironment, render_once

VARIANTS: dict[str, dict[str, Any]] = {"registry": {}, "digest": {"include_example": False}}

# Runs a shell command on a terminal, and returns all that it shows.
Terminal = Callable[..., str]


@pytest.fixture(params=VARIANTS)
def project(request: pytest.FixtureRequest, shared: Path) -> Path:
    return render_once(shared, project_type="cli_tool", **VARIANTS[request.param])


@pytest.fixture
def installed(project: Path, environment: ProjectEnvironment) -> Environment:
    return environment.install_once(project)


@pytest.fixture
def terminal(installed: Environment, tmp_path: Path) -> Terminal:
    """Return a terminal of 80 columns in an empty home."""
    own = ("XDG_", "NO_COLOR", "FORCE_COLOR", "SAMPLE_")
    outer = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    path = f"{installed.tool('sample').parent}:{os.environ['PATH']}"
    home = outer | {"HOME": str(tmp_path), "PATH": path, "COLUMNS": "80"}

    def show(command: str, **variables: str) -> str:
        screen, keyboard = pty.openpty()
        with subprocess.Popen(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=home | {"TERM": "xterm"} | variables,
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
        ):
            os.close(keyboard)
            shown = b""
            with contextlib.suppress(OSError):  # the end, on Linux
                while part := os.read(screen, 4096):
                    shown += part
        os.close(screen)
        return shown.decode().replace("\r\n", "\n")

    return show


def sessions(readme: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a README that run the program, each with the lines that it shows."""
    use = readme.partition("## Use\n")[2]
    blocks = re.findall(r"```console\n(.*?)```", use, re.DOTALL)
    commands = [each.splitlines() for block in blocks for each in block.split("$ ")[1:]]
    known = ("sample", "echo")
    return [(first, shown) for first, *shown in commands if first.startswith(known)]


def test_the_commands_of_the_readme_show_what_it_says(project: Path, terminal: Terminal) -> None:
    commands = sessions((project / "README.md").read_text())
    assert len(commands) > 3
    for command, expected in commands:
        shown = terminal(command, TERM="dumb").splitlines()
        assert [line.rstrip() for line in shown] == expected, command


def test_the_command_that_the_readme_adds_works(
    project: Path, installed: Environment, tmp_path: Path
) -> None:
    readme = (project / "README.md").read_text()
    code, test, *_ = re.findall(r"```py\n(.*?)```", readme, re.DOTALL)
    project = shutil.copytree(project, tmp_path / "sample")
    for path, text in (("src/sample/cli.py", code), ("tests/test_cli.py", test)):
        with (project / path).open("a") as file:
            file.write(f"\n\n{text}")
    name = re.search(r"test_\w+", test)
    assert name
    own = {"PYTHONPATH": str(project / "src")}
    installed.run_module("pytest", "-q", "-k", name[0], "tests/test_cli.py", cwd=project, env=own)
    for command in (("check",), ("format", "--check")):
        installed.run_module("ruff", *command, cwd=project)


def test_errors_have_one_look_in_colour_unless_it_is_not_wanted(terminal: Terminal) -> None:
    for command in ("sample lst", "sample digest nix", "sample --config nix", "sample list --jsn"):
        assert "\x1b[1;31mError:\x1b[0m " in terminal(command), command
        assert terminal(command, TERM="dumb").startswith("Error: "), command
        assert "\x1b[1;31m" not in terminal(command, NO_COLOR="1"), command


@pytest.mark.parametrize("project", ["registry"], indirect=True)
def test_bash_completes_names_of_servers(terminal: Terminal) -> None:
    for name in ("github", "gitlab", "search"):
        terminal(f"sample add {name} --field command=x")
    script = """
        eval "$(sample --show-completion bash)"
        COMP_WORDS=(sample get git) COMP_CWORD=2
        _sample_completion sample
        echo "${COMPREPLY[@]}"
    """
    assert terminal(script).splitlines()[-1] == "github gitlab"
