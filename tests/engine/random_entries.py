"""A model with every kind of field, and random entries that fit it more or less."""

import enum
from random import Random
from typing import Annotated, Any

# Operations whose whole path must lead to something.
WHOLE = {"delete", "increment", "append", "remove"}
KEYS = ["a", "b", "c", "d", "__type__"]
WORDS = ["", "x", "y", "zé", '"5"', "5"]


class Color(enum.Enum):
    """A value that is text in JSON."""

    RED = "red"
    BLUE = "blue"


def make_model(state: Any) -> Any:
    """Return the class of a state with every kind of field."""

    class Leaf(state.State):
        name: str = ""
        size: int = 0
        marks: set[str] = state.field(default_factory=set)

    class Branch(state.State):
        leaves: dict[str, Leaf] = state.field(default_factory=dict)
        order: list[str] = state.field(default_factory=list)
        favourite: Leaf | None = None

    class Model(state.State):
        score: state.Counter[int] = 0  # pyright: ignore[reportInvalidTypeForm]
        ratio: float = 0.0
        color: Color = Color.RED
        log: Annotated[list[str], state.Keep(5)] = state.field(default_factory=list)
        rows: list[list[int]] = state.field(default_factory=list)
        numbers: set[int | str] = state.field(default_factory=set)
        by_number: dict[int, Leaf] = state.field(default_factory=dict)
        lookup: dict[int, int] | list[int] | None = None
        choice: Leaf | list[Leaf] | str = ""
        branches: dict[str, Branch] = state.field(default_factory=dict)
        pair: tuple[Leaf, int] = state.field(default_factory=lambda: (Leaf(), 0))
        anything: Any = None

    return Model


def random_operations(chance: Random, view: dict[str, Any]) -> list[dict[str, Any]]:
    """Return operations of which most fit the model with this view."""
    if chance.random() < 0.2:
        return [random_operation(chance, view)]
    return [fitting_operation(chance, view) for _ in range(chance.choice([1, 1, 2, 4]))]


def fitting_operation(chance: Random, view: dict[str, Any]) -> dict[str, Any]:
    """Return an operation that fits the model, unless one before it has moved its place."""
    leaf, word, number = random_leaf(chance), chance.choice(WORDS), chance.randrange(9)
    rows, key = view["rows"], str(number % 4)
    branch = chance.choice([*view["branches"], *KEYS])
    leaves = ["branches", branch, "leaves"]
    index = chance.randrange(len(rows) + 1)
    options: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("increment", ["score"], {"value": number}),
        ("set", ["ratio"], {"value": number / 4}),
        ("set", ["color"], {"value": chance.choice(["red", "blue"])}),
        ("append", ["log"], {"value": word}),
        ("insert", ["log", 0], {"value": word}),
        ("set", ["log"], {"value": [word] * number}),
        ("append", ["rows"], {"value": [number]}),
        ("insert", ["rows", index], {"value": [number, 1]}),
        ("delete", ["rows", index], {}),
        ("append", ["rows", index], {"value": number}),
        ("increment", ["rows", index, 0], {"value": 1}),
        ("append", ["numbers"], {"value": chance.choice([number, word])}),
        ("append", ["numbers"], {"value": number}),
        ("append", ["numbers"], {"value": word}),
        ("remove", ["numbers"], {"value": chance.choice([*view["numbers"], number])}),
        ("set", ["by_number", number % 4], {"value": leaf}),
        ("set", ["by_number", key, "name"], {"value": word}),
        ("append", ["by_number", key, "marks"], {"value": word}),
        ("insert", ["by_number", key], {"value": leaf, "at": number % 3}),
        ("delete", ["by_number", key], {}),
        ("set", ["lookup"], {"value": chance.choice([None, [[1, 2], [3, 4]], [5]])}),
        ("set", ["lookup", number % 4], {"value": number}),
        ("append", ["lookup"], {"value": number}),
        ("set", ["choice"], {"value": chance.choice([word, leaf, [leaf]])}),
        ("append", ["choice"], {"value": leaf}),
        ("append", ["choice", 0, "marks"], {"value": word}),
        ("set", ["branches", branch], {"value": {"leaves": {"a": leaf}, "order": [word]}}),
        ("insert", ["branches", branch], {"value": {"favourite": leaf}, "at": 0}),
        ("delete", ["branches", branch], {}),
        ("set", [*leaves, "b"], {"value": leaf}),
        ("insert", [*leaves, "c"], {"value": leaf, "at": 1}),
        ("delete", [*leaves, "a"], {}),
        ("increment", [*leaves, "b", "size"], {"value": number}),
        ("append", [*leaves, "b", "marks"], {"value": word}),
        ("remove", [*leaves, "b", "marks"], {"value": word}),
        ("set", ["branches", branch, "favourite"], {"value": chance.choice([leaf, None])}),
        ("set", ["pair"], {"value": [leaf, number]}),
        ("append", ["pair", 0, "marks"], {"value": word}),
        ("set", ["anything"], {"value": chance.choice([{"a": [number]}, [leaf], word])}),
        ("set", ["anything", chance.choice(KEYS)], {"value": random_value(chance)}),
        ("delete", ["anything", chance.choice(KEYS)], {}),
    ]
    fitting = [
        each for each in options if stands(view, each[1] if each[0] in WHOLE else each[1][:-1])
    ]
    op, path, more = chance.choice(fitting)
    return {"op": op, "path": ["model", *path], **more}


def stands(value: Any, path: list[Any]) -> bool:
    """Return whether there is something at a path in a view."""
    for step in path:
        if isinstance(value, dict) and value.keys() == {"__type__", "value"}:
            value = value["value"]
        match value:
            case dict() if str(step) in value:
                value = value[str(step)]
            case list() if isinstance(step, int) and step < len(value):
                value = value[step]
            case _:
                return False
    return True


def random_operation(chance: Random, view: dict[str, Any]) -> dict[str, Any]:
    path = ["model", *random_path(chance, view)]
    name = chance.choice(
        ["set"] * 4 + ["delete", "increment", "append", "insert", "remove", "test"]
    )
    operation: dict[str, Any] = {"op": name, "path": path}
    if name not in ("delete", "test"):
        operation["value"] = random_value(chance)
    if name == "test":
        operation["absent"] = True
    if name == "insert" and chance.random() < 0.5:
        operation["at"] = chance.randrange(3)
    return operation


def random_path(chance: Random, value: Any) -> list[Any]:
    """Return a path into a value in view form; the last step may lead to something new."""
    while isinstance(value, dict) and value.keys() == {"__type__", "value"}:
        value = value["value"]
    match value:
        case dict() if value and chance.random() < 0.85:
            step = chance.choice([*value])
            return [step, *more_path(chance, value[step])]
        case dict():
            return [chance.choice([*KEYS, 1, 2, 3])]
        case list() if value and chance.random() < 0.85:
            index = chance.randrange(len(value))
            return [index, *more_path(chance, value[index])]
        case list():
            return [chance.choice([len(value), len(value), 99])]
        case _:
            return []


def more_path(chance: Random, value: Any) -> list[Any]:
    return random_path(chance, value) if chance.random() < 0.75 else []


def random_leaf(chance: Random) -> dict[str, Any]:
    marks = [chance.choice(WORDS) for _ in range(chance.randrange(3))]
    return {"name": chance.choice(WORDS), "size": chance.randrange(9), "marks": marks}


def random_value(chance: Random) -> Any:
    """Return a value that fits some field of the model."""
    leaf = random_leaf(chance)
    pick = chance.randrange
    return chance.choice(
        [
            pick(9),
            pick(9),
            chance.choice(WORDS),
            chance.choice(WORDS),
            chance.choice(["red", "blue", "green"]),
            1.5,
            None,
            leaf,
            leaf,
            [pick(9), pick(9)],
            [chance.choice(WORDS) for _ in range(pick(7))],
            [[pick(9)], []],
            [pick(9), "one", "two"],
            {str(pick(4)): random_leaf(chance)},
            [[pick(4), pick(4)], [pick(4) + 5, 1]],
            {"__type__": "Leaf", "value": leaf},
            {"__type__": "list[Leaf]", "value": [leaf, random_leaf(chance)]},
            {"__type__": "dict[int, int]", "value": [[pick(4), 1]]},
            {"leaves": {"a": leaf, "b": random_leaf(chance)}, "order": ["a"], "favourite": None},
            {"a": {"leaves": {}, "order": [], "favourite": random_leaf(chance)}},
            [leaf, pick(9)],
            {"__type__": "dict", "value": {"__type__": "x", "value": 1}},
        ]
    )
