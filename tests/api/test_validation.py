"""Heavy proofs for `utils/validation.py`: properties, hostile input, and inferred types."""

import json
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import import_module, module_source

MEBIBYTE = 1_048_576


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module, rendered, in a package."""
    utils = tmp_path_factory.mktemp("validation") / "sample/utils"
    utils.mkdir(parents=True)
    for folder in (utils.parent, utils):
        (folder / "__init__.py").touch()
    (utils / "validation.py").write_text(module_source("validation"))
    return utils.parent


validation = import_module("validation")
InvalidInputError: type[ValueError] = validation.InvalidInputError
InvalidInputTypeError: type[TypeError] = validation.InvalidInputTypeError
InputFormat: Any = validation.InputFormat


class Tree(TypedDict, total=False):
    name: str
    sizes: dict[str, float]
    branches: "list[Tree]"


HINTS: list[Any] = [
    int,
    float,
    int | float | None,
    list[int | str],
    list[set[float]] | list[list[float]],
    tuple[int, ...],
    dict[str, bool | list[float]],
    Tree,
]


def receiver(**formats: Any) -> Callable[[Any], Any]:
    @validation.normalize_input(**formats)  # type: ignore[untyped-decorator]
    def receive(p: Any) -> Any:
        return p

    result: Callable[[Any], Any] = receive
    return result


def typed_receiver(hint: Any) -> Callable[[Any], Any]:
    def receive(p: Any) -> Any:
        return p

    receive.__annotations__["p"] = hint
    result: Callable[[Any], Any] = validation.normalize_input("p")(receive)
    return result


read_json = receiver(p=InputFormat.DICT_OR_JSON)
read_pairs = receiver(p=InputFormat.KV_PAIRS)
fit_tree = typed_receiver(Tree)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)
any_text = st.text(st.characters(exclude_categories=()))


@given(value=json_values, ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
def test_every_json_object_arrives_unchanged_and_nothing_else_does(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    if isinstance(value, dict):
        assert read_json(text) == value
        assert json.dumps(read_json(text)) == json.dumps(value)
    else:
        with pytest.raises(InvalidInputError, match="JSON must be object/dict"):
            read_json(text)


@given(text=any_text | st.text(alphabet='{}[]",:\\u0123dD8eEINan.-truefals ', max_size=60))
def test_every_text_is_an_object_or_the_one_error(text: str) -> None:
    try:
        value = read_json(text)
    except InvalidInputError:
        return
    assert isinstance(value, dict)


@given(text=st.text(alphabet='{}[]",:\\u0123dD8eEINan.-truefals ', max_size=60))
def test_accepted_text_is_json_for_the_standard_library_too(text: str) -> None:
    try:
        value = read_json(text)
    except InvalidInputError:
        return
    assert value == json.loads(text)


@pytest.mark.parametrize("hint", HINTS, ids=repr)
@given(value=json_values)
def test_checking_against_a_hint_is_idempotent(hint: Any, value: Any) -> None:
    fit = typed_receiver(hint)
    try:
        once = fit(value)
    except InvalidInputError:
        return
    twice = fit(once)
    assert (twice, repr(twice)) == (once, repr(once))


@given(pairs=st.dictionaries(any_text.filter(lambda key: key.strip() and "=" not in key), any_text))
def test_pairs_are_stripped_and_dicts_pass_unchanged(pairs: dict[str, str]) -> None:
    items = [f"{key}={value}" for key, value in pairs.items()]
    stripped = {key.strip(): value.strip() for key, value in pairs.items()}
    if len(stripped) == len(pairs):
        assert read_pairs(items) == validation.parse_kv_args(items) == stripped
        assert read_pairs(stripped) is stripped


@given(name=any_text, again=any_text)
@settings(max_examples=300)
def test_no_name_from_outside_breaks_the_line_or_grows_the_message(name: str, again: str) -> None:
    encoded = json.dumps(name)
    calls: list[tuple[Callable[[Any], Any], Any]] = [
        (read_pairs, [name.replace("=", "")]),
        (read_pairs, [f"{name}=1", f"{name}=2"]),
        (read_json, f"{'{'}{encoded}: 1, {encoded}: 2{'}'}"),
        (fit_tree, {name: 1}),
        (fit_tree, {"sizes": {name: again}}),
        (fit_tree, {"sizes": {name * 99: again}}),
    ]
    for receive, value in calls:
        message = fault_of(receive, value).removesuffix("\nExpected: dict or JSON string")
        assert message.isprintable()
        assert len(message) < 1000


def fault_of(receive: Callable[[Any], Any], value: Any) -> str:
    try:
        receive(value)
    except InvalidInputError as error:
        return str(error)
    return ""


REFUSED = {
    "a number of 5,000 digits": '{"a": ' + "9" * 5000 + "}",
    "a million digits": '{"a": ' + "9" * 1_000_000 + "}",
    "a fraction of a million digits and an exponent": '{"a": 0.' + "9" * 1_000_000 + "e999}",
    "100,000 nested lists": "[" * 100_000,
    "100,000 nested lists, closed": '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "100,000 nested objects": '{"a":' * 100_000,
    "nesting hidden behind strings": '{"]": "\\"[[[", "a": ' + "[" * 101 + "]" * 101 + "}",
    "an open string of escaped quotes": '"' + '\\"' * 500_000,
    "half a million open quotes": '"a' * 500_000 + "[" * 101,
    "the same key twice": '{"a": 1, "a": 1}',
    "the same key twice, once escaped": '{"a": 1, "\\u0061": 1}',
    "100,000 keys and one of them again": "{"
    + ",".join(f'"{key}":0' for key in [*range(90_000), 89_999])
    + "}",
    "NaN": '{"a": [NaN]}',
    "Infinity": '{"a": -Infinity}',
    "a float out of range": '{"a": 1e400}',
    "half of a pair, escaped": '{"a": "\\ud83d"}',
    "half of a pair as a key": '{"\\uDE00": 1}',
    "half of a pair, raw": '{"a": "\ud83d"}',
    "a raw pair": '{"a": "\ud83d\ude00"}',
    "a raw NUL": '{"a": "\0"}',
    "a byte order mark": "\ufeff{}",
    "a marked direction outside of strings": "\u200f{}",
}
ACCEPTED = {
    "an escaped NUL": '{"a": "\\u0000"}',
    "marks of direction": '{"\u202ea\u200f": "\u2067"}',
    "a pair, escaped": '{"a": "\\ud83d\\ude00"}',
    "half a million numbers": '{"a": [' + "0," * 500_000 + "0]}",
    "a third of a million lists": '{"a": [' + "[]," * 300_000 + "[]]}",
    "a third of a million objects": '{"a": [' + "{}," * 300_000 + "{}]}",
    "a string of brackets": '{"a": "' + "[" * 1_000_000 + '"}',
    "a million characters beyond the basic plane": '{"a": "' + "\U0001f600" * 1_000_000 + '"}',
}


def measure(receive: Callable[[], object]) -> int:
    """Return how many bytes a call had allocated at most."""
    tracemalloc.start()
    try:
        receive()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refuse(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_json(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_text_is_refused_within_memory_that_its_size_bounds(name: str) -> None:
    text = REFUSED[name]
    assert measure(lambda: refuse(text)) < 40 * len(text) + MEBIBYTE


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_but_valid_text_is_read_within_memory_that_its_size_bounds(name: str) -> None:
    text = ACCEPTED[name]
    assert read_json(text) == json.loads(text)
    assert measure(lambda: read_json(text)) < 40 * len(text) + MEBIBYTE


@pytest.mark.parametrize("start", ["", '{"a": "'], ids=["blank", "text"])
def test_too_long_text_is_not_copied(start: str) -> None:
    text = start.ljust(50_000_000)
    assert measure(lambda: refuse(text)) < MEBIBYTE


class LeftOption(TypedDict, total=False):
    child: "Option"
    side: Literal["left"]


class RightOption(TypedDict, total=False):
    child: "Option"
    side: Literal["right"]


@dataclass
class LeftNode:
    child: "Node"
    side: Literal["left"]


@dataclass
class RightNode:
    child: "Node"
    side: Literal["right"]


Option = LeftOption | RightOption | int
Node = LeftNode | RightNode | int


@pytest.mark.parametrize("hint", [Option, Node, list[Node] | list[Option] | Node])
@pytest.mark.parametrize("leaf", ["1", '"1"'], ids=["fitting", "misfitting"])
def test_a_union_that_contains_itself_takes_no_exponential_time(hint: Any, leaf: str) -> None:
    text = '{"child": ' * 18 + leaf + ', "side": "right"}' * 18
    fit = typed_receiver(hint)
    start = time.process_time()
    assert ("at $" + ".child" * 18 in fault_of(fit, text)) == (leaf == '"1"')
    assert time.process_time() - start < 0.2


CHECKED = """
from collections.abc import AsyncGenerator, Generator
from typing import Any, reveal_type

from sample.utils.validation import InputFormat, normalize_input

normalize = normalize_input(config=InputFormat.DICT_OR_JSON)


def function(config: dict[str, int], *, more: int = 1) -> str: ...
async def coroutine(config: dict[str, int], more: int = 1) -> str: ...
def generator(config: dict[str, int]) -> Generator[int, str, None]: ...
async def stream(config: dict[str, int]) -> AsyncGenerator[int, str]: ...
def generic[T](config: dict[str, int], value: T) -> list[T]: ...


class Plain:
    def method(self, config: dict[str, int]) -> str: ...
    @staticmethod
    def static(config: dict[str, int]) -> str: ...
    @classmethod
    def of_class(cls, config: dict[str, int]) -> str: ...
    @staticmethod
    def static_inside(config: dict[str, int]) -> str: ...
    @classmethod
    def of_class_inside(cls, config: dict[str, int]) -> str: ...


class Decorated:
    @normalize
    def method(self, config: dict[str, int]) -> str: ...
    @normalize
    @staticmethod
    def static(config: dict[str, int]) -> str: ...
    @normalize
    @classmethod
    def of_class(cls, config: dict[str, int]) -> str: ...
    @staticmethod
    @normalize
    def static_inside(config: dict[str, int]) -> str: ...
    @classmethod
    @normalize
    def of_class_inside(cls, config: dict[str, int]) -> str: ...


reveal_type(function)
reveal_type(normalize(function))
reveal_type(coroutine)
reveal_type(normalize(coroutine))
reveal_type(generator)
reveal_type(normalize(generator))
reveal_type(stream)
reveal_type(normalize(stream))
reveal_type(generic)
reveal_type(normalize(generic))
reveal_type(Plain().method)
reveal_type(Decorated().method)
reveal_type(Plain.static)
reveal_type(Decorated.static)
reveal_type(Plain().of_class)
reveal_type(Decorated().of_class)
reveal_type(Plain.static_inside)
reveal_type(Decorated.static_inside)
reveal_type(Plain.of_class_inside)
reveal_type(Decorated.of_class_inside)
"""
MISTAKES = """
from sample.utils.validation import InputFormat, normalize_input


@normalize_input(config=InputFormat.DICT_OR_JSON)
def function(config: dict[str, int]) -> str:
    return str(config)


class Service:
    @normalize_input("ports")
    @classmethod
    def method(cls, ports: list[int]) -> int:
        return len(ports)


function({"a": 1}).upper()
Service.method([1])
function(5)  # wrong
function()  # wrong
function({"a": 1}, 2)  # wrong
function({"a": 1}).hex()  # wrong
Service.method(["a"])  # wrong
normalize_input(config="json")  # wrong
"""
PROGRAMS = {"checked.py": CHECKED, "mistakes.py": MISTAKES}
CHECKERS = {
    "mypy": ("-m", "mypy", "--strict", "--python-version=3.12", "--no-incremental", *PROGRAMS),
    "pyright": ("-m", "pyright"),
}


@pytest.fixture(scope="module", params=CHECKERS)
def report(request: pytest.FixtureRequest, package: Path) -> str:
    """The report of a type checker, in its strict mode, on both programs."""
    for name, program in PROGRAMS.items():
        (package.parent / name).write_text(program)
    options = {"typeCheckingMode": "strict", "include": [*PROGRAMS], "pythonVersion": "3.12"}
    (package.parent / "pyrightconfig.json").write_text(json.dumps(options))
    command = [sys.executable, *CHECKERS[request.param]]
    done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=False)
    return done.stdout


def test_type_checkers_see_the_signature_of_each_decorated_function(report: str) -> None:
    revealed = re.findall(r'Revealed type is "(.*)"|Type of ".*" is "(.*)"', report)
    types = [
        re.sub(r"\b(Plain|Decorated)\b", "C", first or second).replace("normalize(", "")
        for first, second in revealed
    ]
    assert len(types) == 20, report
    assert types[0::2] == types[1::2]
    assert not [each for each in types if "Any" in each and "Coroutine" not in each]


def test_type_checkers_find_wrong_calls_and_no_others(report: str) -> None:
    found = {int(line) for line in re.findall(r"mistakes\.py:(\d+):(?:\d+:? - )? ?error", report)}
    wrong = {
        number for number, line in enumerate(MISTAKES.splitlines(), 1) if line.endswith("# wrong")
    }
    assert found == wrong, report
