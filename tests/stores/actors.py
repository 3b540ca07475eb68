"""What the child processes of the proofs do, and the faults that can be planted in them.

`python actors.py PATHS PLANT ACTOR ARGUMENT…` takes the emitted package from those paths, breaks
it by the named plant, if any, and calls the function of that name. The tests never import this
module: what it does to the package stays in the process that is killed, cut or traced.
"""

import contextlib
import fcntl
import functools
import importlib
import json
import os
import random
import resource
import signal
import sqlite3
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = sys.argv[1].split(os.pathsep)
state: Any = importlib.import_module("kept.state")

KEY = "count"


def say(*words: object) -> None:
    """Tell the test, in one write that a kill cannot divide."""
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def add_one(value: int | None) -> int:
    return (value or 0) + 1


def outcome(action: Callable[[], object]) -> str:
    """Return how a call ended: with which error, if any."""
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "done"


def change(url: str, how: str, value: str = "") -> None:
    """Open a store and change it, between two calls that are rare, for a tracer to see."""

    def act() -> None:
        store = stack.enter_context(state.open_store(url))
        match how:
            case "save":
                store.save(KEY, json.loads(value))
            case "delete":
                store.delete(KEY)
            case "update":
                store.update(KEY, add_one)
            case _:
                raise ValueError(how)

    with contextlib.ExitStack() as stack:
        os.getppid()
        answer = outcome(act)
        os.getppid()
        say(answer)
        # Closing is a change of its own: an SQLite database takes over its log.
        os._exit(0)


def close(url: str) -> None:
    """Open a store, and close it, between two calls that are rare."""
    store = state.open_store(url)
    store.load(KEY)
    os.getppid()
    answer = outcome(store.close)
    os.getppid()
    say(answer)


def save(url: str, value: str) -> None:
    with state.open_store(url) as store:
        store.save(KEY, json.loads(value))


def save_and_leave(url: str, value: str) -> None:
    """Save, and end without closing anything, as if killed."""
    state.open_store(url).save(KEY, json.loads(value))
    os._exit(0)


def save_and_cut(url: str, value: str, mount_point: str) -> None:
    """Save, and shut the file system down before anything else can reach the disk."""
    disk = os.open(mount_point, os.O_RDONLY)
    store = state.open_store(url)
    store.save(KEY, json.loads(value))
    fcntl.ioctl(disk, 0x8004587D, struct.pack("I", 2))  # FS_IOC_SHUTDOWN, NOLOGFLUSH
    os._exit(0)


def update_many(url: str, times: str, gate: str) -> None:
    """Update as soon as a file is there, for which others wait too."""
    with state.open_store(url) as store:
        store.load(KEY)
        say("ready")
        while not os.path.exists(gate):
            time.sleep(0.001)
        for _ in range(int(times)):
            store.update(KEY, add_one)
    say("done")


def update_for_ever(url: str) -> None:
    with state.open_store(url) as store:
        while True:
            say(store.update(KEY, add_one).value)


def update_until(url: str, end: str) -> None:
    """Update until a moment, and tell how often that went well, and each kind of error."""
    done, errors = 0, set[str]()
    with state.open_store(url) as store:
        while time.time() < float(end):
            answer = outcome(lambda: store.update(KEY, add_one))
            done += answer == "done"
            errors |= {answer} - {"done"}
    say(json.dumps([done, *sorted(errors)]))


def open_until(url: str, end: str) -> None:
    """Open, load and close until a moment, and tell each kind of error."""

    def act() -> None:
        with state.open_store(url) as store:
            store.load(KEY)

    errors = set[str]()
    while time.time() < float(end):
        errors |= {outcome(act)} - {"done"}
    say(json.dumps(sorted(errors)))


def hold(url: str) -> None:
    """Stay in the middle of an update until killed."""

    def stay(value: object) -> None:
        say("inside")
        time.sleep(600)

    state.open_store(url).update(KEY, stay)


def fork_beside_threads(url: str, forks: str) -> None:
    """Fork while threads update; tell how many children live, and whether the threads go on."""
    counts, ended = [0, 0], threading.Event()

    def count(number: int) -> None:
        while not ended.is_set():
            with state.open_store(url) as store:
                store.update(KEY, add_one)
            counts[number] += 1

    threads = [threading.Thread(target=count, args=(n,), daemon=True) for n in range(len(counts))]
    for thread in threads:
        thread.start()
    reader, writer = os.pipe()
    children: list[int] = []
    for _ in range(int(forks)):
        child = os.fork()
        if not child:
            os.write(writer, b".")
            signal.pause()
        children.append(child)
        time.sleep(random.uniform(0, 0.005))  # noqa: S311 - a delay, no secret
    before, born, goes_on, end = [*counts], 0, False, time.monotonic() + 60
    os.set_blocking(reader, False)
    while not (goes_on and born == len(children)) and time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            born += len(os.read(reader, 1 << 16))
        goes_on = all(map(int.__lt__, before, counts))
        time.sleep(0.01)
    say(json.dumps([born, goes_on]))
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    ended.set()
    for thread in threads:
        thread.join()


def kill_at_random(url: str, times: str, folder: str) -> None:
    """Fork an updater, kill it, look at what it left; a fork starts faster than a process."""

    def add_one_to_what_is_left() -> tuple[int, int]:
        with state.open_store(url) as store:
            record = store.load(KEY)
            return (record.value if record else 0), store.update(KEY, add_one).value

    _, last = add_one_to_what_is_left()
    for _ in range(int(times)):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(writer, 1)
            update_for_ever(url)
        os.close(writer)
        time.sleep(random.uniform(0, 0.02))  # noqa: S311 - a delay, no secret
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open(reader) as answers:
            said = [last, *map(int, answers)][-1]
        litter, started = len(os.listdir(folder)), time.monotonic()
        found, last = add_one_to_what_is_left()
        assert last == found + 1
        waited, left = time.monotonic() - started, sorted(os.listdir(folder))
        say(json.dumps({k: v for k, v in locals().items() if isinstance(v, int | float | list)}))


def as_user(url: str, how: str) -> None:
    """Open, and load or save, as an ordinary user, whom permissions bind."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    def act() -> None:
        with state.open_store(url) as store:
            store.load(KEY) if how == "load" else store.save(KEY, 2)

    say(outcome(act))


def save_beyond_limit(url: str, limit: str, lowest: str) -> None:
    """Save with a limit of the process reached, look at what is there, save without it."""
    with state.open_store(url) as store:
        kind = getattr(resource, limit)
        soft, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (int(lowest), hard))
        # Of a store that is open, and of one that is not.
        reached = [outcome(lambda: store.save(KEY, "x" * 200_000))]
        reached += [outcome(lambda: state.open_store(url).save(KEY, "x" * 200_000))]
        resource.setrlimit(kind, (soft, hard))
        found = store.load(KEY).value
        store.save(KEY, 2)
        say(*reached, found, store.load(KEY).value)


def watch(url: str, prefix: str) -> None:
    """Tell each change: when it arrived, the key, the version and the value's beginning."""

    def tell(key: str, record: Any) -> None:
        shown = [record.version, str(record.value)[:20]] if record else None
        say(json.dumps([time.time(), key, shown]))

    with state.open_store(url) as store, store.watch(tell, prefix):
        say("watching")
        signal.pause()


def load(url: str) -> None:
    with state.open_store(url) as store:
        record = store.load(KEY)
        say(json.dumps(record and record.value))


# Plants: mistakes that others ship. A proof that does not notice them would prove nothing.


def nothing_is_compared() -> None:
    """Save in an update as if nobody else could have saved."""
    for kind in (state.JsonFileStore, state.SqliteStore, state.RedisStore):

        def save(
            store: Any,
            *arguments: Any,
            expected_version: Any = None,
            _save: Any = kind.save,
            **o: Any,
        ) -> Any:
            return _save(store, *arguments, **o)

        kind.save = save


def _sqlite_told(synchronous: str) -> None:
    class Careless(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            return super().execute(sql.replace("synchronous = FULL", synchronous), *parameters)

        def executescript(self, script: str) -> sqlite3.Cursor:
            return super().executescript(script.replace("synchronous = FULL", synchronous))

    module: Any = sqlite3
    module.connect = functools.partial(sqlite3.connect, factory=Careless)


def no_fsync() -> None:
    persistence: Any = importlib.import_module("kept.utils.persistence")
    persistence._flush = lambda descriptor: None
    _sqlite_told("synchronous = OFF")


def written_in_place() -> None:
    def write(path: Path, data: bytes, *, private: bool) -> None:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    json_file: Any = importlib.import_module("kept.state.stores.json_file")
    json_file.write_durably = write


def flushed_at_checkpoints_only() -> None:
    """As SQLite does with a write-ahead log and synchronous=NORMAL."""
    _sqlite_told("synchronous = NORMAL")


if __name__ == "__main__":
    _plant, _actor, *_arguments = sys.argv[2:]
    if _plant:
        globals()[_plant]()
    globals()[_actor](*_arguments)
