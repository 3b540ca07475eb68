"""A fault in a file is reported, and costs nothing: saved values stay.

After the fault, the store works again by itself.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.disks import Mount
from crashlab.experiments import Experiment, Experiments

from stores.conftest import FILES, SHARED, UrlOf, wait_for
from stores.protocols import PROTOCOLS

pytestmark = pytest.mark.needs("Linux")

LARGE = "x" * 200_000


@contextlib.contextmanager
def opened(state: Any, kind: str, folder: Path) -> Iterator[Any]:
    """Give a store in which `count` is 1."""
    with state.open_store(f"{kind}:{folder / 'state'}") as store:
        store.save("count", 0)
        store.save("count", 1)
        yield store


def violations(name: str, experiment: Experiment) -> Iterator[str]:
    """Fail each call of a protocol and yield each answer that contradicts the store."""
    protocol = PROTOCOLS[name]
    for failure in experiment.fail_each_call("EIO"):
        [answer] = failure.answer or [failure.complaint]
        errors = {"StoreUnavailableError"}
        if protocol.kind == "file":
            returned = answer in ("done", "NotDurableError")
            fits = failure.found == (protocol.new if returned else protocol.old)
            errors |= {"NotDurableError"}
        else:
            # A commit may be found although its flush has failed.
            fits = protocol.allows(failure.found, returned=answer == "done")
            # SQLite treats an unreadable page as a damaged one.
            errors |= {"CorruptStateError"} if failure.call.startswith("pread64") else set()
        if failure.litter or not fits or answer not in {"done", *errors}:
            yield str(failure)


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    "name", ["file: the first save", "file: an update", "file: a delete", "sqlite: an update"]
)
def test_whichever_call_fails_the_result_agrees_with_the_disk(
    name: str, experiment: Experiments
) -> None:
    wrong = [*violations(name, experiment(name))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.needs("root", "mount")
@pytest.mark.parametrize("kind", FILES)
def test_a_full_disk_keeps_the_old_state_until_there_is_room(
    kind: str, state: Any, mount: Mount
) -> None:
    folder = mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")
    with opened(state, kind, folder) as store:
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        for _ in range(3):
            with pytest.raises(state.StoreUnavailableError, match=r"full|No space"):
                store.save("count", LARGE)
        assert store.load("count").value == 1
        with state.open_store(f"{kind}:{folder / 'state'}") as another:
            assert another.load("count").value == 1
        filler.unlink()
        store.save("count", LARGE)
    assert not [*folder.glob(".*.tmp")]
    with state.open_store(f"{kind}:{folder / 'state'}") as store:
        assert store.load("count").value == LARGE


@pytest.mark.needs("root", "mount")
@pytest.mark.parametrize("kind", FILES)
def test_a_read_only_disk_is_an_error_until_it_is_writable(
    kind: str, state: Any, mount: Mount, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with opened(state, kind, home):
        pass
    folder = mount("--bind", home)
    mount("-o", "remount,bind,ro", at=folder)
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    url = f"{kind}:{folder / 'state'}"
    if kind == "file":
        with state.open_store(url) as store:
            assert store.load("count").value == 1
            with pytest.raises(state.StoreUnavailableError, match="Read-only"):
                store.save("count", 2)
            with pytest.raises(state.StoreUnavailableError, match="Read-only"):
                store.delete("count")
    else:  # even a reader leaves marks in the log of a database
        with pytest.raises(state.StoreUnavailableError, match="Read-only"):
            state.open_store(url)
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
    mount("-o", "remount,bind,rw", at=folder)
    with state.open_store(url) as store:
        store.save("count", 2)
        assert store.load("count").value == 2


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(
    ("how", "modes"),
    [
        ("load", {"state": 0o000}),
        ("load", {".": 0o000}),
        ("save", {"state": 0o000}),
        ("save", {".": 0o555}),
        ("save", {".state.lock": 0o000}),
    ],
)
def test_a_missing_permission_is_an_error_and_not_a_fresh_start(
    kind: str,
    how: str,
    modes: dict[str, int],
    children: Children,
    state: Any,
    public_folder: Path,
) -> None:
    url = f"{kind}:{public_folder / 'state'}"
    with opened(state, kind, public_folder):
        pass
    names = {file.name for file in public_folder.iterdir()}
    for path in public_folder.iterdir():
        path.chmod(0o666)
    for name, mode in modes.items():
        (public_folder / name).chmod(mode)
    assert children.run("as_user", url, how) == "StoreUnavailableError"
    public_folder.chmod(0o777)
    for path in public_folder.iterdir():
        path.chmod(0o666)
    assert {file.name for file in public_folder.iterdir()} == names
    with state.open_store(url) as store:
        assert store.load("count").value == 1
    assert children.run("as_user", url, "save") == "done"


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(("limit", "lowest"), [("RLIMIT_FSIZE", 100_000), ("RLIMIT_NOFILE", 3)])
def test_a_limit_of_the_process_is_an_error_until_it_is_lifted(
    kind: str, limit: str, lowest: int, children: Children, state: Any, tmp_path: Path
) -> None:
    with opened(state, kind, tmp_path):
        pass
    said = children.run("save_beyond_limit", f"{kind}:{tmp_path / 'state'}", limit, lowest)
    first, second, found, now = said.split()
    # A database that is open already may need no other file.
    assert first == "StoreUnavailableError" or (limit, first, found) == (
        "RLIMIT_NOFILE",
        "done",
        LARGE,
    )
    assert second == "StoreUnavailableError"
    assert found in ("1", LARGE)
    assert now == "2"


@pytest.mark.parametrize("kind", FILES)
def test_a_folder_in_the_place_of_the_file_is_an_error_until_it_is_gone(
    kind: str, state: Any, tmp_path: Path
) -> None:
    values: list[Any] = []
    path, away = tmp_path / "state", tmp_path / "away"
    with (
        opened(state, kind, tmp_path) as store,
        store.watch(lambda key, record: values.append(record.value)),
    ):
        path.rename(away)
        path.mkdir()
        attempts: list[Callable[[], object]] = [
            lambda: store.load("count"),
            lambda: store.save("count", 2),
            lambda: store.update("count", lambda count: count + 1),
            lambda: store.delete("count"),
            lambda: store.keys(),
            lambda: state.open_store(f"{kind}:{path}"),
        ]
        for attempt in attempts:
            with pytest.raises(state.StoreUnavailableError, match="state"):
                attempt()
        assert path.is_dir()
        assert not [*path.iterdir()]
        path.rmdir()
        away.rename(path)
        assert store.load("count").value == 1
        store.save("count", 2)
        wait_for(lambda: values and values[-1] == 2)


@pytest.mark.parametrize("kind", SHARED)
def test_opening_a_store_does_not_disturb_busy_updaters(
    kind: str, children: Children, state: Any, url_of: UrlOf
) -> None:
    """Opening removes the files of dead writers, but not those of living ones."""
    url, end = url_of(kind), time.time() + 2
    updaters = [children.start("update_until", url, end) for _ in range(2)]
    openers = [children.start("open_until", url, end) for _ in range(3)]
    for opener in openers:
        assert json.loads(opener.communicate(timeout=60)[0]) == []
    answers = [json.loads(updater.communicate(timeout=60)[0]) for updater in updaters]
    assert [errors for _, *errors in answers] == [[], []]
    with state.open_store(url) as store:
        assert store.load("count").value == sum(done for done, *_ in answers) > 0


def edit(path: Path, key: str, value: Any) -> None:
    """Change a file as editors do: read it, write another one and rename that."""
    document = json.loads(path.read_text())
    document["records"][key]["value"] = value
    new = path.with_name("edited")
    new.write_text(json.dumps(document, indent=4))
    new.replace(path)


def test_a_file_that_is_edited_beside_writers_stays_valid(
    children: Children, state: Any, memory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = memory / "state"
    url, end = f"file:{path}", time.time() + 4
    seen: dict[tuple[str, int], Any] = {}

    def note(key: str, record: Any) -> None:
        assert seen.setdefault((key, record.version), record.value) == record.value

    with state.open_store(url) as store, store.watch(note):
        store.save("theme", 0)
        updaters = [children.start("update_until", url, end) for _ in range(2)]
        number = 0
        while time.time() < end:
            number += 1
            edit(path, "theme", number)
            for key in ("theme", "count"):
                if record := store.load(key):
                    note(key, record)
        answers = [json.loads(updater.communicate(timeout=60)[0]) for updater in updaters]
        assert [errors for _, *errors in answers] == [[], []]
        # A concurrent writer may win; without one, the edit must count.
        edit(path, "theme", "dark")
        wait_for(lambda: "dark" in seen.values())
        assert store.load("theme").value == "dark"
        assert store.load("count").value > 0
        store.save("theme", "light")
    assert "was edited by hand" in caplog.text
    assert "cannot be read" not in caplog.text
    assert not [*memory.glob("*.corrupt-*")]


def test_a_file_that_an_editor_has_partly_written_is_set_aside(
    state: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state"
    with opened(state, "file", tmp_path) as store, path.open("r+b") as editor:
        whole = path.read_bytes()
        editor.truncate(0)
        editor.write(whole[: len(whole) // 2])
        editor.flush()
        assert store.load("count").value == 0  # that of the generation before
        assert "Its previous generation state.previous is used" in caplog.text
        assert store.update("count", lambda count: count + 1).value == 1
        editor.write(whole[len(whole) // 2 :])
        editor.flush()
        assert store.update("count", lambda count: count + 1).value == 2
        (aside,) = tmp_path.glob("state.corrupt-*")
        assert aside.read_bytes() == whole


def test_a_torn_file_with_a_torn_previous_generation_is_left_alone(
    state: Any, tmp_path: Path
) -> None:
    with opened(state, "file", tmp_path) as store:
        version = store.load("count").version
        for path in tmp_path.glob("state*"):
            path.write_bytes(path.read_bytes()[:50])
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        attempts: list[Callable[[], object]] = [
            lambda: store.load("count"),
            lambda: store.save("count", 2),
            lambda: state.open_store(f"file:{tmp_path / 'state'}"),
        ]
        for attempt in attempts:
            with pytest.raises(state.CorruptStateError, match="nor can its previous generation"):
                attempt()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        # As the message says: with the file moved away, the store starts empty, with new versions.
        (tmp_path / "state").rename(tmp_path / "torn")
        assert store.load("count") is None
        assert store.save("count", 3).version > version
        assert store.load("count").value == 3


@pytest.mark.parametrize("mode", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_locked_database_is_an_error_until_it_is_free(
    mode: str, state: Any, tmp_path: Path
) -> None:
    path = tmp_path / "state"
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
        state.SqliteStore(path, timeout=0.2) as store,
    ):
        store.save("count", 1)
        other.execute(f"BEGIN {mode}")
        for _ in range(3):
            with pytest.raises(state.StoreUnavailableError, match="locked"):
                store.save("count", 2)
        assert store.load("count").value == 1  # readers do not wait for a writer
        other.execute("ROLLBACK")
        assert store.update("count", lambda count: count + 1).value == 2


def test_a_writer_waits_for_a_slow_one(state: Any, tmp_path: Path) -> None:
    path = tmp_path / "state"
    connect = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with state.SqliteStore(path) as store, contextlib.closing(connect) as other:
        store.save("count", 1)
        other.execute("BEGIN IMMEDIATE")
        done = threading.Timer(1.0, other.execute, ["COMMIT"])
        done.start()
        store.save("count", 2)
        done.join()
        assert store.load("count").value == 2


def _whole(data: bytes) -> bytes:
    return b"no database at all" * 1000


def _pages(data: bytes) -> bytes:
    return data[:4096] + b"\xff" * (len(data) - 4096)


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("damage", [_whole, _pages, _half])
def test_a_damaged_database_is_an_error_and_left_alone(
    damage: Callable[[bytes], bytes], state: Any, tmp_path: Path
) -> None:
    path = tmp_path / "state"
    with opened(state, "sqlite", tmp_path) as store:
        for number in range(100):
            store.save(f"large {number}", "x" * 1000)
    good, damaged = path.read_bytes(), damage(path.read_bytes())
    path.write_bytes(damaged)

    def use() -> None:
        with state.open_store(f"sqlite:{path}") as store:
            for key in ["count", *store.keys()]:
                store.load(key)
            store.update("count", lambda count: count + 1)

    for _ in range(2):
        with pytest.raises(state.CorruptStateError, match="repair it"):
            use()
    assert path.read_bytes() == damaged
    path.write_bytes(good)
    use()
    with state.open_store(f"sqlite:{path}") as store:
        assert store.load("count").value == 2


def test_a_database_damaged_while_open_works_again_once_it_is_replaced(
    state: Any, tmp_path: Path
) -> None:
    path, backup = tmp_path / "state", tmp_path / "backup"
    with opened(state, "sqlite", tmp_path):
        pass
    shutil.copyfile(path, backup)
    with state.open_store(f"sqlite:{path}") as store:
        path.write_bytes(_whole(b""))
        with pytest.raises(state.CorruptStateError):
            store.load("count")
        backup.replace(path)
        assert store.update("count", lambda count: count + 1).value == 2
    assert os.listdir(tmp_path).count("state") == 1
