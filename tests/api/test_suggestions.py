"""Rates of right suggestions, compared with other libraries, and of words without suggestion.

`typos.json` has three vocabularies, and pairs of a typed word and the intended one, by kind.
Some fifty are misspellings that are common in English. The others were drawn once, with the slips
of a typist (a neighbouring key, a letter left out, doubled or swapped), each place in a word being
as likely, and are kept as they are. So some are ambiguous: a slip may be as close to another word
as to the intended one. A prefix begins one word only. Words close to no other were chosen by
hand, from other subjects than the vocabulary's.
"""

import difflib
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA, JaroWinkler
from support import REPOSITORY, import_module

Suggest = Callable[[str, Sequence[str]], Sequence[str]]


class Pair(NamedTuple):
    kind: str
    vocabulary: str
    typed: str
    meant: str  # empty where nothing is close


_CORPUS: Any = json.loads(Path(__file__).with_name("typos.json").read_text(encoding="utf-8"))
VOCABULARIES: dict[str, list[str]] = _CORPUS["vocabularies"]
PAIRS = [Pair(*fields) for fields in _CORPUS["pairs"]]


@pytest.fixture(scope="module")
def errors() -> ModuleType:
    """The emitted module, imported on its own."""
    module: ModuleType = import_module("errors")
    return module


def suggest_like_cpython(word: str, candidates: Sequence[str]) -> Sequence[str]:
    """Suggest as `NameError` does: `_compute_suggestion_error` of CPython's traceback.py."""
    best, least = [], float("inf")
    for candidate in candidates:
        limit = min((len(word) + len(candidate) + 3) * 2 // 6, least - 1)
        if 2 * abs(len(word) - len(candidate)) <= limit:
            distance = weighted_distance(word, candidate)
            if distance <= limit:
                best, least = [candidate], distance
    return best


def weighted_distance(a: str, b: str) -> int:
    """Return CPython's distance: 2 an insertion, deletion or substitution, 1 a change of case."""
    row = [2 * column for column in range(len(b) + 1)]
    for letter in a:
        previous, row = row, [row[0] + 2]
        for column, other in enumerate(b):
            cost = 0 if letter == other else 1 if letter.lower() == other.lower() else 2
            row.append(min(previous[column] + cost, previous[column + 1] + 2, row[column] + 2))
    return row[-1]


def osa_distance(a: str, b: str) -> int:
    """Return the optimal string alignment distance, by the recurrence that defines it."""
    d = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            wrong = a[i - 1] != b[j - 1]
            d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + wrong)
            if i > 1 and j > 1 and (a[i - 2], a[i - 1]) == (b[j - 1], b[j - 2]):
                d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
    return d[len(a), len(b)]


def rapidfuzz(scorer: Callable[..., float], cutoff: float) -> Suggest:
    def suggest(word: str, candidates: Sequence[str]) -> Sequence[str]:
        found = process.extract(word, candidates, scorer=scorer, score_cutoff=cutoff, limit=3)
        return [name for name, _score, _index in found]

    return suggest


RIVALS: Mapping[str, Suggest] = {
    "difflib, cutoff 0.6": difflib.get_close_matches,
    "CPython's own": suggest_like_cpython,
    "rapidfuzz WRatio, 60": rapidfuzz(fuzz.WRatio, 60),
    "rapidfuzz OSA, 0.6": rapidfuzz(OSA.normalized_similarity, 0.6),
    "rapidfuzz JaroWinkler, 0.8": rapidfuzz(JaroWinkler.similarity, 0.8),
}


def measure(suggest: Suggest) -> dict[str, float]:
    """Return, by kind of pair, the percentage with the right word first; for the last kind, any."""
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for pair in PAIRS:
        found = list(suggest(pair.typed, VOCABULARIES[pair.vocabulary]))
        outcomes[pair.kind].append(found[:1] == [pair.meant] if pair.meant else bool(found))
    return {kind: 100 * sum(hits) / len(hits) for kind, hits in outcomes.items()}


@pytest.fixture(scope="module")
def results(errors: ModuleType) -> dict[str, dict[str, float]]:
    """Return the rates of each library, printed as a Markdown table (`pytest -s` shows it)."""
    suggesters = {"errors.suggest": errors.suggest, **RIVALS}
    table = {name: measure(suggest) for name, suggest in suggesters.items()}
    lines = ["", f"|  | {' | '.join(table['errors.suggest'])} |"]
    for name, row in table.items():
        lines.append(f"| {name} | {' | '.join(f'{value:.1f}' for value in row.values())} |")
    sys.stdout.write("\n".join([*lines, ""]))
    return table


def test_the_corpus_is_large_and_consistent() -> None:
    assert len(PAIRS) >= 500
    assert len({(pair.vocabulary, pair.typed) for pair in PAIRS}) == len(PAIRS)
    for pair in PAIRS:
        words = VOCABULARIES[pair.vocabulary]
        assert pair.typed not in words
        assert pair.meant in [*words, ""]
        distance = osa_distance(pair.typed, pair.meant)
        match pair.kind:
            case "one edit" | "transposition":
                assert distance == 1, pair
            case "two edits":
                assert distance == 2, pair
            case "prefix":
                assert [word for word in words if word.startswith(pair.typed)] == [pair.meant]
            case "case":
                assert pair.typed.lower() == pair.meant.lower()
            case kind:
                assert (kind, pair.meant) == ("nothing close", "")


@pytest.mark.parametrize("kind", ["one edit", "transposition"])
def test_a_single_slip_finds_its_word(kind: str, results: dict[str, dict[str, float]]) -> None:
    assert results["errors.suggest"][kind] >= 97


@pytest.mark.parametrize("kind", ["prefix", "case"])
def test_prefixes_and_case_are_found_at_least_as_well_as_by_others(
    kind: str, results: dict[str, dict[str, float]]
) -> None:
    assert results["errors.suggest"][kind] >= max(results[rival][kind] for rival in RIVALS)


def test_most_words_with_two_slips_are_found(results: dict[str, dict[str, float]]) -> None:
    assert results["errors.suggest"]["two edits"] >= 75


def test_a_word_close_to_no_other_gets_no_suggestion(
    results: dict[str, dict[str, float]],
) -> None:
    assert results["errors.suggest"]["nothing close"] <= 1


def test_the_guide_states_the_measured_rates(results: dict[str, dict[str, float]]) -> None:
    guide = REPOSITORY / "template/user-docs/how-to/improve-error-messages.md.jinja"
    table = guide.read_text().split("lower is better.\n\n")[1].split("\n\n")[0]
    for line, row in zip(table.splitlines()[2:], results.values(), strict=True):
        cells = [cell.strip() for cell in line.split("|")[2:-1]]
        assert cells == [f"{value:.1f}" for value in row.values()], line


def fold(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in " -_\n")


def expect(word: str, candidates: Sequence[str]) -> set[str]:
    """Return the words that may be suggested, by the plainest code."""
    key = fold(word)
    distances = {name: osa_distance(key, fold(name)) for name in candidates}
    orders = {fold("".join(order)) for order in permutations(word.replace("_", " ").split(" "))}
    rounds: list[set[str]] = [
        {name for name in candidates if fold(name) == key},
        {
            name
            for name in candidates
            if (len(key) >= 2 and fold(name).startswith(key))
            or (len(key) >= 3 and distances[name] <= 1)
        },
        {name for name in candidates if fold(name) in orders},
        {
            name
            for name in candidates
            if len(key) >= 6 and distances[name] <= 2 and fold(name)[0] in key[:2]
        },
    ]
    return next(filter(None, rounds), set())


WORDS = st.text("abcß _A", max_size=8).filter(lambda word: word.count(" ") + word.count("_") < 4)


@settings(max_examples=300, deadline=None, database=None)
@given(word=WORDS, candidates=st.lists(st.text("abcß _A\n", max_size=9), max_size=6))
def test_comparing_all_candidates_at_once_equals_comparing_one_by_one(
    errors: ModuleType, word: str, candidates: list[str]
) -> None:
    found = errors.suggest(word, candidates, limit=len(candidates))
    assert len(found) == len(set(found))
    assert set(found) == expect(word, candidates)


@settings(max_examples=200, deadline=None, database=None)
@given(data=st.data(), word=st.text("abcd", min_size=6, max_size=9))
def test_comparing_near_candidates_equals_comparing_one_by_one(
    errors: ModuleType, data: st.DataObject, word: str
) -> None:
    candidates = [data.draw(slips(word)) for _ in range(4)]
    assert set(errors.suggest(word, candidates, limit=4)) == expect(word, candidates)


@st.composite
def slips(draw: st.DrawFn, word: str) -> str:
    """A word after up to four slips, which may meet in one place."""
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(word)))
        letter = draw(st.sampled_from("abcd"))
        before, after = word[:at], word[at:]
        slipped = (before + after[1:], before + letter + after, before + letter + after[1:])
        word = draw(st.sampled_from([*slipped, before + after[1:2] + after[:1] + after[2:]]))
    return word
