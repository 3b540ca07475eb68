"""Every operation that is applied or refused, and the view of every type.

The emitted tests show one of each.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from importlib import import_module
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Annotated, Any

import pytest

EMITTED = "test_operations"


@dataclass(frozen=True)
class Size:
    width: int
    by_day: dict[date, int]


@pytest.fixture(scope="module")
def views(state: Any) -> Any:
    return import_module(f"{state.__name__}.typed._view")


@pytest.fixture(scope="module")
def game_class(state: Any, emitted: Any) -> Any:
    hero = emitted.Hero

    class Game(emitted.Game):
        by_name: dict[str, hero] = state.field(  # type: ignore[valid-type]
            default_factory=lambda: {"a": hero(), "b": hero()}
        )
        by_key: dict[int | str, int] = state.field(default_factory=lambda: {5: 1, "5": 2, "x": 3})
        pair: tuple[hero, list[int]] = state.field(  # type: ignore[valid-type]
            default_factory=lambda: (hero(), [1])
        )
        point: tuple[int, int] = (1, 2)
        moment: datetime = datetime(2026, 5, 17, 12)
        size: Size | None = None
        cache: state.Transient[int] = 0  # pyright: ignore[reportInvalidTypeForm]
        _secret: int = 0

        @state.query(preserve=True)
        def fetched(self) -> int:
            return 7

    return Game


@pytest.fixture(scope="module")
def classes(state: Any, emitted: Any) -> SimpleNamespace:
    """Return classes of states, for views that name them."""
    point = emitted.Point

    class Drawing(emitted.Drawing):
        named: dict[str, point] | point = state.field(default_factory=point)  # type: ignore[valid-type]
        points: list[point | None] = state.field(default_factory=list)  # type: ignore[valid-type]
        paths: dict[PurePosixPath, str] = state.field(default_factory=dict)
        choice: date | str | point = ""  # type: ignore[valid-type]
        size: Size | None = None

    return SimpleNamespace(Drawing=Drawing, Point=point, Tree=emitted.Tree)


def at(path: str, op: str, **members: Any) -> dict[str, Any]:
    """Return an operation on a path whose steps are separated by slashes; digits are numbers."""
    steps = [int(step) if step.isdecimal() else step for step in path.split("/")]
    return {"op": op, "path": ["game", *steps], **members}


# Each operation, and what stands at its path afterwards, in the view of the field.
APPLIED: dict[str, tuple[dict[str, Any], Any]] = {
    "set a state": (at("hero", "set", value={"name": "B"}), {"name": "B", "tags": []}),
    "set a payload": (
        at("hero", "set", value={"__version__": 1, "values": {"name": "B"}}),
        {"name": "B", "tags": []},
    ),
    "set a field in a member of a union": (
        at("being/name", "set", value="B"),
        {"__type__": "Hero", "value": {"name": "B", "tags": []}},
    ),
    "set an old key": (at("by_number/5", "set", value=["y"]), {"5": ["y"]}),
    "set a key by its text": (
        {"op": "set", "path": ["game", "by_number", "-3"], "value": []},
        {"5": ["x"], "-3": []},
    ),
    "set an index": (at("items/1", "set", value=9), [1, 9, 3]),
    "set in a tuple": (at("pair/1/0", "set", value=9), [{"name": "Ada", "tags": []}, [9]]),
    "set a state in a tuple": (
        at("pair/0/name", "set", value="B"),
        [{"name": "B", "tags": []}, [1]],
    ),
    "set text for a date": (at("day", "set", value="2026-01-01"), "2026-01-01"),
    "set a dataclass": (
        at("size", "set", value={"width": 2, "by_day": [["2026-01-01", 1]]}),
        {"width": 2, "by_day": [["2026-01-01", 1]]},
    ),
    "delete no key": (at("by_number/6", "delete"), {"5": ["x"]}),
    "increment an int": (at("score", "increment", value=5), 5),
    "increment no key": (at("prices/a", "increment", value=2.5), {"a": 2.5}),
    "increment a key": (at("by_key/x", "increment", value=-1), {"5": 1, '"5"': 2, "x": 2}),
    "increment an index": (at("items/2", "increment", value=1), [1, 2, 4]),
    "append to a list of states": (
        at("heroes", "append", value={}),
        [{"name": "Ada", "tags": []}],
    ),
    "append to a set": (
        at("pair/0/tags", "append", value="z"),
        [{"name": "Ada", "tags": ["z"]}, [1]],
    ),
    "insert at the end": (at("items/3", "insert", value=4), [1, 2, 3, 4]),
    "insert a key at the end": (at("by_number/6", "insert", value=[], at=1), {"5": ["x"], "6": []}),
    "insert a key that is there": (
        at("by_key/x", "insert", value=4, at=0),
        {"x": 4, "5": 1, '"5"': 2},
    ),
    "remove no element": (at("items", "remove", value=7), [1, 2, 3]),
    "remove no member": (
        at("pair/0/tags", "remove", value="z"),
        [{"name": "Ada", "tags": []}, [1]],
    ),
    "test a value": (at("items/1", "test", expect=2), [1, 2, 3]),
    "test a state": (at("hero", "test", expect=None), None),
    "test other text of a value": (
        at("moment", "test", expect="2026-05-17T12:00"),
        "2026-05-17T12:00:00",
    ),
    "test for nothing": (at("by_number/6", "test", absent=True), {"5": ["x"]}),
    "test for nothing below nothing": (at("hero/name", "test", absent=True), None),
    "set a key that is absent": (at("prices/a", "set", value=1, absent=True), {"a": 1}),
}


@pytest.mark.parametrize(("operation", "expected"), APPLIED.values(), ids=APPLIED.keys())
def test_an_operation_changes_the_value_at_its_path(
    emitted: Any, views: Any, game_class: Any, operation: dict[str, Any], expected: Any
) -> None:
    game, given = game_class(), json.dumps(operation)
    emitted.apply(game, operation)
    found = views.view(game)[operation["path"][1]]
    assert (found, json.dumps(found)) == (expected, json.dumps(expected))
    assert json.dumps(operation) == given


INT_MAX = 2**53 - 1
DEEP: Any = []
DEEP.append(DEEP)
# Each operation with the code and a part of the message of its refusal.
REFUSED: dict[str, tuple[Any, str, str]] = {
    "no op": ({"path": ["game"]}, "invalid_operation", "op is None, expected one of set, delete"),
    "op that is not text": (
        {"op": ["set"], "path": ["game"]},
        "invalid_operation",
        "op is ['set']",
    ),
    "member of another op": (at("items/1", "delete", value=1), "invalid_operation", "'value'"),
    "place of another op": (at("by_key/x", "set", value=1, at=0), "invalid_operation", "'at'"),
    "no path": ({"op": "set", "value": 1}, "invalid_operation", "path is None, expected 1 to 32"),
    "empty path": ({"op": "set", "path": [], "value": 1}, "invalid_operation", "path is []"),
    "long path": ({"op": "delete", "path": ["game"] * 33}, "invalid_operation", "1 to 32 steps"),
    "bool step": ({"op": "delete", "path": ["game", True]}, "invalid_operation", "the step True"),
    "test without a guard": (at("score", "test"), "invalid_operation", "test needs one of"),
    "set of a state itself": (
        {"op": "set", "path": ["game"], "value": {}},
        "invalid_operation",
        "game: set needs a path to a field, a key of a dict, or an index of a list",
    ),
    "set in a tuple": (at("pair/0", "set", value={}), "invalid_operation", "game['pair'][0]: set"),
    "delete of a field": (at("score", "delete"), "invalid_operation", "a key of a dict, or an"),
    "append to a frozenset": (at("frozen", "append", value=1), "invalid_operation", "a list or"),
    "insert of a key without its place": (
        at("by_key/y", "insert", value=1),
        "invalid_operation",
        "a key of a dict with at",
    ),
    "no such state": (
        {"op": "set", "path": [7, "score"], "value": 1},
        "unknown_path",
        "There is no state 7, only 'game'",
    ),
    "field of another name": (
        at("hero_of/x", "set", value=1),
        "unknown_path",
        "did you mean 'hero'?",
    ),
    "no such field": (at("0", "set", value=1), "unknown_path", "its fields are score, ratio"),
    "transient field": (at("cache", "set", value=1), "unknown_path", "'cache'"),
    "computed value": (at("double", "set", value=1), "unknown_path", "'double'"),
    "query": (at("fetched", "set", value=1), "unknown_path", "'fetched'"),
    "private field": (
        at("_secret", "set", value=1),
        "unknown_path",
        "Game saves no field '_secret', did you mean 'score'?",
    ),
    "private name": (at("_state_node", "set", value=1), "unknown_path", "'_state_node'"),
    "method": (at("drain", "set", value=1), "unknown_path", "'drain'"),
    "key of another type": (at("by_name/5", "set", value={}), "unknown_path", "expected str"),
    "text that is no key": (
        at("by_number/x", "set", value=[]),
        "unknown_path",
        "game['by_number']['x']: 'x' is not a key, expected int",
    ),
    "step into a dataclass": (at("size/width", "set", value=1), "unknown_path", "Size(width"),
    "step into a plain tuple": (at("point/0", "set", value=1), "unknown_path", "(1, 2)"),
    "increment beyond the end": (at("items/3", "increment", value=1), "not_found", "nothing"),
    "insert of a key beyond the end": (
        at("by_number/6", "insert", value=[], at=2),
        "not_found",
        "2 is beyond the end: give an index up to 1",
    ),
    "set below nothing": (at("hero/name", "set", value="B"), "not_found", "nothing stands there"),
    "append below nothing": (at("hero/tags", "append", value="B"), "not_found", "nothing stands"),
    "insert below nothing": (at("hero/tags", "insert", value="B"), "not_found", "nothing stands"),
    "another type inside": (
        at("hero", "set", value={"name": 3}),
        "invalid_value",
        "game['hero'].name: expected str, got 3 (int)",
    ),
    "newer payload": (
        at("hero", "set", value={"__version__": 2, "values": {}}),
        "invalid_value",
        "game['hero']: Hero has version 1, and the payload the newer 2",
    ),
    "another element": (at("items", "append", value=1.5), "invalid_value", "expected int"),
    "member without a hash": (
        at("loose", "append", value=[1]),
        "invalid_value",
        "no set can have it",
    ),
    "float for an int": (at("score", "increment", value=1.5), "invalid_value", "got 2.5 (float)"),
    "bool to add": (at("score", "increment", value=True), "invalid_value", "got True (bool)"),
    "increment of text": (at("day", "increment", value=1), "invalid_value", "expected a number"),
    "a sum that is too large": (
        at("score", "increment", value=INT_MAX),
        "invalid_value",
        "JavaScript cannot read 9007199254740992",
    ),
    "a large integer inside": (
        at("anything", "set", value={"a": [INT_MAX + 1]}),
        "invalid_value",
        "JavaScript cannot read",
    ),
    "a large key": (at(f"by_number/{INT_MAX + 1}", "set", value=[]), "invalid_value", "JavaScript"),
    "a large expectation": (at("score", "test", expect=INT_MAX + 1), "invalid_value", "JavaScript"),
    "nan": (at("ratio", "set", value=float("nan")), "invalid_value", "JSON does not have nan"),
    "a tuple": (at("point", "set", value=(1, 2)), "invalid_value", "JSON does not have (1, 2)"),
    "a value in itself": (
        at("anything", "set", value=DEEP),
        "invalid_value",
        "nested deeper than 240 levels: flatten it",
    ),
    "a value of another type than expected": (at("score", "test", expect=True), "conflict", "1"),
    "another state than expected in a list": (at("by_name/a", "test", expect={}), "conflict", "{}"),
    "another document than expected": (
        {"op": "test", "path": ["game"], "expect": {}},
        "conflict",
        "game: found {'score': 1",
    ),
    "nothing where a value is expected": (
        at("items/3", "set", value=1, expect=2),
        "conflict",
        "found nothing, expected 2",
    ),
    "nothing on the way to an expected value": (
        at("hero/name", "test", expect="B"),
        "conflict",
        "found nothing",
    ),
}


@pytest.mark.parametrize(("operation", "code", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_an_operation_that_does_not_fit_is_refused(
    emitted: Any, game_class: Any, operation: Any, code: str, message: str
) -> None:
    game = game_class(size=Size(1, {}), score=1, ratio=1.7e308)
    first = at("items/0", "set", value=9)
    refusal = emitted.refused(game, first, operation, safe_integers=True)
    assert (refusal.code, message in str(refusal)) == (code, True), str(refusal)


def test_an_object_of_python_is_refused(emitted: Any, game_class: Any) -> None:
    refusal = emitted.refused(game_class(), at("hero", "set", value=emitted.Hero()))
    assert refusal.code == "invalid_value"
    assert "JSON does not have" in str(refusal)


@pytest.mark.parametrize("value", [10**4_300, -(10**9_000)], ids=["positive", "negative"])
def test_an_integer_that_cannot_be_written_is_refused(
    emitted: Any, game_class: Any, value: int
) -> None:
    refusal = emitted.refused(game_class(score=10**4_300 - 1), at("score", "set", value=value))
    assert refusal.code == "invalid_value"
    assert "game['score']: Python cannot read <Exceeds" in str(refusal)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_number_may_be_too_large_for_a_message(emitted: Any, game_class: Any, steps: int) -> None:
    path = [*["game", "items"][:steps], 10**5000]
    game = game_class(size=Size(1, {}), items=[1])
    assert "limit" in str(emitted.refused(game, {"op": "insert", "path": path, "value": 1}))


def test_a_place_without_states_has_no_names_to_suggest(state: Any) -> None:
    with pytest.raises(state.RefusedOperation, match="There is no state 'game', only none"):
        state.apply_operations({}, [{"op": "delete", "path": ["game", "x"]}])


def test_undo_knows_private_fields(state: Any) -> None:
    class Safe(state.State):
        _code: int = 1

        def lock(self) -> None:
            self._code = 2

    safe = Safe()
    history = state.History(safe)
    safe.lock()
    assert history.undo()
    assert safe == Safe()


Case = tuple[str, Any, Any]
TAGGED = {"__type__": "int", "value": 1}
# For some fields of a drawing a value, and its view.
VIEWS: dict[str, Callable[[Any], Case]] = {
    "states in a list": lambda c: ("points", [c.Point(x=1), None], [{"x": 1}, None]),
    "dict in a union": lambda c: (
        "named",
        {"__type__": c.Point(), "value": c.Point(x=1)},
        {
            "__type__": "dict[str, Point]",
            "value": {"__type__": "dict", "value": {"__type__": {"x": 0}, "value": {"x": 1}}},
        },
    ),
    "keys of two types": lambda c: ("mixed", {5: 1, "5": 2, "x": 3}, {"5": 1, '"5"': 2, "x": 3}),
    "keys that look like a tag": lambda c: (
        "paths",
        {PurePosixPath("__type__"): "int", PurePosixPath("value"): "x"},
        {"__type__": "dict", "value": {"__type__": "int", "value": "x"}},
    ),
    "text keys that look like a tag": lambda c: (
        "texts",
        {"__type__": c.Point()},
        {"__type__": "dict", "value": {"__type__": {"x": 0}}},
    ),
    "scalar with a tag": lambda c: (
        "choice",
        "2026-05-17",
        {"__type__": "str", "value": "2026-05-17"},
    ),
    "scalar without a tag": lambda c: ("choice", "x", "x"),
    "untagged member": lambda c: ("choice", c.Point(x=1), {"x": 1}),
    "tuple": lambda c: ("pair", (c.Point(x=1), {2: 3}), [{"x": 1}, {"2": 3}]),
    "recursive": lambda c: ("tree", c.Tree(children=[c.Tree()]), {"children": [{"children": []}]}),
    "anything": lambda c: ("anything", [TAGGED], [{"__type__": "dict", "value": TAGGED}]),
    "dataclass": lambda c: (
        "size",
        Size(1, {date(2026, 5, 17): 2}),
        {"width": 1, "by_day": [["2026-05-17", 2]]},
    ),
}


@pytest.mark.parametrize("case", VIEWS.values(), ids=VIEWS.keys())
def test_a_view_is_json_and_has_all_of_a_value(
    state: Any, views: Any, emitted: Any, classes: Any, case: Callable[[Any], Case]
) -> None:
    name, value, expected = case(classes)
    drawing = classes.Drawing(**{name: value}, mark=3)
    fields = state.fields_of(classes.Drawing)
    handler = fields[name].handler
    form = views.view(drawing)
    assert views.view_unshared(drawing) == form
    assert form.keys() == fields.keys() - {"mark"}
    assert form[name] == views.view_of(handler, getattr(drawing, name)) == expected
    stored = json.loads(json.dumps(form))
    assert views.from_view(handler, stored[name]) == value
    hydrated = views.hydrate_view(classes.Drawing, stored, views.versions_of(classes.Drawing))
    assert emitted.encode(hydrated) == emitted.encode(drawing)
    assert json.loads(json.dumps(form)) == stored


@pytest.mark.parametrize(
    ("name", "key", "step"),
    [
        ("numbered", -5, "-5"),
        ("numbered", 2**53, "9007199254740992"),
        ("texts", "5", "5"),
        ("mixed", 5, 5),
        ("mixed", "x", "x"),
        ("days", date(2026, 5, 17), '{"__type__":"date","value":"2026-05-17"}'),
        ("paths", PurePosixPath("a/b"), "a/b"),
    ],
)
def test_each_key_of_a_dict_has_a_step(
    state: Any, views: Any, classes: Any, name: str, key: Any, step: str | int
) -> None:
    handler = state.fields_of(classes.Drawing)[name].handler
    assert views.step_of(handler.key, key) == step
    assert views.key_of(handler.key, step) == key


NOT_OF_THE_TYPE: list[tuple[str, Any]] = [
    ("shape", {"x": 1}),
    ("shape", {"__type__": "Circle", "value": {}}),
    ("points", {"x": 1}),
    ("points", ["x"]),
    ("numbered", {"x": {}}),
    ("numbered", "x"),
    ("numbered", [[5, {"x": {}}]]),
    ("point", {"x": 1, "__newer__": 3}),
]


@pytest.mark.parametrize(("name", "form"), NOT_OF_THE_TYPE)
def test_other_json_has_no_value(state: Any, classes: Any, name: str, form: Any) -> None:
    drawing = classes.Drawing()
    operation = {"op": "set", "path": ["drawing", name], "value": form}
    with pytest.raises(state.RefusedOperation) as caught:
        state.apply_operations({"drawing": drawing}, [operation])
    assert caught.value.code == "invalid_value"


def test_pairs_may_stand_for_any_dict(state: Any, classes: Any) -> None:
    drawing = classes.Drawing()
    operation = {"op": "set", "path": ["drawing", "numbered"], "value": [[5, []], [6, {}]]}
    state.apply_operations({"drawing": drawing}, [operation])
    assert drawing.numbered == {5: {}, 6: {}}


def test_a_set_has_one_order_in_every_process(views: Any, game_class: Any) -> None:
    game = game_class(loose={1, "b", None, 2, "a", 3})
    assert views.view(game)["loose"] == ["a", "b", 1, 2, 3, None]


def test_an_unshared_view_lets_others_change_their_states(
    emitted: Any, views: Any, classes: Any
) -> None:
    drawing, other = (
        classes.Drawing(points=[classes.Point() for _ in range(20_000)]),
        emitted.Game(),
    )
    viewer = threading.Thread(target=views.view_unshared, args=[drawing])
    viewer.start()
    while viewer.is_alive():
        other.score += 1
    # With the lock held all the time, the first write would have waited for the end.
    assert other.score > 1


def test_a_slice_that_does_not_fit_leaves_a_full_list_as_it_is(emitted: Any) -> None:
    console = emitted.Console(lines=["a", "b"])
    with pytest.raises(ValueError, match="extended slice"):
        console.lines[5::2] = ["c"]
    assert console.lines == ["a", "b"]


@pytest.mark.parametrize("count", [-1, True, 1.5])
def test_a_list_keeps_at_least_one_element(state: Any, count: Any) -> None:
    with pytest.raises(ValueError, match="give a whole number from 1"):
        state.Keep(count)


def list_or_none(state: Any) -> Any:
    annotation: Any = Annotated[list[int], state.Keep(1)]
    return annotation | None


MARKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a counter of bools": (lambda s: s.Counter[bool], "an int or a float, not bool"),
    "a counter of lists": (lambda s: s.Counter[list[int]], "not list"),
    "a list in a union": (list_or_none, "cannot mark a member of a union"),
}


@pytest.mark.parametrize(("annotation", "message"), MARKS.values(), ids=MARKS.keys())
def test_marks_belong_to_their_types(
    state: Any, annotation: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        type("Marked", (state.State,), {"__annotations__": {"x": annotation(state)}})
