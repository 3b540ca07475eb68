"""The child processes of the proofs: their programs, and the faults injected into them.

`python child_programs.py SUBJECT FAULT PROGRAM ARGUMENT…` loads the emitted code that SUBJECT
names, injects the fault, if any, and runs the program. SUBJECT is one of

- the path of an emitted `persistence.py`;
- `stores:PACKAGE:PATHS`, `bindings:PACKAGE:PATHS` or `projects:PACKAGE:PATHS`, an emitted package
  and the folders it is imported from.

The tests never import this module: a fault in the emitted code stays in the process
that is killed, cut off or traced. Hundreds of processes start under a tracer, which slows each
import: the modules that few programs need are imported there.
"""

import contextlib
import fcntl
import functools
import importlib
import importlib.util
import itertools
import json
import os
import resource
import signal
import stat
import struct
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KEY = "count"
SHARED_KEY = "shared"
ROWS = 300


def say(*words: object) -> None:
    """Answer the test, in one write that a kill cannot divide."""
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def add_one(value: int | None) -> int:
    return (value or 0) + 1


def outcome(action: Callable[[], object]) -> str:
    """Return how a call ended: the name of its error, or "done"."""
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "done"


def os_outcome(action: Callable[[], object]) -> str:
    """Return how a call ended: the name and number of its OSError, or "done"."""
    try:
        action()
    except OSError as error:
        return f"{type(error).__name__} {error.errno}"
    return "done"


def marked(*actions: Callable[[], object]) -> None:
    """Mark the relevant part for a tracer, with a rare call before and after it."""
    os.getppid()
    outcomes = [*map(os_outcome, actions)]
    os.getppid()
    say(*outcomes)


def in_threads(*actions: Callable[[], object]) -> list[str]:
    """Run all at once and return their errors."""
    errors: list[str] = []

    def act(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:
            errors.append(repr(error))

    threads = [threading.Thread(target=act, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def said_before_kill(
    work: Callable[[], None], longest: float, *, after_first: bool = False
) -> list[int]:
    """Fork a process, which starts faster than a new one, and kill it at a random moment.

    Args:
        work: The work of the process; it never returns.
        longest: The longest time until the kill, in seconds.
        after_first: Let the time begin with the first answer.

    Returns:
        The numbers that it has printed.
    """
    import random

    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writer, 1)
        work()
    os.close(writer)
    with open(reader) as answers:
        first = [int(answers.readline())] if after_first else []
        time.sleep(random.uniform(0, longest))  # noqa: S311 - a delay, no secret
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [*first, *map(int, answers)]


@contextlib.contextmanager
def power_cut_at_end(mount_point: str) -> Iterator[None]:
    """Shut a file system down before anything else can reach the disk."""
    disk = os.open(mount_point, os.O_RDONLY)
    yield
    fcntl.ioctl(disk, 0x8004587D, struct.pack("I", 2))  # FS_IOC_SHUTDOWN, NOLOGFLUSH


@contextlib.contextmanager
def limited(limit: str, lowest: str) -> Iterator[None]:
    """Lower a limit of this process for a while."""
    kind = getattr(resource, limit)
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (int(lowest), hard))
    yield
    resource.setrlimit(kind, (soft, hard))


def become_ordinary_user() -> None:
    """Give up the rights of root, so that permissions bind this process."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def write_in_place(path: Path, data: bytes, *, private: bool) -> None:
    """Replace `write_durably` by the mistake of overwriting the old content in place."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class ObjectPrograms:
    """Programs and faults for `StatefulObject`, from an emitted `persistence.py`."""

    def __init__(self, module: str) -> None:
        spec = importlib.util.spec_from_file_location("persistence", module)
        assert spec
        assert spec.loader
        self._persistence: Any = importlib.util.module_from_spec(spec)
        sys.modules["persistence"] = self._persistence
        spec.loader.exec_module(self._persistence)

    def opened(self, path: str, **members: Any) -> Any:
        """Return a state whose `count` is 0 if there is no file; `members` make it a subclass."""
        state = type("State", (self._persistence.StatefulObject,), members)(path)
        state.count = getattr(state, "count", 0)
        return state

    def save(self, path: str, count: str, size: str = "0") -> None:
        state = self.opened(path)
        state.count, state.filler = int(count), "x" * int(size)
        marked(state._save_state)

    def save_twice(self, path: str, count: str) -> None:
        state = self.opened(path)
        state.count = int(count)
        marked(state._save_state, state._save_state)

    def start(self, path: str) -> None:
        self.opened(path)

    def start_and_save(self, path: str, count: str, version: str = "") -> None:
        def save_as_new_version() -> None:
            state = self.opened(path, _state_version=int(version or 0))
            state.count = int(count)
            state._save_state()

        marked(save_as_new_version)

    def transact(self, path: str, times: str = "1") -> None:
        def increment() -> None:
            state = self.opened(path)
            for _ in range(int(times)):
                with state._transaction():
                    state.count += 1

        marked(increment)

    def clear(self, path: str) -> None:
        marked(self.opened(path)._clear_state)

    def clear_again(self, path: str) -> None:
        """Clear as after a first attempt that deleted the file, but not durably."""
        state = self.opened(path)
        marked(state._state_file.unlink, state._clear_state)

    def save_and_cut(self, path: str, count: str, mount_point: str) -> None:
        """Save, and shut the file system down before anything else can reach the disk."""
        state = self.opened(path)
        state.count = int(count)
        with power_cut_at_end(mount_point):
            state._save_state()

    def save_for_ever(self, path: str) -> None:
        state = self.opened(path)
        while True:
            state.count += 1
            state._save_state()
            say(state.count)

    def kill_at_random(self, path: str, times: str) -> None:
        """Kill a writer again and again, and report the state that it left."""
        for _ in range(int(times)):
            before = self.opened(path).count
            saved = [before, *said_before_kill(lambda: self.save_for_ever(path), 0.01)][-1]
            left = len([*Path(path).parent.glob(".*.tmp")])
            found = self.opened(path).count
            still = len([*Path(path).parent.glob(".*.tmp")])
            say(json.dumps({"saved": saved, "found": found, "left": left, "still": still}))

    def as_user(self, action: str, path: str) -> None:
        """Start, save or transact as an ordinary user, to whom permissions apply."""
        become_ordinary_user()

        def act() -> None:
            state = self.opened(path)
            if action == "save":
                state._save_state()
            if action == "transact":
                with state._transaction():
                    pass

        say(os_outcome(act))

    def save_beyond_limit(self, path: str, limit: str, lowest: str) -> None:
        """Save at a limit of the process, read the file, then save without the limit."""
        state = self.opened(path)
        state.count, state.filler = 2, "x" * 20_000
        with limited(limit, lowest):
            reached = os_outcome(state._save_state)
        say(reached, self.opened(path).count)
        say(*os.listdir(Path(path).parent))
        say(os_outcome(state._save_state), self.opened(path).count)

    def hold(self, path: str) -> None:
        """Enter a transaction, report it, and stay until killed."""
        with self.opened(path)._transaction():
            say("inside")
            time.sleep(600)

    def fork_and_hold(self, path: str, how: str) -> None:
        """Fork in a transaction; the child lives on when this process leaves it, or is killed."""
        import multiprocessing

        with self.opened(path)._transaction() as state:
            state.count += 1
            child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
            child.start()
            say(child.pid)
            if how == "is killed":
                time.sleep(600)
        say("left")
        time.sleep(600)

    def fork_and_transact(self, path: str) -> None:
        """Fork in a transaction; the child waits for it, with the object and with a new one."""
        import multiprocessing

        def increment() -> None:
            for each in (state, self.opened(path)):
                with each._transaction():
                    each.count += 1

        state = self.opened(path)
        with state._transaction():
            child = multiprocessing.get_context("fork").Process(target=increment)
            child.start()
            time.sleep(0.2)
            state.count += 1
        child.join()
        say(self.opened(path).count, child.exitcode)

    def transact_in_threads(self, times: str, *paths: str) -> None:
        """Increment each file in a thread of its own, with an object of its own."""

        def increment(path: str) -> Callable[[], object]:
            def act() -> None:
                state = self.opened(path)
                for _ in range(int(times)):
                    with state._transaction():
                        state.count += 1

            return act

        say(json.dumps(in_threads(*map(increment, paths))))

    def save_while_starting_in_threads(self, path: str, times: str) -> None:
        state, done = self.opened(path), threading.Event()

        def save_all() -> None:
            try:
                for _ in range(int(times)):
                    state.count += 1
                    state._save_state()
            finally:
                done.set()

        def start_all() -> None:
            while not done.is_set():
                self.opened(path)

        say(json.dumps(in_threads(save_all, start_all, start_all)))

    def save_many(self, path: str, seconds: str) -> None:
        end, state = time.monotonic() + float(seconds), self.opened(path)
        while time.monotonic() < end:
            state.count += 1
            state._save_state()

    def start_many(self, path: str, seconds: str) -> None:
        """Start again and again, and print how often there was no state to start from."""
        end, missing = time.monotonic() + float(seconds), 0
        while time.monotonic() < end:
            missing += not self.opened(path).count
        say(missing)

    def clear_many(self, path: str, seconds: str) -> None:
        end, state = time.monotonic() + float(seconds), self.opened(path)
        while time.monotonic() < end:
            state._save_state()
            state._clear_state()

    def start_together(self, folder: str, processes: str, rounds: str, how: str) -> None:
        """Let several processes meet a corrupt file at the same moment, in every round."""
        import multiprocessing

        context = multiprocessing.get_context("fork")
        barrier = context.Barrier(int(processes))

        def take_part() -> None:
            for number in range(int(rounds)):
                path = f"{folder}/{number}/state.json"
                barrier.wait(60)
                state = self.opened(path)
                if how == "save":
                    state.count = 1
                    state._save_state()
                else:
                    with state._transaction():
                        state.count += 1

        workers = [context.Process(target=take_part) for _ in range(int(processes))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        say(json.dumps([worker.exitcode for worker in workers]))

    # Faults: common mistakes of other programs. A proof that misses them would prove nothing.

    def _flush_only(self, wanted: Callable[[int], bool]) -> None:
        flush = self._persistence._flush
        self._persistence._flush = lambda descriptor: (
            flush(descriptor) if wanted(os.fstat(descriptor).st_mode) else None
        )

    def no_fsync(self) -> None:
        self._flush_only(lambda mode: False)

    def no_fsync_of_the_file(self) -> None:
        self._flush_only(stat.S_ISDIR)

    def no_fsync_of_the_folder(self) -> None:
        self._flush_only(stat.S_ISREG)

    def no_fsync_of_the_parents(self) -> None:
        self._persistence._make_folder = lambda folder: os.makedirs(folder, exist_ok=True)

    def mode_set_after_fsync(self) -> None:
        replace, chmod = self._persistence._replace, os.chmod

        def chmod_and_replace(source: str, target: str) -> None:
            chmod(source, os.stat(target).st_mode)
            replace(source, target)

        self._persistence.os = types.SimpleNamespace(**{**vars(os), "chmod": lambda *_: None})
        self._persistence._replace = chmod_and_replace

    def written_in_place(self) -> None:
        self._persistence.write_durably = write_in_place

    def renamed_before_written(self) -> None:
        def write(path: Path, data: bytes, *, private: bool) -> None:
            temporary = path.with_name(".early.tmp")
            with temporary.open("wb") as file:
                temporary.replace(path)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._persistence._sync_folder(path.parent)

        self._persistence.write_durably = write

    def old_version_kept_too_late(self) -> None:
        write, late = self._persistence.write_durably, []

        def write_in_wrong_order(path: Path, data: bytes, *, private: bool) -> None:
            if ".v0-" in path.name:
                late.append(path)
            else:
                old = path.read_bytes()
                write(path, data)
                write(late.pop(), old)

        self._persistence.write_durably = write_in_wrong_order

    def corrupt_file_deleted(self) -> None:
        self._persistence.StatefulObject._quarantine_state_file = lambda state, error: (
            state._state_file.unlink()
        )


class _PackagePrograms:
    """An emitted package with stores."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._state: Any = importlib.import_module(f"{package}.state")

    def nothing_is_compared(self) -> None:
        """Save in an update without a comparison, as if no other process could have saved."""
        for kind in (self._state.JsonFileStore, self._state.SqliteStore, self._state.RedisStore):

            def save(
                store: Any,
                *arguments: Any,
                expected_version: Any = None,
                _save: Any = kind.save,
                **o: Any,
            ) -> Any:
                return _save(store, *arguments, **o)

            kind.save = save


class StorePrograms(_PackagePrograms):
    """Programs and faults for the stores."""

    def change(self, url: str, how: str, value: str = "") -> None:
        """Open a store and change it, between two calls that are rare, for a tracer to see."""

        def act() -> None:
            store = stack.enter_context(self._state.open_store(url))
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

    def close(self, url: str) -> None:
        """Open a store, and close it, between two calls that are rare."""
        store = self._state.open_store(url)
        store.load(KEY)
        os.getppid()
        answer = outcome(store.close)
        os.getppid()
        say(answer)

    def save(self, url: str, value: str) -> None:
        with self._state.open_store(url) as store:
            store.save(KEY, json.loads(value))

    def save_and_leave(self, url: str, value: str) -> None:
        """Save, and end without closing anything, as if killed."""
        self._state.open_store(url).save(KEY, json.loads(value))
        os._exit(0)

    def save_and_cut(self, url: str, value: str, mount_point: str) -> None:
        """Save, and shut the file system down before anything else can reach the disk."""
        with power_cut_at_end(mount_point):
            store = self._state.open_store(url)
            store.save(KEY, json.loads(value))
        os._exit(0)

    def update_many(self, url: str, times: str, gate: str) -> None:
        """Update as soon as a file exists, for which other processes wait too."""
        with self._state.open_store(url) as store:
            store.load(KEY)
            say("ready")
            while not os.path.exists(gate):
                time.sleep(0.001)
            for _ in range(int(times)):
                store.update(KEY, add_one)
        say("done")

    def update_for_ever(self, url: str) -> None:
        with self._state.open_store(url) as store:
            while True:
                say(store.update(KEY, add_one).value)

    def update_until(self, url: str, end: str) -> None:
        """Update until a moment, and print how often that succeeded, and each kind of error."""
        done, errors = 0, set[str]()
        with self._state.open_store(url) as store:
            while time.time() < float(end):
                answer = outcome(lambda: store.update(KEY, add_one))
                done += answer == "done"
                errors |= {answer} - {"done"}
        say(json.dumps([done, *sorted(errors)]))

    def open_until(self, url: str, end: str) -> None:
        """Open, load and close until a moment, and print each kind of error."""

        def act() -> None:
            with self._state.open_store(url) as store:
                store.load(KEY)

        errors = set[str]()
        while time.time() < float(end):
            errors |= {outcome(act)} - {"done"}
        say(json.dumps(sorted(errors)))

    def hold(self, url: str) -> None:
        """Stay in the middle of an update until killed."""

        def stay(value: object) -> None:
            say("inside")
            time.sleep(600)

        self._state.open_store(url).update(KEY, stay)

    def fork_beside_threads(self, url: str, forks: str) -> None:
        """Fork while threads update; print how many children live, and if the threads go on."""
        import random

        counts, ended = [0, 0], threading.Event()

        def count(number: int) -> None:
            while not ended.is_set():
                with self._state.open_store(url) as store:
                    store.update(KEY, add_one)
                counts[number] += 1

        threads = [
            threading.Thread(target=count, args=(n,), daemon=True) for n in range(len(counts))
        ]
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

    def kill_at_random(self, url: str, times: str, folder: str) -> None:
        """Kill an updater again and again, and report the state that it left."""

        def add_one_to_what_is_left() -> tuple[int, int]:
            with self._state.open_store(url) as store:
                record = store.load(KEY)
                return (record.value if record else 0), store.update(KEY, add_one).value

        _, last = add_one_to_what_is_left()
        for _ in range(int(times)):
            said = [last, *said_before_kill(lambda: self.update_for_ever(url), 0.02)][-1]
            litter, started = len(os.listdir(folder)), time.monotonic()
            found, last = add_one_to_what_is_left()
            assert last == found + 1
            waited, left = time.monotonic() - started, sorted(os.listdir(folder))
            say(
                json.dumps({k: v for k, v in locals().items() if isinstance(v, int | float | list)})
            )

    def as_user(self, url: str, how: str) -> None:
        """Open, and load or save, as an ordinary user, to whom permissions apply."""
        become_ordinary_user()

        def act() -> None:
            with self._state.open_store(url) as store:
                store.load(KEY) if how == "load" else store.save(KEY, 2)

        say(outcome(act))

    def save_beyond_limit(self, url: str, limit: str, lowest: str) -> None:
        """Save at a limit of the process, read the store, then save without the limit."""
        with self._state.open_store(url) as store:
            with limited(limit, lowest):
                # With a store that is open, and with one that is not.
                reached = [outcome(lambda: store.save(KEY, "x" * 200_000))]
                reached += [outcome(lambda: self._state.open_store(url).save(KEY, "x" * 200_000))]
            found = store.load(KEY).value
            store.save(KEY, 2)
            say(*reached, found, store.load(KEY).value)

    def watch(self, url: str, prefix: str) -> None:
        """Print each change: when it arrived, the key, the version and the value's beginning."""

        def report(key: str, record: Any) -> None:
            shown = [record.version, str(record.value)[:20]] if record else None
            say(json.dumps([time.time(), key, shown]))

        with self._state.open_store(url) as store, store.watch(report, prefix):
            say("watching")
            signal.pause()

    def load(self, url: str) -> None:
        with self._state.open_store(url) as store:
            record = store.load(KEY)
            say(json.dumps(record and record.value))

    # Faults: common mistakes of other programs. A proof that misses them would prove nothing.

    def _sqlite_told(self, synchronous: str) -> None:
        import sqlite3

        class Careless(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                return super().execute(sql.replace("synchronous = FULL", synchronous), *parameters)

            def executescript(self, script: str) -> sqlite3.Cursor:
                return super().executescript(script.replace("synchronous = FULL", synchronous))

        module: Any = sqlite3
        module.connect = functools.partial(sqlite3.connect, factory=Careless)

    def no_fsync(self) -> None:
        persistence: Any = importlib.import_module(f"{self._package}.utils.persistence")
        persistence._flush = lambda descriptor: None
        self._sqlite_told("synchronous = OFF")

    def written_in_place(self) -> None:
        json_file: Any = importlib.import_module(f"{self._package}.state.stores.json_file")
        json_file.write_durably = write_in_place

    def flushed_at_checkpoints_only(self) -> None:
        """As SQLite does with a write-ahead log and synchronous=NORMAL."""
        self._sqlite_told("synchronous = NORMAL")


def declare_states(state: Any) -> dict[str, type]:
    """Declare the states that several processes bind; one of them has two versions."""

    class Board(state.State):
        """One field for each of three processes, and a counter for all of them."""

        first: int = 0
        second: int = 0
        third: int = 0
        count: int = 0

        @classmethod
        def __resolve__(
            cls, base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]
        ) -> dict[str, Any]:
            merged: dict[str, Any] = super().__resolve__(base, mine, theirs)
            return {**merged, "count": theirs["count"] + mine["count"] - base["count"]}

    class Series(state.State):
        """Fields that belong together: all of them have the same number."""

        number: int = 0
        rows: list[int] = state.field(default_factory=lambda: [0] * ROWS)

        def is_whole(self) -> bool:
            return list(self.rows) == [self.number] * ROWS

    class Older(state.State):
        title: str = "Draft"
        zoom: int = 100

    class Newer(state.State):
        __version__ = 2
        name: str = ""
        zoom: int = 100

        @classmethod
        def __migrate__(
            cls, start_version: int, target_version: int, values: dict[str, Any]
        ) -> dict[str, Any]:
            values["name"] = values.pop("title")
            return values

    return {kind.__name__: kind for kind in (Board, Series, Older, Newer)}


class Session:
    """A binding, and the calls that the test may make on it."""

    def __init__(self, state: Any, url: str, kind: type, delay: str) -> None:
        options = {"timeout": 1.0} if url.startswith("redis") else {}
        self._store = state.RedisStore(url, **options) if options else state.open_store(url)
        self._binding = state.Binding(
            kind, self._store, SHARED_KEY, delay=float(delay), max_wait=60.0
        )
        self._state = self._binding.state

    def add(self, times: int, *names: str) -> list[str]:
        """Add 1 to fields again and again, each time saved; return which one has lost some."""
        lost: list[str] = []
        for _ in range(times):
            with self._state.batch():
                expected = {name: getattr(self._state, name) + 1 for name in names}
                for name, value in expected.items():
                    setattr(self._state, name, value)
            self._binding.flush()
            lost += [name for name, value in expected.items() if self._read()[name] < value]
        return lost

    def change(self, values: dict[str, Any]) -> float:
        """Change fields, and return when."""
        with self._state.batch():
            for name, value in values.items():
                setattr(self._state, name, value)
        return time.time()

    def flush(self) -> str:
        return outcome(self._binding.flush)

    def is_pending(self) -> bool:
        return bool(self._binding.pending)

    def values(self) -> dict[str, Any]:
        return self._read()

    def wait(self, values: dict[str, Any]) -> float:
        """Wait until fields have these values, and return when that was."""
        end = time.time() + 20
        while not values.items() <= self._read().items():
            if time.time() > end:
                raise TimeoutError(f"{self._read()}, not {values}")
            time.sleep(0.002)
        return time.time()

    def close(self) -> str:
        with self._store:
            return outcome(self._binding.close)

    def _read(self) -> dict[str, Any]:
        values: dict[str, Any] = self._state.drain()["values"]
        return values


class BindingPrograms(_PackagePrograms):
    """Programs that bind a state to a store."""

    def __init__(self, package: str) -> None:
        super().__init__(package)
        self._kinds = declare_states(self._state)

    def serve(self, url: str, kind: str, delay: str) -> None:
        """Execute the command on each line, and answer with a line."""
        session = Session(self._state, url, self._kinds[kind], delay)
        say(json.dumps("open"))
        for line in sys.stdin:
            call, *arguments = json.loads(line)
            say(json.dumps(getattr(session, call)(*arguments)))

    def save_for_ever(self, url: str) -> None:
        """Save from the binding's thread and from this one; report each number that is saved."""
        binding = self._state.Binding(
            self._kinds["Series"], self._state.open_store(url), SHARED_KEY, delay=0.0
        )
        for number in itertools.count(binding.state.number + 1):
            with binding.state.batch():
                binding.state.number = number
                binding.state.rows = [number] * ROWS
            binding.flush()
            say(number)

    def kill_at_random(self, url: str, times: str) -> None:
        """Kill a process that saves again and again, and report the state that it left."""
        for _ in range(int(times)):
            *_, saved = said_before_kill(lambda: self.save_for_ever(url), 0.02, after_first=True)
            kind = self._kinds["Series"]
            with (
                self._state.open_store(url) as store,
                self._state.Binding(kind, store, SHARED_KEY) as state,
            ):
                say(json.dumps([saved, state.number, state.is_whole()]))

    def fork_beside_batches(self, forks: str) -> None:
        """Fork beside a thread that changes a state; count the children that could change it."""
        board, ended = self._kinds["Board"](), threading.Event()

        def change() -> None:
            while not ended.is_set():
                with board.batch():
                    board.count += 1
                    time.sleep(0.001)

        thread = threading.Thread(target=change)
        thread.start()
        changed = 0
        for _ in range(int(forks)):
            child = os.fork()
            if not child:
                signal.alarm(5)
                board.first = 1
                os._exit(0)
            _, status = os.waitpid(child, 0)
            changed += status == 0
        ended.set()
        thread.join()
        say(changed)


class ProjectPrograms(_PackagePrograms):
    """Programs that save projects, and a fault for them."""

    def __init__(self, package: str) -> None:
        super().__init__(package)
        self._module: Any = importlib.import_module(f"{package}.server.project_store")

    def _save(self, store: Any, number: str, text: str) -> None:
        content = self._module.Content({"number": int(number), "text": text}, {})
        projects = self._module.ProjectStore(store, kept=2)
        projects.save("p_1", f"Song {number}", int(number) - 1, content)

    def prepare(self, url: str, text: str) -> None:
        """Save three versions, of which two are kept, and a draft."""
        with self._state.open_store(url) as store:
            for number in "123":
                self._save(store, number, text)
            content = self._module.Content({"number": 0, "text": text}, {})
            self._module.ProjectStore(store).save_draft("p_1", "Draft", 3, content)

    def save(self, url: str, text: str) -> None:
        """Save a fourth version, between two calls that are rare, for a tracer to see."""
        store = self._state.open_store(url)
        store.load("project:p_1")
        os.getppid()
        answer = outcome(lambda: self._save(store, "4", text))
        os.getppid()
        say(answer)
        os._exit(0)

    def content_saved_last(self) -> None:
        """Name the content in the project before it is stored."""
        store_content = self._module.ProjectStore._store_content
        save = self._module.ProjectStore.save

        def name_content(projects: Any, *arguments: Any) -> Any:
            real, store = projects._store, _Postponing(projects._store)
            projects._store = store
            try:
                return store_content(projects, *arguments)
            finally:
                projects._store = real
                late.extend(store.saves)

        def save_late(projects: Any, *arguments: Any) -> Any:
            saved = save(projects, *arguments)
            for each in late:
                projects._store.save(*each)
            late.clear()
            return saved

        late: list[tuple[Any, ...]] = []
        self._module.ProjectStore._store_content = name_content
        self._module.ProjectStore.save = save_late


class _Postponing:
    """A store that only collects the values to save."""

    def __init__(self, store: Any) -> None:
        self.saves: list[tuple[Any, ...]] = []

    def save(self, *arguments: Any) -> None:
        self.saves.append(arguments)


def load(subject: str) -> Any:
    """Load the emitted code and return the programs for it."""
    if subject.endswith(".py"):
        return ObjectPrograms(subject)
    kind, package, paths = subject.split(":", 2)
    sys.path[:0] = paths.split(os.pathsep)
    kinds = {"stores": StorePrograms, "bindings": BindingPrograms, "projects": ProjectPrograms}
    return kinds[kind](package)


if __name__ == "__main__":
    _subject, _fault, _program, *_arguments = sys.argv[1:]
    _programs = load(_subject)
    if _fault:
        getattr(_programs, _fault)()
    getattr(_programs, _program)(*_arguments)
