"""A process that hydrates payloads of an attacker, and watches Python's actions meanwhile.

Its argument names one of the fuzzing functions below. An audit hook cannot be removed again,
so the process of the tests must not have it.
"""

import base64
import importlib
import json
import logging
import os
import pickle
import sys
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from hypothesis import event, given
from hypothesis import strategies as st

from typed.comparing import same_each_time
from typed.type_strategies import JSON, Level, Limit, Right, Side

state: Any = importlib.import_module("shaped.state")
persistence: Any = importlib.import_module("shaped.utils.persistence")

# The meaning of Transient[...], which a checker does not see here.
(MARK,) = state.Transient.__metadata__
REFUSED = (state.HydrationError, persistence.StateVersionError)
UNREADABLE = (state.CorruptStateError, state.StoreUnavailableError)
# The longest time of an action in seconds; most of it allows for a busy machine.
SECONDS = 5
RUNNING_CODE = (
    "builtins.breakpoint",
    "builtins.input",
    "code.",
    "compile",
    "cpython.run",
    "ctypes.",
    "exec",
    "function.",
    "import",
    "marshal.",
    "open",
    "os.",
    "pickle.",
    "shutil.",
    "socket.",
    "subprocess.",
    "urllib.",
)
seen: list[str] = []
watching = False


def watch(name: str, arguments: tuple[Any, ...]) -> None:
    if watching and name.startswith(RUNNING_CODE):
        seen.append(f"{name} {arguments!r:.200}")


@contextmanager
def watched() -> Iterator[None]:
    """Check that a block runs no foreign code, and ends soon."""
    global watching
    begun, watching = clock.monotonic(), True
    try:
        yield
    finally:
        watching = False
        assert not seen, seen
        assert clock.monotonic() - begun < SECONDS


@dataclass
class Size:
    width: int
    height: float = 1.0
    labels: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.width < 0:
            raise ValueError("a width is not negative")


class Point(state.State):
    x: int = 0
    y: float = 0.0


class Circle(state.State):
    __version__ = 3
    middle: Point
    radius: Decimal = Decimal(1)

    @classmethod
    def __migrate__(cls, start: int, target: int, values: dict[str, Any]) -> dict[str, Any]:
        values["radius"] = values.pop("size")
        return values


class Drawing(state.State):
    anything: Any = None
    title: str = ""
    size: Size | None = None
    shape: Point | Circle | None = None
    shapes: list[Point | Circle] = state.field(default_factory=list)
    named: dict[str, Point] | dict[str, Circle] = state.field(default_factory=dict)
    data: bytes | str | dict[str, Any] | list[Any] = ""
    _private: int = 0
    hovered: Annotated[str | None, MARK] = None

    @state.query(preserve=True)
    def found(self) -> dict[str, list[int]]:
        return {}


class Lenient(Drawing):
    __allow_newer__ = True
    __version__ = 2

    @classmethod
    def __migrate__(cls, start: int, target: int, values: dict[str, Any]) -> dict[str, Any]:
        return values


class Texts(state.State):
    moment: datetime = datetime.min
    day: date = date.min
    hour: time = time.min
    duration: timedelta = timedelta()
    price: Decimal = Decimal(0)
    key: UUID = UUID(int=0)
    path: PurePosixPath = PurePosixPath()
    raw: bytes = b""
    side: Side = Side.LEFT
    level: Level = Level.LOW
    right: Right = Right.READ
    limit: Limit = Limit.NONE
    way: Literal["up", 1, None] = None
    numbers: set[int | Decimal] = state.field(default_factory=set)
    days: dict[date, tuple[int, str]] = state.field(default_factory=dict)
    nested: tuple[frozenset[bytes], ...] = ()
    wide: dict[str, dict[int, list[float]]] = state.field(default_factory=dict)


class Pickled(state.State):
    __codec__ = state.PickleCodec()
    anything: Any = None
    number: complex = 0j
    shape: Point | Circle | None = None


CLASSES: list[Any] = [Point, Circle, Drawing, Lenient, Texts, Pickled]
NAMES_OF_FIELDS = {name for cls in CLASSES for name in cls._state_fields}
MEMBERS = {cls: dict(vars(cls)) for cls in CLASSES}


class Opening:
    """Opens a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (os.devnull,)


PICKLE = base64.b64encode(pickle.dumps(Opening())).decode()
DUNDERS = ["__class__", "__dict__", "__init__", "_state_node", "_state_fields", "__post_init__"]
NAMES = st.sampled_from(
    [
        *DUNDERS,
        *("__version__", "values", "__type__", "value", "__pickle__", "__reduce__", "__codec__"),
        *(
            "drain",
            "hydrate",
            "found",
            "hovered",
            "_private",
            "_state",
            "",
            "\0",
            "x",
            "undeclared",
        ),
        *sorted(NAMES_OF_FIELDS),
    ]
)
TYPE_NAMES = st.sampled_from(
    [
        *("Point", "Circle", "Drawing", "float", "int", "bytes", "dict[str, Point]"),
        *("dict[str, a value of JSON]", "list[a value of JSON]", "builtins.eval", "os.system"),
        *("__main__.Point", "object", "", "__class__"),
    ]
)
SCALARS = st.sampled_from(
    [
        *("9" * 5000, "1e999999999", "-1E-999999999", "NaN", "sNaN", "P1D", "PT" + "9" * 400 + "S"),
        *(
            "PT9999999999999999S",
            "9999-12-31T23:59:59.999999+23:59",
            "0000-00-00",
            "24:00",
            "\ud800",
        ),
        *("AAAA", "A", "=", "é", "../../etc/passwd", "{0.__class__}", "%s%n", "x" * 100_000),
        *("__import__('os').system('true')", "left", "NONE", "{" * 32, "0" * 32, PICKLE),
        *(0, 1, -1, True, 2**63, -(2**64), 10**400, 3.5, 1e308, -0.0, None),
    ]
)


@st.composite
def nested(draw: st.DrawFn) -> Any:
    """Return lists or dicts nested as deep as JSON may be, and deeper."""
    value: Any = draw(SCALARS)
    name = draw(st.sampled_from(["list", "a", "value", "values"]))
    for _ in range(draw(st.sampled_from([10, 240, 300, 900, 5000]))):
        value = [value] if name == "list" else {name: value}
    return value


TAGS = st.fixed_dictionaries({"__type__": TYPE_NAMES, "value": JSON | SCALARS})
PAYLOADS = st.fixed_dictionaries(
    {
        "__version__": st.integers(-1, 5) | SCALARS,
        "values": st.dictionaries(NAMES, JSON | SCALARS | TAGS, max_size=4) | SCALARS,
    }
)
PICKLES = st.just({"__pickle__": PICKLE})
EVIL = JSON | SCALARS | TAGS | PAYLOADS | PICKLES | nested() | st.dictionaries(NAMES, JSON | TAGS)

VALID: dict[Any, dict[str, Any]] = {
    Point: {"x": 1, "y": {"__type__": "float", "value": "inf"}},
    Circle: {"middle": {"__version__": 1, "values": {"x": 2, "y": 0.5}}, "radius": "2.5"},
    Drawing: {
        "anything": {"a": [1, {"b": None}]},
        "size": {"width": 3, "height": 1.5, "labels": ["a"]},
        "shape": {"__type__": "Point", "value": {"__version__": 1, "values": {"x": 2}}},
        "shapes": [{"__type__": "Point", "value": {"__version__": 1, "values": {}}}],
        "named": {"__type__": "dict[str, Point]", "value": {}},
        "data": {"__type__": "bytes", "value": "AAAA"},
        "found": {"a": [1]},
    },
    Texts: {
        "moment": "2026-05-17T12:00:00+02:00",
        "duration": "PT5S",
        "numbers": [1, "1.5"],
        "days": [["2026-05-17", [1, "a"]]],
        "nested": [["AAAA"], []],
        "wide": {"a": [[1, [0.5]]]},
    },
    Pickled: {"anything": [1, {"a": 2}]},
}
VALID[Lenient] = VALID[Drawing]


def change(draw: Any, value: Any) -> Any:
    """Return JSON with one change in it."""
    kinds = ["in it"] * 6 * bool(isinstance(value, list | dict) and value) + ["instead"]
    kinds += ["more"] * isinstance(value, dict)
    match draw(st.sampled_from(kinds)):
        case "in it":
            places = [*value] if isinstance(value, dict) else [*range(len(value))]
            place = draw(st.sampled_from(places))
            changed: Any = value.copy()
            changed[place] = change(draw, value[place])
            return changed
        case "more":
            return dict(value) | {draw(NAMES): draw(EVIL)}
        case _:
            return draw(EVIL)


def hydrate(cls: Any, payload: Any) -> None:
    """Hydrate a payload: the result is a state of the class, or a documented error."""
    try:
        with watched():
            made = cls.hydrate(payload)
    except REFUSED as error:
        message = str(error)
    else:
        check(made, cls)
        return
    event("refused")
    assert any(each.__name__ in message for each in CLASSES), message


def check(made: Any, cls: Any) -> None:
    """Check that a hydrated state is as its class declares it."""
    event("taken")
    assert_declared(made, cls)
    drained = made.drain()["values"]
    expected = {*(name for name, each in cls._state_fields.items() if each.drained), "found"}
    assert cls.__allow_newer__ or drained.keys() <= expected
    for each in CLASSES:
        assert dict(vars(each)) == MEMBERS[each]


def assert_declared(made: Any, cls: Any) -> None:
    """Check that a state, and those in it, have the declared attributes and nothing else."""
    assert type(made) is cls
    assert vars(made) == {}
    assert made.drain == cls.drain.__get__(made)
    for name in cls._state_fields:
        for inner in states_in(getattr(made, name)):
            assert_declared(inner, type(inner))


def states_in(value: Any) -> list[Any]:
    if isinstance(value, state.State):
        return [value]
    if isinstance(value, dict):
        return [found for item in cast(Any, value).values() for found in states_in(item)]
    if isinstance(value, list | tuple):
        return [found for item in cast(list[Any], value) for found in states_in(item)]
    return []


def by_way_of_json(payload: Any) -> Any:
    """Return a payload as a codec decodes it, or None where JSON has no form for it."""
    try:
        text = json.dumps(payload).encode()
    except (RecursionError, ValueError):
        return payload
    try:
        with watched():
            return state.JsonCodec().decode(text)
    except UNREADABLE:
        return payload


@same_each_time(600)
@given(st.sampled_from(CLASSES), EVIL, st.booleans(), st.booleans())
def arbitrary(cls: Any, payload: Any, strict: bool, as_json: bool) -> None:
    with state.strict_mode(strict):
        hydrate(cls, by_way_of_json(payload) if as_json else payload)


@same_each_time(1000)
@given(st.data(), st.sampled_from(CLASSES), st.booleans(), st.booleans())
def mutated(data: st.DataObject, cls: Any, strict: bool, as_json: bool) -> None:
    payload = {"__version__": cls.__version__, "values": json.loads(json.dumps(VALID[cls]))}
    for _ in range(data.draw(st.integers(1, 3))):
        payload = change(data.draw, payload)
    with state.strict_mode(strict):
        hydrate(cls, by_way_of_json(payload) if as_json else payload)


def noticing() -> None:
    """Check that the hook notices forbidden actions."""
    global watching
    watching = True
    eval("1")  # noqa: S307 - ours
    watching = False
    assert seen
    seen.clear()


if __name__ == "__main__":
    logging.getLogger().addHandler(logging.NullHandler())
    for each, values in VALID.items():  # lazy imports happen now
        each.hydrate({"__version__": each.__version__, "values": values})
    sys.addaudithook(watch)
    noticing()
    {"arbitrary": arbitrary, "mutated": mutated}[sys.argv[1]]()
