"""A model of operations on plain JSON: it knows types and the view form, and nothing of states."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

MISSING: Any = object()
SCALARS: dict[str, list[Any]] = {
    "int": [0, 1, 2, -7, 2**40],
    "float": [0.0, 0.5, -2.25, 1e6],
    "text": ["", "a", "b", "5", "é", '"5"'],
    "day": ["2026-01-02", "1999-12-31"],
}
OPS = ["set", "set", "delete", "increment", "append", "append", "insert", "insert", "remove"]


class RefusedError(Exception):
    """The model refuses an operation with a code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Shape:
    """A type: its kind, and its parts by name.

    The kinds are int, float, text, day, any, state, maybe, list, set, tuple, dict, union.
    """

    kind: str
    item: Any = None
    key: str = "text"
    parts: Mapping[str, "Shape"] = field(default_factory=dict)
    keep: int | None = None


@dataclass
class Place:
    """A place in JSON: the container and its shape, the key there, and the shape of the value."""

    holder: Any
    around: Shape | None
    key: Any
    shape: Shape
    value: Any


def randomness(seed: int) -> Random:
    """Return choices that are the same in each run."""
    return Random(seed)  # noqa: S311 - they keep no secret


def make(shape: Shape, random: Random, depth: int = 0) -> Any:
    """Return JSON of a type."""
    if shape.kind in SCALARS:
        return random.choice(SCALARS[shape.kind])
    if shape.kind in ("list", "set", "dict", "any"):
        return _make_elements(shape, random, depth)
    if shape.kind == "maybe":
        return random.choice([None, make(shape.item, random, depth)])
    if shape.kind == "union":
        name = random.choice([*shape.parts])
        return {"__type__": name, "value": make(shape.parts[name], random, depth)}
    parts = {name: make(part, random, depth + 1) for name, part in shape.parts.items()}
    return [*parts.values()] if shape.kind == "tuple" else parts


def _make_elements(shape: Shape, random: Random, depth: int) -> Any:
    few = range(random.randint(0, 3 if depth < 3 else 0))
    item = shape if shape.kind == "any" else shape.item
    items = [make(item, random, depth + 1) for _ in few]
    match shape.kind:
        case "list":
            return items[-(shape.keep or len(items) or 1) :]
        case "set":
            return sorted({*items})
        case "dict":
            return {make_key(shape, random): each for each in items}
        case _:
            named = {random.choice("xyz"): each for each in items}
            return random.choice([True, 1, "t", None, items, named])


def make_key(shape: Shape, random: Random) -> str:
    """Return the name of a dict key in a view."""
    names = {
        "text": ["a", "b", "5", "c"],
        "int": ["5", "-7", "0", "11"],
        "day": ["2026-01-02", "1999-12-31", "2000-02-29"],
        "mixed": ["a", "5", '"5"', "-7"],
    }
    return random.choice(names[shape.key])


def name_of(shape: Shape, step: Any) -> str:
    """Return the name of a dict key that a step stands for."""
    match shape.key, step:
        case ("text", str()) | (("int" | "mixed"), int()):
            return str(step)
        case ("day", str()) if step in ("2026-01-02", "1999-12-31", "2000-02-29"):
            return step
        case "int", str() if step.lstrip("-").isdigit():
            return step
        case "mixed", str():
            return step
        case _:
            raise RefusedError("unknown_path")


def find(roots: Mapping[str, Shape], forms: dict[str, Any], path: list[Any]) -> Place | None:
    """Return the place of a path; None if something on the way is missing."""
    place = Place(None, None, path[0], roots[path[0]], forms[path[0]])
    for step in path[1:]:
        if place.value is MISSING or place.value is None:
            return None
        place = enter(place, step)
    return place


def enter(place: Place, step: Any) -> Place:
    """Return the place of a step into the value of a place."""
    shape, value = place.shape, place.value
    if shape.kind == "maybe":
        shape = shape.item
    if shape.kind == "union":
        shape, value = shape.parts[value["__type__"]], value["value"]
    if shape.kind == "any":
        kinds: dict[type, Shape] = {dict: Shape("dict", shape), list: Shape("list", shape)}
        shape = kinds.get(type(value), shape)
    match shape.kind:
        case "state" if step in shape.parts:
            return Place(value, shape, step, shape.parts[step], value[step])
        case "dict":
            name = name_of(shape, step)
            return Place(value, shape, name, shape.item, value.get(name, MISSING))
        case "list" | "tuple" if type(step) is int:
            inside = step < len(value)
            part = [*shape.parts.values()][step] if shape.kind == "tuple" and inside else shape.item
            return Place(value, shape, step, part, value[step] if inside else MISSING)
        case _:
            raise RefusedError("unknown_path")


def apply(roots: Mapping[str, Shape], forms: dict[str, Any], operation: dict[str, Any]) -> None:
    """Apply an operation whose value is of the type at its path."""
    place = find(roots, forms, operation["path"])
    now = MISSING if place is None else place.value
    if ("absent" in operation and now is not MISSING) or (
        "expect" in operation and not same(now, operation["expect"])
    ):
        raise RefusedError("conflict")
    if operation["op"] != "test":
        if place is None:
            raise RefusedError("not_found")
        globals()[f"do_{operation['op']}"](place, copy.deepcopy(operation))


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal; members of objects have no order."""
    return one is not MISSING and json.dumps(one, sort_keys=True) == json.dumps(
        other, sort_keys=True
    )


def do_set(place: Place, operation: dict[str, Any]) -> None:
    """Set a value."""
    around = place.around.kind if place.around else ""
    if around == "list" and place.value is MISSING:
        raise RefusedError("not_found")
    if around not in ("state", "dict", "list"):
        raise RefusedError("invalid_operation")
    place.holder[place.key] = operation["value"]


def do_delete(place: Place, operation: dict[str, Any]) -> None:
    """Delete a key or an element."""
    around = place.around.kind if place.around else ""
    if around not in ("dict", "list"):
        raise RefusedError("invalid_operation")
    if place.value is not MISSING:
        del place.holder[place.key]
    elif around == "list":
        raise RefusedError("not_found")


def do_increment(place: Place, operation: dict[str, Any]) -> None:
    """Add to a number."""
    now, in_dict = place.value, place.around is not None and place.around.kind == "dict"
    if now is MISSING:
        if not in_dict:
            raise RefusedError("not_found")
        now = 0
    if type(now) not in (int, float):
        raise RefusedError("invalid_value")
    total = now + operation["value"]
    fits = {"int": type(total) is int, "float": True, "any": True}
    if not fits.get(place.shape.kind, False):
        raise RefusedError("invalid_value")
    do_set(place, {"value": total})


def elements(place: Place) -> tuple[Any, Shape]:
    """Return the list or set of a place, and its shape."""
    shape = place.shape.item if place.shape.kind == "maybe" else place.shape
    if shape.kind == "any" and type(place.value) is list:
        shape = Shape("list", shape)
    if place.value is MISSING:
        raise RefusedError("not_found")
    if shape.kind not in ("list", "set") or place.value is None:
        raise RefusedError("invalid_operation")
    return place.value, shape


def trim(items: list[Any], shape: Shape) -> None:
    """Drop the first elements of a list that keeps its last ones."""
    if shape.keep is not None:
        del items[: -shape.keep]


def do_append(place: Place, operation: dict[str, Any]) -> None:
    """Append an element, or add a member."""
    items, shape = elements(place)
    if shape.kind == "set":
        items[:] = sorted({*items, operation["value"]})
    else:
        items.append(operation["value"])
        trim(items, shape)


def do_remove(place: Place, operation: dict[str, Any]) -> None:
    """Remove the first equal element."""
    if place.value is MISSING and place.around and place.around.kind == "dict":
        return
    items, _ = elements(place)
    for index, item in enumerate(items):
        if same(item, operation["value"]):
            del items[index]
            return


def do_insert(place: Place, operation: dict[str, Any]) -> None:
    """Insert an element, or a key at a place in the order."""
    at, around = operation.get("at"), place.around
    if around is not None and around.kind == "list" and at is None:
        if place.key > len(place.holder):
            raise RefusedError("not_found")
        place.holder.insert(place.key, operation["value"])
        trim(place.holder, around)
    elif around is not None and around.kind == "dict" and at is not None:
        others = [pair for pair in place.holder.items() if pair[0] != place.key]
        if at > len(others):
            raise RefusedError("not_found")
        others.insert(at, (place.key, operation["value"]))
        place.holder.clear()
        place.holder.update(others)
    else:
        raise RefusedError("invalid_operation")


def propose(roots: Mapping[str, Shape], forms: dict[str, Any], random: Random) -> dict[str, Any]:
    """Return an operation whose value is of the type at its path; it may not fit otherwise."""
    name = random.choice([*roots])
    place, path = Place(None, None, name, roots[name], forms[name]), [name]
    while (steps := steps_of(place, random)) and (len(path) < 2 or random.random() < 0.7):
        path.append(random.choice(steps))
        place = enter(place, path[-1])
    op = random.choice(OPS if random.random() < 0.2 else fitting(place))
    operation: dict[str, Any] = {"op": op, "path": path}
    if op in ("append", "remove"):
        shape = place.shape.item if place.shape.kind == "maybe" else place.shape
        item = shape.item if shape.kind in ("list", "set") else shape
        operation["value"] = make(item, random, 1)
        if op == "remove" and isinstance(place.value, list) and place.value:
            operation["value"] = random.choice(place.value)
    elif op in ("set", "insert"):
        operation["value"] = make(place.shape, random, 1)
    elif op == "increment":
        operation["value"] = random.choice([1, 2, -3])
    in_dict = place.around is not None and isinstance(place.holder, dict)
    if op == "insert" and (in_dict if random.random() < 0.9 else not in_dict):
        operation["at"] = random.randint(0, 3)
    if random.random() < 0.1:
        operation["op"] = "test"
        operation.pop("value", None)
        operation.pop("at", None)
    if random.random() < 0.1 or operation["op"] == "test":
        guard = random.choice([{"absent": True}, {"expect": make(place.shape, random, 2)}])
        if place.value is not MISSING and random.random() < 0.5:
            guard = {"expect": copy.deepcopy(place.value)}
        operation.update(guard)
    return operation


def fitting(place: Place) -> list[str]:
    """Return the operations that the kind of a place allows."""
    shape = place.shape.item if place.shape.kind == "maybe" else place.shape
    fits = {"set": 1, "delete": 0, "increment": 0, "append": 0, "insert": 0, "remove": 0}
    if place.around is not None and place.around.kind in ("dict", "list"):
        fits |= {"delete": 2, "insert": 3}
    if shape.kind in ("list", "set"):
        fits |= {"append": 6, "remove": 3}
    if shape.kind in ("int", "float"):
        fits["increment"] = 2
    return [name for name, weight in fits.items() for _ in range(weight)]


def steps_of(place: Place, random: Random) -> list[Any]:
    """Return steps into the value of a place, some of which lead to nothing."""
    shape, value = place.shape, place.value
    shape = shape.item if shape.kind == "maybe" else shape
    if value is MISSING or value is None:
        return []
    if shape.kind == "union":
        shape, value = shape.parts[value["__type__"]], value["value"]
    match shape.kind, value:
        case "state", _:
            return [*shape.parts]
        case ("dict", _) | ("any", dict()):
            names = [*value, make_key(shape, random)] if shape.kind == "dict" else [*value, "w"]
            whole = shape.key in ("int", "mixed")
            return [int(n) if whole and n.isdigit() and random.random() < 0.5 else n for n in names]
        case ("list" | "tuple", _) | ("any", list()):
            return [*range(len(value) + (shape.kind != "tuple"))]
        case _:
            return []
