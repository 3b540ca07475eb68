"""States that several processes bind to one key: no change is lost, and none is partly saved."""

import compileall
import contextlib
import importlib
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children
from stores.conftest import FILES, SHARED, UrlOf, server, url_of, wait_for
from stores.redis_server import RedisServer, running
from support import render

__all__ = ["server", "url_of"]

KEY = "shared"
TIMES = 20


class Process:
    """A process with a binding."""

    def __init__(self, command: list[str]) -> None:
        self._popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, call: str, *arguments: object) -> Any:
        self.send(call, *arguments)
        return self.answer()

    def send(self, call: str, *arguments: object) -> None:
        """Send a call; the answer is read later, so that other processes can be asked meanwhile."""
        assert self._popen.stdin
        self._popen.stdin.write(json.dumps([call, *arguments]) + "\n")
        self._popen.stdin.flush()

    def answer(self) -> Any:
        assert self._popen.stdout
        line = self._popen.stdout.readline()
        assert line, f"it ended with {self._popen.wait()}"
        return json.loads(line)

    def end(self) -> None:
        self._popen.kill()
        self._popen.communicate()


class Processes(Children):
    """The processes of one test, which do not outlive it."""

    def __init__(self, paths: str) -> None:
        super().__init__(f"bindings:bound:{paths}")
        self._serving: list[Process] = []

    def bind(self, url: str, *kinds: str, delay: float = 60.0, fault: str = "") -> list[Process]:
        """Start some that bind a class each, and that save so many seconds after a change."""
        started = [Process(self.command("serve", url, kind, delay, fault=fault)) for kind in kinds]
        self._serving += started
        assert {process.answer() for process in started} == {"open"}
        return started

    def end(self) -> None:
        super().end()
        for process in self._serving:
            process.end()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a project with declared state and every store; return where its package lies."""
    project = tmp_path_factory.mktemp("emitted") / "project"
    answers: dict[str, Any] = {"state_stores": ["json", "sqlite", "redis"]}
    answers |= {"include_typed_state": True, "project_type": "library"}
    render(project, package_name="bound", **answers)
    compileall.compile_dir(project / "src", quiet=1)
    return project / "src"


@pytest.fixture(scope="module")
def state(source: Path) -> Any:
    """Import the emitted package, to read the stored values."""
    sys.path.insert(0, str(source))
    return importlib.import_module("bound.state")


@pytest.fixture
def processes(source: Path) -> Iterator[Processes]:
    spec = importlib.util.find_spec("redis")
    assert spec
    assert spec.origin
    family = Processes(f"{source}{os.pathsep}{Path(spec.origin).parents[1]}")
    yield family
    family.end()


def stored(state: Any, url: str) -> dict[str, Any]:
    with state.open_store(url) as store:
        values: dict[str, Any] = store.load(KEY).value["values"]
        return values


@pytest.mark.parametrize("kind", SHARED)
def test_changes_of_different_fields_and_of_a_merged_counter_are_all_kept(
    kind: str, processes: Processes, state: Any, url_of: UrlOf
) -> None:
    url, names = url_of(kind), ("first", "second", "third")
    several = processes.bind(url, *["Board"] * 3)
    for process, name in zip(several, names, strict=True):
        process.send("add", TIMES, name, "count")
    assert [process.answer() for process in several] == [[], [], []]
    expected = {**dict.fromkeys(names, TIMES), "count": 3 * TIMES}
    for process in several:
        process.ask("wait", expected)
        assert process.ask("close") == "done"
    assert stored(state, url) == expected


def test_the_counter_notices_a_save_without_comparison(
    processes: Processes, state: Any, url_of: UrlOf
) -> None:
    url = url_of("sqlite")
    several = processes.bind(url, *["Board"] * 3, fault="nothing_is_compared")
    for process in several:
        process.send("add", TIMES, "count")
    for process in several:
        process.answer()
    assert stored(state, url)["count"] < 3 * TIMES


@pytest.mark.parametrize("kind", SHARED)
def test_a_change_reaches_other_processes_within_the_delay_of_the_store(
    kind: str, processes: Processes, state: Any, url_of: UrlOf
) -> None:
    url = url_of(kind)
    one, another = processes.bind(url, "Board", "Board", delay=0.0)
    delays: list[float] = []
    for number in range(1, 6):
        changed = one.ask("change", {"first": number})
        delays.append(another.ask("wait", {"first": number}) - changed)
    with state.open_store(url) as store:
        # A save waits for a disk, and a machine may be busy.
        assert statistics.median(delays) < store.capabilities.watch_latency + 0.3


@pytest.mark.parametrize("kind", SHARED)
def test_a_process_killed_while_it_saves_leaves_a_complete_state(
    kind: str, processes: Processes, url_of: UrlOf
) -> None:
    kills = 10
    found = processes.run("kill_at_random", url_of(kind), kills).splitlines()
    assert len(found) == kills
    for line in found:
        saved, number, is_whole = json.loads(line)
        assert is_whole
        # It may have saved once more, and been killed before it could report it.
        assert number in (saved, saved + 1)


def test_a_process_forked_beside_a_thread_in_a_batch_can_change_its_states(
    processes: Processes,
) -> None:
    assert processes.run("fork_beside_batches", 10) == "10"


@pytest.mark.parametrize("kind", SHARED)
def test_in_a_roll_out_the_newer_class_migrates_and_the_older_one_never_overwrites(
    kind: str, processes: Processes, state: Any, url_of: UrlOf
) -> None:
    url = url_of(kind)
    [older] = processes.bind(url, "Older")
    older.ask("change", {"title": "First"})
    assert older.ask("flush") == "done"

    # While the newer one saves nothing, the older one goes on, and its changes are followed.
    [newer] = processes.bind(url, "Newer")
    assert newer.ask("values") == {"name": "First", "zoom": 100}
    older.ask("change", {"title": "Second"})
    assert older.ask("flush") == "done"
    newer.ask("wait", {"name": "Second"})
    with state.open_store(url) as store:
        before = store.load(KEY).value
        assert before["__version__"] == 1
        assert store.keys() == [KEY]

        newer.ask("change", {"zoom": 150})
        assert newer.ask("flush") == "done"
        after = {"__version__": 2, "values": {"name": "Second", "zoom": 150}}
        assert store.load(KEY).value == after
        kept, *others = store.keys(f"{KEY}.")
        assert kept.startswith(f"{KEY}.v1-")
        assert not others
        assert store.load(kept).value == before

        older.ask("change", {"title": "Third"})
        assert older.ask("flush") == "StateVersionError"
        assert older.ask("is_pending")
        assert older.ask("values") == {"title": "Third", "zoom": 100}
        assert older.ask("close") == "StateVersionError"
        assert store.load(KEY).value == after
        assert store.keys() == [KEY, kept]


@pytest.mark.parametrize("kind", SHARED)
def test_while_the_store_is_gone_changes_stay_pending_and_then_they_are_saved(
    kind: str, processes: Processes, state: Any, memory: Path
) -> None:
    with contextlib.ExitStack() as stack:
        if kind == "redis":
            options = ("--appendonly", "yes", "--appendfsync", "always")
            outage: Any = ServerOutage(stack.enter_context(running(memory, *options)))
        else:
            outage = FolderOutage(kind, memory / "folder")
        one, another = processes.bind(outage.url, "Board", "Board", delay=0.05)
        one.ask("change", {"first": 1})
        another.ask("wait", {"first": 1})

        outage.begin()
        one.ask("change", {"second": 2})
        another.ask("change", {"third": 3})
        assert one.ask("flush") == "StoreUnavailableError"
        assert one.ask("is_pending")
        assert another.ask("is_pending")
        assert one.ask("values")["second"] == 2
        outage.end()

        expected = {"first": 1, "second": 2, "third": 3}
        for process in (one, another):
            process.ask("wait", expected)
        wait_for(lambda: not one.ask("is_pending") and not another.ask("is_pending"))
        assert stored(state, outage.url) == {**expected, "count": 0}


@pytest.mark.parametrize("kind", FILES)
def test_after_a_backup_is_restored_changes_are_saved_on_top_of_it(
    kind: str, processes: Processes, state: Any, memory: Path
) -> None:
    folder, backup = memory / "folder", memory / "backup"
    url = f"{kind}:{folder / 'state'}"
    [process] = processes.bind(url, "Board")
    process.ask("change", {"first": 1})
    assert process.ask("flush") == "done"
    shutil.copytree(folder, backup)
    process.ask("change", {"second": 2})
    assert process.ask("flush") == "done"
    folder.rename(memory / "lost")
    backup.rename(folder)
    process.ask("change", {"third": 3})
    assert process.ask("flush") == "done"
    expected = {"first": 1, "second": 0, "third": 3, "count": 0}
    assert stored(state, url) == process.ask("values") == expected


class FolderOutage:
    """A folder that another one hides, as after an unmount."""

    def __init__(self, kind: str, folder: Path) -> None:
        folder.mkdir()
        self.url = f"{kind}:{folder / 'state'}"
        self._folder, self._away = folder, folder.with_name("away")

    def begin(self) -> None:
        self._folder.rename(self._away)
        self._folder.touch()

    def end(self) -> None:
        self._folder.unlink()
        self._away.rename(self._folder)


class ServerOutage:
    """A server that is killed and started again."""

    def __init__(self, server: RedisServer) -> None:
        self.url = server.url
        self.begin, self.end = server.kill, server.start
