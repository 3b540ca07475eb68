"""After any change of a class, an old payload gives an equal state, or an error with the reason.

Each example changes a class step by step, with and without new versions and migrations, and
takes the payload of one step to the class of another, in either direction.
"""

import copy
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import reduce
from operator import or_
from types import GenericAlias
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from typed.comparing import same, same_each_time
from typed.type_strategies import HASHABLE, Shape, Shapes

Values = dict[str, Any]
Step = Callable[[Values], None]

MISSING: Any = object()
# Text of letters alone is not a date.
TYPES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text("abc ", max_size=5),
    int: st.integers(),
    date: st.dates(),
    list[int]: st.lists(st.integers(), max_size=3),
}
DEFAULTS: dict[Any, Any] = {str: "", int: 7, date: date(2026, 5, 17), list[int]: [1]}


@dataclass(frozen=True)
class Column:
    """A field of a class."""

    name: str
    type: Any
    required: bool = True

    def admits(self, value: Any) -> Any:
        """Return the field's value for one in a payload, MISSING if the field may not have it."""
        if self.type is date and isinstance(value, str):
            try:
                return date.fromisoformat(value)
            except ValueError:
                return MISSING
        if self.type == list[int]:
            fits = isinstance(value, list) and all(type(item) is int for item in value)
        else:
            fits = type(value) is self.type
        return value if fits else MISSING


@dataclass
class Edition:
    """A class at some time in its history.

    Attributes:
        columns: Its fields.
        version: Its version.
        steps: The migrations of payloads, by the version they lead to.
        migrates: Whether it has a migration at all.
        takes_newer: Whether it takes payloads of newer versions.
        cls: The class itself.
    """

    columns: list[Column]
    version: int = 1
    steps: dict[int, Step] = field(default_factory=dict[int, Step])
    migrates: bool = True
    takes_newer: bool = False
    cls: Any = None

    def migrate(self, start: int, values: Values) -> Values:
        """Return the values of an older version as this one has them."""
        for version in range(start + 1, self.version + 1):
            self.steps[version](values)
        return values


class Changes:
    """Makes the changes of a class at random."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw
        self._made = 0

    def first(self) -> Edition:
        return Edition([self._column() for _ in range(self._draw(st.integers(1, 3)))])

    def next(self, before: Edition) -> Edition:
        """Return the class after one change."""
        columns, step = self._change([*before.columns])
        edition = replace(before, columns=columns, cls=None, steps={**before.steps})
        if self._draw(st.sampled_from([True, True, False])):
            edition.version += 1
            edition.steps[edition.version] = step
        edition.migrates = self._draw(st.sampled_from([True] * 4 + [False]))
        edition.takes_newer = self._draw(st.booleans())
        return edition

    def _column(self, required: bool | None = None) -> Column:
        self._made += 1
        of = self._draw(st.sampled_from([*TYPES]))
        if required is None:
            required = bool(self._draw(st.booleans()))
        return Column(f"field_{self._made}", of, required)

    def _change(self, columns: list[Column]) -> tuple[list[Column], Step]:
        kinds = ["reorder", "add", "require"]
        if columns:
            kinds += ["drop", "rename", "split", "retype"]
        at = self._draw(st.integers(0, len(columns) - 1)) if columns else 0
        match self._draw(st.sampled_from(kinds)):
            case "reorder":
                return self._draw(st.permutations(columns)), lambda values: None
            case "add":
                return [*columns, self._column(required=False)], lambda values: None
            case "require":
                new = self._column(required=True)
                value = self._draw(TYPES[new.type])
                return [*columns, new], lambda values: values.update({new.name: value})
            case "drop":
                old = columns.pop(at)
                return columns, lambda values: del_(values, old.name)
            case "rename":
                old, columns[at] = columns[at], replace(self._column(), type=columns[at].type)
                name = columns[at].name
                return columns, lambda values: values.update({name: values.pop(old.name)})
            case "split":
                old, one, other = columns[at], self._column(), self._column()
                columns[at : at + 1] = replace(one, type=str), replace(other, type=str)

                def split(values: Values) -> None:
                    values[one.name], _, values[other.name] = str(values.pop(old.name)).partition(
                        " "
                    )

                return columns, split
            case _:
                old = columns[at]
                columns[at] = replace(old, type=self._draw(st.sampled_from([*TYPES])))
                value = self._draw(TYPES[columns[at].type])
                return columns, lambda values: values.update({old.name: value})


def del_(values: Values, name: str) -> None:
    del values[name]


@dataclass
class Outcome:
    """The expected result for a payload: a state, or an error that has these words.

    Attributes:
        values: Those of the state.
        dropped: The values that are not in it, and must be reported.
        newer: The unknown values that it keeps.
        words: Sets of words; the error must have all words of at least one set.
    """

    values: Values = field(default_factory=dict[str, Any])
    dropped: set[str] = field(default_factory=set[str])
    newer: Values = field(default_factory=dict[str, Any])
    words: list[list[str]] = field(default_factory=list[list[str]])
    error: str = ""


def foresee(edition: Edition, version: int, values: Values) -> Outcome:
    """Return the expected result for a payload."""
    name, own = edition.cls.__name__, edition.version
    versions = [name, str(version), str(own)]
    if version > own and not edition.takes_newer:
        return Outcome(words=[[*versions, "newer", "__allow_newer__"]], error="StateVersionError")
    values = copy.deepcopy(values)
    if version < own:
        if not edition.migrates:
            return Outcome(words=[[*versions, "__migrate__"]], error="HydrationError")
        try:
            edition.migrate(version, values)
        except KeyError as error:
            words = [*versions, "migration", repr(error)]
            return Outcome(words=[words], error="HydrationError")
    outcome = Outcome()
    for each in edition.columns:
        if each.name not in values:
            outcome.values[each.name] = DEFAULTS[each.type]
            if each.required:
                outcome.words.append([*versions, repr(each.name), "default"])
        elif (value := each.admits(values.pop(each.name))) is MISSING:
            outcome.words.append([f".{each.name}: expected"])
        else:
            outcome.values[each.name] = value
    outcome.error = "HydrationError" if outcome.words else ""
    outcome.newer, outcome.dropped = (values, set()) if version > own else ({}, {*values})
    return outcome


@dataclass
class Setting:
    """The emitted package, and its effects besides returned states."""

    state: Any
    logged: list[str]
    hooks: list[Any] = field(default_factory=list[Any])

    def declare(self, edition: Edition, name: str) -> None:
        """Make the class of an edition."""
        hooks, state = self.hooks, self.state
        members: dict[str, Any] = {
            "__annotations__": {each.name: each.type for each in edition.columns},
            "__module__": __name__,
            "__version__": edition.version,
            "__allow_newer__": edition.takes_newer,
            "__post_init__": lambda one: hooks.append((one, "complete")),
        }
        for each in edition.columns:
            if not each.required:
                make: Callable[[Any], Any] = copy.copy
                default = DEFAULTS[each.type]
                members[each.name] = state.field(default_factory=lambda d=default, m=make: m(d))
        if edition.migrates:

            def migrate(cls: Any, start: int, target: int, values: Values) -> Values:
                assert target == cls.__version__
                return edition.migrate(start, values)

            members["__migrate__"] = classmethod(migrate)

        def show(one: Any) -> None:
            hooks.append((one, "effect", repr(one)))

        members["show"] = state.effect(show)
        edition.cls = type(name, (state.State,), members)


@pytest.fixture(scope="module")
def setting(state: Any) -> Iterator[Setting]:
    logged: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(state.__name__)
    logger.addHandler(handler)
    logger.propagate = False
    yield Setting(state, logged)
    logger.propagate = True
    logger.removeHandler(handler)


def draw_editions(data: st.DataObject, setting: Setting, name: str) -> list[Edition]:
    changes = Changes(data.draw)
    editions = [changes.first()]
    for _ in range(data.draw(st.integers(1, 5))):
        editions.append(changes.next(editions[-1]))
    for edition in editions:
        setting.declare(edition, name)
    return editions


def draw_state(data: st.DataObject, edition: Edition) -> Any:
    values = {each.name: data.draw(TYPES[each.type], each.name) for each in edition.columns}
    return edition.cls(**values)


def drain(setting: Setting, one: Any, as_json: bool) -> Any:
    """Return the payload, as a store has it or as it is."""
    codec = setting.state.JsonCodec()
    payload = one.drain()
    return codec.decode(codec.encode(type(one), payload)) if as_json else payload


def hydrate(setting: Setting, cls: Any, payload: Any) -> Any:
    """Return the state, or the error; neither has changed the payload."""
    before = copy.deepcopy(payload)
    fields = {**setting.state.fields_of(cls)}
    setting.hooks.clear()
    setting.logged.clear()
    try:
        return cls.hydrate(payload)
    except ValueError as error:
        assert not setting.hooks, "something has run although there is no state"
        return error
    except RuntimeError as error:
        assert not setting.hooks
        return error
    finally:
        assert same(payload, before)
        assert {**setting.state.fields_of(cls)} == fields


def assert_refused(found: Any, expected: Outcome) -> None:
    assert type(found).__name__ == expected.error, found
    assert any(all(word in str(found) for word in words) for words in expected.words), found


@same_each_time(400)
@given(data=st.data(), as_json=st.booleans())
def test_a_payload_of_another_version_gives_a_state_or_an_error_with_the_reason(
    setting: Setting, data: st.DataObject, as_json: bool
) -> None:
    editions = draw_editions(data, setting, "Document")
    source, target, *_ = data.draw(st.permutations(editions))
    original = draw_state(data, source)
    payload = drain(setting, original, as_json)
    expected = foresee(target, source.version, payload["values"])
    found = hydrate(setting, target.cls, payload)
    if expected.error:
        event(expected.error)
        assert_refused(found, expected)
        assert "Document" in str(found)
        return
    event("newer" if expected.newer else "dropped" if expected.dropped else "state")
    assert type(found) is target.cls, found
    assert same({each.name: getattr(found, each.name) for each in target.columns}, expected.values)
    # Each runs once, on the complete state, and in this order.
    assert setting.hooks == [(found, "complete"), (found, "effect", repr(found))]
    assert len(setting.logged) == bool(expected.dropped)
    for name in expected.dropped:
        assert "Document" in setting.logged[0]
        assert repr(name) in setting.logged[0]
        assert f"version {source.version}" in setting.logged[0]
    drained = drain(setting, found, as_json)
    assert drained["__version__"] == max(source.version, target.version)
    assert drained["values"].keys() == expected.values.keys() | expected.newer.keys()
    assert all(same(drained["values"][name], value) for name, value in expected.newer.items())
    if source.version > target.version and drained["values"].keys() == payload["values"].keys():
        # Rolled back and forward again, nothing was lost.
        assert hydrate(setting, source.cls, drained) == original


@same_each_time(200)
@given(data=st.data(), as_json=st.booleans())
def test_a_state_in_a_state_has_a_version_of_its_own(
    setting: Setting, data: st.DataObject, as_json: bool
) -> None:
    editions = draw_editions(data, setting, "Chapter")
    sources = data.draw(st.lists(st.sampled_from(editions), min_size=1, max_size=3))
    target = data.draw(st.sampled_from(editions))

    class Book(setting.state.State):  # type: ignore[name-defined]
        chapters: list[target.cls]  # type: ignore[name-defined]
        title: str
        last: target.cls | None = None  # type: ignore[name-defined]

    payloads = [drain(setting, draw_state(data, each), as_json) for each in sources]
    wrong = data.draw(st.sampled_from([False, False, True]))
    values = {"chapters": payloads, "title": 1 if wrong else "A", "last": payloads[-1]}
    found = hydrate(setting, Book, {"__version__": 1, "values": values})
    outcomes = [foresee(target, p["__version__"], p["values"]) for p in payloads]
    if refused := next((each for each in outcomes if each.error), None):
        assert_refused(found, refused)
    elif wrong:
        assert_refused(found, Outcome(words=[["Book.title", "expected"]], error="HydrationError"))
    else:
        assert [type(each) for each in (*found.chapters, found.last)] == [target.cls] * (
            len(payloads) + 1
        )
        for one, outcome in zip(found.chapters, outcomes, strict=True):
            assert same({n: getattr(one, n) for n in outcome.values}, outcome.values)
        kinds = [kind for _, kind, *_ in setting.hooks]
        assert kinds == ["complete"] * (len(payloads) + 1) + ["effect"] * (len(payloads) + 1)
        assert len(setting.logged) == sum(bool(each.dropped) for each in (*outcomes, outcomes[-1]))


# Text that other types can read.
READABLE = Shape(str, st.sampled_from(["2026-05-17", "PT1S", "abcd", "left", "1", "NONE"]))


def declare_holder(state: Any, annotations: list[Any], container: Any) -> Any:
    union = reduce(or_, (type(None) if each is None else each for each in annotations))
    members = {"__annotations__": {"value": container(union)}, "__module__": __name__}
    return type("Holder", (state.State,), members)


@same_each_time(600)
@given(data=st.data())
def test_a_wider_or_narrower_union_keeps_the_value_and_its_type_or_needs_a_new_version(
    state: Any, data: st.DataObject
) -> None:
    shapes = Shapes(state, data.draw, leaves=[*HASHABLE, *[READABLE] * 5])
    members = [shapes.make(2) for _ in range(data.draw(st.integers(2, 4)))]
    wide = [each.annotation for each in members]
    narrow = data.draw(st.lists(st.sampled_from(wide), min_size=1, max_size=2, unique_by=id))
    container = data.draw(
        st.sampled_from(
            [
                lambda union: union,
                lambda union: GenericAlias(list, (union,)),
                lambda union: GenericAlias(dict, (str, union)),
            ]
        )
    )
    try:
        source, target = (declare_holder(state, each, container) for each in (wide, narrow))
    except TypeError as error:
        assume("two members of the same name" not in str(error))
        raise
    if data.draw(st.booleans()):
        source, target = target, source
        members = [each for each in members if each.annotation in narrow]
    value = data.draw(data.draw(st.sampled_from(members)).values)
    at = {"list": 0, "dict": "a"}.get(container(int).__name__)
    value = {0: [value], "a": {"a": value}}.get(at, value)
    codec = state.JsonCodec()
    original = source(value=value)
    try:
        found = target.hydrate(codec.decode(codec.encode(source, original.drain())))
    except state.HydrationError as error:
        found = error
    event(type(found).__name__)
    if type(found) is target:
        kept, given = (one.value if at is None else one.value[at] for one in (found, original))
        # A list of pairs, which [] is too, is also the form of a dict whose keys are not all text.
        was_pairs = isinstance(kept, dict) and isinstance(given, list | tuple | set | frozenset)
        assert was_pairs or same(kept, given)
    else:
        assert "needs a new __version__" in str(found)
