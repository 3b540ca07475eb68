"""Every case of a message, a plural, a suggestion and a response that is refused.

The emitted tests show one of each.
"""

import copy
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest
from support import import_module

errors = import_module("errors")
AppError: Any = errors.AppError
ErrorFormatter: Any = errors.ErrorFormatter
suggest: Any = errors.suggest
not_found: Any = ErrorFormatter.not_found

FORGES = ["github", "gitlab", "gitea"]


def response(**fields: Any) -> dict[str, Any]:
    return {"status": "error", "error_code": "not_found", "message": "No such server.", **fields}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            not_found("server", "githbu", FORGES),
            "Server 'githbu' not found. Did you mean 'github'?",
        ),
        (
            not_found("server", "web", ["web-1", "web-2"]),
            "Server 'web' not found. Did you mean one of: 'web-1', 'web-2'?",
        ),
        (
            not_found("server", "x", ["b", "a", "c"]),
            "Server 'x' not found. Available servers: b, a, c",
        ),
        (
            not_found("server", "x", "gfedcba"),
            "Server 'x' not found. Available servers: g, f, e, d, c (and 2 more)",
        ),
        (not_found("server", "x", []), "Server 'x' not found."),
        (ErrorFormatter.already_exists("user", "alice"), "User 'alice' already exists."),
        (
            ErrorFormatter.already_exists("user", "alice", "u1"),
            "User 'alice' already exists (ID: u1).",
        ),
        (
            ErrorFormatter.already_exists("user", "alice", existing_id=0),
            "User 'alice' already exists (ID: 0).",
        ),
        (
            ErrorFormatter.invalid_parameter("port", "http", "integer"),
            "Invalid parameter 'port': got str, expected integer",
        ),
        (
            ErrorFormatter.invalid_parameter("port", "http", "integer", hint="use a number"),
            "Invalid parameter 'port': got str, expected integer. Hint: use a number",
        ),
        (
            ErrorFormatter.missing_required_field("name"),
            "Missing required field 'name' in request",
        ),
        (
            ErrorFormatter.missing_required_field("name", container="server"),
            "Missing required field 'name' in server",
        ),
        (
            ErrorFormatter.invalid_combination("a", "b", "reason"),
            "Invalid combination of 'a' and 'b': reason",
        ),
    ],
)
def test_a_message_reads_as_documented(message: str, expected: str) -> None:
    assert message == expected


@pytest.mark.parametrize(
    ("entity_type", "message"),
    [
        ("API key", "API key 'x' not found. Available API keys: a"),
        ("MCP server", "MCP server 'x' not found. Available MCP servers: a"),
        ("User Account", "User Account 'x' not found. Available user accounts: a"),
        ("ConfigMap", "ConfigMap 'x' not found. Available ConfigMaps: a"),
        ("entity", "Entity 'x' not found. Available entities: a"),
        ("epoch", "Epoch 'x' not found. Available epochs: a"),
        ("gateway", "Gateway 'x' not found. Available gateways: a"),
        ("box", "Box 'x' not found. Available boxes: a"),
        ("index", "Index 'x' not found. Available indexes: a"),
        ("status", "Status 'x' not found. Available statuses: a"),
        ("git branch", "Git branch 'x' not found. Available git branches: a"),
        ("hash", "Hash 'x' not found. Available hashes: a"),
        ("analysis", "Analysis 'x' not found. Available analyses: a"),
        ("person", "Person 'x' not found. Available people: a"),
        ("child", "Child 'x' not found. Available children: a"),
        ("metadata", "Metadata 'x' not found. Available metadata: a"),
        ("OS", "OS 'x' not found. Available OSes: a"),
        ("API", "API 'x' not found. Available APIs: a"),
    ],
)
def test_an_entity_type_keeps_its_acronyms_and_has_the_right_plural(
    entity_type: str, message: str
) -> None:
    assert not_found(entity_type, "x", ["a"]) == message


@pytest.mark.parametrize(
    ("word", "candidates", "expected"),
    [
        pytest.param("githbu", FORGES, ["github"], id="two letters swapped"),
        pytest.param("gthub", FORGES, ["github"], id="a letter missing"),
        pytest.param("ithub", FORGES, ["github"], id="the first letter missing"),
        pytest.param("cta", ["cat", "dog"], ["cat"], id="one edit of three letters"),
        pytest.param("githubb", FORGES, ["github"], id="a letter too many"),
        pytest.param("gittub", FORGES, ["github"], id="a wrong letter"),
        pytest.param("igthbu", FORGES, ["github"], id="two edits"),
        pytest.param("GITHUB", ["github", "github2"], ["github"], id="another case"),
        pytest.param("STRASSE", ["Straße"], ["Straße"], id="another case, folded"),
        pytest.param("abcd", ["a_b_c_d", "abcde"], ["a_b_c_d"], id="underscores"),
        pytest.param("abcd", ["a-b-c-d", "abcde"], ["a-b-c-d"], id="hyphens"),
        pytest.param("abcd", ["a b c d", "abcde"], ["a b c d"], id="spaces"),
        pytest.param("prod", ["staging", "production"], ["production"], id="a prefix"),
        pytest.param("pr", ["staging", "production"], ["production"], id="a prefix of two letters"),
        pytest.param("server web", ["web-server", "mail-server"], ["web-server"], id="word order"),
        pytest.param("x", ["X", "x1"], ["X"], id="one letter in another case"),
        pytest.param("a" * 101, ["A" * 101], ["A" * 101], id="a long name in another case"),
        pytest.param("1002", [1001, 2001], ["1001"], id="numbers"),
        pytest.param("größe", ["grösse", "große"], ["grösse"], id="letters beyond ASCII"),
        pytest.param("we\nb", ["w\neb", "mail"], ["w\neb"], id="line breaks"),
        pytest.param("pord", ["prod", "poor"], ["prod"], id="a swap is one edit, not two"),
        pytest.param("sevre", ["serve", "seven", "severe"], ["severe", "serve"], id="as close"),
        pytest.param("lo", ["go", "so"], [], id="one edit of two letters"),
        pytest.param("stage", ["stack"], [], id="two edits of five letters"),
        pytest.param("abxcd", ["ab", "cd"], [], id="two names that make the word together"),
        pytest.param("puddle", ["bundle"], [], id="two edits, of which one is the first letter"),
        pytest.param("x", ["xy", "xz"], [], id="a prefix of one letter"),
        pytest.param("e d c b a", ["a-b-c-d-e"], [], id="five words in another order"),
        pytest.param("a" * 101, ["a" * 102], [], id="an edit in a long name"),
        pytest.param("banana", FORGES, [], id="nothing close"),
        pytest.param("", FORGES, [], id="nothing written"),
        pytest.param("github", [], [], id="nothing available"),
    ],
)
def test_the_expected_names_are_suggested(
    word: str, candidates: Iterable[object], expected: list[str]
) -> None:
    assert suggest(word, candidates) == expected


@pytest.mark.parametrize(
    "available",
    [["b", "a"], ("b", "a"), {"b": 1, "a": 2}, iter(["b", "a", "b"]), {"b": 1, "a": 2}.keys()],
    ids=lambda available: type(available).__name__,
)
def test_any_iterable_is_listed_once_and_in_its_order(available: Iterable[str]) -> None:
    assert not_found("server", "x", available) == "Server 'x' not found. Available servers: b, a"


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_is_listed_in_sorted_order(kind: type[set[int]]) -> None:
    listed = not_found("job", "x", kind(range(9, 2, -1)))
    assert listed == "Job 'x' not found. Available jobs: 3, 4, 5, 6, 7 (and 2 more)"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nERROR forged", r"a\nERROR forged"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u2028b", r"a\u2028b"),
        ("\ud800", r"\ud800"),
        ("C:\\temp", "C:\\temp"),
        ("Zoë 東京", "Zoë 東京"),
        ("x" * 80, "x" * 80),
        ("x" * 100_000, "x" * 79 + "…"),
    ],
    ids=["line break", "escape", "rtl", "separator", "surrogate", "path", "letters", "80", "long"],
)
def test_a_hostile_name_forges_no_line_and_floods_no_log(name: str, shown: str) -> None:
    assert not_found("user", name, None) == f"User '{shown}' not found."
    assert not_found("user", "?", [name]) == f"User '?' not found. Available users: {shown}"
    assert f"'{shown}'" in ErrorFormatter.already_exists("user", name)
    assert f"'{shown}'" in ErrorFormatter.invalid_parameter(name, 1, "string")
    assert f"'{shown}'" in ErrorFormatter.missing_required_field(name)
    assert f"'{shown}' and '{shown}'" in ErrorFormatter.invalid_combination(name, name, "no")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (["error"], "it must be Mapping, got list"),
        (response(error_code=404), "error_code must be str, got int"),
        (response(message=None), "message must be str, got NoneType"),
        (response(recoverable="yes"), "recoverable must be bool, got str"),
        (response(details=[]), "details must be Mapping, got list"),
        (response(details={"suggestions": "github"}), "suggestions must be list, got str"),
        (response(details={"notes": "one"}), "notes must be list, got str"),
        (response(details={"notes": [1]}), "each note must be str, got int"),
        (response(details={"causes": {}}), "causes must be list, got dict"),
        (response(details={"causes": ["x"]}), "each cause must be Mapping, got str"),
        (response(details={"causes": [{}]}), "error_code must be str, got NoneType"),
    ],
)
def test_an_object_that_is_not_a_response_is_refused_with_a_reason(
    fault: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=f"^Not an error response: {message}$"):
        AppError.from_response(fault)


def test_ids_need_not_be_strings() -> None:
    available = [UUID(int=1), (1, 2), None]
    message = not_found("thing", UUID(int=2), available, max_suggestions=0)
    # Without suggestions the list is shown.
    assert message.endswith(f"Available things: {UUID(int=1)}, (1, 2), None")


def test_without_candidates_a_message_suggests_nothing() -> None:
    error: Any = errors.NotFoundError("user", "alicf", None)
    assert str(error) == "User 'alicf' not found."
    assert error.suggestions == ()


@pytest.mark.parametrize(
    "message",
    [
        not_found("user\n", "x", ["a"]),
        ErrorFormatter.invalid_parameter("p", 1, "a\nstring", hint="no\nnumber"),
        ErrorFormatter.missing_required_field("name", container="a\nrequest"),
        ErrorFormatter.invalid_combination("a", "b", "so\nit is"),
    ],
)
def test_every_message_is_one_line(message: str) -> None:
    assert message.splitlines() == [message]


def test_an_error_can_be_copied_with_its_notes_and_nothing_shared() -> None:
    class QuotaError(AppError):  # type: ignore[misc]  # rendered for the run
        code = "quota_exceeded"

        def __init__(self, limit: int) -> None:
            super().__init__(self.code, f"No more than {limit} servers.", limit=limit)

    error = QuotaError(10)
    error.add_note("Ask for more.")
    copied = copy.deepcopy(error)
    copied.details["limit"] = 11
    assert error.details == {"limit": 10}
    assert copied.__notes__ == ["Ask for more."]
