"""Properties of messages and exceptions that hold for any input, hostile input included."""

import copy
import json
import pickle
import string
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import import_module

MODULE = Path(__file__).parents[2] / "template/src/{{package_name}}/utils/errors.py.jinja"

# Control characters too, and lone surrogates: JSON joins two adjacent ones to one character.
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\ud800"))
HOSTILE = st.one_of(
    ANYTHING,
    st.text("\n\r\t\x00\x1b\x85\u2028\u2029\u202e\u200f\ud800'\\ a", max_size=20),
    ANYTHING.map(lambda text: text * 1000),
)
WORDS = st.text(string.ascii_lowercase, min_size=4, max_size=12)
IDS = st.one_of(st.integers(), st.text("abAB-_ ", max_size=6), st.tuples(st.integers()), st.uuids())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)

properties = settings(max_examples=100, deadline=None, database=None)


@pytest.fixture(scope="module")
def errors() -> ModuleType:
    """The emitted module, imported on its own."""
    module: ModuleType = import_module("errors")
    return module


def make_errors(errors: ModuleType, name: str, other: str) -> list[Any]:
    return [
        errors.AppError(name, other, recoverable=False, a=name),
        errors.NotFoundError(name, other, [name, other]),
        errors.NotFoundError("server", name, None),
        errors.AlreadyExistsError(other, name, existing_id=other),
        errors.InvalidParameterError(name, other, other, hint=name),
        errors.MissingFieldError(name, container=other),
        errors.InvalidCombinationError(name, other, other),
    ]


@properties
@given(word=HOSTILE, available=st.lists(IDS | HOSTILE, max_size=8), most=st.integers(-1, 5))
def test_suggestions_are_few_distinct_and_taken_from_the_candidates(
    errors: ModuleType, word: str, available: list[object], most: int
) -> None:
    found = errors.NotFoundError("server", word, iter(available), most).suggestions
    assert len(found) <= max(most, 0)
    assert len(set(found)) == len(found)
    assert set(found) <= set(map(str, available))


@properties
@given(word=WORDS, candidates=st.lists(st.text("abcd-", max_size=6), max_size=12), data=st.data())
def test_suggestions_do_not_depend_on_the_order_of_the_candidates(
    errors: ModuleType, word: str, candidates: list[str], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(candidates))
    assert errors.suggest(word, candidates) == errors.suggest(word, shuffled)
    assert errors.suggest(word, set(candidates)) == errors.suggest(word, candidates)


@properties
@given(meant=WORDS, others=st.lists(WORDS, max_size=20), data=st.data())
def test_a_word_with_one_slip_finds_the_word_that_was_meant(
    errors: ModuleType, meant: str, others: list[str], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(meant) - 2))
    letter = data.draw(st.sampled_from(string.ascii_lowercase))
    first, second, rest = meant[at], meant[at + 1], meant[at + 2 :]
    slips = (letter + second, second, first + letter + second, second + first)
    slip = meant[:at] + data.draw(st.sampled_from(slips)) + rest
    found = errors.suggest(slip, [*others, meant], limit=100)
    # The slip may itself be another candidate, which is then the only suggestion.
    assert meant in found or slip in others


@properties
@given(word=WORDS, data=st.data())
def test_case_and_separators_do_not_count(
    errors: ModuleType, word: str, data: st.DataObject
) -> None:
    written = "".join(
        data.draw(st.sampled_from([letter, letter.upper(), f"{letter}-", f"_{letter}"]))
        for letter in word
    )
    assert errors.suggest(written, [word, f"{word}s"]) == [word]


@properties
@given(name=HOSTILE, other=HOSTILE)
def test_every_message_is_one_printable_line(errors: ModuleType, name: str, other: str) -> None:
    _plain, *formatted = make_errors(errors, name, other)
    for error in formatted:
        assert error.message.isprintable()


@properties
@given(name=HOSTILE)
def test_a_name_takes_a_bounded_place_in_a_message(errors: ModuleType, name: str) -> None:
    shown = errors.ErrorFormatter.not_found("server", name, [name] * 9, max_suggestions=0)
    # Ten characters is the longest escape, as in \U0010ffff.
    assert len(shown) <= len("Server '' not found. Available servers: ") + 2 * 10 * 80


@properties
@given(name=HOSTILE, other=HOSTILE, note=ANYTHING)
def test_errors_survive_pickling_and_copying(
    errors: ModuleType, name: str, other: str, note: str
) -> None:
    for error in make_errors(errors, name, other):
        error.add_note(note)
        group = pickle.loads(pickle.dumps(ExceptionGroup("several", [error])))  # noqa: S301
        for copied in (
            pickle.loads(pickle.dumps(error)),  # noqa: S301
            copy.copy(error),
            copy.deepcopy(error),
            group.exceptions[0],
        ):
            assert type(copied) is type(error)
            assert (str(copied), repr(copied)) == (str(error), repr(error))
            assert vars(copied) == vars(error)


@properties
@given(name=IDS | HOSTILE, existing=IDS)
def test_details_are_json(errors: ModuleType, name: object, existing: object) -> None:
    for error in (
        errors.NotFoundError("server", name, [name, existing]),
        errors.AlreadyExistsError("server", name, existing_id=existing),
        *make_errors(errors, str(name), "other"),
    ):
        assert json.loads(json.dumps(error.details)) == error.details


@properties
@given(name=HOSTILE, other=HOSTILE, notes=st.lists(ANYTHING))
def test_an_error_is_restored_from_its_response(
    errors: ModuleType, name: str, other: str, notes: list[str]
) -> None:
    for error in make_errors(errors, name, other):
        details = {**error.details, "notes": notes, "causes": []}
        response = {
            "status": "error",
            "error_code": error.code,
            "message": error.message,
            "recoverable": error.recoverable,
            "details": details,
        }
        restored = errors.AppError.from_response(json.loads(json.dumps(response)))
        assert type(restored) is type(error)
        assert restored.suggestions == error.suggestions
        assert getattr(restored, "__notes__", []) == notes
        for note in notes:
            error.add_note(note)
        assert vars(restored) == vars(error)


@properties
@given(
    response=JSON
    | st.fixed_dictionaries(
        {"status": st.just("error")},
        optional={
            "error_code": JSON | st.just("not_found"),
            "message": JSON,
            "recoverable": JSON,
            "details": st.fixed_dictionaries(
                {}, optional={"suggestions": JSON, "notes": JSON, "causes": JSON}
            ),
        },
    )
)
def test_an_object_that_is_not_an_error_response_is_refused_with_a_reason(
    errors: ModuleType, response: Any
) -> None:
    try:
        error = errors.AppError.from_response(response)
    except (TypeError, ValueError) as refusal:
        assert str(refusal).startswith("Not an error response: ")  # noqa: PT017 - or none
    else:
        assert str(error) == response["message"]
        assert all(isinstance(name, str) for name in error.suggestions)


@pytest.mark.parametrize(
    "word",
    ["x" * 100_000, "x " * 50_000, "\u202e" * 100_000, "\ud800" * 100_000, "-" * 100_000],
    ids=["letters", "words", "right to left", "surrogates", "separators"],
)
def test_a_hostile_id_costs_no_more_than_an_ordinary_one(errors: ModuleType, word: str) -> None:
    available = [f"server-{number}" for number in range(10_000)]

    def cost(name: str) -> float:
        start = time.process_time()
        errors.ErrorFormatter.not_found("server", name, available)
        return time.process_time() - start

    ordinary = min(cost("servr-9999") for _ in range(5))
    # Folding 100 KB takes a few milliseconds, independent of the available names.
    assert min(cost(word) for _ in range(5)) <= 2 * ordinary + 0.02


def test_suggesting_time_is_proportional_to_the_number_of_candidates(errors: ModuleType) -> None:
    """Return candidates that are all similar, so that comparing them one by one is slowest."""

    def cost(count: int) -> float:
        available = [f"server-{number:06}" for number in range(count)]
        start = time.process_time()
        assert errors.suggest("sevrer-000007", available) == ["server-000007"]
        return time.process_time() - start

    assert min(cost(20_000) for _ in range(3)) <= 30 * min(cost(2_000) for _ in range(3))
