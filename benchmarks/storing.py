"""One small change in states of several sizes: the stores, and other ways to keep values by key.

A state has keys of 1 KB each, and a change replaces the value of one of them, chosen at random.
Ways written by hand have their bytes ready: the store above them could not take less.

The loss of each rival at a power cut was read in its source, and in the documentation of its base,
https://sqlite.org/pragma.html#pragma_synchronous for SQLite, and
https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/ for Redis.
"""

# Installed for benchmarks only, and mostly untyped: the checks have to do without them.
# mypy: disable-error-code="import-not-found, import-untyped"
# pyright: reportMissingImports=false

import dbm
import importlib
import itertools
import json
import os
import random
import shelve
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

import diskcache
import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlitedict import SqliteDict
from stores import redis_server
from tinydb import TinyDB
from tinydb.table import Document

from benchmarks.importing import importable_library
from benchmarks.report import Result, Spans, Verdict, duration
from benchmarks.saving import record
from benchmarks.timing import Rival, Timings, take_turns

LIMIT = 1.3
FILE_LIMIT = 2.0

# Numbers of keys of 1 KB.
_SIZES = {"1 KB": 1, "1 MB": 1_000, "50 MB": 50_000}
# The number of keys in a row, each drawn anew.
_TIMES = 5
# Ways that write all keys for the sake of one are slow enough to show in few rounds.
_ROUNDS = {
    "in memory": 101,
    "on disk": 101,
    "all of 1 KB": 51,
    "all of 1 MB": 11,
    "all of 50 MB": 3,
}
_ROUNDS_OF_FILE = 15
_MESSAGES = 1_001
# SQLite begins its log anew after 1,000 pages: until then the log grows, and is slower to flush.
_WARM_UP = 1_000

# A file of 10 MB: so many keys, and the bytes in each.
_FILES = {"10,000 keys of 1 KB": (10_000, 1_000), "one key of 10 MB": (1, 10_000_000)}

_MEMORY = "MemoryStore"
_FILE = "JsonFileStore"
_SQLITE = "SqliteStore"
_SQLITE_BY_HAND = "sqlite3 by hand"
_REDIS = "RedisStore"
_REDIS_BY_HAND = "redis-py by hand"

_NOTHING = "nothing"
_LAST = "the last saves"
_ALL = "possibly all"

_TTL = 86_400

_PACKAGE = "storing"

Value = dict[str, Any]
State = Mapping[str, Value]


@dataclass(frozen=True)
class Kept:
    """A state in some store, with the operations on one of its keys."""

    save: Callable[[str, Any], object]
    load: Callable[[str], Any]
    # Prepares a value before it is saved, untimed.
    ready: Callable[[Value], Any] = lambda value: value


Keep = Callable[[Path, State, ExitStack], Kept]


@dataclass(frozen=True)
class Way:
    """One way to keep a state, with its known properties."""

    keep: Keep
    loses: str
    reason: str
    # The ways that take turns with it; those in "all" write all keys for the sake of one.
    group: str = "on disk"


def measure(folder: Path, quick: bool) -> Result:
    answers = {"state_stores": ["json", "sqlite", "redis"]}
    sys.path.insert(0, str(importable_library(folder / "library", _PACKAGE, **answers)))
    sizes = list(_SIZES)[: 2 if quick else None]
    with ExitStack() as stack:
        server = stack.enter_context(redis_server.running(folder))
        url = f"redis://{redis_server.HOST}:{server.port}"
        ways = _ways(url, folder)
        times = _time(ways, sizes, folder, quick)
        files = _time_files(folder / "files", quick)
        messages = _time_messages(url, 51 if quick else _MESSAGES)
    return Result(
        name="store",
        title="Keeping values by key",
        introduction=(
            "The time for changing one key, and for reading one, in states of several sizes whose "
            "keys have 1 KB each. Ways written by hand have their bytes ready."
        ),
        columns=(
            *(f"change in {size}" for size in sizes),
            *(f"read from {size}" for size in sizes),
            "lost at a power cut",
        ),
        rows={
            name: (
                *(duration(times.median(_change(name, size))) for size in sizes),
                *(duration(times.median(_read(name, size))) for size in sizes),
                way.loses,
            )
            for name, way in ways.items()
        },
        rounds={
            **{f"key {group}": rounds for group, rounds in _ROUNDS.items()},
            "key in a file of 10 MB": files.rounds,
            "message": messages.rounds,
        },
        verdicts=list(_verdicts(sizes, times, files, messages)),
        plot=Spans(
            title="Changing one key: speed, and what survives a power cut",
            unit=(
                f"time for a change (logarithmic), in a state of {', '.join(sizes)}: a larger dot "
                "is a larger state\nfilled blue: nothing is lost at a power cut; "
                "hollow orange: something may be"
            ),
            values={
                name: {size: times.median(_change(name, size)) for size in sizes} for name in ways
            },
            outstanding={name for name, way in ways.items() if way.loses == _NOTHING},
        ),
        notes=[
            *(f"{name}: {way.reason}" for name, way in ways.items()),
            *(
                f"{_FILE}, {layout}: {duration(files.median(layout))} for a change, and "
                f"{duration(files.median(_bare(layout)))} for the bare durable write of the same "
                "bytes."
                for layout in _FILES
            ),
            (
                f"A message of 1 KB: {duration(messages.median(_REDIS))} from `save()` to the "
                f"callback of a watcher, and {duration(messages.median(_REDIS_BY_HAND))} from "
                "`publish()` to `get_message()`, each in another thread."
            ),
        ],
    )


def _verdicts(
    sizes: Sequence[str], times: Timings, files: Timings, messages: Timings
) -> Iterator[Verdict]:
    smallest, largest = sizes[0], sizes[-1]
    flat = times.ratio(_change(_SQLITE, largest), _change(_SQLITE, smallest))
    yield Verdict(f"{_SQLITE}, change in {largest}, against one in {smallest}", flat, LIMIT)
    for store, by_hand in ((_SQLITE, _SQLITE_BY_HAND), (_REDIS, _REDIS_BY_HAND)):
        for size in sizes:
            ratio = times.ratio(_change(store, size), _change(by_hand, size))
            yield Verdict(f"{store}, change in {size}, against {by_hand}", ratio, LIMIT)
    ratio = messages.ratio(_REDIS, _REDIS_BY_HAND)
    yield Verdict(f"{_REDIS}, message, against {_REDIS_BY_HAND}", ratio, LIMIT)
    for layout in _FILES:
        ratio = files.ratio(layout, _bare(layout))
        yield Verdict(f"{_FILE}, {layout}, against the bare durable write", ratio, FILE_LIMIT)


def _change(name: str, size: str) -> str:
    return f"{name}, change in {size}"


def _read(name: str, size: str) -> str:
    return f"{name}, read from {size}"


def _bare(layout: str) -> str:
    return f"bare durable write, {layout}"


def _time(ways: Mapping[str, Way], sizes: Sequence[str], folder: Path, quick: bool) -> Timings:
    groups: dict[str, dict[str, Rival]] = {}
    with ExitStack() as stack:
        for size, (name, way) in itertools.product(sizes, ways.items()):
            group = f"all of {size}" if way.group == "all" else way.group
            place = folder / f"{name} in {size}"
            place.mkdir()
            keys = _keys(_SIZES[size])
            kept = way.keep(place, dict.fromkeys(keys, _value()), stack)
            times = 1 if way.group == "all" else _TIMES
            change = _changing(kept, keys, times, settle=group != "in memory")
            for _ in range(_WARM_UP // times if group == "on disk" and not quick else 0):
                change.prepare()
                change.run()
            rivals = groups.setdefault(group, {})
            rivals[_change(name, size)] = change
            rivals[_read(name, size)] = _reading(kept, keys, times)
        seconds: dict[str, list[float]] = {}
        for group, rivals in groups.items():
            seconds |= take_turns(rivals, 2 if quick else _ROUNDS[group]).seconds
    return Timings(seconds)


def _time_files(folder: Path, quick: bool) -> Timings:
    write_durably = _import("utils.persistence").write_durably
    folder.mkdir()
    rivals: dict[str, Rival] = {}
    with ExitStack() as stack:
        for layout, (count, size) in _FILES.items():
            path, keys = folder / f"{count}.json", _keys(count)
            store = stack.enter_context(_import("state").JsonFileStore(path))
            _fill(store, dict.fromkeys(keys, _value(size)))
            rivals[layout] = _changing(Kept(store.save, store.load), keys, size=size)
            write = partial(write_durably, folder / f"{count}.bare", path.read_bytes())
            rivals[_bare(layout)] = Rival(write, _settle)
        return take_turns(rivals, 3 if quick else _ROUNDS_OF_FILE)


def _time_messages(url: str, count: int) -> Timings:
    """Time from the call that sends a message until it has arrived in another thread."""
    arrivals: SimpleQueue[float] = SimpleQueue()
    value, ended = _value(), Event()

    def arrive(*_: object) -> None:
        arrivals.put(time.perf_counter())

    def listen() -> None:
        while not ended.is_set():
            if listener.get_message(timeout=0.1):
                arrive()

    with (
        _import("state").RedisStore(url) as store,
        store.watch(arrive),
        closing(_redis_client(url)) as client,
        client.pubsub(ignore_subscribe_messages=True) as listener,
        ThreadPoolExecutor() as pool,
    ):
        listener.subscribe("channel")
        pool.submit(listen)
        data = orjson.dumps(value)
        sends: dict[str, Callable[[], object]] = {
            _REDIS: lambda: store.save("key", value, ttl=_TTL),
            _REDIS_BY_HAND: lambda: client.publish("channel", data),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sends}
        try:
            for number, (name, send) in itertools.product(range(-5, count), sends.items()):
                start = time.perf_counter()
                send()
                elapsed = arrivals.get(timeout=10) - start
                if number >= 0:
                    seconds[name].append(elapsed)
        finally:
            ended.set()
    return Timings(seconds)


def _changing(
    kept: Kept, keys: Sequence[str], times: int = 1, *, size: int = 1_000, settle: bool = True
) -> Rival:
    choice, numbers = random.Random(0), itertools.count(1)  # noqa: S311 - a choice
    pending: list[tuple[str, Any]] = []

    def prepare() -> None:
        chosen = choice.choices(keys, k=times)
        pending[:] = [(key, kept.ready(_value(size, saves=next(numbers)))) for key in chosen]
        if settle:
            _settle()

    def change() -> None:
        for key, value in pending:
            kept.save(key, value)

    return Rival(change, prepare, times)


def _reading(kept: Kept, keys: Sequence[str], times: int) -> Rival:
    choice = random.Random(0)  # noqa: S311 - a choice
    pending: list[str] = []

    def prepare() -> None:
        pending[:] = choice.choices(keys, k=times)

    def read() -> None:
        for key in pending:
            assert kept.load(key)["records"]

    return Rival(read, prepare, times)


def _keys(count: int) -> list[str]:
    return [f"key-{number:06}" for number in range(count)]


def _value(size: int = 1_000, saves: int = 0) -> Value:
    """Return a value of about this many bytes as JSON: small records, mixed types."""
    return {"saves": saves, "records": _records(size // _RECORD_SIZE)}


@cache
def _records(count: int) -> list[dict[str, Any]]:
    return [record(number) for number in range(count)]


_RECORD_SIZE = len(orjson.dumps(record(100)))


def _settle() -> None:
    """Flush the writes of others to the disk: the next fsync would have to pay for them."""
    os.sync()


def _import(module: str) -> Any:
    return importlib.import_module(f"{_PACKAGE}.{module}")


def _ways(url: str, folder: Path) -> dict[str, Way]:
    emitted = _import("state")
    # Each state on the server has a database of its own.
    databases = map(f"{url}/{{}}".format, itertools.count(1))
    shelve_backend = _shelve_backend(folder)
    return {
        _MEMORY: Way(
            lambda place, state, stack: _keep_locally(emitted.MemoryStore(), state, stack),
            _loses(emitted.MemoryStore, "all"),
            "it ends with the process.",
            group="in memory",
        ),
        _FILE: Way(
            lambda place, state, stack: _keep_locally(
                emitted.JsonFileStore(place / "state.json"), state, stack
            ),
            _loses(emitted.JsonFileStore, _ALL),
            "the file is replaced by one that was flushed.",
            group="all",
        ),
        _SQLITE: Way(
            lambda place, state, stack: _keep_locally(
                emitted.SqliteStore(place / "state.db"), state, stack
            ),
            _loses(emitted.SqliteStore, _LAST),
            "a write-ahead log and `synchronous=FULL`, which flushes every commit.",
        ),
        _SQLITE_BY_HAND: Way(
            _keep_by_hand_in_sqlite,
            _NOTHING,
            "the same: one upsert of the same text in a table of keys and texts.",
        ),
        _REDIS: Way(
            lambda place, state, stack: _keep_in_redis(next(databases), state, stack),
            _loses(emitted.RedisStore, _LAST),
            "what came after the last snapshot, which is up to an hour old unless the server is "
            "configured otherwise. Here it keeps no file at all, for both.",
            group="in memory",
        ),
        _REDIS_BY_HAND: Way(
            lambda place, state, stack: _keep_by_hand_in_redis(next(databases), state, stack),
            _LAST,
            "the same: SET with a time to live, and PUBLISH, in one transaction.",
            group="in memory",
        ),
        "diskcache": Way(
            _keep_in_diskcache,
            _LAST,
            "SQLite with `synchronous=NORMAL`, which does not flush a commit. Values from 32 KB "
            "on have files of their own, and may all be lost.",
        ),
        "sqlitedict": Way(
            _keep_in_sqlitedict,
            _ALL,
            "SQLite with `synchronous=OFF`: a cut may damage the database.",
        ),
        f"shelve ({shelve_backend})": Way(
            _keep_in_shelf,
            _NOTHING if shelve_backend == "dbm.sqlite3" else _ALL,
            "only dbm.sqlite3 survives any cut: the others write in place, and not all of them "
            "flush.",
            group="all",
        ),
        "TinyDB": Way(
            _keep_in_tinydb,
            _ALL,
            "the file is written in place, so that a cut leaves old and new mixed.",
            group="all",
        ),
        "json.dumps() to the file": Way(
            _keep_in_plain_file,
            _ALL,
            "no fsync, and the old content is gone before the new one is written.",
            group="all",
        ),
    }


def _loses(store: Any, otherwise: str) -> str:
    """Return the loss that a store itself declares."""
    return _NOTHING if store.capabilities.survives_power_cut else otherwise


def _keep_locally(store: Any, state: State, stack: ExitStack) -> Kept:
    stack.enter_context(store)
    _fill(store, state)
    return Kept(store.save, lambda key: store.load(key).value)


def _fill(store: Any, state: State) -> None:
    """Put all keys into a store in one change: a change for each would take hours."""
    row = _import("state.stores._local").Row
    with store._write_transaction() as rows:
        for number, (key, value) in enumerate(state.items(), 1):
            rows.put(key, row(number, time.time(), None, store._encode(key, value)))


def _keep_by_hand_in_sqlite(place: Path, state: State, stack: ExitStack) -> Kept:
    connection = sqlite3.connect(place / "state.db", isolation_level=None)
    stack.enter_context(closing(connection))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT)")
    put = "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

    def ready(value: Value) -> Any:
        return orjson.dumps(value).decode()

    def load(key: str) -> Any:
        found = connection.execute("SELECT value FROM state WHERE key = ?", (key,))
        return json.loads(found.fetchone()[0])

    connection.execute("BEGIN")
    connection.executemany(put, ((key, ready(value)) for key, value in state.items()))
    connection.execute("COMMIT")
    return Kept(lambda key, text: connection.execute(put, (key, text)), load, ready)


def _keep_in_redis(url: str, state: State, stack: ExitStack) -> Kept:
    store = stack.enter_context(_import("state").RedisStore(url))
    save = partial(store.save, ttl=_TTL)
    for key, value in state.items():
        save(key, value)
    return Kept(save, lambda key: store.load(key).value)


def _keep_by_hand_in_redis(url: str, state: State, stack: ExitStack) -> Kept:
    client = stack.enter_context(closing(_redis_client(url)))

    def save(key: str, data: bytes) -> None:
        with client.pipeline(transaction=True) as step:
            step.set(f"app:state:{key}", data, ex=_TTL)
            step.publish(f"app:state:channel:{key}", data)
            step.execute()

    with client.pipeline(transaction=False) as commands:
        for key, value in state.items():
            commands.set(f"app:state:{key}", orjson.dumps(value), ex=_TTL)
        commands.execute()
    return Kept(save, lambda key: json.loads(client.get(f"app:state:{key}")), orjson.dumps)


def _keep_in_diskcache(place: Path, state: State, stack: ExitStack) -> Kept:
    cache = stack.enter_context(diskcache.Cache(place))
    with cache.transact():
        for key, value in state.items():
            cache.set(key, value)
    return Kept(cache.set, cache.get)


def _keep_in_sqlitedict(place: Path, state: State, stack: ExitStack) -> Kept:
    database = stack.enter_context(SqliteDict(place / "state.db"))

    def save(key: str, value: Value) -> None:
        database[key] = value
        database.commit()

    database.update(state)
    database.commit()
    return Kept(save, database.__getitem__)


def _keep_in_shelf(place: Path, state: State, stack: ExitStack) -> Kept:
    shelf = stack.enter_context(shelve.open(str(place / "state")))  # noqa: S301, SIM115 - ours

    def save(key: str, value: Value) -> None:
        shelf[key] = value
        shelf.sync()

    shelf.update(state)
    shelf.sync()
    return Kept(save, shelf.__getitem__)


def _shelve_backend(folder: Path) -> str:
    """Return the database that shelve uses here: it depends on how Python was built."""
    path = str(folder / "shelf")
    shelve.open(path).close()  # noqa: S301 - our own file
    return dbm.whichdb(path) or "dbm.dumb"


def _keep_in_tinydb(place: Path, state: State, stack: ExitStack) -> Kept:
    database = stack.enter_context(TinyDB(place / "state.json"))
    # By number, which needs no search.
    numbers = {key: number for number, key in enumerate(state, 1)}
    database.insert_multiple(Document(state[key], numbers[key]) for key in state)
    return Kept(
        lambda key, value: database.upsert(Document(value, numbers[key])),
        lambda key: database.get(doc_id=numbers[key]),
    )


def _keep_in_plain_file(place: Path, state: State, stack: ExitStack) -> Kept:
    path, whole = place / "state.json", {**state}

    def save(key: str, value: Value) -> None:
        whole[key] = value
        path.write_text(json.dumps(whole))

    path.write_text(json.dumps(whole))
    return Kept(save, lambda key: json.loads(path.read_text())[key])


def _redis_client(url: str) -> Any:
    """Return a client with the same settings as the store's."""
    retry = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0, retry=retry)
