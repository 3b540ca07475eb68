"""A state server as its user runs it: real processes, killed, and the README to the letter."""

import contextlib
import itertools
import json
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support import Environment, ProjectEnvironment, render_once, run

# For a long run: HOLDFAST_ENGINE_KILLS=50.
KILLS = int(os.environ.get("HOLDFAST_ENGINE_KILLS", "5"))
START_SECONDS = 20.0

# Builds a project by the commands of the worked example, and returns the view of all states.
EDIT = """
import asyncio, json, sys
from sample.server.client import Client

async def main():
    async with Client.connect(sys.argv[1], name="editor") as client:
        async def do(name, /, **payload):
            return (await client.send(*name.split("."), payload)).payload

        await do("project.new", name="Song")
        drums = (await do("tracks.addTrack", name="Drums"))["track"]
        kick = (await do("tracks.addTrack", name="Kick", parent=drums, channel="Kick"))
        snare = (await do("tracks.addTrack", name="Snare", parent=drums, channel="Snare"))
        synth = (await do("tracks.addTrack", name="Synth", channel="Synth", index=0))
        for track in (kick, snare):
            lane = (await do("tracks.addLane", track=track["track"]))["lane"]
            for start in (0.0, 4.0):
                await do("tracks.addClip", lane=lane, start=start, length=4.0, media="hit.wav")
        source = (await do("nodes.addNode", channel=synth["channel"], kind="synth"))["node"]
        effect = (await do("nodes.addNode", channel=synth["channel"], kind="effect"))["node"]
        meter = (await do("nodes.addNode", channel=kick["channel"], kind="meter"))["node"]
        await do("nodes.connect", source=source, target=effect, kind="audio")
        await do("nodes.connect", source=effect, target=meter, kind="audio")
        await do("tracks.moveTrack", track=snare["track"], index=0)
        await do("project.save")
        await do("tracks.renameTrack", track=drums, name="Percussion")
        await do("nodes.disconnect", source=effect, target=meter, kind="audio")
        await do("transport.setTempo", tempo=90.0)
        print(json.dumps(await client.view()))

asyncio.run(main())
"""
UNDO_AND_REDO = """
import asyncio, json, sys
from sample.server.client import Client, CommandRefused

async def main():
    async with Client.connect(sys.argv[1], name="editor") as client:
        async def repeat(command, code):
            count = 0
            while True:
                try:
                    await client.send("history", command)
                except CommandRefused as refused:
                    assert refused.code == code, refused.code
                    return count
                count += 1

        view = await client.view()
        undone = await repeat("undo", "nothing_to_undo")
        empty = (await client.view())["project"]
        redone = await repeat("redo", "nothing_to_redo")
        again = (await client.view())["project"]
        counts = {"undone": undone, "redone": redone}
        print(json.dumps({"view": view, "empty": empty, "again": again, **counts}))

asyncio.run(main())
"""
# Counts by one, and prints each number when it is acknowledged, until it is ended.
COUNT = """
import asyncio, sys
from sample.server.client import Client

async def main():
    async with Client.connect(sys.argv[1], name="counter") as client:
        while True:
            reply = await client.send("tally", "count", {"by": 1})
            print(reply.payload["tally"], flush=True)

asyncio.run(main())
"""

# Saves until edits went on beside six saves, and prints the tally before and after each save.
SAVE_BETWEEN = """
import asyncio, json, sys
from sample.server.client import Client

async def main():
    async with Client.connect(sys.argv[1], name="saver") as client:
        async def tally():
            return (await client.send("tally", "count", {"by": 0})).payload["tally"]

        found = {}
        while sum(before < after for before, after in found.values()) < 6:
            before = await tally()
            version = (await client.send("project", "save")).payload["version"]
            found[version] = [before, await tally()]
        print(json.dumps(found))

asyncio.run(main())
"""
# Saves, and prints each version when it is acknowledged, until it is ended.
SAVE = """
import asyncio, sys
from sample.server.client import Client

async def main():
    async with Client.connect(sys.argv[1], name="saver") as client:
        while True:
            print((await client.send("project", "save")).payload["version"], flush=True)

asyncio.run(main())
"""
# Prints the tally, and that of each version; then goes on with the newest one.
CHECK = """
import asyncio, json, sys
from sample.server.client import Client

async def main():
    async with Client.connect(sys.argv[1], name="checker") as client:
        async def tally():
            return (await client.send("tally", "count", {"by": 0})).payload["tally"]

        found = {"tally": await tally(), "versions": {}}
        project = (await client.request("status"))["project"]["project"]
        [listed] = (await client.send("project", "list")).payload["projects"] or [None]
        if listed:
            answer = await client.send("project", "versions", {"project": project})
            for version in reversed([each["version"] for each in answer.payload["versions"]]):
                await client.send("project", "openVersion", {"version": version, "discard": True})
                found["versions"][version] = await tally()
        print(json.dumps(found))

asyncio.run(main())
"""


@dataclass
class Desk:
    """A folder for servers of one project, with the programs that are installed for it.

    Attributes:
        project: The project.
        installed: The environment of the project.
        folder: The folder for socket and data; its path is short, as that of a socket must be.
    """

    project: Path
    installed: Environment
    folder: Path
    servers: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def socket(self) -> Path:
        return self.folder / "server.sock"

    @property
    def variables(self) -> dict[str, str]:
        own = {"SAMPLE_SOCKET": str(self.socket), "SAMPLE_DATA": str(self.folder / "data")}
        return {**os.environ, **own}

    def serve(self, *options: str) -> subprocess.Popen[str]:
        """Start a server, and wait until it is ready."""
        log = self.servers.enter_context((self.folder / "log").open("a"))
        server = self.servers.enter_context(
            subprocess.Popen(
                [self.installed.tool("sample"), "serve", *options],
                env=self.variables,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        )
        self.servers.callback(server.kill)
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line == f"Listening on {self.socket}\n", (self.folder / "log").read_text()
        return server

    def run(self, *words: str, status: int = 0) -> str:
        """Run a command of the program, and return its output."""
        command: tuple[str | Path, ...] = (self.installed.tool("sample"), *words)
        result = run(*command, cwd=self.folder, env=self.variables, check=False)
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout + result.stderr

    def send(self, *words: str) -> Any:
        """Send a command, and return the payload of the reply."""
        return json.loads(self.run("send", *words, "--json"))["payload"]

    def python(self, program: str) -> Any:
        """Run a program of a client, and return its output."""
        return json.loads(self.installed.run("python", "-c", program, self.socket, cwd=self.folder))

    def start(self, program: str) -> subprocess.Popen[str]:
        """Start a program of a client that prints what is acknowledged until it is ended."""
        command: list[str | Path] = [self.installed.tool("python"), "-c", program, self.socket]
        client = self.servers.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        )
        self.servers.callback(client.kill)
        return client


def numbers_of(client: subprocess.Popen[str]) -> list[int]:
    """End a client, and return what it has printed."""
    client.kill()
    assert client.stdout is not None
    return [int(line) for line in client.stdout if line.endswith("\n")]


@contextlib.contextmanager
def make_desk(shared: Path, environment: ProjectEnvironment, **answers: Any) -> Iterator[Desk]:
    project = render_once(shared, project_type="state_server", **answers)
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(project, environment.install_once(project), Path(folder))
        with desk.servers:
            yield desk


@pytest.fixture
def desk(shared: Path, environment: ProjectEnvironment) -> Iterator[Desk]:
    """Servers of the worked example."""
    with make_desk(shared, environment) as desk:
        yield desk


@pytest.fixture
def tally_desk(shared: Path, environment: ProjectEnvironment) -> Iterator[Desk]:
    """Servers without the example."""
    with make_desk(shared, environment, include_example=False) as desk:
        yield desk


def test_a_song_survives_a_kill_and_is_undone_and_redone(desk: Desk) -> None:
    server = desk.serve()
    view = desk.python(EDIT)
    assert view["session"]["tempo"] == 90.0
    server.send_signal(signal.SIGKILL)
    server.wait()
    desk.serve()
    found = desk.python(UNDO_AND_REDO)
    assert found["view"] == view
    assert not any(found["empty"].values()), found["empty"]
    assert json.dumps(found["again"]) == json.dumps(view["project"])
    assert found["undone"] == found["redone"] == 18
    open_now = json.loads(desk.run("status", "--json"))["project"]
    assert (open_now["name"], open_now["version"], open_now["unsaved"]) == ("Song", 1, True)


def test_a_song_is_opened_as_it_was_saved(desk: Desk) -> None:
    server = desk.serve()
    desk.python(EDIT)
    saved = desk.send("project.save")
    before = desk.send("tracks.list")
    desk.send("project.close")
    server.send_signal(signal.SIGTERM)
    assert server.wait(10) == 0
    assert not desk.socket.exists()
    desk.serve()
    desk.send("project.open", f"project={saved['project']}")
    assert desk.send("tracks.list") == before


@pytest.mark.parametrize("example", [True, False])
def test_the_readme_shows_what_happens(
    example: bool, shared: Path, environment: ProjectEnvironment
) -> None:
    with make_desk(shared, environment, include_example=example) as desk:
        readme = (desk.project / "README.md").read_text()
        found = re.search(r"^## Use\n.*?```console\n(.*?)```", readme, re.DOTALL | re.MULTILINE)
        assert found is not None
        lines = re.findall(r"^\$ (.+)$", found[1], re.MULTILINE)
        assert "kill -9 $server" in lines
        # A person goes on once the server has said that it is ready.
        ready = "until [ $(grep -c 'Listening on' said) = {} ]; do sleep 0.05; done"
        starts = itertools.count(1)
        # A person may have started other jobs.
        script = ["set -m", "exec > said 2>&1", "sleep 60 & other=$!"]
        for line in lines:
            script += [line, ready.format(next(starts))] if "serve &" in line else [line]
            script += ["sleep 0.5"] if "watch" in line else []
        script += ["kill $other && echo Only the server was killed"]
        script += ["kill -9 $(jobs -p); wait"]
        path = f"{desk.installed.tool('sample').parent}:{os.environ['PATH']}"
        subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=desk.folder,
            env={**desk.variables, "PATH": path},
            check=False,
            timeout=60,
        )
        said = (desk.folder / "said").read_text()
    assert said.count("Listening on") == 2, said
    assert "Only the server was killed" in said, said
    if example:
        last = said[said.rindex('{"tracks"') :]
        assert re.findall(r"Bass|Drums|Keys", last) == ["Bass", "Keys"], said
        assert '"name": "Drums"' in said  # watched, or printed, before the undo
    else:
        assert '{"tally": 7}' in said[said.rindex("Listening on") :].splitlines(), said


def test_two_servers_on_one_place_are_one_too_many(desk: Desk, tmp_path: Path) -> None:
    server = desk.serve()
    for more in ((), ("--socket", str(tmp_path / "other.sock")), ("--data", str(tmp_path))):
        said = desk.run("serve", *more, status=3)
        assert f"process {server.pid}" in said, said
    assert json.loads(desk.run("status", "--json"))["pid"] == server.pid


def test_without_a_server_a_client_says_so(desk: Desk) -> None:
    for command in (("send", "project.list"), ("status",), ("watch",)):
        assert "`python -m sample serve`" in desk.run(*command, status=3)


def test_a_damaged_journal_stays_untouched_until_a_new_one_is_wanted(desk: Desk) -> None:
    server = desk.serve()
    desk.send("project.new", "name=Song")
    saved = desk.send("project.save")
    server.send_signal(signal.SIGTERM)
    server.wait()
    journal = desk.folder / "data/session.edits"
    damaged = b"x" * 100 + journal.read_bytes()[100:]
    journal.write_bytes(damaged)
    said = desk.run("serve", status=1)
    for part in (str(journal), "version 1 of 'Song'", "--journal new"):
        assert part in said
    assert journal.read_bytes() == damaged
    desk.serve("--journal", "new")
    desk.send("project.open", f"project={saved['project']}")
    [moved] = [*journal.parent.glob("session.edits.damaged-*Z")]
    assert moved.read_bytes() == damaged


def test_a_save_stores_one_moment_while_edits_go_on(tally_desk: Desk) -> None:
    desk = tally_desk
    desk.serve("--versions", "5")
    desk.send("project.new", "name=Count")
    counter = desk.start(COUNT)
    assert counter.stdout is not None
    counter.stdout.readline()
    tallies = desk.python(SAVE_BETWEEN)
    counter.kill()
    versions = desk.python(CHECK)["versions"]
    assert [*versions] == [*tallies][-5:]
    for version, tally in versions.items():
        before, after = tallies[version]
        assert before <= tally <= after


def test_a_kill_during_saves_loses_no_edit_and_breaks_no_version(tally_desk: Desk) -> None:
    desk, chooser = tally_desk, random.Random(13)  # noqa: S311 - it chooses moments
    server = desk.serve()
    desk.send("project.new", "name=Count")
    counted, saved, highest = 0, 0, 0
    for _ in range(KILLS):
        counter, saver = desk.start(COUNT), desk.start(SAVE)
        assert saver.stdout is not None
        first = int(saver.stdout.readline())
        time.sleep(chooser.uniform(0, 0.3))
        server.send_signal(signal.SIGKILL)
        server.wait()
        counted = max([counted, *numbers_of(counter)])
        saved = max([saved, first, *numbers_of(saver)])
        highest = max(highest, counted)
        server = desk.serve()
        found = desk.python(CHECK)
        versions = {int(version): tally for version, tally in found["versions"].items()}
        assert counted <= found["tally"] <= highest + 1
        assert saved <= max(versions, default=0) <= saved + 1
        # The numbers rise from version to version, and each was counted once.
        tallies = [versions[version] for version in sorted(versions)]
        assert tallies == sorted(tallies)
        assert max(tallies, default=0) <= highest + 1
        if versions:
            counted, saved = tallies[-1], max(versions)  # what the check has opened last
    assert saved >= KILLS


def test_unsaved_work_is_kept_in_drafts(tally_desk: Desk) -> None:
    desk = tally_desk
    desk.serve("--draft-every", "1")
    project = desk.send("project.new", "name=Count")["project"]
    desk.send("tally.count", "by=3")
    deadline = time.monotonic() + START_SECONDS
    while not desk.send("project.list")["projects"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    desk.send("project.close", "discard=true")
    desk.send("project.open", f"project={project}", "draft=newer")
    assert desk.send("tally.count", "by=0") == {"tally": 3}


def seconds_used(process: subprocess.Popen[str]) -> float:
    """Return the processor time of a process, which other processes do not change."""
    numbers = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def test_it_starts_in_half_a_second_more_than_python(desk: Desk) -> None:
    starts, bare = list[float](), list[float]()
    for _ in range(5):
        server = desk.serve()
        starts.append(seconds_used(server))
        server.send_signal(signal.SIGTERM)
        server.wait()
        program, pipe = "print(flush=True); input()", subprocess.PIPE
        command = [str(desk.installed.tool("python")), "-c", program]
        with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe) as python:
            assert python.stdout is not None
            assert python.stdout.readline()
            bare.append(seconds_used(python))
            python.communicate("\n")
    assert min(starts) - min(bare) < 0.5
