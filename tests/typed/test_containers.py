"""After any operation, a container in a state equals a plain one, and notified the right path."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from typed.comparing import same, same_each_time
from typed.container_model import (
    FIELDS,
    LEAF,
    LEAF_FIELDS,
    LEAVES,
    Call,
    Leaf,
    Target,
    Type,
    World,
    call,
    operator,
    targets,
    values_of,
)

MISSING: Any = object()


def is_state(live: Any) -> bool:
    return hasattr(live, "on_change")


def value_at(parent: Any, key: Any) -> Any:
    """Return the value under a key, MISSING if there is none."""
    try:
        return getattr(parent, key) if is_state(parent) else parent[key]
    except (KeyError, IndexError, TypeError):
        return MISSING


def drain(board: Any) -> Any:
    """Return a payload with lists for tuples, as JSON has it, so that any place can be changed."""

    def convert(value: Any) -> Any:
        match value:
            case list() | tuple():
                return [convert(item) for item in value]
            case dict():
                return {key: convert(item) for key, item in value.items()}
            case _:
                return value

    return convert(board.drain())


def replay(board: Any, copied: Any, path: tuple[Any, ...]) -> None:
    """Copy the value at a path now into a payload that was drained before.

    Where that has no such place, another path of the change must name one around it:
    the comparison that follows shows whether one has.
    """
    live, new, old = board, drain(board), copied
    for step in path[:-1]:
        if is_state(live):
            new, old = new["values"], old["values"]
        live, new, old = (value_at(each, step) for each in (live, new, old))
        if live is MISSING or old is MISSING:
            return
    if is_state(live):
        new, old = new["values"], old["values"]
    key = path[-1]
    value = value_at(new, key)
    if isinstance(old, list):
        old[key : key + 1] = [] if value is MISSING else [value]
    elif value is MISSING:
        old.pop(key, None)
    else:
        old[key] = value


class Comparison:
    """A state beside its model, its published changes, and a copy that follows from them alone."""

    def __init__(self, board_class: Any, leaf_class: Any, recipes: dict[str, Any]) -> None:
        self.live = World(None, [leaf_class(n=0, tags=[]) for _ in range(LEAVES)])
        self.model = World(SimpleNamespace(), [Leaf() for _ in range(LEAVES)])
        made = {name: self.live.make(recipe) for name, recipe in recipes.items()}
        self.live.board = board_class(**made)
        for name, recipe in recipes.items():
            setattr(self.model.board, name, self.model.make(recipe))
        self.published: list[Any] = []
        self.live.board.on_change(self.published.append)
        self.copied = drain(self.live.board)
        self.assert_equal()

    def targets(self) -> list[Target]:
        """Return everything that can be changed."""
        return targets_of(self.live, self.model)

    def do(self, target: Target, call: Call) -> None:
        """Execute an operation in both worlds: the outcome must be the same."""
        before = self.live.board.drain(), len(self.published)
        elements = [*target.model] if isinstance(target.model, list) else []
        expected = outcome(call, self.model, target.model)
        found = outcome(call, self.live, target.live)
        if not isinstance(expected, Exception):
            assert not isinstance(found, Exception), (call.text, found)
            assert same(found, expected) or not call.returns, call.text
            return
        assert type(found) is type(expected), (call.text, found, expected)
        assert (self.live.board.drain(), len(self.published)) == before, call.text
        if isinstance(target.model, list):  # a failed plain sort leaves any order
            target.model[:] = elements

    def assert_equal(self) -> None:
        """Check that state and model have equal values."""
        assert same(vars(self.model.board), {n: getattr(self.live.board, n) for n in FIELDS})

    def follow(self) -> None:
        """Bring the copy up to date by the published changes, and compare it."""
        for change in self.published:
            assert len({*map(repr, change.paths)}) == len(change.paths) > 0
            for path in change.paths:
                replay(self.live.board, self.copied, path)
        self.published.clear()
        assert self.copied == drain(self.live.board)


def targets_of(live: World, model: World) -> list[Target]:
    """Return everything that can be changed."""
    leaves = zip(live.leaves, model.leaves, strict=True)
    found = [Target(live.board, model.board, Type("board"), FIELDS)]
    found += [Target(*leaf, LEAF, LEAF_FIELDS) for leaf in leaves]
    for name, of in FIELDS.items():
        found += targets(getattr(live.board, name), getattr(model.board, name), of)
    return found


def outcome(call: Call, world: World, container: Any) -> Any:
    """Return the result or the error of a call."""
    try:
        return call.run(world, container)
    except Exception as error:
        return error


def make_classes(state: Any, leaf_base: Any) -> tuple[Any, Any]:
    """Return the classes of the model, and let that of the leaves have a base class."""

    class Leaf(leaf_base):
        n: int
        tags: list[str]

    class Board(state.State):
        tree: Any
        table: dict[str, list[dict[int, set[int]]]]
        groups: list[set[int]]
        leaves: list[Leaf]
        named: dict[str, Leaf]
        nested: list[dict[str, list[Leaf]]]
        pair: tuple[Leaf, list[int], Leaf]
        one: Leaf
        other: Leaf
        count: int

    return Board, Leaf


@pytest.fixture(scope="module")
def classes(state: Any) -> tuple[Any, Any]:
    return make_classes(state, state.State)


@same_each_time(200)
@given(data=st.data())
def test_containers_work_as_plain_ones_and_notify_the_right_paths(
    classes: tuple[Any, Any], data: st.DataObject
) -> None:
    recipes = {name: data.draw(values_of(of), name) for name, of in FIELDS.items()}
    comparison = Comparison(*classes, recipes)
    for _ in range(data.draw(st.integers(1, 12))):
        before = comparison.live.board.drain()
        there = comparison.targets()
        together = data.draw(st.sampled_from([1, 1, 1, 3]))
        with comparison.live.board.batch() if together > 1 else nullcontext():
            for _ in range(together):
                target = data.draw(st.sampled_from(comparison.targets()))
                made = call(data.draw, target)
                note(f"{type(target.live).__name__} {target.live} {made.text}")
                comparison.do(target, made)
        comparison.assert_equal()
        changed = not same(comparison.live.board.drain(), before)
        assert changed <= len(comparison.published) <= 1
        comparison.follow()
        # A removed container is an ordinary one.
        here = {id(target.live) for target in comparison.targets()}
        for target in there:
            if id(target.live) not in here:
                target.live.clear()
                comparison.assert_equal()
                assert not comparison.published


WRONG: dict[str, list[Callable[[Any], Any]]] = {
    "table": [
        lambda table: table.update({"new": 1}),
        lambda table: table.setdefault(1, []),
        lambda table: table["a"].append({"1": set()}),
        lambda table: table["a"].extend([{}, {1: {"x"}}]),
        lambda table: operator.setitem(table["a"][0], 1, [1]),
        lambda table: table["a"][0][1].add("x"),
        lambda table: table["a"][0][1].update({5, "x"}),
        lambda table: operator.setitem(table["a"], slice(0, 1), [None]),
        lambda table: table["a"].insert(0, "x"),
    ],
    "leaves": [
        lambda leaves: leaves.append(None),
        lambda leaves: leaves[0].tags.append(1),
        lambda leaves: operator.iadd(leaves, [1]),
    ],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_forbidden_value_is_refused_and_changes_nothing(
    classes: tuple[Any, Any], name: str
) -> None:
    board_class, leaf_class = classes
    leaf = leaf_class(n=1, tags=["a"])
    given: dict[str, Any] = {"table": {"a": [{1: {1}}]}, "leaves": [leaf], "named": {}}
    rest: dict[str, Any] = {"tree": None, "groups": [], "nested": [], "count": 0}
    board = board_class(**given, **rest, pair=(leaf, [], leaf), one=leaf, other=leaf)
    published: list[Any] = []
    board.on_change(published.append)
    before = board.drain()
    for change in WRONG[name]:
        with pytest.raises(TypeError, match="expected"):
            change(getattr(board, name))
        assert (board.drain(), published) == (before, [])
