"""Real services, killed and flooded: accepted work is done, and its result is recorded once."""

import json
import os
import random
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

KILLS = 40

# Each attempt leaves a line and makes a result of its own, so that a second one is visible.
RECORDING = """
import secrets, sys
from pathlib import Path
from sample import service
from sample.paths import state_folder
from sample.work_queue import WorkQueue

class Recording(service.Service):
    def work(self, job):
        attempt = secrets.token_hex(8)
        with open(state_folder() / "attempts", "a") as attempts:
            attempts.write(f"{job.id} {attempt}\\n")
        return {"attempt": attempt, "outcome": super().work(job)}

service.Service = Recording
WorkQueue.KEPT = 100_000
sys.exit(service.run(state_folder(), "WARNING"))
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


@pytest.fixture
def daemon(tmp_path: Path, environment: ProjectEnvironment, shared: Path) -> Daemon:
    installed = environment.install_once(render_once(shared, project_type="daemon"))
    folder = tmp_path / "state"
    folder.mkdir()
    variables = {**os.environ, "SAMPLE_STATE_FOLDER": str(folder)}
    return Daemon(installed.tool("python"), folder, variables)


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
