"""Every type, value and call that is converted or refused, and every mistake of the author.

The emitted tests show one of each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import Annotated, Any, Literal, NewType, NotRequired, Required, TypedDict

import pytest
from support import import_module

validation = import_module("validation")
InputFormat: Any = validation.InputFormat
InvalidInputError: type[ValueError] = validation.InvalidInputError
InvalidInputTypeError: type[TypeError] = validation.InvalidInputTypeError
normalize_input: Any = validation.normalize_input

DICT_ONLY, DICT_OR_JSON = InputFormat.DICT_ONLY, InputFormat.DICT_OR_JSON
KV_PAIRS, DICT_OR_KV = InputFormat.KV_PAIRS, InputFormat.DICT_OR_KV

with_json = normalize_input(config=DICT_OR_JSON)
SENT = '{"port": 8080}'
RECEIVED = {"port": 8080}


def read(spec: Any, value: Any) -> Any:
    """Return the argument that a function receives for a value."""

    @normalize_input(p=spec)  # type: ignore[untyped-decorator]
    def receive(p: Any) -> Any:
        return p

    return receive(value)


def fit(hint: Any, value: Any) -> Any:
    """Return the argument that a function receives for a value that must fit a hint."""

    def receive(p: Any) -> Any:
        return p

    receive.__annotations__["p"] = hint
    return normalize_input("p")(receive)(value)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(Enum):
    LOW = 1


@dataclass
class Server:
    host: str
    port: int = 80
    backup: "Server | None" = None

    def __post_init__(self) -> None:
        if self.port < 0:
            raise ValueError(f"{self.port} is below zero")


class Tree(TypedDict):
    name: Required[Annotated[str, "shown"]]
    branches: "NotRequired[list[Tree]]"


class Options(TypedDict, total=False):
    name: "Required[str]"
    size: Annotated["NotRequired[int]", "in bytes"]
    colour: str


def take_config(config: Any) -> Any:
    return config


def take_other(other: Any) -> Any:
    return other


def take_nothing() -> None:
    return


def collect_positions(*config: Any) -> Any:
    return config


def collect_keywords(**config: Any) -> Any:
    return config


def take_position(config: Any = SENT, /) -> Any:
    return config


UserId = NewType("UserId", int)


WRONG_FORMATS: list[Any] = ["json", []]


MISFITS: list[tuple[Any, Any, str]] = [
    (int, True, "$: expected an integer, got a boolean"),
    (int, 1.0, "$: expected an integer, got a number"),
    (float, False, "$: expected a number, got a boolean"),
    (float, 10**400, "$: number out of range"),
    (str, 1, "$: expected a string, got an integer"),
    (int, None, "$: expected an integer, got null"),
    (int | str, [], "$: expected an integer or a string, got an array"),
    (str | None, 1, "$: expected a string or null, got an integer"),
    (Literal["a", 1], "b", "$: expected 'a' or 1, got a string"),
    (Literal[1], True, "$: expected 1, got a boolean"),
    (Colour, "green", "$: expected 'red' or 'blue', got a string"),
    (list[int], {}, "$: expected an array, got an object"),
    (list[int], [1, "2"], "$[1]: expected an integer, got a string"),
    (list[int], {1}, "$: expected an array, got a value of type set"),
    (tuple[int, str], [1], "$: expected an array with 2 items, got 1"),
    (tuple[()], [1, 2], "$: expected an array with 0 items, got 2"),
    (set[Any], [[]], "$: expected distinct items, got arrays or objects that cannot be compared"),
    (dict[str, int], [], "$: expected an object, got an array"),
    (dict[str, int], {"a b": "1"}, "$['a b']: expected an integer, got a string"),
    (dict[str, int], {1: 1}, "$[<int>] (key): expected a string, got an integer"),
    (Server, [], "$: expected an object, got an array"),
    (Server, {}, "$.host: missing key"),
    (Server, {"host": "a", "prot": 1}, "$.prot: unknown key. Did you mean 'port'?"),
    (Server, {"host": "a", "port": -1}, "$: not a valid Server"),
    (Server | None, {"host": 1}, "$.host: expected a string, got an integer"),
    (Tree, {"name": "a", "branches": [{}]}, "$.branches[0].name: missing key"),
    (Options, {"size": 1}, "$.name: missing key"),
    (
        dict[str, list[Server]],
        {"servers": [{"host": "a", "port": "b"}]},
        "$.servers[0].port: expected an integer, got a string",
    ),
]


@pytest.mark.parametrize("spec", InputFormat)
def test_none_and_a_dict_pass_as_the_same_object(spec: Any) -> None:
    class Special(dict[str, int]):
        pass

    for given in ({"a": 1}, Special(a=1)):
        assert read(spec, given) is given
    assert read(spec, None) is None


@pytest.mark.parametrize(
    ("spec", "value", "message"),
    [
        (DICT_ONLY, 5, "must be dict, got int"),
        (DICT_ONLY, SENT, "must be dict, got str"),
        (DICT_OR_JSON, 5, "must be dict or JSON string, got int"),
        (DICT_OR_JSON, b"{}", "must be dict or JSON string, got bytes"),
        (KV_PAIRS, "a=1", "must be list of 'key=value' strings or dict, got str"),
        (DICT_OR_KV, {"a=1"}, "must be dict or list of 'key=value' strings, got set"),
        (KV_PAIRS, ["a=1", 5], "item 2 must be 'key=value' string, got int"),
    ],
)
def test_a_wrong_type_is_named(spec: Any, value: object, message: str) -> None:
    with pytest.raises(InvalidInputTypeError) as caught:
        read(spec, value)
    assert isinstance(caught.value, TypeError)
    assert str(caught.value) == f"Parameter 'p' {message}"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["x"], "item 'x' is not in 'key=value' format"),
        (["a=1", " =2"], "item 2 has an empty key"),
        (["a=1", "b=2", "a =3"], "item 3 repeats the key 'a'"),
        (["x\n\u2028\u202e"], r"item 'x\n\u2028\u202e' is not in 'key=value' format"),
        (["x" * 99], f"item '{'x' * 60}'… is not in 'key=value' format"),
    ],
)
def test_a_wrong_pair_is_named_on_one_short_line(items: list[str], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(KV_PAIRS, items)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == f"Parameter 'p' {message}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        ("{} {}", "Extra data"),
        ('{"a": 1, "b": {"a": 1, "a": 2}}', "repeated key 'a'"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "number out of range"),
        ('{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ('{"a":' * 101 + "1" + "}" * 101, "nested more than 100 deep"),
        ("[" * 100_000, "nested more than 100 deep"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ('{"a": "\ud800"}', "surrogates not allowed"),
        (" " * 1_048_577, "1048577 characters, more than 1048576"),
    ],
    ids=lambda value: value[:20],
)
def test_text_that_is_not_strict_json_is_one_error(text: str, reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(DICT_OR_JSON, text)
    first, second = str(caught.value).split("\n")
    assert first.startswith("Parameter 'p' is invalid JSON: ")
    assert reason in first
    assert second == "Expected: dict or JSON string"
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("hint", "expected"),
    [(list[int], "an array"), (Server | None, "an object or null"), (Literal[1, 2], "1 or 2")],
    ids=repr,
)
def test_bad_json_for_a_type_names_that_type(hint: Any, expected: str) -> None:
    with pytest.raises(InvalidInputError, match="is invalid JSON: Expecting value") as caught:
        fit(hint, "oops")
    assert str(caught.value).endswith(f"\nExpected: {expected}, or its JSON text")


@pytest.mark.parametrize(
    ("decorate", "target", "message"),
    [
        (with_json, Server, "Cannot decorate .*Server.*: decorate a function or __init__"),
        (with_json, 5, "Cannot decorate 5"),
        (with_json, take_other, "No parameter 'config' .* there are: 'other'"),
        (with_json, take_nothing, "No parameter 'config' .* there are: none"),
        (with_json, collect_positions, "No parameter 'config'"),
        (with_json, collect_keywords, "No parameter 'config'"),
        (with_json, take_position, "Write the default of 'config'"),
        (normalize_input(config=WRONG_FORMATS[0]), take_config, "must be an InputFormat"),
        (normalize_input(config=WRONG_FORMATS[1]), take_config, "must be an InputFormat"),
        (with_json, min, "Cannot decorate <built-in function min>: no signature"),
        (normalize_input("args"), take_config, "No parameter 'args'"),
    ],
)
def test_a_wrong_decoration_fails_with_the_way_out(
    decorate: Callable[[Any], Any], target: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        decorate(target)


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (int, 1, 1),
        (int, "1", 1),
        (float, 1, 1.0),
        (bool, "true", True),
        (str, "1", "1"),
        (None, "null", None),
        (Any, "[]", "[]"),
        (object, b"raw", b"raw"),
        (int | None, None, None),
        (float | int, 1, 1),
        (list[set[int]] | list[list[int]], [[1]], [[1]]),
        (set[int] | None, [1, 1], {1}),
        (Literal["a", 1], "a", "a"),
        (Literal[1, 2], "2", 2),
        (Colour, "red", Colour.RED),
        (Colour, Colour.BLUE, Colour.BLUE),
        (Level, "1", Level.LOW),
        (list, [1, "a"], [1, "a"]),
        (list[int], "[1, 2]", [1, 2]),
        (Sequence[int], (1, 2), [1, 2]),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
        (tuple[()], "[]", ()),
        (tuple, [1, "a"], (1, "a")),
        (set[int], [1, 2, 1], {1, 2}),
        (frozenset[str], frozenset("a"), frozenset("a")),
        (dict, '{"a": 1}', {"a": 1}),
        (dict[Colour, int], {"red": 1}, {Colour.RED: 1}),
        (Mapping[str, float], MappingProxyType({"a": 1}), {"a": 1.0}),
        (UserId, 7, 7),
        (Annotated[int, ["positive"]], 7, 7),
        (Server, '{"host": "a"}', Server("a", 80)),
        (Server, {"host": "a", "backup": {"host": "b"}}, Server("a", 80, Server("b"))),
        (Tree, {"name": "a", "branches": [{"name": "b"}]}, None),
        (Options, {"name": "a"}, None),
    ],
    ids=repr,
)
def test_a_value_that_fits_is_converted(hint: Any, value: Any, expected: Any) -> None:
    received = fit(hint, value)
    wanted = value if expected is None else expected
    assert received == (None if wanted == "null" else wanted)
    assert type(received) is type(fit(hint, received))
    assert received == fit(hint, received)


@pytest.mark.parametrize(
    ("hint", "value", "fault"),
    MISFITS,
    ids=repr,
)
def test_a_value_that_does_not_fit_is_located(hint: Any, value: Any, fault: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        fit(hint, value)
    assert str(caught.value) == f"Parameter 'p' is invalid at {fault}"


def test_brackets_count_only_where_they_nest() -> None:
    deep = '{"a":' * 100 + "1" + "}" * 100
    assert read(DICT_OR_JSON, deep)
    wide = '{"a": ["[[\\"[", [], ' + "[], " * 200 + "[]]}"
    assert len(read(DICT_OR_JSON, wide)["a"]) == 203


def test_a_default_that_needs_conversion_is_converted_in_each_call() -> None:
    default: dict[str, int] = {}

    def receive(config: Any = SENT) -> Any:
        return config

    def receive_dict(config: Any = default) -> Any:
        return config

    decorated = with_json(receive)
    assert decorated() is not decorated()
    assert with_json(receive_dict)() is default


def test_a_missing_argument_stays_the_error_of_the_function() -> None:
    def receive(config: Any) -> Any:
        return config

    with pytest.raises(TypeError, match=r"receive.* missing 1 required"):
        with_json(receive)()


def test_a_default_that_belongs_to_a_framework_is_left_alone() -> None:
    body = SimpleNamespace()

    def receive(config: Any = body) -> Any:
        return config

    assert with_json(receive)() is body


def test_the_type_is_checked_after_the_format() -> None:
    def receive(env: dict[Literal["level"], str]) -> dict[Literal["level"], str]:
        return env

    decorated = normalize_input("env", env=KV_PAIRS)(receive)
    assert decorated(["level=1"]) == {"level": "1"}
    with pytest.raises(InvalidInputError, match=r"at \$\.other \(key\)"):
        decorated({"other": "1"})


def test_an_instance_passes_as_the_same_object() -> None:
    server = Server("a")
    assert fit(Server, server) is server
