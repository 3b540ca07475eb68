"""Real services, killed and flooded: accepted work is done, and its result is recorded once."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support import ProjectEnvironment, render_once

# For a long run: HOLDFAST_SERVICE_KILLS=40.
KILLS = int(os.environ.get("HOLDFAST_SERVICE_KILLS", "15"))

# Each attempt leaves a line and makes a result of its own, so that a second one is visible.
RECORDING = """
import secrets, sys
from pathlib import Path
from sample import service
from sample.configuration import JobSettings, Source
from sample.paths import state_folder

class Recording(service.Service):
    def work(self, job):
        attempt = secrets.token_hex(8)
        with open(state_folder() / "attempts", "a") as attempts:
            attempts.write(f"{job.id} {attempt}\\n")
        return {"attempt": attempt, "outcome": super().work(job)}

service.Service = Recording
jobs = JobSettings(kept=100_000)
sys.exit(service.run(Source(None, {"jobs": jobs, "log_level": "WARNING"})))
"""


@dataclass
class Daemon:
    """A service that can be killed and started again, with the jobs that its clients know of."""

    python: Path
    folder: Path
    environment: dict[str, str]
    accepted: set[str] = field(default_factory=set[str])
    unanswered: set[str] = field(default_factory=set[str])

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it until the body has ended it; its log must be JSON."""
        address = self.folder / "control.json"
        address.unlink(missing_ok=True)
        log = self.folder.with_name("log")
        with log.open("ab") as stderr:
            process = subprocess.Popen(
                [self.python, "-c", RECORDING], stderr=stderr, env=self.environment
            )
        try:
            while not address.exists():
                assert process.poll() is None, log.read_text()
                time.sleep(0.002)
            yield process
        finally:
            process.kill()
            process.wait()
        for line in log.read_text().splitlines():
            json.loads(line)

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send a command as any client in any language would."""
        address = json.loads((self.folder / "control.json").read_bytes())
        request = {"token": address["token"], "command": command, "arguments": arguments}
        with (
            socket.create_connection(("127.0.0.1", address["port"]), timeout=30) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

    def submit(self, name: str) -> None:
        """Import a server as a job; record whether it was accepted."""
        self.unanswered.add(name)
        definitions = {name: {"url": f"https://{name}.example.org"}}
        try:
            answer = self.ask("import", definitions=definitions, job_id=name)
        except (OSError, ValueError):
            return
        if answer["status"] == "success":
            self.accepted.add(name)
        self.unanswered.discard(name)

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Read the jobs on disk; an id must be there once."""
        state = json.loads((self.folder / "queue.json").read_bytes())
        jobs = [*state["pending"], *state["done"]]
        by_id = {job["id"]: job for job in jobs}
        assert len(by_id) == len(jobs)
        return by_id

    def attempts(self) -> list[list[str]]:
        """Read the attempts at each job, the oldest first."""
        file = self.folder / "attempts"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def finish(self) -> None:
        """Let it do the remaining jobs; then every accepted job must have been done."""
        with self.running():
            while self.ask("status")["data"]["pending"]:
                time.sleep(0.02)
            names = self.ask("list")["data"]
        jobs, attempts = self.jobs(), self.attempts()
        assert jobs.keys() >= self.accepted
        assert jobs.keys() <= self.accepted | self.unanswered
        assert {job["state"] for job in jobs.values()} == {"finished"}
        assert names == sorted(jobs)
        made = {attempt: name for name, attempt in attempts}
        assert all(made[job["result"]["attempt"]] == name for name, job in jobs.items())


def make_daemon(environment: ProjectEnvironment, shared: Path, folder: Path) -> Daemon:
    installed = environment.install_once(render_once(shared, project_type="daemon"))
    folder.mkdir()
    variables = {**os.environ, "SAMPLE_STATE_FOLDER": str(folder)}
    return Daemon(installed.tool("python"), folder, variables)


@pytest.fixture
def daemon(tmp_path: Path, environment: ProjectEnvironment, shared: Path) -> Daemon:
    return make_daemon(environment, shared, tmp_path / "state")


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, environment: ProjectEnvironment, shared: Path
) -> Iterator[Daemon]:
    """Run a service for all tests that do it no harm."""
    daemon = make_daemon(environment, shared, tmp_path_factory.mktemp("daemon") / "state")
    with daemon.running():
        yield daemon


@contextmanager
def load(daemon: Daemon, number: int, clients: int = 3) -> Iterator[None]:
    """Submit without a pause while the body runs; first repeat the unanswered jobs."""
    ended = threading.Event()
    unanswered = [*daemon.unanswered]

    def submit(client: int) -> None:
        for name in unanswered[client::clients]:
            daemon.submit(name)
        for count in range(1_000_000):
            if ended.is_set():
                break
            daemon.submit(f"job-{number}-{client}-{count}")

    with ThreadPoolExecutor(clients) as pool:
        submitting = [pool.submit(submit, client) for client in range(clients)]
        try:
            yield
        finally:
            ended.set()
    for each in submitting:
        each.result()


def test_random_kills_lose_no_job_and_repeat_no_finished_one(daemon: Daemon) -> None:
    chance = random.Random(20)  # noqa: S311 - not for secrets
    finished: dict[str, Any] = {}
    for number in range(KILLS):
        before = len(daemon.attempts())
        with daemon.running() as process, load(daemon, number):
            time.sleep(chance.uniform(0, 0.25))
            process.kill()
            process.wait()
        jobs = daemon.jobs() if daemon.accepted else {}
        assert jobs.keys() >= daemon.accepted
        repeated = finished.keys() & {name for name, _ in daemon.attempts()[before:]}
        assert not repeated
        assert all(jobs[name]["result"] == result for name, result in finished.items())
        finished |= {name: job["result"] for name, job in jobs.items() if job["result"]}
    assert len(daemon.accepted) > KILLS, "the kills missed the work"
    assert len(finished) < len(daemon.accepted), "no kill came between work and result"
    daemon.finish()


def test_sigterm_under_load_loses_nothing_and_is_a_clean_end(daemon: Daemon) -> None:
    for number in range(5):
        with daemon.running() as process, load(daemon, number):
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        assert not (daemon.folder / "control.json").exists()
        assert daemon.jobs().keys() >= daemon.accepted
    assert len(daemon.accepted) > 20
    daemon.finish()


def test_a_flood_of_clients_loses_nothing(daemon: Daemon) -> None:
    with daemon.running(), ThreadPoolExecutor(150) as clients:
        list(clients.map(daemon.submit, [f"flood-{count}" for count in range(300)]))
        assert daemon.ask("status")["data"]["healthy"]
        assert len(daemon.accepted) == 300
    daemon.finish()


def answer_to(daemon: Daemon, data: bytes) -> dict[str, Any]:
    """Send these bytes, end the connection on this side, and return the answer."""
    address = json.loads((daemon.folder / "control.json").read_bytes())
    with (
        socket.create_connection(("127.0.0.1", address["port"]), timeout=30) as connection,
        connection.makefile("rb") as answers,
    ):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer: dict[str, Any] = json.loads(answers.readline())
        return answer


@pytest.mark.parametrize("token", ["", "wrong", "\udcff", "é"], ids=ascii)
def test_a_wrong_token_is_refused(running: Daemon, token: str) -> None:
    request = {"token": token, "command": "stop", "arguments": {}}
    answer = answer_to(running, json.dumps(request).encode() + b"\n")
    assert answer["error_code"] == "unauthenticated"
    assert running.ask("status")["status"] == "success"


# One byte more than the longest line, and four times as much.
TOO_LONG, FAR_TOO_LONG = b"x" * (256 * 1024 + 1) + b"\n", b"x" * 1024 * 1024


@pytest.mark.parametrize(
    "request_line",
    [
        b"\n",
        b"\xff\n",
        b"{}\n",
        b"[]\n",
        b'{"token": 5, "command": "stop", "arguments": {}}\n',
        b"9" * 5000 + b"\n",
        b"[" * 100_000 + b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
        b"no line end",
        TOO_LONG,
        FAR_TOO_LONG,
    ],
    ids=range(12),
)
def test_a_malformed_request_is_an_error_and_changes_nothing(
    running: Daemon, request_line: bytes
) -> None:
    assert answer_to(running, request_line)["error_code"] == "invalid_input"
    assert running.ask("status")["status"] == "success"


def test_silent_clients_use_up_connections_and_do_no_other_harm(daemon: Daemon) -> None:
    with daemon.running():
        daemon.submit("before")
        address = json.loads((daemon.folder / "control.json").read_bytes())
        with ExitStack() as idle:
            for _ in range(300):
                there = ("127.0.0.1", address["port"])
                idle.enter_context(socket.create_connection(there, timeout=30))
            daemon.submit("meanwhile")
            assert daemon.unanswered == {"meanwhile"}
        while daemon.unanswered:
            daemon.submit("meanwhile")
    daemon.finish()


@pytest.mark.parametrize("example", [True, False])
def test_the_readme_lets_a_job_survive_a_kill(
    example: bool, environment: ProjectEnvironment, shared: Path, tmp_path: Path
) -> None:
    rendered = render_once(shared, project_type="daemon", include_example=example)
    installed = environment.install_once(rendered)
    project = shutil.copytree(rendered, tmp_path / "sample")
    code = project / "src/sample/service.py"
    head, work, body = code.read_text().partition("    def work(")
    line = "\n        time.sleep(3)\n        return "
    code.write_text(f"{head}{work}{body.replace(chr(10) + '        return ', line, 1)}")
    (tmp_path / "servers.json").write_text('{"docs": {"url": "https://docs.example.org"}}')
    variables = {
        **os.environ,
        "PATH": f"{installed.tool('python').parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(project / "src"),
        "SAMPLE_STATE_FOLDER": str(tmp_path / "state"),
    }

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sample", "run"], env=variables, stderr=subprocess.PIPE)
        assert process.stderr
        assert any(b'"Ready"' in line for line in process.stderr)
        return process

    def follow(block: str) -> None:
        for command, *expected in (
            each.splitlines() for each in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        ):
            script = f'uv() {{ shift; "$@"; }}; {command} 2>&1'
            options: Any = {"env": variables, "cwd": tmp_path, "text": True, "check": True}
            shown = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, **options)
            assert shown.stdout.splitlines() == expected

    readme = (project / "README.md").read_text()
    section = readme.partition("### Watch a job survive\n")[2].partition("\n### ")[0]
    assert "after the docstring of `work()`" in section, "as above; before it, ruff refuses it"
    kill, wait = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    with start() as killed:
        follow(kill)
        assert killed.wait(10) == -signal.SIGKILL
    with start() as process:
        follow(wait)
        process.terminate()


def test_the_readme_names_the_code_that_a_user_replaces(shared: Path) -> None:
    projects = [
        render_once(shared, project_type="daemon", include_example=example)
        for example in (True, False)
    ]
    with_example, without = [
        {*re.findall(r"^(?:def )?(\w+)(?:\(| = )", file.read_text(), re.MULTILINE)}
        for file in (project / "src/sample/commands.py" for project in projects)
    ]
    readme = (projects[0] / "README.md").read_text()
    section = readme.partition("### Replace the work with your own\n")[2].partition("\n`--json`")[0]
    named = {*re.findall(r"`([\w.]+)(?:\(\))?`", section)}
    of_the_registry = {"Name", "add", "get", "list_names", "remove", "_parse_server"}
    assert with_example - without - of_the_registry <= named
    assert named >= {"work", "self.commands", "submit_by_command", "registry.py"}


def test_the_readme_and_the_help_say_how_long_an_id_prevents_a_second_run(shared: Path) -> None:
    project = render_once(shared, project_type="daemon")
    for name in ("README.md", "src/sample/commands.py"):
        assert "runs once, while its job is remembered" in (
            (project / name).read_text().replace("run once", "runs once")
        )


# Every line of the block must be a setting, with its default.
COMPARE = """
import sys
from pathlib import Path
from sample.configuration import Configuration, Source, _names

folder = {"state_folder": Path.cwd()}
assert Source(Path(sys.argv[1]), folder).load() == Configuration(**folder)
print(*_names(Configuration))
"""


@pytest.mark.parametrize("persistence", [True, False])
def test_the_readme_shows_every_setting_with_its_default(
    persistence: bool, environment: ProjectEnvironment, shared: Path, tmp_path: Path
) -> None:
    project = render_once(
        shared, project_type="daemon", include_persistence_helpers=persistence, include_docs=False
    )
    installed = environment.install_once(project)
    readme = (project / "README.md").read_text()
    block = re.search(r"^```toml\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    assert block
    file = tmp_path / "config.toml"
    file.write_text(block[1])
    names = installed.run("python", "-c", COMPARE, file, cwd=tmp_path).split()
    shown = re.findall(r"^(\w+) = ", block[1], re.MULTILINE)
    assert sorted(shown) == sorted(name.rpartition(".")[2] for name in names)
