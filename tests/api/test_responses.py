"""Proofs over random input: responses are JSON, log lines are lines, and secrets stay secret."""

import io
import json
import logging
import re
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from calls import count_calls
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from support import import_module

# The same examples in every run; shrinking cases as large as these takes minutes.
SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)

CORE = "XKQZWVJH"  # in every secret, and in no other text
FORGED = "FORGED"  # begins the lines that hostile texts try to forge
SECRET_KEYS = ["password", "api_key", "Authorization", "refreshToken", "client-secret", "cookie"]
SECRET_KEYS += ["jwt", "sshKey", "db_pass", "X-Auth"]


@pytest.fixture(scope="module")
def responses() -> Any:
    """The emitted module, imported on its own."""
    return import_module("responses")


@contextmanager
def logged(responses: Any) -> Iterator[io.StringIO]:
    """Write every record, copy of the response and traceback included, as a program would."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("LINE %(levelname)s %(message)s %(response)s"))
    responses.logger.addHandler(handler)
    responses.logger.setLevel(logging.DEBUG)
    responses.logger.propagate = False
    try:
        yield stream
    finally:
        responses.logger.removeHandler(handler)


def is_strict_json(value: Any) -> bool:
    """Return whether the module has to accept a value, found without the module's code."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return has_string_keys(value) and depth_of(value) <= 101


def has_string_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(
            map(has_string_keys, value.values())
        )
    return not isinstance(value, (list, tuple)) or all(map(has_string_keys, value))


def depth_of(value: Any) -> int:
    if not isinstance(value, (dict, list, tuple)):
        return 0
    items = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth_of, items), default=0)


def find(value: Any, path: str) -> Any:
    """Follow a path such as `data.servers[1]['a b']`."""
    quotes = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
    for name, quoted in re.findall(rf"\.?([^\W\d]\w*)|\[((?:{quotes}|[^]])*)\]", path):
        value = value[name] if name else value[eval(quoted)]  # noqa: S307 - it is a literal
    return value


texts = st.text(max_size=12) | st.sampled_from(
    ["", "\n", f"\n{FORGED}", f"\u2028{FORGED}", "\x1b[2J", "\ud800", "a.b", "[0]", "'", '"', "\\"]
)
clean_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=CORE), max_size=9)
lines = st.builds(lambda a, b: f"{a}\n{FORGED} {b}", clean_texts, clean_texts) | clean_texts
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
atoms = st.none() | st.booleans() | numbers


def trees(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(keys, inner, max_size=3),
        ),
        max_leaves=8,
    )


foreign = st.sampled_from([{1}, b"b", 1j, float("nan"), float("inf"), "\udfff", object])
anything = trees(atoms | texts | foreign, texts | st.integers() | st.none())


class TestShapes:
    @SETTINGS
    @given(
        action=anything,
        data=anything,
        members=st.dictionaries(st.from_regex(r"x\w{0,5}", fullmatch=True), anything, max_size=2),
    )
    def test_a_success_is_valid_or_refused(
        self, responses: Any, action: Any, data: Any, members: dict[str, Any]
    ) -> None:
        parts = {"action": action, "data": data, "metadata": members}
        call = lambda: responses.Response.success(action, data, **members)  # noqa: E731
        check(call, parts, responses.SUCCESS_SCHEMA)

    @SETTINGS
    @given(code=anything, message=anything, recoverable=st.booleans() | anything, detail=anything)
    def test_an_error_is_valid_or_refused(
        self, responses: Any, code: Any, message: Any, recoverable: Any, detail: Any
    ) -> None:
        parts = {"error_code": code, "message": message, "recoverable": recoverable}
        call = lambda: responses.Response.error(code, message, recoverable, detail=detail)  # noqa: E731
        check(call, parts | {"details": {"detail": detail}}, responses.ERROR_SCHEMA)

    @SETTINGS
    @given(
        succeeded=st.lists(anything, max_size=3) | anything,
        failed=st.lists(st.dictionaries(texts, anything, max_size=2) | anything, max_size=3)
        | anything,
    )
    def test_a_partial_success_is_valid_with_correct_counts_or_refused(
        self, responses: Any, succeeded: Any, failed: Any
    ) -> None:
        parts = {"action": "a", "succeeded": succeeded, "failed": failed, "metadata": {}}
        call = lambda: responses.Response.partial("a", succeeded, failed, succeeded_count="x")  # noqa: E731
        if response := check(call, parts, responses.PARTIAL_SCHEMA):
            counts = {"succeeded_count": len(succeeded), "failed_count": len(failed)}
            assert response["metadata"] == counts

    @pytest.mark.parametrize("depth", [1, 50, 99, 100, 101, 102, 500])
    def test_the_accepted_depth_has_an_exact_limit(self, responses: Any, depth: int) -> None:
        data: Any = 1
        for level in range(depth):
            data = [data] if level % 2 else {"x": data}
        if depth <= 100:
            assert responses.Response.success("get", data)["data"] is data
        else:
            with pytest.raises(TypeError, match="at most 100"):
                responses.Response.success("get", data)

    @pytest.mark.parametrize("name", ["SUCCESS_SCHEMA", "ERROR_SCHEMA", "PARTIAL_SCHEMA"])
    def test_the_response_schemas_are_valid_schemas(self, responses: Any, name: str) -> None:
        Draft202012Validator.check_schema(getattr(responses, name))
        assert json.loads(json.dumps(getattr(responses, name))) == getattr(responses, name)

    def test_a_response_is_valid_against_its_own_schema_only(self, responses: Any) -> None:
        response = responses.Response
        shapes = [response.success("a"), response.error("e", "m"), response.partial("a", [], [])]
        schemas = [responses.SUCCESS_SCHEMA, responses.ERROR_SCHEMA, responses.PARTIAL_SCHEMA]
        for number, shape in enumerate(shapes):
            valid = [Draft202012Validator(schema).is_valid(shape) for schema in schemas]
            assert valid == [number == other for other in range(3)]


def check(call: Callable[[], Any], parts: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Return the response if it is correct, or None if the call was correctly refused."""
    types: dict[str, type] = {"action": str, "error_code": str, "message": str}
    types |= {"recoverable": bool, "succeeded": list, "failed": list}
    wrong = [name for name, kind in types.items() if not isinstance(parts.get(name, kind()), kind)]
    failed = parts.get("failed")
    wrong += [
        f"failed[{number}]"
        for number, item in enumerate(failed if isinstance(failed, list) else ())
        if not isinstance(item, dict)
    ]
    if not wrong and is_strict_json(list(parts.values())):
        response = call()
        sent = json.dumps(response, allow_nan=False, ensure_ascii=False).encode()
        Draft202012Validator(schema).validate(json.loads(sent))
        return response
    with pytest.raises(TypeError) as refused:
        call()
    message = str(refused.value)
    if found := re.fullmatch(r"(.+?) must be (\w+), got (\w+)", message):
        assert found[1] in wrong
        return None
    found = re.fullmatch(r"(.+) is not JSON-serialisable: (\w+) \(.+\)", message)
    assert found
    fault = find(parts, found[1])
    assert type(fault).__name__ == found[2]
    assert not is_strict_json(fault)
    items = fault.values() if isinstance(fault, dict) else fault if isinstance(fault, list) else ()
    assert all(map(is_strict_json, items)), "the path stops short of the fault"
    return None


def secrets() -> st.SearchStrategy[str]:
    return st.builds(lambda a, b: f"{a}{CORE}{b}", clean_texts, clean_texts)


@st.composite
def leaky(draw: st.DrawFn) -> tuple[list[str], dict[str, Any]]:
    """Return secrets, and nested data that have them under revealing keys and anywhere else."""
    known = draw(st.lists(secrets(), min_size=1, max_size=3))
    whole = st.builds(lambda a, secret, b: a + secret + b, lines, st.sampled_from(known), lines)
    keys = st.sampled_from(SECRET_KEYS)
    telling = {draw(keys): draw(trees(st.just(secret), clean_texts)) for secret in known}
    # Every secret is under at least one revealing key, even if the keys above collided.
    holders = st.sampled_from(
        [lambda k, v: {k: v}, lambda k, v: [k, v], lambda k, v: {"name": k, "value": v}]
    )
    holder = {"holders": [draw(holders)(draw(keys), secret) for secret in known]}
    other = draw(st.dictionaries(lines, trees(atoms | lines | whole, lines | whole), max_size=3))
    return known, {"a": other, "b": [telling], "c": holder}


class TestLog:
    @SETTINGS
    @given(case=leaky(), before=lines, after=lines)
    def test_no_secret_and_no_line_break_gets_into_the_log(
        self, responses: Any, case: tuple[list[str], dict[str, Any]], before: str, after: str
    ) -> None:
        known, data = case
        text = before + known[0] + after
        expected = json.dumps(data)
        with logged(responses) as stream:
            shapes = [
                responses.Response.success(text, data, note=text),
                responses.Response.error(text, text, details=data),
                responses.Response.partial(text, [data], [data], note=text),
            ]
        assert_clean(stream.getvalue(), lines=3)
        assert shapes[0]["data"] is data
        assert [shapes[0]["action"], shapes[1]["message"], shapes[2]["action"]] == [text] * 3
        assert json.dumps(data) == expected == json.dumps(shapes[1]["details"]["details"])

    @SETTINGS
    @given(key=st.sampled_from(SECRET_KEYS), value=st.text(), other=st.text())
    def test_any_text_and_any_secret_can_be_logged(
        self, responses: Any, key: str, value: str, other: str
    ) -> None:
        with logged(responses) as stream:
            try:
                responses.Response.success("get", {key: value, "other": other + value})
            except TypeError:
                assert not is_strict_json([value, other])
                return
        assert stream.getvalue()[:-1].isprintable()

    @SETTINGS
    @given(
        words=st.sampled_from(
            [
                "Bearer {}",
                "password={}",
                "token: {}",
                "api_key = '{}'",
                '"client_secret": "{}"',
                "{{'passwd': '{}'}}",
                "Authorization: Basic {}",
                "postgres://ada:{}@host/x",
                "postgres://ada:a/{}@host/x",
                "postgres://ada:1 {}@host/x",
                "postgres://ada/{}@b@host/x",
                "password == '{}'",
                "password := {}",
                "{{'tokens': ['a', '{}']}}",
                "api_key: Token {}",
                "--password {}",
            ]
        ),
        secret=st.from_regex(rf"[\w.~+-]{{0,5}}{CORE}[\w.~+-]{{0,5}}", fullmatch=True),
        before=lines,
        after=lines,
    )
    def test_a_secret_named_in_a_text_is_masked(
        self, responses: Any, words: str, secret: str, before: str, after: str
    ) -> None:
        text = f"{before} {words.format(secret)} {after}"
        with logged(responses) as stream:
            responses.Response.error("e", text, text=[text])
        assert_clean(stream.getvalue(), lines=1)


class Coded(Exception):  # noqa: N818 - stands for any
    def __init__(self, code: Any, message: Any, details: Any, suggestions: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.recoverable = code, message, True
        self.details, self.suggestions = details, suggestions


class Hostile(Exception):  # noqa: N818 - stands for any
    @property
    def code(self) -> str:
        raise ZeroDivisionError

    def __str__(self) -> str:
        raise ZeroDivisionError


def named(name: str, text: str) -> Exception:
    # A class cannot have these in its name; without them a secret would be another text.
    short = "Odd" if re.search(r"[\0\ud800-\udfff]", name) else name
    kind = type(short, (Exception,), {"__module__": name})
    return kind(text)  # type: ignore[no-any-return]


@st.composite
def exceptions(draw: st.DrawFn, texts: st.SearchStrategy[str], details: Any) -> Exception:
    """Return exceptions of odd names and texts, with causes, contexts, notes and groups."""
    leaves = st.one_of(
        st.builds(named, texts, texts),
        st.builds(Coded, texts, texts, details, st.lists(texts, max_size=1)),
        st.builds(Hostile),
    )
    made = draw(
        st.recursive(
            leaves,
            lambda inner: st.builds(ExceptionGroup, texts, st.lists(inner, min_size=1, max_size=3)),
            max_leaves=5,
        )
    )
    chain = [made, *draw(st.lists(leaves, max_size=3))]
    for error, cause in pairwise(chain):
        if draw(st.booleans()):
            error.__cause__ = cause
        else:
            error.__context__ = cause
    for error in chain:
        for note in draw(st.lists(texts, max_size=1)):
            error.add_note(note)
    if draw(st.booleans()):
        chain[-1].__cause__ = made  # a circle
    try:
        raise made
    except Exception as raised:
        return raised


class TestExceptions:
    @SETTINGS
    @given(error=exceptions(texts, anything))
    def test_every_exception_becomes_a_valid_response(self, responses: Any, error: Any) -> None:
        with logged(responses) as stream:
            response = responses.Response.from_exception(error)
        sent = json.dumps(response, allow_nan=False, ensure_ascii=False).encode()
        Draft202012Validator(responses.ERROR_SCHEMA).validate(json.loads(sent))
        assert_clean(stream.getvalue())

    @SETTINGS
    @given(data=st.data(), case=leaky())
    def test_no_secret_of_an_exception_gets_into_the_log(
        self, responses: Any, data: st.DataObject, case: tuple[list[str], dict[str, Any]]
    ) -> None:
        known, details = case
        whole = st.builds(lambda a, secret, b: a + secret + b, lines, st.sampled_from(known), lines)
        # Only secrets that the details name by their keys can be masked in texts.
        error = Coded("e", data.draw(whole), details, [data.draw(whole)])
        error.__cause__ = data.draw(exceptions(lines | whole, st.just(details)))
        with logged(responses) as stream:
            responses.Response.from_exception(error)
        assert_clean(stream.getvalue())

    @SETTINGS
    @given(
        text=st.builds(lambda a, b: f"{a} token={CORE} {b}", lines, lines),
        data=st.data(),
    )
    def test_no_uncoded_text_gets_into_a_response(
        self, responses: Any, text: str, data: st.DataObject
    ) -> None:
        error = named("AnyError", text)
        error.__cause__ = data.draw(exceptions(st.just(text), st.just({})))
        error.add_note(text)
        with logged(responses) as stream:
            response = responses.Response.from_exception(error)
        assert set(response["details"]) == {"correlation_id"}
        assert CORE not in json.dumps(response)
        assert response["details"]["correlation_id"] in stream.getvalue().rsplit("\n", 2)[-2]
        assert_clean(stream.getvalue())


def assert_clean(output: str, lines: int | None = None) -> None:
    assert CORE not in output
    assert output.isascii() or all(line.isprintable() for line in output.split("\n"))
    assert output.splitlines() == output.removesuffix("\n").split("\n")
    assert not any(line.lstrip(" |").startswith(FORGED) for line in output.splitlines())
    assert sum(line.startswith("LINE ") for line in output.splitlines()) == (lines or 1)
    assert lines is None or output.count("\n") == lines


class TestCost:
    @staticmethod
    def rows(number: int) -> list[dict[str, Any]]:
        return [{"id": n, "name": f"name {n}", "token": f"tok-{n:09}"} for n in range(number)]

    @pytest.mark.parametrize("level", [logging.DEBUG, logging.CRITICAL])
    def test_masking_time_is_proportional_to_the_size_of_the_data(
        self, responses: Any, level: int
    ) -> None:
        with logged(responses):
            responses.logger.setLevel(level)
            small, large = (
                count_calls(partial(responses.Response.success, "get", self.rows(size)))
                for size in (200, 800)
            )
        assert 3 < large / small < 5

    def test_without_a_listener_nothing_is_masked(self, responses: Any) -> None:
        data = self.rows(100)
        with logged(responses):
            on = count_calls(lambda: responses.Response.success("get", data))
            responses.logger.setLevel(logging.CRITICAL)
            off = count_calls(lambda: responses.Response.success("get", data))
        assert off < on / 5

    @pytest.mark.parametrize(
        "text",
        [
            "token" * 20_000,
            "://" * 30_000,
            "bearer " * 20_000,
            "cookie:" * 20_000,
            "password" + " " * 100_000,
            'password="' + "\\" * 100_000,
            "password=" + "[" * 100_000,
            "token:['" * 20_000,
            "--token " * 20_000,
            "://a:" * 20_000,
            "://a:" + "/" * 100_000,
            "://a:b " * 15_000,
            "://a@b " * 15_000,
            "://a:b" + " c" * 50_000,
            "://a@b" + " c@" * 30_000,
            ":// " * 25_000,
        ],
        ids=lambda text: text[:10],
    )
    def test_no_text_makes_the_patterns_slow(self, responses: Any, text: str) -> None:
        """Compared with an ordinary text of the same length, in the same run."""

        def seconds(of: str) -> float:
            run = lambda: responses.Response.success("get", of)  # noqa: E731
            return min(timeit.repeat(run, number=1, repeat=3))

        with logged(responses):
            assert seconds(text) < 100 * seconds("ordinary " * (len(text) // 9))
