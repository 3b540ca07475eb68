"""Every kind of damage and failure of a state file, and programs of each kind that use one.

The emitted tests show some of them.
"""

import asyncio
import contextlib
import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

DAMAGED = {
    "empty": b"",
    "torn": b'{"content": ',
    "null": b"null",
    "list": b'["content"]',
    "zeros": b"\0" * 64,
    "no text": b"\xff\xfe{",
    "too deep": b"[" * 50_000,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_corrupt_file_is_set_aside_and_the_object_starts_fresh(
    persistence: Any, tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(data)
    assert not hasattr(persistence.StatefulObject(path), "content")
    [kept] = tmp_path.glob("state.json.corrupt-*")
    assert kept.read_bytes() == data
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def saved(persistence: Any, path: Path, content: object) -> Any:
    """Save an object with this content."""
    box = type("Box", (persistence.StatefulObject,), {"content": None})(path)
    box.content = content
    box._save_state()
    return box


def test_a_transaction_sets_a_corrupt_file_aside_and_goes_on(
    persistence: Any, tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    box = saved(persistence, path, "remembered")
    path.write_bytes(b"broken")
    with box._transaction():
        box.content += " and changed"
    assert type(box)(path).content == "remembered and changed"
    [kept] = tmp_path.glob("state.json.corrupt-*")
    assert kept.read_bytes() == b"broken"


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EACCES])
def test_a_folder_that_cannot_be_flushed_is_used_with_one_warning(
    persistence: Any,
    tmp_path: Path,
    error: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(error, "no folder today")

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "new" / "state.json"
    saved(persistence, path, "kept")
    saved(persistence, path, "kept")._clear_state()
    for folder in (tmp_path, path.parent):
        assert caplog.text.count(f"The folder {folder} cannot be flushed") == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


def test_a_lock_that_fails_changes_no_rights(
    persistence: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int, **_: bool) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    def chown(_file: str, **owner: int) -> None:
        given.extend(owner)

    path, given = tmp_path / "state.json", list[str]()
    box = saved(persistence, path, "secret")
    path.chmod(0o640)
    monkeypatch.setattr(persistence, "_lock", fail)
    monkeypatch.setattr(shutil, "chown", chown)
    box._save_state()
    assert given == ["group", "user"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_on_windows_a_save_fails_if_a_reader_stays(
    persistence: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accept(_descriptor: int, _mode: str, _size: int) -> None: ...

    def refuse(_source: str, _target: str) -> None:
        raise PermissionError(errno.EACCES, "no replace today")

    platform = SimpleNamespace(LK_LOCK="wait", LK_NBLCK="try", locking=accept)
    monkeypatch.setattr(persistence, "_WINDOWS", True)
    monkeypatch.setattr(persistence, "_platform", platform)
    path, naps = tmp_path / "state.json", list[float]()
    box = saved(persistence, path, "old")
    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(time, "sleep", naps.append)
    box.content = "new"
    with pytest.raises(PermissionError, match="no replace today"):
        box._save_state()
    assert type(box)(path).content == "old"
    assert 0 < sum(naps) < 3


def test_a_class_can_encode_its_saved_values(persistence: Any, tmp_path: Path) -> None:
    class Sealed(persistence.StatefulObject):
        content = ""

        def _get_state(self) -> dict[str, Any]:
            return {"sealed": json.dumps(super()._get_state()).encode().hex()}

        def _set_state(self, state: dict[str, Any]) -> None:
            super()._set_state(json.loads(bytes.fromhex(state["sealed"])))

    path = tmp_path / "state.json"
    box = Sealed(path)
    box.content = "password"
    box._save_state()
    assert b"password" not in path.read_bytes()
    assert Sealed(path).content == "password"


def test_a_failed_nested_transaction_undoes_its_own_changes_only(
    persistence: Any, tmp_path: Path
) -> None:
    def change_and_fail() -> None:
        with box._transaction():
            box.content, box.extra = "changed", "new"
            raise LookupError

    path = tmp_path / "state.json"
    box = saved(persistence, path, None)
    with box._transaction():
        box.content = "outer"
        with contextlib.suppress(LookupError):
            change_and_fail()
    assert type(box)(path).content == "outer"
    assert not hasattr(type(box)(path), "extra")


def test_no_other_thread_saves_a_transaction_half_done(persistence: Any, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    box = saved(persistence, path, "old")
    with ThreadPoolExecutor() as pool, box._transaction():
        box.content = "half done"
        pool.submit(box._save_state)
        time.sleep(0.05)
        assert type(box)(path).content == "old"


def test_the_file_ends_as_the_last_snapshot_of_any_thread(persistence: Any, tmp_path: Path) -> None:
    path, numbers = tmp_path / "state.json", count()
    box = saved(persistence, path, None)

    def save(_: int) -> None:
        box.content = next(numbers)
        box._save_state()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(40)))
    assert type(box)(path).content == box.content


@pytest.mark.parametrize("is_shared", [True, False])
def test_threads_lose_no_update_with_one_object_or_one_each(
    persistence: Any, tmp_path: Path, is_shared: bool
) -> None:
    class Counter(persistence.StatefulObject):
        count = 0

        def increment(self) -> None:
            for _ in range(5):
                with self._transaction():
                    self.count += 1

    async def count(counters: list[Any]) -> None:
        await asyncio.gather(*(asyncio.to_thread(counter.increment) for counter in counters))

    path = tmp_path / "state.json"
    asyncio.run(count([Counter(path)] * 4 if is_shared else [Counter(path) for _ in range(4)]))
    assert Counter(path).count == 20


def test_a_daemon_resumes_after_the_last_finished_job(persistence: Any, tmp_path: Path) -> None:
    class Counter(persistence.StatefulObject):
        count = 0

    def run_daemon(jobs: list[str]) -> None:
        daemon = Counter(tmp_path / "state.json")
        for job in jobs[daemon.count :]:
            done.append(int(job))
            daemon.count += 1
            daemon._save_state()

    done: list[int] = []
    with contextlib.suppress(ValueError):
        run_daemon(["1", "2", "crash", "4"])
    run_daemon(["1", "2", "3", "4"])
    assert done == [1, 2, 3, 4]


def test_an_mcp_server_keeps_the_drafts_of_concurrent_calls(
    persistence: Any, tmp_path: Path
) -> None:
    class Drafts(persistence.StatefulObject):
        content: dict[str, str] | None = None

        def write(self, name: str) -> None:
            with self._transaction():
                self.content = {**(self.content or {}), name: "text"}

    async def call_tools(server: Drafts) -> None:
        await asyncio.gather(*(asyncio.to_thread(server.write, name) for name in "abcdef"))

    path = tmp_path / "state.json"
    asyncio.run(call_tools(Drafts(path)))
    assert sorted(Drafts(path).content or {}) == list("abcdef")


def test_a_command_line_tool_knows_its_earlier_runs(module: Path, tmp_path: Path) -> None:
    program = """
import sys
from persistence import StatefulObject

class Session(StatefulObject):
    history = []

session = Session(sys.argv[1])
session.history = [*session.history, sys.argv[2]]
session._save_state()
print(*session.history)
"""

    def run_tool(word: str) -> str:
        command = [sys.executable, "-c", program, str(tmp_path / "state.json"), word]
        environment = {**os.environ, "PYTHONPATH": str(module.parent)}
        return subprocess.check_output(command, env=environment, text=True).strip()

    assert [run_tool("add"), run_tool("list")] == ["add", "add list"]


def test_workers_of_a_task_queue_take_each_task_once(persistence: Any, tmp_path: Path) -> None:
    class Queue(persistence.StatefulObject):
        content: list[str] | None = None

        def take(self) -> str | None:
            with self._transaction():
                return self.content.pop() if self.content else None

    def work(_: int) -> list[str | None]:
        return list(iter(Queue(path).take, None))

    path = tmp_path / "state.json"
    saved(persistence, path, list("abcdef"))
    with ThreadPoolExecutor(4) as pool:
        taken = chain.from_iterable(pool.map(work, range(4)))
    assert sorted(map(str, taken)) == list("abcdef")
