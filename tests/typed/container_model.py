"""A state with containers of every kind at any depth, and a model of it in plain Python."""

import copy
import operator as typed_operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import strategies as st

# The containers also get values that they must refuse.
operator: Any = typed_operator

Strategy = st.SearchStrategy[Any]
Draw = Callable[[Strategy], Any]


class Leaf:
    """The plain model of the inner state."""

    def __init__(self) -> None:
        self.n = 0
        self.tags: list[str] = []

    def drain(self) -> dict[str, Any]:
        """Return the leaf as the state drains it."""
        return {"__version__": 1, "values": {"n": self.n, "tags": [*self.tags]}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Leaf) and self.drain() == other.drain()

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Pick:
    """Stands for one of the leaves, which may be in several places."""

    number: int


@dataclass(frozen=True)
class Type:
    """A type that a container or a field may hold."""

    name: str
    key: str = ""
    item: Any = None


INT, TEXT, LEAF, ANY = map(Type, ["int", "str", "leaf", "any"])
PAIR = [LEAF, Type("list", "", INT), LEAF]
FIELDS = {
    "tree": ANY,
    "table": Type("dict", "str", Type("list", "", Type("dict", "int", Type("set", "", INT)))),
    "groups": Type("list", "", Type("set", "", INT)),
    "leaves": Type("list", "", LEAF),
    "named": Type("dict", "str", LEAF),
    "nested": Type("list", "", Type("dict", "str", Type("list", "", LEAF))),
    "pair": Type("pair"),
    "one": LEAF,
    "other": LEAF,
    "count": INT,
}
LEAF_FIELDS = {"n": INT, "tags": Type("list", "", TEXT)}
LEAVES = 3

_texts, _numbers = st.sampled_from(["a", "b", "c", "dd"]), st.integers(0, 4) | st.just(1000)
_json = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=5,
)


def values_of(of: Type) -> Strategy:
    """Return the values of a type; a leaf is a `Pick`."""
    match of.name:
        case "int":
            return _numbers
        case "str":
            return _texts
        case "leaf":
            return st.integers(0, LEAVES - 1).map(Pick)
        case "list":
            return st.lists(values_of(of.item), max_size=3)
        case "set":
            return st.sets(values_of(of.item), max_size=3)
        case "dict":
            return st.dictionaries(values_of(Type(of.key)), values_of(of.item), max_size=3)
        case "pair":
            return st.tuples(*map(values_of, PAIR))
        case _:
            return _json


@dataclass
class World:
    """The state or its model, whose leaves have numbers in both."""

    board: Any
    leaves: list[Any]

    def make(self, recipe: Any) -> Any:
        """Return a new value, with this world's leaves."""
        match recipe:
            case Pick(number):
                return self.leaves[number]
            case list() | tuple() | set():
                return type(recipe)(map(self.make, recipe))
            case dict():
                return {key: self.make(item) for key, item in recipe.items()}
            case _:
                return recipe

    def keep(self, value: Any) -> Any:
        """Return a copy of a value, so that it can be added once more; a leaf stays as it is."""
        return copy.deepcopy(value, {id(leaf): leaf for leaf in self.leaves})


@dataclass
class Call:
    """An operation, executed in both worlds.

    Attributes:
        text: Its description, for failures.
        run: Executes it on a container of a world.
        returns: Whether its result is the same in both.
    """

    text: str
    run: Callable[[World, Any], Any]
    returns: bool = True


@dataclass
class Target:
    """A container that can be changed in both worlds."""

    live: Any
    model: Any
    type: Type
    fields: dict[str, Type] = field(default_factory=dict[str, Type])


def targets(live: Any, model: Any, of: Type) -> Iterator[Target]:
    """Return every container in a value."""
    pairs: list[tuple[Any, Any, Type]] = []
    match model:
        case list():
            of = of if of.name == "list" else Type("list", "", ANY)
            pairs = [(*each, of.item) for each in zip(live, model, strict=True)]
        case dict():
            of = of if of.name == "dict" else Type("dict", "str", ANY)
            pairs = [(live[key], item, of.item) for key, item in model.items()]
        case tuple():
            for each in zip(live, model, PAIR, strict=True):
                yield from targets(*each)
            return
        case set():
            pass
        case Leaf():
            yield from targets(live.tags, model.tags, LEAF_FIELDS["tags"])
            return
        case _:
            return
    yield Target(live, model, of)
    for each in pairs:
        yield from targets(*each)


def call(draw: Draw, target: Target) -> Call:
    """Draw an operation on a container, or on the fields of a state."""
    if target.fields:
        name = draw(st.sampled_from(sorted(target.fields)))
        recipe = draw(values_of(target.fields[name]))
        return Call(f".{name} = {recipe}", lambda world, c: setattr(c, name, world.make(recipe)))
    makers = {"list": _list_calls, "dict": _dict_calls, "set": _set_calls}
    made: Call = draw(st.sampled_from(makers[target.type.name](draw, target)))
    return made


def _list_calls(draw: Draw, target: Target) -> list[Call]:
    size = len(target.model)
    index = draw(st.integers(-size - 1, size + 1))
    value = draw(values_of(target.type.item))
    several = draw(st.lists(values_of(target.type.item), max_size=3))
    part = draw(st.slices(size))
    times = draw(st.integers(-1, 2) | st.just("x"))

    def repeat(world: World, c: Any) -> None:
        if type(c) is list and isinstance(times, int) and times > 0:  # whose elements are copied
            plain: list[Any] = c
            plain += [world.keep(item) for _ in range(times - 1) for item in [*plain]]
        else:
            operator.imul(c, times)

    return [
        Call(f"append({value})", lambda w, c: c.append(w.make(value))),
        Call(f"insert({index}, {value})", lambda w, c: c.insert(index, w.make(value))),
        Call(f"extend({several})", lambda w, c: c.extend(w.make(several))),
        Call("extend(iterator)", lambda w, c: c.extend(iter(w.make(several)))),
        Call("extend(itself)", lambda w, c: c.extend(w.keep([*c]) if type(c) is list else c)),
        Call(f"+= {several}", lambda w, c: operator.iadd(c, w.make(several)), returns=False),
        Call("+= 1", lambda w, c: operator.iadd(c, 1)),
        Call(f"*= {times}", repeat),
        Call(f"[{index}] = {value}", lambda w, c: operator.setitem(c, index, w.make(value))),
        Call(f"[{index}] = itself", lambda w, c: operator.setitem(c, index, c[index])),
        Call(f"[{part}] = {several}", lambda w, c: operator.setitem(c, part, w.make(several))),
        Call(f"[{part}] = 1", lambda w, c: operator.setitem(c, part, 1)),
        Call("['x'] = …", lambda w, c: operator.setitem(c, "x", w.make(value))),
        Call(f"del [{index}]", lambda w, c: operator.delitem(c, index)),
        Call(f"del [{part}]", lambda w, c: operator.delitem(c, part)),
        Call("pop()", lambda w, c: c.pop()),
        Call(f"pop({index})", lambda w, c: c.pop(index)),
        Call(f"remove({value})", lambda w, c: c.remove(w.make(value))),
        Call("clear()", lambda w, c: c.clear()),
        Call("reverse()", lambda w, c: c.reverse()),
        Call("sort()", lambda w, c: c.sort()),
        Call("sort(str, reverse)", lambda w, c: c.sort(key=_size, reverse=True)),
    ]


def _operate(operate: Callable[[Any, Any], Any], other: Any, world: World, c: Any) -> Any:
    return operate(c, other)


def _size(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 0


def _dict_calls(draw: Draw, target: Target) -> list[Call]:
    key = draw(values_of(Type(target.type.key)))
    value = draw(values_of(target.type.item))
    several = draw(values_of(target.type))
    calls = [
        Call(f"[{key!r}] = {value}", lambda w, c: operator.setitem(c, key, w.make(value))),
        Call(f"[{key!r}] = itself", lambda w, c: operator.setitem(c, key, c[key])),
        Call(f"del [{key!r}]", lambda w, c: operator.delitem(c, key)),
        Call(f"setdefault({key!r}, {value})", lambda w, c: c.setdefault(key, w.make(value))),
        Call(f"update({several})", lambda w, c: c.update(w.make(several))),
        Call(f"update({several}.items())", lambda w, c: c.update(w.make(several).items())),
        Call("update()", lambda w, c: c.update()),
        Call("update(1)", lambda w, c: c.update(1)),
        Call("update(two)", lambda w, c: c.update({}, {})),
        Call(f"|= {several}", lambda w, c: operator.ior(c, w.make(several)), returns=False),
        Call("|= 1", lambda w, c: operator.ior(c, 1)),
        Call(f"pop({key!r})", lambda w, c: c.pop(key)),
        Call(f"pop({key!r}, …)", lambda w, c: c.pop(key, "none")),
        Call("popitem()", lambda w, c: c.popitem()),
        Call("clear()", lambda w, c: c.clear()),
        Call("[[]] = …", lambda w, c: operator.setitem(c, [], w.make(value))),
    ]
    if target.type.key == "str":
        calls.append(Call(f"update(**{several})", lambda w, c: c.update(**w.make(several))))
    return calls


def _set_calls(draw: Draw, target: Target) -> list[Call]:
    value = draw(values_of(target.type.item))
    one, other = draw(values_of(target.type)), draw(values_of(target.type))

    def pop(world: World, c: Any) -> None:
        # Which element it takes is not promised: it may choose only where there is no choice.
        if len(c) == 1 or not c:
            c.pop()

    calls = [
        Call(f"add({value})", lambda w, c: c.add(value)),
        Call(f"discard({value})", lambda w, c: c.discard(value)),
        Call(f"remove({value})", lambda w, c: c.remove(value)),
        Call("pop()", pop),
        Call("clear()", lambda w, c: c.clear()),
        Call(f"update({one}, {other})", lambda w, c: c.update(one, [*other])),
        Call("update()", lambda w, c: c.update()),
        Call("update(1)", lambda w, c: c.update(1)),
        Call(f"difference_update({one})", lambda w, c: c.difference_update(one, [*other])),
        Call(f"intersection_update({one})", lambda w, c: c.intersection_update(one, [*other])),
        Call("intersection_update()", lambda w, c: c.intersection_update()),
        Call("difference_update(itself)", lambda w, c: c.difference_update(c)),
        Call(f"symmetric({one})", lambda w, c: c.symmetric_difference_update([*one])),
        Call("symmetric(itself)", lambda w, c: c.symmetric_difference_update(c)),
    ]
    for operate in (operator.ior, operator.iand, operator.isub, operator.ixor):
        name = operate.__name__
        calls += [
            Call(f"{name} {one}", partial(_operate, operate, one), returns=False),
            Call(f"{name} [1]", partial(_operate, operate, [1]), returns=False),
        ]
    return calls
