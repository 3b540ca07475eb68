"""Every type of a field: its values survive each way of saving, and no others are accepted."""

import copy
import math
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Annotated, Any, Literal, NewType, cast
from zoneinfo import ZoneInfo

import pytest
from support import run

Pixels = NewType("Pixels", int)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Mixed(Enum):
    NOTHING = None
    RATIO = 1.5


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Side(StrEnum):
    LEFT = "left"


class Access(Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Size:
    width: int
    height: int = 1


@dataclass
class Picture:
    path: Path
    widths: list[Size] = field(default_factory=list[Size])
    changed: datetime | None = None
    views: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.path == Path():
            raise ValueError("the path is empty")


class BigPicture(Picture):
    pass


class Other(tzinfo):
    """A time zone without a name that can be looked up."""

    def utcoffset(self, moment: datetime | None, /) -> timedelta:
        return timedelta(hours=2)

    def dst(self, moment: datetime | None, /) -> None:
        return None

    def tzname(self, moment: datetime | None, /) -> None:
        return None


ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
BERLIN = ZoneInfo("Europe/Berlin")
EAST = timezone(timedelta(hours=5, minutes=30))
TAG = {"__type__": "float", "value": "inf"}
CIRCLE = {"__version__": 1, "values": {"radius": 2.0}}
SQUARE = {"__version__": 1, "values": {"side": 2.0}}

# A type checker would take these for types, with an unknown class in brackets.
a_list: Any = list
a_dict: Any = dict
a_tuple: Any = tuple

# A row may need the classes of states, which exist only after the package is rendered.
Row = tuple[Any, Any, Any]
RowOf = Callable[[Any], Row]

# The type of a field, a value, and its form in JSON.
VALUES: list[Row | RowOf] = [
    (str, "", ""),
    (str, "caf\u00e9 \U0001f600\x00", "caf\u00e9 \U0001f600\x00"),
    (int, -(2**200), -(2**200)),
    (float, 0.1, 0.1),
    (float, 3, 3),
    (float, math.inf, {"__type__": "float", "value": "inf"}),
    (bool, True, True),
    (None, None, None),
    (int | None, None, None),
    (Any, {"a": [1, "b", None, {"c": []}]}, {"a": [1, "b", None, {"c": []}]}),
    (object, [True], [True]),
    (Literal["left", 1], 1, 1),
    (list[Literal["left", "right"]], ["left"], ["left"]),
    (dict[Literal[1, 2], int], {1: 3}, [[1, 3]]),
    (Pixels, 3, 3),
    (Annotated[int, "pixels"], 3, 3),
    (datetime, datetime(2026, 5, 17, 8, 30), "2026-05-17T08:30:00"),
    (datetime, datetime(2026, 5, 17, 8, tzinfo=UTC), "2026-05-17T08:00:00+00:00"),
    (datetime, datetime(1, 1, 1, 0, 0, 0, 1, EAST), "0001-01-01T00:00:00.000001+05:30"),
    (datetime, datetime(2026, 5, 17, 8, tzinfo=BERLIN), "2026-05-17T08:00:00+02:00[Europe/Berlin]"),
    (
        datetime,
        datetime(2026, 10, 25, 2, tzinfo=BERLIN, fold=1),
        "2026-10-25T02:00:00+01:00[Europe/Berlin]",
    ),
    (
        datetime,
        datetime(2026, 3, 29, 2, tzinfo=BERLIN, fold=1),
        "2026-03-29T02:00:00+02:00[Europe/Berlin]",
    ),
    (datetime, datetime(1890, 1, 1, tzinfo=BERLIN), "1890-01-01T00:00:00+00:53:28[Europe/Berlin]"),
    (
        datetime,
        datetime(2026, 1, 1, tzinfo=BERLIN, fold=1),
        "2026-01-01T00:00:00+01:00[Europe/Berlin][_fold=1]",
    ),
    (datetime, datetime(2026, 5, 17, tzinfo=ZoneInfo("UTC")), "2026-05-17T00:00:00+00:00[UTC]"),
    (datetime, datetime(2026, 10, 25, 2, fold=1), "2026-10-25T02:00:00[_fold=1]"),
    (time, time(2, tzinfo=BERLIN), "02:00:00[Europe/Berlin]"),
    (time, time(2, tzinfo=ZoneInfo("Etc/GMT+5"), fold=1), "02:00:00-05:00[Etc/GMT+5][_fold=1]"),
    (date, date(2026, 5, 17), "2026-05-17"),
    (time, time(23, 59, 59, 999_999, UTC), "23:59:59.999999+00:00"),
    (timedelta, timedelta(0), "PT0S"),
    (timedelta, timedelta(days=1, seconds=30.5), "PT86430.5S"),
    (timedelta, timedelta(microseconds=-1), "-PT0.000001S"),
    (timedelta, timedelta.max, "PT86399999999999.999999S"),
    (Decimal, Decimal("1.10"), "1.10"),
    (Decimal, Decimal("-Infinity"), "-Infinity"),
    (uuid.UUID, ID, str(ID)),
    (bytes, b"\x00\xff", "AP8="),
    (Path, Path("a/b"), str(Path("a/b"))),
    (PurePosixPath, PurePosixPath("/a/b"), "/a/b"),
    (PureWindowsPath, PureWindowsPath("c:/a"), "c:/a"),
    (Colour, Colour.RED, "red"),
    (Mixed, Mixed.NOTHING, "NOTHING"),
    (Level, Level.HIGH, 2),
    (Side, Side.LEFT, "left"),
    (Access, Access.READ | Access.WRITE, 3),
    (list, [1, [2]], [1, [2]]),
    (list[int], [], []),
    (list[list[date]], [[date(2026, 5, 17)], []], [["2026-05-17"], []]),
    (list[float], [1, 2.5], [1, 2.5]),
    (list[float], [1.0, -math.inf], [1.0, {"__type__": "float", "value": "-inf"}]),
    (dict, {"a": {}}, {"a": {}}),
    (dict[str, float], {"a": 1.5}, {"a": 1.5}),
    (dict[str, Level], {"a": Level.LOW}, {"a": 1}),
    (dict[int, str], {1: "a"}, [[1, "a"]]),
    (dict[int, str], {}, []),
    (dict[date, set[int]], {date(2026, 5, 17): {1}}, [["2026-05-17", [1]]]),
    (dict[tuple[int, str], float], {(1, "a"): 1.5}, [[[1, "a"], 1.5]]),
    (set, {"a"}, ["a"]),
    (set[int], {3, 1, 2}, [1, 2, 3]),
    (set[uuid.UUID], {ID}, [str(ID)]),
    (frozenset[str], frozenset("ba"), ["a", "b"]),
    (set[frozenset[int]], {frozenset({1})}, [[1]]),
    (tuple, (1, ["a"]), [1, ["a"]]),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (tuple[date, ...], (date(2026, 5, 17),) * 2, ["2026-05-17"] * 2),
    (tuple[int, ...], (), []),
    (tuple[int, list[int]], (1, [2]), [1, [2]]),
    (Size, Size(1, 2), {"width": 1, "height": 2}),
    (
        Picture,
        Picture(Path("a"), [Size(1)], datetime(2026, 5, 17)),
        {
            "path": "a",
            "widths": [{"width": 1, "height": 1}],
            "changed": "2026-05-17T00:00:00",
            "views": 0,
        },
    ),
    (int | list[int] | dict[str, int], {"a": 1}, {"a": 1}),
    (datetime | str, "Monday", "Monday"),
    (datetime | str, "2026-05-17", {"__type__": "str", "value": "2026-05-17"}),
    (date | str, date(2026, 5, 17), {"__type__": "date", "value": "2026-05-17"}),
    (Side | str, "left", {"__type__": "str", "value": "left"}),
    (Side | str, Side.LEFT, {"__type__": "Side", "value": "left"}),
    (Level | int, Level.LOW, {"__type__": "Level", "value": 1}),
    (Size | dict[str, int], Size(1), {"__type__": "Size", "value": {"width": 1, "height": 1}}),
    (list[int] | set[int], {1}, {"__type__": "set[int]", "value": [1]}),
    (Any, TAG, {"__type__": "dict", "value": TAG}),
    (Any, {"__type__": 1}, {"__type__": "dict", "value": {"__type__": 1}}),
    (dict[str, str], TAG, {"__type__": "dict", "value": TAG}),
    (float | dict[str, str], TAG, {"__type__": "dict", "value": TAG}),
    (Level | int, 1, {"__type__": "int", "value": 1}),
    (Level | int, 7, 7),
    (Side | Literal["left", "no"], "left", {"__type__": "str", "value": "left"}),
    lambda c: (c.Circle, c.Circle(radius=2.0), CIRCLE),
    lambda c: (a_list[c.Circle], [c.Circle(radius=2.0)], [CIRCLE]),
    lambda c: (a_dict[str, a_list[c.Circle]], {"a": [c.Circle(radius=2.0)]}, {"a": [CIRCLE]}),
    lambda c: (a_tuple[c.Circle, int], (c.Circle(radius=2.0), 1), [CIRCLE, 1]),
    lambda c: (c.Circle | None, c.Circle(radius=2.0), CIRCLE),
    lambda c: (c.Circle | c.Square, c.Circle(radius=2.0), {"__type__": "Circle", "value": CIRCLE}),
    lambda c: (c.Shape | None, c.Square(side=2.0), {"__type__": "Square", "value": SQUARE}),
    lambda c: (
        a_list[c.Circle | c.Square],
        [c.Circle(radius=2.0)],
        [{"__type__": "Circle", "value": CIRCLE}],
    ),
    lambda c: (
        a_list[c.Circle] | a_list[c.Square],
        [c.Circle(radius=2.0)],
        {"__type__": "list[Circle]", "value": [CIRCLE]},
    ),
    lambda c: (
        c.Circle | dict[str, Any],
        CIRCLE,
        {"__type__": "dict[str, a value of JSON]", "value": CIRCLE},
    ),
]

# The type of a field, a value of another type, and the message that follows the field.
WRONG_VALUES: list[Row | RowOf] = [
    (str, b"", ": expected str, got b'' (bytes)"),
    (int, 1.0, ": expected int, got 1.0 (float)"),
    (bool, 1, ": expected bool, got 1 (int)"),
    (date, datetime(2026, 5, 17), ": expected date, got datetime.datetime(2026, 5, 17, 0, 0)"),
    (Colour, "red", ": expected Colour, got 'red' (str)"),
    (datetime, datetime(2026, 5, 17, tzinfo=Other()), ": expected a ZoneInfo with a name or"),
    (time, time(8, tzinfo=Other()), ": expected a ZoneInfo with a name or a fixed offset"),
    (Literal["left"], "right", ": expected Literal['left'], got 'right' (str)"),
    (Literal[1], True, ": expected Literal[1], got True (bool)"),
    (list[int], (1,), ": expected list[int], got (1,) (tuple)"),
    (list[int], [1, "a"], "[1]: expected int, got 'a' (str)"),
    (dict[str, int], {1: 2}, "[1]: expected str, got 1 (int)"),
    (dict[int, list[int]], {1: [2, "a"]}, "[1][1]: expected int, got 'a' (str)"),
    (frozenset[int], {1}, ": expected frozenset[int], got {1} (set)"),
    (tuple[int, str], (1,), ": expected tuple[int, str], which has 2 elements, got (1,)"),
    (tuple[int, ...], (1, "a"), "[1]: expected int, got 'a' (str)"),
    (Any, {1: 2}, "[1]: expected str, got 1 (int)"),
    (Any, [1, ID], "[1]: JSON does not have it: declare its type, got UUID("),
    (Any, math.nan, ": JSON does not have it: declare its type, got nan (float)"),
    (Picture, BigPicture(Path("a")), ": expected Picture, got BigPicture("),
    (Picture, Picture(Path("a"), cast(Any, [1])), ".widths[0]: expected Size, got 1 (int)"),
    (list[int] | dict[str, int], [1, "a"], "[1]: expected int, got 'a' (str)"),
    lambda c: (c.Circle, 1, ": expected Circle, got 1 (int)"),
    lambda c: (c.Circle | c.Square, 1, ": expected Circle | Square, got 1 (int)"),
]

# The type of a field, JSON that does not fit it, and the message that follows the field.
WRONG_JSON: list[Row | RowOf] = [
    (float, {"__type__": "float", "value": "1"}, ": expected float, got {"),
    (bytes, "abc", ": expected bytes (Incorrect padding), got 'abc'"),
    (bytes, "\u00e9", ": expected bytes ("),
    (timedelta, "P1Y", ": expected timedelta (a duration is written as PT90.5S), got 'P1Y'"),
    (timedelta, "PT", ": expected timedelta ("),
    (timedelta, "PT" + "9" * 30 + "H", ": expected timedelta ("),
    (date, "2026-13-01", ": expected date (month must be in 1..12"),
    (datetime, "2026-05-17T08:00:00+02:00[Europe]", ": expected datetime ("),
    (datetime, "2026-05-17T08:00:00+02:00[../etc/passwd]", ": expected datetime ("),
    (datetime, "2026-05-17T08:00:00+02:00[Mars/Port]", ": expected datetime ('No time zone found"),
    (time, "08:00[Europe/Berlin", ": expected time (a time zone is written as [Europe/Berlin])"),
    (datetime, 1_800_000_000, ": expected datetime, got 1800000000 (int)"),
    (Decimal, "one", ": expected Decimal ("),
    (uuid.UUID, "1", ": expected UUID ("),
    (Colour, "green", ": expected Colour ("),
    (Mixed, "OTHER", ": expected Mixed ("),
    (Level, "HIGH", ": expected Level, got 'HIGH' (str)"),
    (dict[int, int], {"1": 2}, "['1']: expected int, got '1' (str)"),
    (dict[int, int], [[1, 2, 3]], ": expected dict[int, int], got [[1, 2, 3]] (list)"),
    (dict[list[int], int], [[[1], 2]], ": expected dict[list[int], int] (unhashable type"),
    (set[list[int]], [[1]], ": expected set[list[int]] (unhashable type"),
    (Size, {}, ": expected Size ("),
    (Size, {"width": "a"}, ".width: expected int, got 'a' (str)"),
    (Picture, {"path": "."}, ": expected Picture (the path is empty), got {"),
    lambda c: (c.Circle | c.Square, CIRCLE, ": expected Circle | Square, got {"),
    lambda c: (
        c.Circle | c.Square,
        {"__type__": "Other", "value": 1},
        ": expected Circle | Square, got {",
    ),
    lambda c: (
        c.Circle | c.Square,
        {"__type__": "Square", "value": {"__version__": 1, "values": {"side": "a"}}},
        ".side: expected float, got 'a' (str)",
    ),
]

CHANGEABLE: tuple[type[Any], ...] = (list, dict, set, Picture)

each_value = pytest.mark.parametrize("row", VALUES)
each_wrong_value = pytest.mark.parametrize("row", WRONG_VALUES)


@pytest.fixture(scope="module")
def classes(state: Any) -> SimpleNamespace:
    """Return classes of states, for types that name them."""

    class Circle(state.State):
        radius: float = 1.0

    class Square(state.State):
        side: float = 1.0

    class SmallSquare(Square):
        pass

    shape: Any = Annotated[Circle | Square, "shape"]
    return SimpleNamespace(Circle=Circle, Square=Square, SmallSquare=SmallSquare, Shape=shape)


@pytest.fixture
def holder(state: Any) -> Callable[..., Any]:
    """Return a function that declares a class with one field, `value`, of a type."""

    def holder(annotation: Any, **attributes: Any) -> Any:
        body = {"__annotations__": {"value": annotation}, "__module__": __name__, **attributes}
        return type("Holder", (state.State,), body)

    return holder


def resolve(row: Row | RowOf, classes: SimpleNamespace) -> Row:
    return row if isinstance(row, tuple) else row(classes)


def find_changeable(value: Any) -> Iterator[int]:
    """Yield the identity of every part of a value that can change."""
    if isinstance(value, CHANGEABLE):
        yield id(value)
    parts: Any = vars(value) if isinstance(value, Picture) else value
    if isinstance(value, (*CHANGEABLE, tuple, frozenset)):
        for part in [*parts.values()] if hasattr(parts, "values") else parts:
            yield from find_changeable(part)


def assert_same(hydrated: Any, original: Any) -> None:
    assert hydrated == original
    assert hydrated.drain() == original.drain()
    assert type(hydrated.value) is type(original.value)


@each_value
def test_a_value_survives_json(state: Any, classes: Any, holder: Any, row: Row | RowOf) -> None:
    annotation, value, form = resolve(row, classes)
    cls, codec = holder(annotation), state.JsonCodec()
    original = cls(value=value)
    data = codec.encode(cls, original.drain())
    assert codec.decode(data)["values"] == {"value": form}
    assert_same(cls.hydrate(codec.decode(data)), original)


@each_value
def test_a_value_survives_pickling(state: Any, classes: Any, holder: Any, row: Row | RowOf) -> None:
    annotation, value, _ = resolve(row, classes)
    codec = state.PickleCodec()
    cls = holder(annotation, __codec__=codec)
    original = cls(value=value)
    assert_same(cls.hydrate(codec.decode(codec.encode(cls, original.drain()))), original)


@each_value
def test_a_value_survives_draining_without_a_codec(
    classes: Any, holder: Any, row: Row | RowOf
) -> None:
    annotation, value, _ = resolve(row, classes)
    cls = holder(annotation)
    original = cls(value=value)
    payload = original.drain()
    source = copy.deepcopy(payload)
    assert_same(cls.hydrate(payload), original)
    assert payload == source


@each_value
def test_draining_twice_gives_equal_payloads_that_share_nothing(
    classes: Any, holder: Any, row: Row | RowOf
) -> None:
    annotation, value, _ = resolve(row, classes)
    original = holder(annotation)(value=value)
    first, second = original.drain(), original.drain()
    assert first == second
    shared = {*find_changeable(first["values"])} & {*find_changeable(second["values"])}
    assert shared == set()


@pytest.mark.parametrize(
    "annotation", [float, float | str, list[float], dict[float, int], dict[float, float]]
)
def test_nan_survives(state: Any, holder: Any, annotation: Any) -> None:
    values: dict[Any, Any] = {list[float]: [math.nan, 1.0], dict[float, int]: {math.nan: 1}}
    values[dict[float, float]] = {math.nan: math.nan}
    cls, codec = holder(annotation), state.JsonCodec()
    original = cls(value=values.get(annotation, math.nan))
    hydrated = cls.hydrate(codec.decode(codec.encode(cls, original.drain())))
    assert repr(hydrated) == repr(original)


@each_wrong_value
def test_a_value_of_another_type_is_rejected_with_its_path(
    state: Any, classes: Any, holder: Any, row: Row | RowOf
) -> None:
    annotation, value, message = resolve(row, classes)
    expected = f"^{re.escape(f'Holder.value{message}')}"
    with state.strict_mode(), pytest.raises(TypeError, match=expected):
        holder(annotation)(value=value)


@each_wrong_value
def test_without_strict_mode_it_is_rejected_when_it_is_encoded(
    state: Any, classes: Any, holder: Any, row: Row | RowOf
) -> None:
    annotation, value, message = resolve(row, classes)
    cls = holder(annotation)
    with state.strict_mode(False):
        original = cls(value=value)
    with pytest.raises(TypeError, match=f"^{re.escape(f'Cannot save Holder.value{message}')}"):
        state.JsonCodec().encode(cls, original.drain())


@pytest.mark.parametrize("row", WRONG_JSON)
def test_json_that_does_not_fit_the_type_is_rejected_with_its_path(
    state: Any, classes: Any, holder: Any, row: Row | RowOf
) -> None:
    annotation, form, message = resolve(row, classes)
    payload = {"__version__": 1, "values": {"value": form}}
    expected = f"^{re.escape(f'Cannot hydrate Holder.value{message}')}"
    with pytest.raises(state.HydrationError, match=expected):
        holder(annotation).hydrate(payload)


@pytest.mark.parametrize("kind", ["a state", "in a union", "in a list"])
def test_a_state_of_a_subclass_is_rejected_where_the_base_is_declared(
    state: Any, classes: Any, holder: Any, kind: str
) -> None:
    square, small = classes.Square, classes.SmallSquare()
    annotations = {"a state": square, "in a union": square | int, "in a list": a_list[square]}
    value = [small] if kind == "in a list" else small
    with state.strict_mode(), pytest.raises(TypeError, match=r"expected .*Square, got SmallSquare"):
        holder(annotations[kind])(value=value)


@pytest.mark.parametrize(
    "annotation",
    [range, complex, bytearray, list[complex], int | range, Callable[[], int], Literal[b"a"]],
)
def test_a_type_that_json_cannot_represent_is_rejected(holder: Any, annotation: Any) -> None:
    with pytest.raises(TypeError, match=r"Holder\.value: JSON cannot stand for .*PickleCodec"):
        holder(annotation)(value=1)


def test_a_value_that_cannot_be_printed_is_rejected_too(holder: Any) -> None:
    with pytest.raises(TypeError, match=r"Holder\.value: expected str, got <Exceeds the limit"):
        holder(str)(value=10**5_000)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("PT1.25S", timedelta(seconds=1.25)),
        ("-P1D", timedelta(days=-1)),
    ],
)
def test_a_duration_may_be_any_of_iso_8601_without_weeks_months_and_years(
    holder: Any, text: str, duration: timedelta
) -> None:
    payload = {"__version__": 1, "values": {"value": text}}
    assert holder(timedelta).hydrate(payload).value == duration


def test_a_migration_may_return_text_for_a_union(state: Any, holder: Any) -> None:
    def migrate(cls: Any, start: int, target: int, values: dict[str, Any]) -> dict[str, Any]:
        return values

    new = holder(date | str, __version__=2, __migrate__=classmethod(migrate))
    payload = state.JsonCodec().load({"__version__": 1, "values": {"value": "2026-05-17"}})
    assert new.hydrate(payload).value == "2026-05-17"


SCRIPT = """
from pathlib import Path
from shaped.state import PickleCodec, State

class Point:
    pass

def function():
    pass

def make_local():
    class Local:
        __module__ = "__main__"
    return Local()

class Drawing(State):
    __codec__ = PickleCodec()
    point: Point
    others: object = None

file, codec = Path("drawing"), PickleCodec()
if file.exists():
    drawing = Drawing.hydrate(codec.decode(file.read_bytes()))
    assert type(drawing.point) is Point and drawing.others[0] is function
drawing = Drawing(point=Point(), others=[function, lambda: 1, make_local()])
file.write_bytes(codec.encode(Drawing, drawing.drain()))
"""


def test_a_script_reads_the_values_that_its_last_run_has_pickled(
    source: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for _ in range(2):
        run(sys.executable, script, cwd=tmp_path, env={"PYTHONPATH": str(source)})


@pytest.mark.parametrize(
    ("annotation", "pickled"),
    [("a union", False), ("anything", True), ("anything or a state", True)],
)
def test_a_hydrated_value_shares_nothing_with_the_payload(
    state: Any, classes: Any, holder: Any, annotation: str, pickled: bool
) -> None:
    annotations: dict[str, Any] = {
        "a union": classes.Circle | Picture,
        "anything": Any,
        "anything or a state": classes.Circle | Any,
    }
    item = annotations[annotation]
    attributes = {"__codec__": state.PickleCodec()} if pickled else {}
    several = holder(item | a_list[item] | a_tuple[item, ...], **attributes)
    for value in (Picture(Path("a")), [Picture(Path("b"))], (Picture(Path("c")),)):
        payload = several(value=value).drain()
        hydrated = several.hydrate(payload).value
        for picture in [hydrated] if isinstance(hydrated, Picture) else hydrated:
            picture.widths.append(Size(1))
        assert payload == several(value=value).drain()
