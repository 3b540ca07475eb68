"""Images of services: linters accept their files, and their commands run without a container."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from answers import SERVICES, everything, nothing
from support import REPOSITORY, UV, ProjectEnvironment, questions, render, render_once, run

CHOSEN = [
    *(everything(kind) for kind in SERVICES),
    *(nothing(kind, include_container=True, include_github_actions=True) for kind in SERVICES),
]


def tool(name: str) -> Path | str:
    """Return a program that is installed beside this Python, or else on the PATH."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or name


def test_the_linter_of_dockerfiles_has_nothing_to_report(shared: Path) -> None:
    projects = [render_once(shared, **answers) for answers in CHOSEN]
    run(tool("hadolint"), *(project / "Dockerfile" for project in projects), cwd=shared)


SCHEMAS = {
    "compose.yaml": "vendor.compose-spec",
    ".github/dependabot.yml": "vendor.dependabot",
    ".github/workflows/*.yml": "vendor.github-workflows",
}


@pytest.mark.parametrize("pattern", SCHEMAS)
def test_the_files_of_docker_and_github_match_their_schemas(pattern: str, shared: Path) -> None:
    projects = [render_once(shared, **answers) for answers in CHOSEN]
    files = [path for folder in (*projects, REPOSITORY) for path in folder.glob(pattern)]
    schema = ("--builtin-schema", SCHEMAS[pattern])
    run(tool("check-jsonschema"), *schema, *files, cwd=shared)


def test_only_the_sources_of_the_package_reach_the_image(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", project_type="daemon")
    rules = (project / ".dockerignore").read_text().splitlines()
    admitted = [rule.strip("!/") for rule in rules if rule.startswith("!")]
    assert rules[1] == "*"
    assert sorted(admitted) == ["LICENSE", "README.md", "pyproject.toml", "src", "uv.lock"]


def test_the_image_has_the_newest_supported_python(tmp_path: Path) -> None:
    dockerfile = (render(tmp_path / "sample", project_type="daemon") / "Dockerfile").read_text()
    newest = questions()["python_version"]["choices"][-1]
    assert set(re.findall(r"FROM python:(.+?)-slim", dockerfile)) == {newest}


@dataclass(frozen=True)
class Image:
    """A Dockerfile: the stages with their instructions, each with its arguments."""

    stages: list[list[tuple[str, str]]]

    @classmethod
    def read(cls, file: Path) -> "Image":
        """Parse the instructions, of which each begins a line."""
        lines = file.read_text().replace("\\\n", " ").splitlines()
        stages: list[list[tuple[str, str]]] = []
        for line in lines:
            name, _, rest = line.partition(" ")
            if name == "FROM":
                stages.append([])
            elif name and name != "#":
                stages[-1].append((name, re.sub(" +", " ", rest)))
        return cls(stages)

    def get(self, name: str, stage: int = -1) -> list[str]:
        return [rest for each, rest in self.stages[stage] if each == name]

    def environment(self, stage: int = -1) -> dict[str, str]:
        words = " ".join(self.get("ENV", stage)).split()
        return dict(word.split("=", 1) for word in words)

    def arguments(self, name: str) -> list[str]:
        """Return the JSON array that an instruction of the last stage ends with."""
        found = [rest[rest.index("[") :] for rest in self.get(name)]
        return [str(word) for each in found for word in json.loads(each)]


def test_the_steps_of_a_build_install_the_project_as_locked(tmp_path: Path) -> None:
    """They run here in a folder that stands for /app, without a container and its base image."""
    project, app = render(tmp_path / "sample", project_type="daemon"), tmp_path / "app"
    run(UV, "lock", "--quiet", "--python", sys.executable, cwd=project)
    image = Image.read(project / "Dockerfile")
    environment = image.environment(0) | {
        "PATH": f"{UV.parent}:{os.environ['PATH']}",
        "UV_COMPILE_BYTECODE": "0",  # for want of time
        "UV_PYTHON": sys.executable,
    }
    app.mkdir()
    for name, rest in image.stages[0]:
        if name == "COPY" and not rest.startswith("--from"):
            *sources, _ = rest.split()
            for source in sources:
                copy: Any = shutil.copytree if source.endswith("/") else shutil.copy
                copy(project / source, app / source)
        elif name == "RUN":
            run("sh", "-c", re.sub(r"--mount=\S+", "", rest), cwd=app, env=environment)
    shutil.rmtree(app / "src")  # the image does not have it
    shown = run(app / ".venv/bin/sample", "--version", cwd=tmp_path).stdout
    assert shown == "sample 0.1.0\n"
    assert not (app / ".venv/bin/pytest").exists(), "the image has tools of development"


# Projects that other tests install too.
STARTED = [
    everything("daemon", state_stores=[], include_typed_state=False),
    everything("mcp_server", state_stores=[], include_typed_state=False),
    everything("state_server", state_stores=["json", "sqlite"]),
    everything("web_service", state_stores=["redis"], include_react_hook=False),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("answers", STARTED, ids=lambda answers: answers["project_type"])
def test_the_service_of_an_image_becomes_healthy_and_ends_in_order(
    answers: dict[str, Any], environment: ProjectEnvironment, shared: Path, tmp_path: Path
) -> None:
    project, state = render_once(shared, **answers), tmp_path / "state"
    folder = environment.install_once(project).folder / "bin"
    image = Image.read(project / "Dockerfile")
    assert image.get("USER") == ["10001:10001"]
    assert image.get("VOLUME") == ["/var/lib/sample"]
    state.mkdir(mode=0o700)
    variables = {
        name: value.replace("/var/lib/sample", str(state))
        for name, value in image.environment().items()
    }
    variables |= {"PATH": f"{folder}:{os.environ['PATH']}", "SAMPLE_TOKEN": "of-this-test-alone"}
    port = free_port()
    options = ["--port", str(port)] if image.get("EXPOSE") else []
    command = [*image.arguments("ENTRYPOINT"), *image.arguments("CMD"), *options]
    probe = [word.replace("8000", str(port)) for word in image.arguments("HEALTHCHECK")]

    def is_healthy() -> bool:
        return run(*probe, cwd=tmp_path, env=variables, check=False).returncode == 0

    assert not is_healthy()
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env=os.environ | variables, cwd="/", stdout=output, stderr=output
        ) as service,
    ):
        try:
            deadline = time.monotonic() + 30
            while not is_healthy():
                assert service.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
            service.send_signal(getattr(signal, *image.get("STOPSIGNAL")))
            assert service.wait(20) == 0, log.read_text()
        finally:
            service.kill()
