"""Types of every kind that is supported, nested at random, with values of them."""

import functools
import itertools
import operator
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NewType
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]
Draw = Callable[[Strategy], Any]


class Side(StrEnum):
    LEFT = "left"
    RIGHT = "right"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Right(IntFlag):
    READ = 1
    WRITE = 2


class Limit(Enum):
    NONE = None
    HALF = Decimal("0.5")
    PAIR = (1, "one")


UserName = NewType("UserName", str)


@dataclass(frozen=True)
class Shape:
    """A type, and its values."""

    annotation: Any
    values: Strategy
    hashable: bool = True


TEXTS = st.text(st.characters(exclude_categories=()), max_size=6)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
INFINITE = st.sampled_from([float("inf"), float("-inf")])
MINUTES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timedelta(minutes=minutes))
NAMED = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]
ZONES: Any = st.none() | st.just(UTC) | MINUTES.map(timezone) | st.sampled_from(NAMED).map(ZoneInfo)
# The clocks of Berlin are set back at three, those of New York a week later.
NIGHT, LATER = datetime(2026, 10, 25), datetime(2026, 10, 25, 5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)

HASHABLE = [
    Shape(str, TEXTS),
    Shape(int, st.integers() | st.integers(-(10**40), 10**40)),
    Shape(float, FINITE | INFINITE | st.integers()),
    Shape(bool, st.booleans()),
    Shape(None, st.none()),
    Shape(bytes, st.binary(max_size=6)),
    Shape(UUID, st.uuids()),
    Shape(Decimal, st.decimals(allow_nan=False)),
    Shape(PurePosixPath, TEXTS.map(PurePosixPath)),
    Shape(date, st.dates()),
    Shape(datetime, st.datetimes(timezones=ZONES) | st.datetimes(NIGHT, LATER, timezones=ZONES)),
    Shape(time, st.times(timezones=ZONES)),
    Shape(timedelta, st.timedeltas()),
    Shape(Side, st.sampled_from(Side)),
    Shape(Level, st.sampled_from(Level)),
    Shape(Right, st.integers(0, 3).map(Right)),
    Shape(Limit, st.sampled_from(Limit)),
    Shape(UserName, TEXTS),
    Shape(Annotated[int, "a note"], st.integers()),
    Shape(Literal["on", 1, None], st.sampled_from(["on", 1, None])),
]
OTHERS = [Shape(Any, JSON, hashable=False), Shape(float, st.just(float("nan")), hashable=False)]
# Values that JSON cannot represent.
PICKLED = [
    Shape(complex, st.complex_numbers(allow_nan=False)),
    Shape(range, st.builds(range, st.integers(0, 9))),
]

_numbers = itertools.count()
_NAMES = ["a", "b", "c", "_d"]


@dataclass
class Shapes:
    """Makes types and classes at random.

    Attributes:
        state: The emitted package.
        leaves: The types without parts.
        members: The methods and other members of each class of states.
    """

    state: Any
    draw: Draw
    leaves: list[Shape] = field(default_factory=lambda: [*HASHABLE, *OTHERS])
    members: dict[str, Any] = field(default_factory=dict[str, Any])

    def choose(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def make(self, depth: int, *, hashable: bool = False, states: bool = True) -> Shape:
        """Return a type.

        Args:
            depth: How far it may be nested.
            hashable: Whether it is for keys and elements of sets.
            states: Whether there may be states in it.
        """
        if depth == 0 or self.choose(True, False, False):
            leaf: Shape = self.choose(*(each for each in self.leaves if each.hashable >= hashable))
            return leaf
        inner = functools.partial(self.make, depth - 1, states=states)
        makers: list[Callable[[], Shape]] = [
            lambda: self._frozenset(inner(hashable=True)),
            lambda: self._tuple([inner(hashable=hashable) for _ in range(self.choose(0, 1, 2))]),
            lambda: self._repeated(inner(hashable=hashable)),
            lambda: self._union([inner(hashable=hashable) for _ in range(self.choose(2, 3))]),
            lambda: self._dataclass(depth, hashable=hashable),
        ]
        if not hashable:
            makers += [
                lambda: self._list(inner()),
                lambda: self._dict(inner(hashable=True), inner()),
                lambda: self._set(inner(hashable=True)),
            ]
            makers += [lambda: self.make_state(depth - 1)] * 2 * states
        maker: Callable[[], Shape] = self.choose(*makers)
        return maker()

    def make_state(self, depth: int) -> Shape:
        """Return a class of states."""
        shapes = {name: self.make(depth) for name in _NAMES[: self.choose(1, 2, 3, 4)]}
        namespace: dict[str, Any] = {
            "__annotations__": {name: each.annotation for name, each in shapes.items()},
            "__module__": __name__,
            **self.members,
        }
        cls = type(f"State{next(_numbers)}", (self.state.State,), namespace)
        values = st.fixed_dictionaries({name: each.values for name, each in shapes.items()})
        return Shape(cls, values.map(lambda given: cls(**given)), hashable=False)

    def _list(self, item: Shape) -> Shape:
        return Shape(of(list, item), st.lists(item.values, max_size=3), hashable=False)

    def _dict(self, key: Shape, item: Shape) -> Shape:
        values = st.dictionaries(key.values, item.values, max_size=3)
        return Shape(of(dict, key, item), values, hashable=False)

    def _set(self, item: Shape) -> Shape:
        return Shape(of(set, item), st.sets(item.values, max_size=3), hashable=False)

    def _frozenset(self, item: Shape) -> Shape:
        return Shape(of(frozenset, item), st.frozensets(item.values, max_size=3))

    def _tuple(self, items: list[Shape]) -> Shape:
        return Shape(of(tuple, *items), st.tuples(*(item.values for item in items)))

    def _repeated(self, item: Shape) -> Shape:
        return Shape(
            of(tuple, item, Shape(..., st.nothing())), st.lists(item.values, max_size=3).map(tuple)
        )

    def _union(self, members: list[Shape]) -> Shape:
        annotation = functools.reduce(operator.or_, (_as_type(each) for each in members))
        return Shape(annotation, st.one_of(*(each.values for each in members)))

    def _dataclass(self, depth: int, *, hashable: bool) -> Shape:
        frozen = hashable or self.choose(True, False)
        # A dataclass keeps its own values: no state knows of states in it.
        shapes = {
            name: self.make(depth - 1, hashable=frozen, states=False)
            for name in _NAMES[: self.choose(1, 2)]
        }
        members: Any = [(name, each.annotation) for name, each in shapes.items()]
        cls = make_dataclass(f"Data{next(_numbers)}", members, frozen=frozen)
        values = st.fixed_dictionaries({name: each.values for name, each in shapes.items()})
        return Shape(cls, values.map(lambda given: cls(**given)))


def of(container: Any, *items: Shape) -> Any:
    """Return the type of containers of some types."""
    return container[tuple(item.annotation for item in items)]


def _as_type(shape: Shape) -> Any:
    return type(None) if shape.annotation is None else shape.annotation
