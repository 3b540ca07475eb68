"""A state of any shape is equal after a round trip, and shares nothing with its payloads."""

import copy
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from typed.comparing import parts_of, same, same_each_time, share_something
from typed.type_strategies import HASHABLE, OTHERS, PICKLED, Level, Shapes, Side

PLAIN = (list, tuple, dict, set, frozenset)


@pytest.fixture(scope="module")
def draw_state(state: Any) -> Callable[..., Any]:
    """Return a function that draws a state of a drawn class."""

    def draw_state(data: st.DataObject, **options: Any) -> Any:
        shape = Shapes(state, data.draw, **options).make_state(3)
        return data.draw(shape.values)

    return draw_state


def fields_of(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in type(one).__annotations__}


def assert_same(hydrated: Any, original: Any) -> None:
    assert type(hydrated) is type(original)
    assert same(fields_of(hydrated), fields_of(original))
    # NaN is not equal to itself.
    assert hydrated == original or "nan" in repr(original).lower()


@same_each_time(200)
@given(data=st.data())
def test_a_state_is_equal_after_a_round_trip_through_json(
    draw_state: Callable[..., Any], state: Any, data: st.DataObject
) -> None:
    original, codec = draw_state(data), state.JsonCodec()
    payload = original.drain()
    encoded = codec.encode(type(original), payload)
    assert_same(type(original).hydrate(codec.decode(encoded)), original)
    assert same(payload, original.drain())


@same_each_time(200)
@given(data=st.data())
def test_a_state_is_equal_after_a_round_trip_through_pickle(
    draw_state: Callable[..., Any], state: Any, data: st.DataObject
) -> None:
    codec = state.PickleCodec()
    members = {"__codec__": codec}
    original = draw_state(data, members=members, leaves=[*HASHABLE, *OTHERS, *PICKLED])
    encoded = codec.encode(type(original), original.drain())
    assert_same(type(original).hydrate(codec.decode(encoded)), original)


@same_each_time(200)
@given(data=st.data())
def test_a_payload_hydrates_as_it_was_drained(
    draw_state: Callable[..., Any], data: st.DataObject
) -> None:
    original = draw_state(data)
    assert_same(type(original).hydrate(original.drain()), original)
    assert_same(copy.deepcopy(original), original)


@same_each_time(200)
@given(data=st.data())
def test_draining_twice_gives_the_same_and_shares_nothing(
    draw_state: Callable[..., Any], data: st.DataObject
) -> None:
    original = draw_state(data)
    one, other = original.drain(), original.drain()
    assert same(one, other)
    assert not share_something(one, other)
    assert not share_something(one, fields_of(original))
    # Plain Python: nothing of the framework is in a payload.
    for part in parts_of(one):
        assert type(part) in PLAIN or not isinstance(part, PLAIN)
        assert not hasattr(part, "drain")


@same_each_time(150)
@given(data=st.data(), form=st.sampled_from(["as drained", "as JSON", "pickled"]))
def test_hydrating_does_not_change_its_source(
    draw_state: Callable[..., Any], state: Any, data: st.DataObject, form: str
) -> None:
    members = {"__codec__": state.PickleCodec()} if form == "pickled" else {}
    original = draw_state(data, members=members)
    payload = original.drain()
    if form == "as JSON":
        payload = state.JsonCodec().dump(type(original), payload)
    before = copy.deepcopy(payload)
    hydrated = type(original).hydrate(payload)
    assert same(payload, before)
    assert not share_something(payload, fields_of(hydrated))


def routes(state: Any) -> dict[str, Callable[[Any], Any]]:
    """Return the ways from a state to a payload and back."""
    json, pickled = state.JsonCodec(), state.PickleCodec()
    return {
        "as drained": lambda one: one.drain(),
        "as JSON": lambda one: json.decode(json.encode(type(one), one.drain())),
        "pickled": lambda one: pickled.decode(pickled.encode(type(one), one.drain())),
    }


@pytest.mark.parametrize("route", ["as drained", "as JSON", "pickled"])
def test_a_union_distinguishes_its_members(state: Any, route: str) -> None:
    class Point(state.State):
        x: int = 0

    class Size(state.State):
        x: int = 0

    class Drawing(state.State):
        one: Point | Size
        listed: list[Point] | list[Size]
        in_a_row: list[Point] | tuple[Point, ...] | None
        named: dict[str, Point] | dict[str, Size] | Point
        numbered: dict[int, list[Size]] | list[Size] | set[int]
        mixed: list[Point | Size]
        pair: tuple[Point | Size, ...]
        deep: list[list[Point] | list[Size]] | int
        moment: date | datetime | time | str
        data: bytes | str
        numbers: set[int] | frozenset[int] | list[int]
        free: Side | Level | Any
        keyed: Point | dict[int, str]

    def points() -> list[Any]:
        return [Point(x=1), Point(x=2)]

    def sizes() -> list[Any]:
        return [Size(x=1), Size(x=2)]

    moment = datetime(2026, 5, 17, 12, 30)
    choices: dict[str, list[Any]] = {
        "one": [Point(), Size()],
        "listed": [points(), sizes(), []],
        "in_a_row": [points(), tuple(points()), None],
        "named": [{"a": Point()}, {"a": Size()}, Point(x=3)],
        "numbered": [{1: sizes()}, sizes(), {1, 2}],
        "mixed": [[*points(), *sizes()]],
        "pair": [(Point(), Size()), ()],
        "deep": [[points(), sizes()], 1],
        "moment": [moment, moment.date(), moment.time(), "2026-05-17"],
        "data": [b"abcd", "abcd"],
        "numbers": [{1, 2}, frozenset({1, 2}), [1, 2]],
        "keyed": [Point(), {1: "a"}],
        "free": [Side.LEFT, Level.HIGH, "left", 2, {"left": [2]}],
    }
    for turn in range(max(map(len, choices.values()))):
        values = {name: given[turn % len(given)] for name, given in choices.items()}
        original = Drawing(**values)
        assert_same(Drawing.hydrate(routes(state)[route](original)), original)
