"""Scaffold three projects, install them, run them, kill them, and see their state survive.

The demo checks everything that it prints after "held". The first failed check ends the
demo with exit status 1.
"""

import argparse
import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.text import Text
from support import REPOSITORY, UV, copy_template, files_of, questions

PROJECT = "weather-station"
STATE_FILE = "WEATHER_STATION_STATE_FILE"
# Copier records where a project came from. No other project came from a template that lay in
# the current folder under this name, so it identifies the demo's own.
TEMPLATE = "holdfast"

ANSWERS = {
    "project_type": "cli_tool",
    "project_name": PROJECT,
    "package_name": "weather_station",
    "project_description": "Knows which servers have the weather",
    "author_name": "Ada Lovelace",
    "author_email": "ada@example.org",
    "repository_owner": "",
    "license": "MIT",
    "python_version": "3.11",
    **{name: True for name in questions() if name.startswith("include_")},
}

SERVER = "song-desk"
# A track in the reply to tracks.list.
NAME = '"name": "[^"]*"'
# Columns of a reply that are shown.
COLUMNS = 88
SERVER_ANSWERS = {"project_type": "state_server", "project_name": SERVER}

CHAT = "open-chat"
CHAT_ANSWERS = {
    "project_type": "web_service",
    "project_name": CHAT,
    "include_typed_state": True,
    "include_live_state": True,
}
CHAT_PORT = "8000"

SERVERS = {
    "github": {"url": "https://github.example.org"},
    "gitlab": {"url": "https://gitlab.example.org"},
    "gitea": {"url": "https://gitea.example.org"},
}
IMPORTED = {
    "docs": {"url": "https://docs.example.org"},
    "gitea": {"url": "https://gitea.example.net"},
    "lint": {"command": "ruff", "args": ["server"]},
    "news": {"url": "news.example.org"},
}

# Stops the program where a save is most at risk: the new state is written, and not yet renamed
# over the old one. It goes on as soon as its input ends, so it never outlives the demo.
STOP_BEFORE_RENAME = """
import fcntl, os, sys
from weather_station.cli import app

def stop(descriptor):
    print("stopped", flush=True)
    sys.stdin.read()

os.fsync = stop
vars(fcntl).pop("F_FULLFSYNC", None)  # what macOS has in its place
app()
"""

# Settings of a terminal, a virtual environment or a test would change the output.
OTHERS_SETTINGS = ("FORCE_COLOR", "PYTEST", "PYTHON", "UV_PROJECT", "UV_PYTHON", "VIRTUAL_ENV")


class StoppedError(Exception):
    """A check has failed, or the demo must not go on."""


class Screen:
    """The output for the person in front of it; plain lines where there is no terminal."""

    def __init__(self, console: Console, folder: Path) -> None:
        self._console = console
        self._folder = folder

    def step(self, title: str) -> None:
        self._print(Text(f"\n{title}", style="bold"))

    def command(self, *words: str, comment: str = "") -> None:
        remark = f"  # {comment}" if comment else ""
        self._print(Text.assemble(("  $ ", "dim"), (" ".join(words), "cyan"), (remark, "dim")))

    def lines(self, lines: Sequence[str]) -> None:
        """Show the output of a command, without the part that is the same in every line."""
        for line in lines:
            line = line.rstrip("\n").replace(str(self._folder), "...")
            self._print(Text("  " + re.sub(r"\b([0-9a-f]{24})[0-9a-f]{8,}\b", r"\1...", line)))

    def held(self, fact: str) -> None:
        self._print(Text.assemble(("  held", "bold green"), f"  {fact}"))

    def waiting(self, reason: str) -> contextlib.AbstractContextManager[object]:
        """Show that something goes on, where the line can be erased again."""
        if self._console.is_interactive:
            return self._console.status(reason, spinner="line")
        return contextlib.nullcontext()

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


class Act:
    """A part of the demo, with a project of its own.

    Args:
        name: The name of the project.
        folder: The folder for the project and its state.
        screen: Where to print.
    """

    def __init__(self, name: str, folder: Path, screen: Screen) -> None:
        self.folder = folder.resolve()
        self.project = self.folder / name
        self._name = name
        self._screen = screen
        self._environment = {
            k: v for k, v in os.environ.items() if not k.startswith(OTHERS_SETTINGS)
        }

    def _make_project(self, answers: Mapping[str, object]) -> None:
        """Show how a project is made from these answers, and installed to be run only."""
        data = [f"{name}={value}" for name, value in answers.items()]
        self._copy_template(*(word for each in data for word in ("--data", each)))
        self._install("--no-dev")

    def _copy_template(self, *options: str, answers: Mapping[str, object] | None = None) -> None:
        """Show how the project is scaffolded."""
        self._remove_the_last_one()
        with tempfile.TemporaryDirectory() as temporary:
            copy_template(Path(temporary, TEMPLATE))
            if answers:
                Path(temporary, "answers.yml").write_text(yaml.safe_dump(answers))
            command = ("copier", "copy", "--defaults", *options, TEMPLATE)
            self._screen.command(*command, self._shown_project())
            with self._screen.waiting("Rendering"):
                self._run(sys.executable, "-m", *command, self.project, folder=Path(temporary))
        self._screen.lines([count_files(list(files_of(self.project)))])

    def _install(self, *options: str) -> None:
        """Show how the project is installed, into an environment of its own."""
        self._screen.command("cd", self._shown_project())
        self._screen.command("uv sync", *options)
        with self._screen.waiting("Installing; the first time it downloads"):
            self._run(UV, "sync", *options, "--python", sys.executable)
        packages = list(self.project.glob(".venv/lib/python*/site-packages/*.dist-info"))
        self._screen.lines([f"{len(packages)} packages"])
        self._screen.command("source .venv/bin/activate")

    def _remove_the_last_one(self) -> None:
        if not os.path.lexists(self.project):
            return
        if not is_of_the_demo(self.project):
            raise StoppedError(
                f"{self.project} is there already, and is not (or no longer) the demo's own.\n"
                "Move it away, or choose another place with --folder."
            )
        shutil.rmtree(self.project)

    def _run_program(self, *arguments: str, status: int = 0) -> list[str]:
        """Run the project's program, show it, and return the lines it printed."""
        self._screen.command(self._name, shlex.join(arguments))
        lines = self._run(self._installed(self._name), *arguments, status=status).splitlines()
        self._screen.lines(lines)
        return lines

    def _run(self, *command: str | Path, folder: Path | None = None, status: int = 0) -> str:
        """Run a command that must end with that status, and return its output."""
        result = subprocess.run(
            command,
            cwd=folder or self.project,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != status:
            shown = shlex.join(str(word) for word in command)
            said = f"{result.stdout}{result.stderr}"
            raise StoppedError(f"{shown} ended with {result.returncode}:\n{said}")
        return f"{result.stdout}{result.stderr}"

    def _hold(self, holds: bool, fact: str) -> None:
        if not holds:
            raise StoppedError(f"This did not hold: {fact}.")
        self._screen.held(fact)

    def _installed(self, name: str) -> Path:
        return self.project / ".venv" / "bin" / name

    def _from_project(self, path: Path) -> str:
        return os.path.relpath(path, self.project)

    def _shown_project(self) -> str:
        """Return the project's path as a person would type it here."""
        here = Path.cwd()
        near = self.project.is_relative_to(here)
        return shlex.quote(f"./{self.project.relative_to(here)}" if near else str(self.project))


class Demo(Act):
    """The steps of the demo, each of which needs those before it.

    Args:
        folder: The folder for the projects and the state of the programs.
        console: Where to print.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        super().__init__(PROJECT, folder, Screen(console, folder.resolve()))
        self.state_file = self.folder / f"{PROJECT}-state" / "registry.json"
        self._environment[STATE_FILE] = self._from_project(self.state_file)
        self._server = ServerAct(SERVER, folder, self._screen)
        self.chat = ChatAct(CHAT, folder, self._screen)

    def play(self) -> None:
        """Show everything; raises StoppedError at the first failed check."""
        self.scaffold()
        self.install()
        self.use()
        self.kill_in_the_middle_of_a_save()
        self.test()
        self._server.play()
        self.chat.play()
        self.say_what_to_try_next()

    def scaffold(self) -> None:
        self._screen.step("1. Scaffold a project, with everything on")
        self._copy_template("--data-file", "answers.yml", answers=ANSWERS)

    def install(self) -> None:
        self._screen.step("2. Install it, into an environment of its own")
        self._install()

    def use(self) -> None:
        self._screen.step("3. Run its program: each process knows what the last one did")
        self.state_file.unlink(missing_ok=True)
        self._screen.command("export", f"{STATE_FILE}={self._environment[STATE_FILE]}")
        for name, definition in SERVERS.items():
            self._run_program("add", name, json.dumps(definition))
        self._hold(
            self._run_program("list") == sorted(SERVERS), "another process knows all three servers"
        )

        self._screen.step("4. Get it wrong, in three ways")
        self._hold(
            self._run_program("get", "githbu", status=1)
            == ["Error: Server 'githbu' not found. Did you mean 'github'?"],
            "a typing error is corrected, by the one name that was meant",
        )
        before = self.state_file.read_bytes()
        refused = self._run_program(
            "add", "lint", '{"command": "ruff", "env": {"PORT": 80}}', status=2
        )
        self._hold(
            "$.env.PORT" in "".join(refused) and self.state_file.read_bytes() == before,
            "a bad definition is refused, with the place where it is bad",
        )
        imported = self.folder / f"{PROJECT}-servers.json"
        imported.write_text(json.dumps(IMPORTED, indent=2))
        self._run_program("import", self._from_project(imported), status=3)
        self._hold(
            self._run_program("list") == sorted([*SERVERS, "docs", "lint"]),
            "what could be imported is there, what could not be is named, with the reason",
        )

    def kill_in_the_middle_of_a_save(self) -> None:
        self._screen.step("5. Kill it with SIGKILL, in the middle of a save")
        before = self.state_file.read_bytes()
        status = self._kill_before_rename("add", "backup", '{"command": "restic"}')
        left = self._list_state_folder()
        self._hold(
            status == -signal.SIGKILL and [("backup" in names_in(path)) for path in left] == [True],
            "it was killed with the new state written, and not yet in place",
        )
        self._hold(
            self.state_file.read_bytes() == before and "lint" in names_in(self.state_file),
            f"{self.state_file.name} is valid, and byte for byte as before",
        )
        self._hold(
            self._run_program("list") == names_in(self.state_file),
            "the next run works, with what was known before the kill",
        )
        self._hold(self._list_state_folder() == [], "it has swept away what the kill had left")

    def test(self) -> None:
        self._screen.step("6. Run its own tests, which came with it")
        self._screen.command("pytest", "--quiet")
        with self._screen.waiting("Testing"):
            report = self._run(self._installed("pytest"), "--quiet")
        summary = re.sub(r" in [\d.]+s\b.*", "", report.splitlines()[-1])
        self._screen.lines([summary])
        self._hold(
            re.match(r"\d+ passed", summary) is not None,
            "its modules, its program and every example of its guides do what they say",
        )

    def say_what_to_try_next(self) -> None:
        self._screen.step(f"Everything held. The project is in {self._shown_project()}; try:")
        if shutil.which("uv") is None:
            path = f'PATH="{UV.parent}:$PATH"'
            self._screen.command("export", path, comment="uv, which the rest needs")
        self._screen.command("cd", self._shown_project())
        self._screen.command("export", f"{STATE_FILE}={self._environment[STATE_FILE]}")
        self._screen.command("uv run", PROJECT, "get githbu")
        self._screen.command("make test", comment="shows what the tests do not reach: nothing")
        self._screen.command("make serve", comment="its guides, at http://127.0.0.1:8001")
        self._screen.command("cd", f"../{SERVER}", comment="its README has commands to try")
        self._screen.command("cd", f"../{CHAT}", comment="the chat, which browsers share")
        self._screen.command("make pyodide", comment="once: Python for the browser")
        self._screen.command(
            "uv run", CHAT, comment=f"open http://127.0.0.1:{CHAT_PORT} in two windows"
        )

    def _kill_before_rename(self, *arguments: str) -> int:
        """Show how the program is killed, and return its status."""
        self._screen.command(PROJECT, shlex.join(arguments), comment="stopped in os.fsync, killed")
        with subprocess.Popen(
            [self._installed("python"), "-c", STOP_BEFORE_RENAME, *arguments],
            cwd=self.project,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                said = list(itertools.takewhile(lambda line: line != "stopped\n", process.stdout))
            finally:
                process.kill()
        self._screen.lines(said)
        if process.returncode < 0:
            self._screen.lines([str(signal.strsignal(-process.returncode))])
        return process.returncode

    def _list_state_folder(self) -> list[Path]:
        """Show the files in the folder of the state, and return those other than the state."""
        self._screen.command("ls -A", self._from_project(self.state_file.parent))
        found = sorted(self.state_file.parent.iterdir())
        self._screen.lines([path.name for path in found])
        # The lock file stays.
        stays = (self.state_file.name, f".{self.state_file.name}.lock")
        return [path for path in found if path.name not in stays]


class ServerAct(Act):
    """The second act: a server of a document, which is killed with unsaved edits."""

    def play(self) -> None:
        """Show everything; raises StoppedError at the first failed check."""
        self._screen.step("7. Scaffold a state server: one process owns a document")
        self._make_project(SERVER_ANSWERS)
        # A folder of its own: the path of a socket must be short.
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
            self._environment["SONG_DESK_SOCKET"] = f"{folder}/desk.sock"
            self._environment["SONG_DESK_DATA"] = f"{folder}/data"
            self.edit(servers)

    def edit(self, servers: contextlib.ExitStack) -> None:
        self._screen.step("8. Edit the document, and kill the server with SIGKILL")
        server = self._serve(servers)
        self._send("project.new", "name=First")
        for name in ("Bass", "Drums"):
            self._send("tracks.addTrack", f"name={name}")
        self._send("history.undo")
        self._send("project.save")
        self._send("tracks.addTrack", "name=Keys")
        self._screen.command("kill -9", "$!")
        server.kill()
        server.wait()
        self._serve(servers)
        self._hold(
            self._list_tracks() == ["Bass", "Keys"],
            "everything acknowledged is there, the edit after the last save too",
        )
        for _ in range(2):
            self._send("history.undo")
        self._hold(
            self._list_tracks() == [],
            "undo goes back to the beginning, past the kill and the save",
        )

    def _serve(self, servers: contextlib.ExitStack) -> subprocess.Popen[str]:
        """Start the server in the background, until the end of the act at the latest."""
        self._screen.command(SERVER, "serve &")
        server = servers.enter_context(
            subprocess.Popen(
                [self._installed(SERVER), "serve"],
                cwd=self.project,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        servers.callback(server.kill)
        assert server.stdout is not None
        ready = server.stdout.readline()
        if not ready.startswith("Listening on"):
            raise StoppedError(f"{SERVER} serve did not start: {ready}")
        self._screen.lines(["Listening on .../desk.sock"])
        return server

    def _send(self, *words: str) -> None:
        """Send a command, and show the beginning of the reply."""
        self._screen.command(SERVER, "send", *words)
        reply = self._run(self._installed(SERVER), "send", *words)
        self._screen.lines([textwrap.shorten(reply, COLUMNS, placeholder=" ...")])

    def _list_tracks(self) -> list[str]:
        """Show the names of the tracks, and return them."""
        self._screen.command(SERVER, f"""send tracks.list | grep -o '{NAME}'""")
        reply = self._run(self._installed(SERVER), "send", "tracks.list")
        self._screen.lines(lines := re.findall(NAME, reply))
        return [line.removeprefix('"name": "').removesuffix('"') for line in lines]


class ChatAct(Act):
    """The third act: a web service with a chat, which browsers share."""

    def play(self) -> None:
        """Show everything; raises StoppedError at the first failed check."""
        self._screen.step("9. Scaffold a web service with a chat that browsers share")
        self._make_project(CHAT_ANSWERS)
        with (
            tempfile.TemporaryDirectory() as folder,
            self.serving(Path(folder)) as address,
            urllib.request.urlopen(f"{address}/live/live.js") as answer,  # noqa: S310 - ours
        ):
            is_there = b"export" in answer.read()
        self._hold(is_there, "it serves the modules that a page needs, without a build step")

    @contextlib.contextmanager
    def serving(self, folder: Path) -> Iterator[str]:
        """Serve the chat on a free port, with its state in a folder.

        Yields:
            The address.
        """
        environment = {**self._environment, "OPEN_CHAT_STATE_FILE": str(folder / "registry.json")}
        with subprocess.Popen(
            [self._installed(CHAT), "--port", "0"],
            cwd=self.project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                assert server.stderr is not None
                lines = iter(server.stderr.readline, "")
                found = (re.search(r"http://\S+", line) for line in lines)
                address = next((each[0] for each in found if each), None)
                if address is None:
                    raise StoppedError(f"{CHAT} did not start.")
                yield address
            finally:
                server.terminate()


def is_of_the_demo(project: Path) -> bool:
    """Return whether an earlier demo made this, and no work has begun in it."""
    try:
        answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return False
    made_here = isinstance(answers, dict) and answers.get("_src_path") == TEMPLATE
    return made_here and not project.is_symlink() and not (project / ".git").exists()


def count_files(names: Sequence[str]) -> str:
    """Return the number of files, in all and in each folder."""
    folders = Counter(name.split("/")[0] for name in names if "/" in name)
    counts = [f"{count} in {folder}/" for folder, count in folders.items()]
    return f"{len(names)} files: {', '.join(counts)}, {len(names) - folders.total()} at the top"


def names_in(path: Path) -> list[str]:
    """Return the servers that a file of the program's state holds, none if it is not valid."""
    try:
        return sorted(json.loads(path.read_bytes())["servers"])
    except (LookupError, TypeError, ValueError):
        return []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument(
        "--folder",
        type=Path,
        default=REPOSITORY / "demo",
        help=f"the folder for {PROJECT}/; one that an earlier demo made there is removed",
    )
    try:
        Demo(parser.parse_args().folder, Console()).play()
    except (StoppedError, OSError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
