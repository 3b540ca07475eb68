"""Every kind of value, character, key, text and exception that a response takes or refuses.

The emitted tests show one of each.
"""

import json
import logging
import math
import re
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import import_module

responses = import_module("responses")
Response: Any = responses.Response

HIDDEN = "correct-horse"
LINE_BREAKS = ["\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"]
CONTROLS = ["\x1b[2J", "\x9b31m", "\u202e", "\x00", "\x7f"]

Call = Callable[[Any], Any]
PARTS: list[tuple[Call, str]] = [
    (lambda bad: Response.success(bad), "action"),
    (lambda bad: Response.success("get", None, x=bad), "metadata.x"),
    (lambda bad: Response.error(bad, ""), "error_code"),
    (lambda bad: Response.error("e", bad), "message"),
    (lambda bad: Response.error("e", "", bad), "recoverable"),
    (lambda bad: Response.error("e", "", x=bad), "details.x"),
    (lambda bad: Response.partial(bad, [], []), "action"),
    (lambda bad: Response.partial("p", bad, []), "succeeded"),
    (lambda bad: Response.partial("p", [bad], []), "succeeded[0]"),
    (lambda bad: Response.partial("p", [], bad), "failed"),
    (lambda bad: Response.partial("p", [], [bad]), "failed[0]"),
    (lambda bad: Response.partial("p", [], [{}, {"id": bad}]), "failed[1].id"),
    (lambda bad: Response.partial("p", [], [], x=bad), "metadata.x"),
]


class Color(Enum):
    RED = "red"


class Name(StrEnum):
    ADA = "ada"


class Point(NamedTuple):
    x: int
    y: int


class Size(IntEnum):
    SMALL = 1


class CodedError(Exception):
    """Has the attributes by which an exception is reported as it is."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details
        self.recoverable = True
        self.suggestions: list[str] = []


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=responses.__name__)


class Log:
    """The one record that a test has caused, as handlers see it."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def record(self) -> logging.LogRecord:
        (record,) = self._caplog.records
        return record

    @property
    def message(self) -> str:
        return self.record.getMessage()

    @property
    def response(self) -> Any:
        return vars(self.record)["response"]

    @property
    def text(self) -> str:
        """All of it, in the plain format and the copy of the response."""
        plain = logging.Formatter("%(funcName)s: %(message)s %(response)s").format(self.record)
        return plain + json.dumps(self.response)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def caught(error: Exception, cause: BaseException | None = None) -> Exception:
    """Return the exception as it is after being raised, with a traceback."""
    try:
        raise error from cause
    except type(error) as raised:
        return raised


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("response", "schema"),
    [
        (Response.success("get"), responses.SUCCESS_SCHEMA),
        (Response.success("get", {"id": 1}, page=2), responses.SUCCESS_SCHEMA),
        (Response.error("not_found", "No."), responses.ERROR_SCHEMA),
        (
            Response.error("unavailable", "Later.", recoverable=False, seconds=5),
            responses.ERROR_SCHEMA,
        ),
        (Response.partial("delete", [1], [{"id": 2}]), responses.PARTIAL_SCHEMA),
        (Response.from_exception(ValueError()), responses.ERROR_SCHEMA),
    ],
)
def test_a_response_has_what_its_schema_requires_and_no_more(
    response: Any, schema: dict[str, Any]
) -> None:
    types = {"string": str, "boolean": bool, "object": dict, "array": list, "number": float}
    members = schema["properties"]
    assert set(response) == set(schema["required"]) == set(members)
    assert response["status"] == members["status"]["const"]
    typed = {name: member["type"] for name, member in members.items() if "type" in member}
    assert set(members) - set(typed) <= {"status", "data"}
    for name, kind in typed.items():
        assert isinstance(dict(response)[name], types[kind])


@pytest.mark.parametrize(
    "data",
    [
        None,
        True,
        -1.5,
        "é\n\x00",
        [1, (2, "3"), {}],
        {"ä": None},
        OrderedDict[str, Any](a=[]),
        Point(1, 2),
        Name.ADA,
        Size.SMALL,
        {Name.ADA: Size.SMALL},
        nested(90),
    ],
)
def test_json_values_are_accepted_unchanged(data: Any) -> None:
    response = Response.success("get", data, again=data)
    text = json.dumps(response, allow_nan=False, ensure_ascii=False)
    assert json.loads(text.encode())["data"] == json.loads(json.dumps(data))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (object(), "object"),
        (b"bytes", "bytes"),
        (1j, "complex"),
        (Color.RED, "Color"),
        (Path("here"), type(Path()).__name__),
        (math.nan, "float"),
        (-math.inf, "float"),
        ("\ud800", "str"),
        (1 << 14_000, "int"),
        ({1: "one"}, "dict"),
        ({"\udfff": 1}, "dict"),
        ({1}, "set"),
    ],
)
def test_a_value_that_json_cannot_represent_is_refused_with_its_path(
    value: Any, kind: str, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    data = {"servers": [{"tags": ["a"]}, {"tags": ["b", value]}]}
    expected = re.escape(f"data.servers[1].tags[1] is not JSON-serialisable: {kind} ")
    with pytest.raises(TypeError, match=f"^{expected}"):
        Response.success("list", data)
    assert caplog.records == []


def test_an_integer_may_have_thousands_of_digits() -> None:
    data = [10**3900, -(10**3900)]
    assert json.loads(json.dumps(Response.success("count", data)))["data"] == data


def test_a_key_that_is_not_a_name_is_quoted_in_the_path() -> None:
    with pytest.raises(TypeError, match=re.escape(r"data['a\n.b'] is not")):
        Response.success("get", {"a\n.b": {1}})


@pytest.mark.parametrize(("call", "path"), PARTS)
def test_every_part_is_checked(call: Call, path: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(path)} (is not|must be) .*object"):
        call(object())


def test_a_lone_surrogate_is_refused_in_a_message_too() -> None:
    with pytest.raises(TypeError, match="message is not"):
        Response.error("e", "\udc80")
    with pytest.raises(TypeError, match="action is not"):
        Response.success("\udc80")


@pytest.mark.parametrize("character", LINE_BREAKS + CONTROLS, ids=ascii)
def test_no_text_breaks_the_line_or_controls_the_terminal(
    character: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"a{character}INFO forged"
    Response.success(text, {text: [text]}, text=text)
    Response.error(text, text, text=text)
    Response.partial(text, [text], [{text: text}])
    Response.from_exception(CodedError(text, text, text=text))
    for record in caplog.records:
        line = f"{record.getMessage()} {vars(record)['response']}"
        assert line.isprintable()
        assert str(vars(record)["response"]).isprintable()
        assert "INFO forged" in line


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "Passwd",
        "db_password",
        "passphrase",
        "client-secret",
        "token",
        "accessToken",
        "Authorization",
        "api_key",
        "X-API-Key",
        "apikey",
        "private key",
        "AWS_ACCESS_KEY_ID",
        "credentials",
        "Set-Cookie",
        "jwt",
        "Bearer",
        "passcode",
        "sessionId",
        "session_ids",
        "ssh_key",
        "\uff54\uff4f\uff4b\uff45\uff4e",  # full-width letters
        "auth",
        "X-Auth",
        "db_pass",
        "smtpPass",
    ],
)
def test_values_under_keys_that_name_a_secret_are_masked(key: str, log: Log) -> None:
    response = Response.success("get", {"a": [{key: HIDDEN}]}, **{key: [HIDDEN, {"b": HIDDEN}]})
    assert log.response["data"] == {"a": [{key: "***"}]}
    assert log.response["metadata"] == {key: "***"}
    assert HIDDEN not in log.text
    assert response["data"] == {"a": [{key: HIDDEN}]}
    assert response["metadata"][key] == [HIDDEN, {"b": HIDDEN}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bearer abc.def-123", "Bearer ***"),
        ("Authorization: Basic YWRh OmI=", "Authorization: ***"),
        ("authorization: Bearer abc\nnext", "authorization: ***\\nnext"),
        ("Cookie: a=1; b=2", "Cookie: ***"),
        ("password=hunter2&user=ada", "password=***&user=ada"),
        ("token: hunter2 for ada", "token: *** for ada"),
        ("api-key = 'hunter 2' x", "api-key = *** x"),
        ('{"api_key": "hun\\"ter2", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("{'password': b'hunter2', 'n': 1}", "{'password': ***, 'n': 1}"),
        ("{'pwd_1': 1234, 'n': 1}", "{'pwd_1': ***, 'n': 1}"),
        (r"{\"secret\": \"hunter2\", \"n\": 1}", r'{\"secret\": ***", \"n\": 1}'),
        ("postgres://ada:hunter2@db/x", "postgres://***@db/x"),
        ("https://token@host and b@c", "https://***@host and b@c"),
        ("https://ada:hun/ter2@host/x", "https://***@host/x"),
        # A URL is malformed if its credentials are not percent-encoded: then all is masked.
        ("postgres://app:ab/cd:ef@db", "postgres://***@db"),
        ("https://tok/en@github.com", "https://***@github.com"),
        ("postgres://app:12/34@db", "postgres://***@db"),
        ("https://ada:8000/x?y#z@host", "https://***@host"),
        ("https://ada:p@@ss@host/x", "https://***@host/x"),
        ("postgres://app:x://y@db", "postgres://***@db"),
        ("redis://:my pass word@host:6379 is down", "redis://***@host:6379 is down"),
        ("redis://app:12 34@host", "redis://***@host"),
        ("https://ada:p@ss word@host", "https://***@host"),
        ("https://ada:a\u00a0b\tc@host", "https://***@host"),
        (r'{"url": "redis:\/\/app:a\/b@db"}', r'{"url": "redis:\/\/***@db"}'),
        ("a://u:p@h b://v:q@i", "a://***@h b://***@i"),
        ("a://u:p@h failed for ada@x", "a://***@h failed for ada@x"),
        ("token=Bearer hunter2", "token=***"),
        ("token: Basic hunter2 for ada", "token: *** for ada"),
        ("api_key: Token hunter2", "api_key: ***"),
        ("password == 'hunter2' x", "password == *** x"),
        ("password := hunter2 x", "password := *** x"),
        ("password => 'hunter2' x", "password => *** x"),
        ("{'tokens': ['hunter2', 'hun]ter3'], 'n': 1}", "{'tokens': ***, 'n': 1}"),
        ("secrets=('hunter2', 'hunter3') x", "secrets=*** x"),
        ('{"credentials": {"key": "hunter2"}, "n": 1}', '{"credentials": ***, "n": 1}'),
        ("mysql --password hunter2 -u ada", "mysql --password *** -u ada"),
        ("['mysql', '--password', 'hunter2']", "['mysql', '--password', ***]"),
        ("/login?pass=hunter2&user=ada", "/login?pass=***&user=ada"),
        ("{'auth': 'hunter2', 'n': 1}", "{'auth': ***, 'n': 1}"),
    ],
)
def test_a_secret_that_a_text_names_itself_is_masked(text: str, expected: str, log: Log) -> None:
    response = Response.success("get", {"text": text})
    assert log.response["data"] == {"text": expected}
    assert response["data"] == {"text": text}


@pytest.mark.parametrize(
    "key",
    [
        "max_tokens",
        "maxTokens",
        "MAX-TOKEN",
        "tokens",
        "prompt_tokens",
        "token_count",
        "password_min_length",
        "cookie_max_age",
        "access_token_expires_in",
        "token_ttl",
        "tokens_per_minute",
    ],
)
@pytest.mark.parametrize("value", [4096, "4096", [4096], {"x": 4096}])
def test_a_number_that_counts_is_not_masked_in_texts(key: str, value: Any, log: Log) -> None:
    Response.error("e", "4096 rows", **{key: value}, rows="4096")
    assert log.message == "Error: e - 4096 rows"
    assert log.response["details"] == {key: "***", "rows": "4096"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("token", 99887766),
        ("access_token", 99887766),
        ("aws_secret", "99887766"),
        ("password", [99887766]),
        ("max_tokens", "k-99887766"),
    ],
)
def test_any_other_number_is_masked_in_texts(key: str, value: Any, log: Log) -> None:
    Response.error("e", "k-99887766 is wrong", **{key: value})
    assert log.message in ("Error: e - k-*** is wrong", "Error: e - *** is wrong")


@pytest.mark.parametrize(
    "text",
    [
        "Invalid parameter 'password': got str, expected integer",
        "Missing required field 'token' in request",
        "see https://example.org/a or write to a@b",
        "http://localhost:8000 failed, ask ada@b",
        "http://[::1]:8000/x, and a@b",
        "GET https://example.org: timeout, ask ada@b",
        "sqlite:///home/ada/x.db",
        "the bearer",
        "author: ada, passed: 3, pass-through: 1",
        "Invalid parameter 'password': got str; see http://b:80 or C:/d or a@b, the bearer",
    ],
)
def test_sentences_about_secrets_stay_readable(text: str, log: Log) -> None:
    Response.error("e", text)
    assert log.message == f"Error: e - {text}"


@pytest.mark.parametrize("code", ["INVALID_PARAMETER", "not_found", "already_exists"])
def test_for_a_bad_request_uncoded_causes_are_left_out(code: str, log: Log) -> None:
    middle = caught(CodedError("unreadable", "Cannot read it."), KeyError("x"))
    response = Response.from_exception(caught(CodedError(code, "No 'x'."), middle))
    causes = [{"error_code": "unreadable", "message": "Cannot read it."}]
    assert response["details"] == {"causes": causes}
    assert log.record.exc_info is None


@pytest.mark.parametrize("character", LINE_BREAKS + CONTROLS, ids=ascii)
def test_no_text_of_an_exception_breaks_a_line(character: str, log: Log) -> None:
    text = f"a{character}forged password=hunter2"
    named = type(f"Odd{character.replace(chr(0), '')}Error", (Exception,), {})
    error = caught(named(text), caught(ExceptionGroup(text, [caught(ValueError(text))])))
    error.add_note(text)
    Response.from_exception(error)
    lines = log.text.split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("forged") for line in lines)
    assert "hunter2" not in log.text.replace('password=hunter2"', "")


def test_a_value_that_is_too_deep_or_contains_itself_is_refused() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    for data in (endless, nested(200)):
        with pytest.raises(TypeError, match="at most 100"):
            Response.success("get", data)


def test_a_number_that_is_secret_is_masked_in_texts(log: Log) -> None:
    Response.error("otp", "Token 99887766 expired: True", token=[99887766, True])
    assert log.message == "Error: otp - Token *** expired: True"


def test_the_longest_of_several_secrets_is_masked_as_a_whole(log: Log) -> None:
    Response.success("use abcdef, abcdxx, abcd", {"token": ["abcd", "abcdef"], "pwd": "zzzzz"})
    assert log.message == "Success: use ***, ***xx, ***"


def test_a_secret_is_found_as_python_json_and_urls_quote_it(log: Log) -> None:
    quoted = 'quo"te\\d\n'
    text = f"{quoted!r} {json.dumps(quoted)} {quoted} quo%22te%5Cd%0A"
    Response.success(text, {"password": quoted})
    assert log.message == "Success: '***' \"***\" *** ***"


def test_a_coded_exception_with_an_internal_cause_is_counted_too(log: Log) -> None:
    error = caught(CodedError("unreadable", "Cannot read it."), KeyError("x"))
    Response.from_exception(error, repeats=3)
    assert log.message.startswith("Error: unreadable - Cannot read it. CodedError at test_")
    assert log.message.endswith(" (repeats: 3)")


def test_long_and_circular_chains_end(log: Log) -> None:
    error = Exception("0")
    for number in range(1, 500):
        error = caught(Exception(str(number)), error)
    Response.from_exception(error)
    assert "Exception: 499" in log.text
    first, second = CodedError("first", "1."), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    causes = Response.from_exception(first)["details"]["causes"]
    assert [cause["error_code"] for cause in causes] == ["internal_error"]


def test_the_exception_itself_stays_as_it_is() -> None:
    error = caught(ValueError("password=hunter2\n"), KeyError())
    before = str(error), error.__cause__, error.__traceback__
    Response.from_exception(error)
    assert (str(error), error.__cause__, error.__traceback__) == before
    assert not hasattr(error, "__notes__")


def test_a_group_with_a_code_stands_for_itself() -> None:
    class CodedGroup(ExceptionGroup[Exception]):
        code, recoverable = "batch_failed", True

    response = Response.from_exception(CodedGroup("The batch failed.", [ValueError()]))
    assert response["error_code"] == "batch_failed"
    assert response["message"] == "The batch failed."
