"""Two state servers on one log have one document."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stores.redis_server import running
from support import render_once

PACKAGE = "desks"


@pytest.fixture(scope="session")
def source(shared: Path) -> Path:
    answers: dict[str, Any] = {"project_type": "state_server", "state_stores": ["redis"]}
    answers |= {"package_name": PACKAGE, "include_example": False}
    return render_once(shared, **answers) / "src"


def test_what_one_server_answers_the_other_has(source: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(source)}
    program = [sys.executable, "-m", PACKAGE]

    def serve(name: str, url: str) -> subprocess.Popen[str]:
        place = ["--socket", str(tmp_path / name), "--data", str(tmp_path / f"{name}-data")]
        process = subprocess.Popen(
            [*program, "serve", *place, "--store", "memory:", "--log", url],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline().startswith("Listening")
        return process

    def send(name: str, *words: str) -> Any:
        command = [*program, "send", *words, "--socket", str(tmp_path / name), "--json"]
        answer = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=30
        )
        return json.loads(answer.stdout)

    (tmp_path / "redis").mkdir()
    with running(tmp_path / "redis") as redis:
        url = f"{redis.url.partition('?')[0]}?namespace=song"  # as in the guide
        first, second = serve("one", url), serve("two", url)
        try:
            send("one", "project.new", "name=Song")
            send("one", "tally.count", "by=2", "--id", "client-one:1")
            first.kill()
            again = send("two", "tally.count", "by=2", "--id", "client-one:1")
            assert again["duplicate"]
            assert again["payload"] == {"tally": 2}
            assert send("two", "tally.count", "by=1")["payload"] == {"tally": 3}
            guide = (source.parent / "user-docs/how-to/run-several-workers.md").read_text()
            (stream,) = re.findall(r"redis-cli XLEN ([\w:]+)", guide)
            assert redis.ask("EXISTS", stream) == b":1\r\n"
            second.terminate()
            assert second.wait() == 0
        finally:
            for process in (first, second):
                process.kill()
                process.communicate()
