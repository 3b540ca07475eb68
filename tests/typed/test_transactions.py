"""A block that fails leaves no trace; any other gives its operations, and is undone exactly."""

import json
from contextlib import nullcontext
from importlib import import_module
from typing import Any, cast

from hypothesis import given, note
from hypothesis import strategies as st

from typed.comparing import same, same_each_time
from typed.container_model import FIELDS, LEAVES, World, call, values_of
from typed.json_oracle import Shape, apply
from typed.test_containers import make_classes, outcome, targets_of

TAGS = Shape("list", Shape("text"))
LEAF = Shape("state", parts={"n": Shape("int"), "tags": TAGS})
NUMBERS = Shape("list", Shape("int"))
GROUP = Shape("set", Shape("int"))
BOARD = Shape(
    "state",
    parts={
        "tree": Shape("any"),
        "table": Shape("dict", Shape("list", Shape("dict", GROUP, "int"))),
        "groups": Shape("list", GROUP),
        "leaves": Shape("list", LEAF),
        "named": Shape("dict", LEAF),
        "nested": Shape("list", Shape("dict", Shape("list", LEAF))),
        "pair": Shape("tuple", parts={"0": LEAF, "1": NUMBERS, "2": LEAF}),
        "one": LEAF,
        "other": LEAF,
        "count": Shape("int"),
    },
)


class Watched:
    """A state with observers of every kind.

    Attributes:
        live: The state, and leaves that may be in it.
        calls: The number of calls of listeners and effects.
    """

    def __init__(self, state: Any, recipes: dict[str, Any]) -> None:
        self.calls = 0
        notify = self.notify

        class Text(state.State):
            @state.computed
            def text(self) -> str:
                return f"{self.n} {self.tags}"

        plain_board, leaf_class = make_classes(state, Text)

        class Board(plain_board):  # type: ignore[misc,valid-type]
            @state.computed
            def text(self) -> str:
                return repr([getattr(self, name) for name in FIELDS])

            @state.computed
            def texts(self) -> list[str]:
                return [self.text, self.one.text, *(leaf.text for leaf in self.leaves)]

            @state.effect
            def follow(self) -> None:
                notify(self.texts)

        self.live = World(None, [leaf_class(n=0, tags=[]) for _ in range(LEAVES)])
        made = {name: self.live.make(recipe) for name, recipe in recipes.items()}
        self.board = self.live.board = Board(**made)
        for each in (self.board, *self.live.leaves):
            each.on_change(self.notify)

    def notify(self, _: object) -> None:
        self.calls += 1

    def targets(self) -> list[Any]:
        """Return everything that can be changed."""
        return targets_of(self.live, self.live)

    def picture(self) -> Any:
        """Return everything that must be the same after a rollback."""
        return [picture(self.board), *map(picture, self.live.leaves)], self.calls

    def parents(self) -> dict[int, list[tuple[Any, int]]]:
        """Return the parents of each leaf, with the number of its places in them."""
        return {
            id(leaf): [(link.parent(), link.count) for link in leaf._state_node._links.values()]
            for leaf in self.live.leaves
        }

    def assert_computed(self) -> None:
        """Check that computed values follow from the fields."""
        fields = [getattr(self.board, name) for name in FIELDS]
        leaves = [self.board.one, *self.board.leaves]
        texts = [f"{leaf.n} {leaf.tags}" for leaf in leaves]
        assert self.board.texts == [repr(fields), *texts]


def picture(value: Any) -> Any:
    """Return the identity of everything in a value, the order, and the links to its parents."""
    if hasattr(value, "on_change"):
        node = value._state_node
        inner = [(name, picture(item)) for name, item in node.values.items()]
        return id(value), id(node), node.lenient, inner
    if isinstance(value, list | tuple | dict | set):
        found, node = cast(Any, value), cast(Any, value)
        members: Any = found.items() if isinstance(found, dict) else found
        inner = [picture(item) for item in members]
        if isinstance(value, set):
            inner.sort()
        place = (
            (id(node), id(node._parent and node._parent()), node.lenient)
            if hasattr(node, "_parent")
            else ()
        )
        return type(value).__name__, place, inner
    return id(value), repr(value)


def first_difference(one: Any, other: Any) -> str:
    """Return the innermost parts of two pictures that differ first."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = zip(one, other, strict=True)
        return next((first_difference(*pair) for pair in pairs if pair[0] != pair[1]), "")
    return f"{one} became {other}"


class Failed(BaseException):
    """Ends a block."""


@same_each_time(100)
@given(data=st.data())
def test_a_failed_block_leaves_everything_as_it_was(state: Any, data: st.DataObject) -> None:
    recipes = {name: data.draw(values_of(of), name) for name, of in FIELDS.items()}
    watched = Watched(state, recipes)
    removed: list[Any] = []

    def change() -> None:
        target = data.draw(st.sampled_from(watched.targets() + removed))
        made = call(data.draw, target)
        note(f"{type(target.live).__name__} {target.live} {made.text}")
        removed.append(target)
        outcome(made, watched.live, target.live)
        if data.draw(st.booleans()):
            watched.assert_computed()

    def run(depth: int) -> None:
        before, parents = watched.picture(), watched.parents()
        fails = data.draw(st.booleans())
        try:
            with state.transaction():
                for _ in range(data.draw(st.integers(1, 5))):
                    if depth < 2 and data.draw(st.booleans()):
                        run(depth + 1)
                    else:
                        change()
                if fails:
                    note("fails")
                    raise Failed
        except Failed:
            after = watched.picture()
            note(first_difference(before, after))
            assert after == before
            now = watched.parents()
            for leaf, links in parents.items():
                assert all(any(p is q and n == m for q, m in now[leaf]) for p, n in links)
                # It may also stand in a container that was made in the block.
                others = [q for q, _ in now[leaf] if all(p is not q for p, _ in links)]
                assert not any(f"{id(q)}," in repr(before) for q in others)
            watched.assert_computed()

    for _ in range(data.draw(st.integers(1, 4))):
        before, calls = watched.board.drain(), watched.calls
        run(0)
        watched.assert_computed()
        changed = not same(watched.board.drain(), before)
        assert watched.calls > calls if changed else True
        change()


class Timeline:
    """A state with a history, its JSON as its operations change it, and the payloads that it had.

    Attributes:
        past: The payloads before each step to undo, and the one of now.
        future: The payloads after each step to redo.
    """

    def __init__(self, state: Any, recipes: dict[str, Any]) -> None:
        self.state, self.watched = state, Watched(state, recipes)
        self.board = self.watched.board
        self.history = state.History(self.board)
        typed = f"{state.__name__}.typed"
        self.view = import_module(f"{typed}._view").view
        mirror = self.mirror = {"board": self.view(self.board)}

        class Mirror(import_module(f"{typed}._capture").Capture):  # type: ignore[misc]  # rendered for the run
            def finish(self, block: Any) -> None:
                for operation in block.operations:
                    note(operation)
                    apply({"board": BOARD}, mirror, operation)

        self.capture = Mirror({"board": self.board})
        self.past, self.future = [self.encoded()], list[str]()

    def encoded(self) -> str:
        """Return the payload; its JSON must be that of the mirror, in the same order."""
        assert json.dumps(self.mirror["board"]) == json.dumps(self.view(self.board))
        return str(self.board.__codec__.encode(type(self.board), self.board.drain()))

    def undo(self) -> bool:
        """Undo a step."""
        if undone := self.history.undo():
            self.future.append(self.past.pop())
        assert self.encoded() == self.past[-1]
        return bool(undone)

    def redo(self) -> bool:
        """Redo a step."""
        if redone := self.history.redo():
            self.past.append(self.future.pop())
        assert self.encoded() == self.past[-1]
        return bool(redone)

    def change(self, data: st.DataObject, kind: str) -> None:
        """Make a random change, several ones in a step, or some that are taken back."""
        steps = len(self.history.labels)
        try:
            with nullcontext() if kind == "one" else self.history.step(kind):
                for _ in range(1 if kind == "one" else 3):
                    target = data.draw(st.sampled_from(self.watched.targets()))
                    made = call(data.draw, target)
                    note(f"{type(target.live).__name__} {target.live} {made.text}")
                    outcome(made, self.watched.live, target.live)
                if kind == "failing":
                    raise Failed
        except Failed:
            assert len(self.history.labels) == steps
        if len(self.history.labels) > steps:
            self.past.append(self.encoded())
            self.future.clear()
        assert self.encoded() == self.past[-1]


@same_each_time(100)
@given(data=st.data())
def test_undo_is_exact_and_operations_have_every_change(state: Any, data: st.DataObject) -> None:
    recipes = {name: data.draw(values_of(of), name) for name, of in FIELDS.items()}
    timeline = Timeline(state, recipes)
    for _ in range(data.draw(st.integers(1, 8))):
        kind = data.draw(st.sampled_from(["one", "one", "several", "failing", "back"]))
        if kind != "back":
            timeline.change(data, kind)
            continue
        while timeline.undo() and data.draw(st.booleans()):
            pass
        while data.draw(st.booleans()) and timeline.redo():
            pass
    while timeline.undo():
        pass
    assert len(timeline.past) == 1
    while timeline.redo():
        pass
    assert not timeline.future
    timeline.capture.close()
