"""`_save_state()` against the bare durable sequence, and against other ways to keep a state.

The bare sequence is that of POSIX, written by hand, with the bytes ready: temporary file,
fsync, rename, fsync of the folder. Encoding is measured separately, and the save that is held
against the bare sequence has its bytes ready too.

The loss of each rival at a power cut was read in its source, seen in its system calls, and tried
on an ext4 file system that was shut down without a flush right after the save.
"""

# Installed for benchmarks only, and mostly untyped: the checks have to do without them.
# mypy: disable-error-code="import-not-found, import-untyped"
# pyright: reportMissingImports=false

import dbm
import json
import os
import shelve
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diskcache
import jsonpickle
from atomicwrites import atomic_write
from tinydb import TinyDB
from tinydb.table import Document

from benchmarks.importing import import_emitted
from benchmarks.report import Panels, Result, Verdict, milliseconds
from benchmarks.timing import Rival, Timings, take_turns

LIMIT = 1.15
LIMIT_OF_MANY = 1.2
LIMIT_OF_ENCODING = 1.5

# The options of the emitted module, which indents only small values: both write as many bytes.
_OPTIONS: dict[str, Any] = {"sort_keys": True, "ensure_ascii": False, "allow_nan": False}
_INDENTED = {**_OPTIONS, "indent": 2}
_LARGE = {**_OPTIONS, "separators": (",\n", ": ")}
_SIZES = {"1 KB": 1_000, "100 KB": 100_000, "10 MB": 10_000_000}
_ROUNDS = {"1 KB": 301, "100 KB": 301, "10 MB": 11}

_BARE = "bare sequence, bytes ready"
_READY = "_save_state(), bytes ready"
_BY_HAND = "json.dumps() by hand"
_PLAIN = "json.dumps(), compact"
_ENCODE = "encoding in _save_state()"
_WHOLE = "_save_state()"
_MANY = "_save_state(), each record an attribute"
_MANY_BY_HAND = "json.dumps() and bare sequence, each record a member"

State = dict[str, Any]
Save = Callable[[], object]


@dataclass(frozen=True)
class Way:
    """One way to keep a state, with its known properties."""

    opened: Callable[[Path, State], Save]
    writes: str
    loses: str
    reason: str


def measure(folder: Path, quick: bool) -> Result:
    stateful = import_emitted("persistence", folder / "library").StatefulObject
    ways = _ways(folder)

    timings: dict[str, Timings] = {}
    for size in list(_SIZES)[: 2 if quick else None]:
        place = folder / f"state-{size}"
        place.mkdir()
        rivals = {
            **_own_rivals(stateful, place, _state(_SIZES[size])),
            **dict(_other_rivals(ways, place, _SIZES[size])),
        }
        timings[size] = take_turns(rivals, _ROUNDS[size] // (5 if quick else 1))

    return Result(
        name="save",
        title="Saving a state",
        introduction=(
            "Milliseconds, and in brackets the ratio to the bare durable sequence (temporary "
            "file, fsync, rename, fsync of the folder). A whole save encodes the state, and then "
            "saves the bytes."
        ),
        columns=(*timings, "format", "lost at a power cut"),
        rows={
            _BARE: (*_cells(_BARE, timings), "readable JSON", "nothing"),
            _READY: (*_cells(_READY, timings), "the same", "nothing"),
            _BY_HAND: (*_cells(_BY_HAND, timings), "", ""),
            _PLAIN: (*_cells(_PLAIN, timings), "", ""),
            _ENCODE: (*_cells(_ENCODE, timings), "", ""),
            _WHOLE: (*_cells(_WHOLE, timings), "the same", "nothing"),
            _MANY_BY_HAND: (*_cells(_MANY_BY_HAND, timings), "readable JSON", "nothing"),
            _MANY: (*_cells(_MANY, timings), "the same", "nothing"),
            **{name: (*_cells(name, timings), way.writes, way.loses) for name, way in ways.items()},
        },
        notes=[f"{name}: {way.reason}" for name, way in ways.items()],
        rounds={f"save of {size}": times.rounds for size, times in timings.items()},
        verdicts=[
            Verdict(f"save of {size}, bytes ready", times.ratio(_READY, _BARE), LIMIT)
            for size, times in timings.items()
        ]
        + [
            Verdict(
                f"save of {size} in many attributes",
                times.ratio(_MANY, _MANY_BY_HAND),
                LIMIT_OF_MANY,
            )
            for size, times in timings.items()
            if size != "1 KB"  # a single attribute
        ]
        + [
            Verdict(f"encoding of {size}", times.ratio(_ENCODE, _PLAIN), LIMIT_OF_ENCODING)
            for size, times in timings.items()
            if size == "10 MB"
        ],
        plot=Panels(
            title="Saving a state: speed, and what survives a power cut",
            unit=(
                "times as long as the bare durable sequence with its bytes ready (logarithmic)\n"
                "filled blue: nothing is lost at a power cut; hollow orange: something may be"
            ),
            values={
                size: {name: times.ratio(name, _BARE) for name in (_WHOLE, *ways)}
                for size, times in timings.items()
            },
            outstanding={_WHOLE, *(name for name, way in ways.items() if way.loses == "nothing")},
        ),
    )


def _cells(name: str, timings: Mapping[str, Timings]) -> Iterator[str]:
    for times in timings.values():
        yield f"{milliseconds(times.median(name))} ({times.ratio(name, _BARE):.2f})"


def _state(size: int) -> State:
    """Return a state of about this many bytes as readable JSON: small records, mixed types."""
    records: list[State] = []
    state: State = {"saves": 0, "records": records}
    while len(records) * _record_size() < size:
        records.append(record(len(records)))
    return state


def record(number: int) -> State:
    """Return a small record of mixed types."""
    return {
        "id": number,
        "station": "Zürich",
        "time": f"2025-06-{number % 28 + 1:02}T12:00:00Z",
        "temperature": round(number * 0.37 % 40, 2),
        "valid": number % 7 > 0,
        "tags": ["rain", "wind"],
    }


def _record_size() -> int:
    return len(json.dumps([[record(100)]], **_INDENTED))


def _settle() -> None:
    """Flush the writes of others to the disk: the next fsync would have to pay for them."""
    os.sync()


def _own_rivals(stateful: Any, place: Path, state: State) -> dict[str, Rival]:
    def kept(name: str, state: State = state) -> Any:
        kept = stateful(place / name)
        vars(kept).update(state)
        kept._save_state()
        return kept

    whole, ready, encoding = kept("whole.json"), kept("ready.json"), kept("encoding.json")
    attributes = {f"record{number}": record for number, record in enumerate(state["records"])}
    many = kept("many.json", attributes)
    data = encoding._encode_state()
    options = _LARGE if len(data) > 50_000 else _INDENTED
    # All of a save but the encoding: an attribute of the object hides the method.
    ready._encode_state = lambda: data

    def save() -> None:
        whole.saves += 1
        whole._save_state()

    def dumps() -> bytes:
        return json.dumps(state, **options).encode()

    assert abs(len(dumps()) - len(data)) < 20, "the module has another layout than this benchmark"
    bare, by_hand = place / "bare.json", place / "by-hand.json"
    return {
        _BARE: Rival(lambda: _bare_sequence(bare, data), _settle),
        _READY: Rival(ready._save_state, _settle),
        _BY_HAND: Rival(dumps),
        _PLAIN: Rival(lambda: json.dumps(state).encode()),
        _ENCODE: Rival(encoding._encode_state),
        _WHOLE: Rival(save, _settle),
        _MANY: Rival(many._save_state, _settle),
        _MANY_BY_HAND: Rival(
            lambda: _bare_sequence(by_hand, json.dumps(attributes, **options).encode()), _settle
        ),
    }


def _bare_sequence(path: Path, data: bytes) -> None:
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _other_rivals(ways: Mapping[str, Way], place: Path, size: int) -> Iterator[tuple[str, Rival]]:
    for number, (name, way) in enumerate(ways.items()):
        path = place / f"other-{number}"
        path.mkdir()
        state = _state(size)
        save = way.opened(path / "state", state)

        def change_and_save(state: State = state, save: Save = save) -> None:
            state["saves"] += 1
            save()

        yield name, Rival(change_and_save, _settle)


def _ways(folder: Path) -> dict[str, Way]:
    return {
        "atomicwrites": Way(
            _atomicwrites,
            "the same",
            "nothing",
            "fsync of the file and of its folder, around a rename.",
        ),
        "TinyDB": Way(
            _tinydb,
            "compact JSON",
            "all, in two cases",
            "written in place, so that a cut during the save leaves old and new mixed. It calls "
            "fsync, but shortens the file only afterwards: when the state has become smaller, a "
            "cut after the save leaves the tail of the old one behind the new.",
        ),
        "jsonpickle, plain write": Way(
            _jsonpickle,
            "compact JSON",
            "the save, or all",
            "no fsync, and the old content is gone before the new one is written: the save is "
            "lost, or the file is empty or cut off.",
        ),
        f"shelve ({_shelve_backend(folder)})": Way(
            _shelve, "pickle", *_SHELVE_LOSES[_shelve_backend(folder)]
        ),
        "diskcache": Way(
            _diskcache,
            "pickle",
            "the save, or all",
            "SQLite with synchronous=NORMAL does not flush a commit. A value of 32 KB or more "
            "goes to a file of its own without fsync, and the file of the old value is deleted: "
            "when the deletion reaches the disk before the commit, the state is gone.",
        ),
        "json.dump() to the file": Way(
            _json_dump,
            "the same",
            "the save, or all",
            "as with jsonpickle: no fsync, and the old content is gone first.",
        ),
    }


def _atomicwrites(path: Path, state: State) -> Save:
    def save() -> None:
        with atomic_write(path, overwrite=True, encoding="utf-8") as file:
            file.write(json.dumps(state, **_INDENTED))

    return save


def _tinydb(path: Path, state: State) -> Save:
    database = TinyDB(path)
    return lambda: database.upsert(Document(state, doc_id=1))


def _jsonpickle(path: Path, state: State) -> Save:
    return lambda: path.write_text(str(jsonpickle.encode(state, keys=True)))


def _shelve(path: Path, state: State) -> Save:
    shelf = shelve.open(str(path))  # noqa: S301, SIM115 - our own file, kept open

    def save() -> None:
        shelf["state"] = state
        shelf.sync()

    return save


def _diskcache(path: Path, state: State) -> Save:
    cache = diskcache.Cache(path)
    return lambda: cache.set("state", state)


def _json_dump(path: Path, state: State) -> Save:
    def save() -> None:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(state, file, **_INDENTED)

    return save


def _shelve_backend(folder: Path) -> str:
    """Return the database that shelve uses here: it depends on how Python was built."""
    path = str(folder / "shelf")
    shelve.open(path).close()  # noqa: S301 - our own file
    return dbm.whichdb(path) or "dbm.dumb"


_SHELVE_LOSES = {
    "dbm.dumb": (
        "the save, or all",
        "two files, without fsync: the save is lost, or the index is empty and with it every key.",
    ),
    "dbm.ndbm": (
        "the save, or all",
        "it has no sync(), so that what was stored waits in memory for close(), and no fsync.",
    ),
    "dbm.gnu": (
        "all, in one case",
        "flushed by sync(), but written in place: a cut during the save may damage the file.",
    ),
    "dbm.sqlite3": (
        "nothing",
        "SQLite with a write-ahead log and synchronous=FULL, which flushes every commit.",
    ),
}
