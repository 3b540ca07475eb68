"""What the child processes of the proofs do: they bind states to a store, and are told what to do.

`python actors.py PATHS PLANT ACTOR ARGUMENT…` takes the emitted package from those paths, breaks
it by the named plant, if any, and calls the function of that name. The tests never import this
module: its processes have the classes, of which there may be two versions at the same time.
"""

import importlib
import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from typing import Any

sys.path[:0] = sys.argv[1].split(os.pathsep)
state: Any = importlib.import_module("bound.state")

KEY = "shared"
ROWS = 300


class Board(state.State):  # type: ignore[misc]  # it is known when it is imported
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


class Series(state.State):  # type: ignore[misc]
    """What belongs together: all of it has the same number."""

    number: int = 0
    rows: list[int] = state.field(default_factory=lambda: [0] * ROWS)

    def is_whole(self) -> bool:
        return list(self.rows) == [self.number] * ROWS


class Older(state.State):  # type: ignore[misc]
    title: str = "Draft"
    zoom: int = 100


class Newer(state.State):  # type: ignore[misc]
    __version__ = 2
    name: str = ""
    zoom: int = 100

    @classmethod
    def __migrate__(
        cls, start_version: int, target_version: int, values: dict[str, Any]
    ) -> dict[str, Any]:
        values["name"] = values.pop("title")
        return values


def say(answer: object) -> None:
    """Tell the test, in one write that a kill cannot divide."""
    os.write(1, json.dumps(answer).encode() + b"\n")


def outcome(action: Any) -> str:
    """Return how a call ended: with which error, if any."""
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "done"


class Session:
    """A binding, and what the test may ask of it."""

    def __init__(self, url: str, kind: str, delay: str) -> None:
        options = {"timeout": 1.0} if url.startswith("redis") else {}
        self._store = state.RedisStore(url, **options) if options else state.open_store(url)
        self._binding = state.Binding(
            globals()[kind], self._store, KEY, delay=float(delay), max_wait=60.0
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


def serve(url: str, kind: str, delay: str) -> None:
    """Do what each line says, and answer with a line."""
    session = Session(url, kind, delay)
    say("open")
    for line in sys.stdin:
        call, *arguments = json.loads(line)
        say(getattr(session, call)(*arguments))


def save_for_ever(url: str) -> None:
    """Save from the thread of the binding and from this one, telling what is saved for certain."""
    binding = state.Binding(Series, state.open_store(url), KEY, delay=0.0)
    for number in itertools.count(binding.state.number + 1):
        with binding.state.batch():
            binding.state.number = number
            binding.state.rows = [number] * ROWS
        binding.flush()
        say(number)


def kill_at_random(url: str, times: str) -> None:
    """Fork a process that saves, kill it, and look at what it left; a fork starts fast."""
    for _ in range(int(times)):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(writer, 1)
            save_for_ever(url)
        os.close(writer)
        with open(reader) as answers:
            first = int(answers.readline())
            time.sleep(random.uniform(0, 0.02))  # noqa: S311 - a delay, no secret
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            saved = [first, *map(int, answers)][-1]
        with state.open_store(url) as store, state.Binding(Series, store, KEY) as series:
            say([saved, series.number, series.is_whole()])


def fork_beside_batches(forks: str) -> None:
    """Fork while a thread changes a state in batches; tell how often the child could change it."""
    board, ended = Board(), threading.Event()

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


def nothing_is_compared() -> None:
    """Plant a mistake that others ship: save as if nobody else could have saved."""
    for kind in (state.JsonFileStore, state.SqliteStore, state.RedisStore):

        def save(
            store: Any, key: str, value: Any, *, expected_version: int, _save: Any = kind.save
        ) -> Any:
            return _save(store, key, value)

        kind.save = save


if __name__ == "__main__":
    _plant, _actor, *_arguments = sys.argv[2:]
    if _plant:
        globals()[_plant]()
    globals()[_actor](*_arguments)
