"""What the child processes of the proofs do, and the faults that can be planted in them.

`python actors.py MODULE PLANT ACTOR ARGUMENT…` loads the emitted module from its path, breaks
it by the named plant, if any, and calls the function of that name. The tests never import this
module: what it does to the emitted one stays in the process that is killed, cut or traced.
"""

import fcntl
import importlib.util
import json
import multiprocessing
import os
import random
import resource
import signal
import stat
import struct
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

_spec = importlib.util.spec_from_file_location("persistence", sys.argv[1])
assert _spec
assert _spec.loader
persistence: Any = importlib.util.module_from_spec(_spec)
sys.modules["persistence"] = persistence
_spec.loader.exec_module(persistence)


def opened(path: str, **members: Any) -> Any:
    """Return a state whose `count` is 0 if there is no file; `members` make it a subclass."""
    state = type("State", (persistence.StatefulObject,), members)(path)
    state.count = getattr(state, "count", 0)
    return state


def say(*words: object) -> None:
    """Tell the test, in one write that a kill cannot divide."""
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def outcome(action: Callable[[], object]) -> str:
    """Return how a call ended: with which error, if any."""
    try:
        action()
    except OSError as error:
        return f"{type(error).__name__} {error.errno}"
    return "done"


def marked(*actions: Callable[[], object]) -> None:
    """Show a tracer where the part that counts begins and ends, by a call that is rare."""
    os.getppid()
    outcomes = [*map(outcome, actions)]
    os.getppid()
    say(*outcomes)


def save(path: str, count: str, size: str = "0") -> None:
    state = opened(path)
    state.count, state.filler = int(count), "x" * int(size)
    marked(state._save_state)


def save_twice(path: str, count: str) -> None:
    state = opened(path)
    state.count = int(count)
    marked(state._save_state, state._save_state)


def start(path: str) -> None:
    opened(path)


def start_and_save(path: str, count: str, version: str = "") -> None:
    def save_as_new_version() -> None:
        state = opened(path, _state_version=int(version or 0))
        state.count = int(count)
        state._save_state()

    marked(save_as_new_version)


def transact(path: str, times: str = "1") -> None:
    def increment() -> None:
        state = opened(path)
        for _ in range(int(times)):
            with state._transaction():
                state.count += 1

    marked(increment)


def clear(path: str) -> None:
    marked(opened(path)._clear_state)


def clear_again(path: str) -> None:
    """As after a first attempt that has deleted the file, and failed to make that durable."""
    state = opened(path)
    marked(state._state_file.unlink, state._clear_state)


def save_and_cut(path: str, count: str, mount_point: str) -> None:
    """Save, and shut the file system down before anything else can reach the disk."""
    state = opened(path)
    state.count = int(count)
    disk = os.open(mount_point, os.O_RDONLY)
    state._save_state()
    fcntl.ioctl(disk, 0x8004587D, struct.pack("I", 2))  # FS_IOC_SHUTDOWN, NOLOGFLUSH


def save_for_ever(path: str) -> None:
    state = opened(path)
    while True:
        state.count += 1
        state._save_state()
        say(state.count)


def kill_at_random(path: str, times: str) -> None:
    """Fork a writer, kill it, look at what it left; a fork starts faster than a process."""
    for _ in range(int(times)):
        before = opened(path).count
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(writer, 1)
            save_for_ever(path)
        os.close(writer)
        time.sleep(random.uniform(0, 0.01))  # noqa: S311 - a delay, no secret
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open(reader) as answers:
            saved = [before, *map(int, answers)][-1]
        left = len([*Path(path).parent.glob(".*.tmp")])
        found = opened(path).count
        still = len([*Path(path).parent.glob(".*.tmp")])
        say(json.dumps({"saved": saved, "found": found, "left": left, "still": still}))


def as_user(action: str, path: str) -> None:
    """Start, save or transact as an ordinary user, whom permissions bind."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    def act() -> None:
        state = opened(path)
        if action == "save":
            state._save_state()
        if action == "transact":
            with state._transaction():
                pass

    say(outcome(act))


def save_beyond_limit(path: str, limit: str, lowest: str) -> None:
    """Save with a limit of the process reached, look at what is there, save without it."""
    state = opened(path)
    state.count, state.filler = 2, "x" * 20_000
    kind = getattr(resource, limit)
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (int(lowest), hard))
    reached = outcome(state._save_state)
    resource.setrlimit(kind, (soft, hard))
    say(reached, opened(path).count)
    say(*os.listdir(Path(path).parent))
    say(outcome(state._save_state), opened(path).count)


def hold(path: str) -> None:
    """Enter a transaction, say so, and stay until killed."""
    with opened(path)._transaction():
        say("inside")
        time.sleep(600)


def fork_and_hold(path: str, how: str) -> None:
    """Fork in a transaction; the child lives on when this process leaves it, or is killed."""
    with opened(path)._transaction() as state:
        state.count += 1
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        child.start()
        say(child.pid)
        if how == "is killed":
            time.sleep(600)
    say("left")
    time.sleep(600)


def fork_and_transact(path: str) -> None:
    """Fork in a transaction; the child waits for its turn, with the object and with a new one."""

    def increment() -> None:
        for each in (state, opened(path)):
            with each._transaction():
                each.count += 1

    state = opened(path)
    with state._transaction():
        child = multiprocessing.get_context("fork").Process(target=increment)
        child.start()
        time.sleep(0.2)
        state.count += 1
    child.join()
    say(opened(path).count, child.exitcode)


def in_threads(*actions: Callable[[], object]) -> list[str]:
    """Run all at once and return what went wrong."""
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


def transact_in_threads(times: str, *paths: str) -> None:
    """Increment each file in a thread of its own, with an object of its own."""

    def increment(path: str) -> Callable[[], object]:
        def act() -> None:
            state = opened(path)
            for _ in range(int(times)):
                with state._transaction():
                    state.count += 1

        return act

    say(json.dumps(in_threads(*map(increment, paths))))


def save_while_starting_in_threads(path: str, times: str) -> None:
    state, done = opened(path), threading.Event()

    def save_all() -> None:
        try:
            for _ in range(int(times)):
                state.count += 1
                state._save_state()
        finally:
            done.set()

    def start_all() -> None:
        while not done.is_set():
            opened(path)

    say(json.dumps(in_threads(save_all, start_all, start_all)))


def save_many(path: str, seconds: str) -> None:
    end, state = time.monotonic() + float(seconds), opened(path)
    while time.monotonic() < end:
        state.count += 1
        state._save_state()


def start_many(path: str, seconds: str) -> None:
    """Start again and again, and tell how often there was nothing to start from."""
    end, missing = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        missing += not opened(path).count
    say(missing)


def clear_many(path: str, seconds: str) -> None:
    end, state = time.monotonic() + float(seconds), opened(path)
    while time.monotonic() < end:
        state._save_state()
        state._clear_state()


def start_together(folder: str, processes: str, rounds: str, how: str) -> None:
    """Let several processes meet a corrupt file at the same moment, in every round."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(int(processes))

    def take_part() -> None:
        for number in range(int(rounds)):
            path = f"{folder}/{number}/state.json"
            barrier.wait(60)
            state = opened(path)
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


# Plants: mistakes that others ship. A proof that does not notice them would prove nothing.


def _flush_only(wanted: Callable[[int], bool]) -> None:
    flush = persistence._flush
    persistence._flush = lambda descriptor: (
        flush(descriptor) if wanted(os.fstat(descriptor).st_mode) else None
    )


def no_fsync() -> None:
    _flush_only(lambda mode: False)


def no_fsync_of_the_file() -> None:
    _flush_only(stat.S_ISDIR)


def no_fsync_of_the_folder() -> None:
    _flush_only(stat.S_ISREG)


def no_fsync_of_the_parents() -> None:
    persistence._make_folder = lambda folder: os.makedirs(folder, exist_ok=True)


def mode_set_after_fsync() -> None:
    replace, chmod = persistence._replace, os.chmod

    def chmod_and_replace(source: str, target: str) -> None:
        chmod(source, os.stat(target).st_mode)
        replace(source, target)

    persistence.os = types.SimpleNamespace(**{**vars(os), "chmod": lambda *_: None})
    persistence._replace = chmod_and_replace


def written_in_place() -> None:
    def write(path: Path, data: bytes, *, private: bool) -> None:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        persistence._sync_folder(path.parent)

    persistence.write_durably = write


def renamed_before_written() -> None:
    def write(path: Path, data: bytes, *, private: bool) -> None:
        temporary = path.with_name(".early.tmp")
        with temporary.open("wb") as file:
            temporary.replace(path)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        persistence._sync_folder(path.parent)

    persistence.write_durably = write


def old_version_kept_too_late() -> None:
    write, late = persistence.write_durably, []

    def write_in_wrong_order(path: Path, data: bytes, *, private: bool) -> None:
        if ".v0-" in path.name:
            late.append(path)
        else:
            old = path.read_bytes()
            write(path, data)
            write(late.pop(), old)

    persistence.write_durably = write_in_wrong_order


def corrupt_file_deleted() -> None:
    persistence.StatefulObject._quarantine_state_file = lambda state, error: (
        state._state_file.unlink()
    )


if __name__ == "__main__":
    _plant, _actor, *_arguments = sys.argv[2:]
    if _plant:
        globals()[_plant]()
    globals()[_actor](*_arguments)
