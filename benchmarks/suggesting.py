"""`ErrorFormatter.not_found`, against the same message with suggestions from others.

Every rival is given the list of names anew, as an error is: nothing is prepared in advance.
"""

# Installed for benchmarks only: the checks have to do without it.
# mypy: disable-error-code="import-not-found"
# pyright: reportMissingImports=false

import difflib
import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from rapidfuzz import process
from rapidfuzz.distance import OSA

from benchmarks.importing import import_emitted
from benchmarks.report import Bars, Result, Verdict, milliseconds
from benchmarks.timing import Rival, Timings, take_turns

LIMIT = 1 / 3

_OURS = "not_found"
_DIFFLIB = "difflib.get_close_matches"
_RAPIDFUZZ = "rapidfuzz, OSA"

_COUNTS = (10, 1_000, 100_000)
_COUNTS_WITH_TARGET = (1_000, 100_000)
_FIRST = """
alpha amber arctic brave calm clever coral crisp daily early eastern fast fresh global golden inner
lunar major modern north prime quiet rapid royal silent solar stable upper vivid western
"""
_SECOND = """
archive backup billing broker bucket cache catalog cluster console database gateway indexer ingest
ledger mailer mirror monitor notifier payment planner proxy queue registry replica scheduler search
session storage tracker worker
"""

Message = Callable[[str, Sequence[str]], str]


def measure(folder: Path, quick: bool) -> Result:
    formatter = import_emitted("errors", folder / "library").ErrorFormatter
    rivals: dict[str, Message] = {
        _OURS: lambda word, names: formatter.not_found("server", word, names),
        _DIFFLIB: lambda word, names: _say(word, difflib.get_close_matches(word, names)),
        _RAPIDFUZZ: lambda word, names: _say(word, _extract(word, names)),
    }
    timings = {count: _time(rivals, count, quick) for count in _COUNTS}
    ratios = {count: times.ratio(_OURS, _DIFFLIB) for count, times in timings.items()}
    return Result(
        name="suggest",
        title="Suggesting the intended name",
        introduction=(
            "Milliseconds for the message that a name was not found, with one letter missing in "
            "it, and in brackets the ratio to difflib."
        ),
        columns=tuple(f"{count:,} names" for count in _COUNTS),
        rows={
            name: tuple(
                f"{milliseconds(times.median(name))} ({times.ratio(name, _DIFFLIB):.2f})"
                for times in timings.values()
            )
            for name in rivals
        },
        rounds={f"suggest among {count:,}": times.rounds for count, times in timings.items()},
        verdicts=[
            Verdict(f"not_found among {count:,}, against difflib", ratios[count], LIMIT)
            for count in _COUNTS_WITH_TARGET
        ],
        plot=Bars(
            title="Suggesting the intended name",
            unit="times as long as with difflib",
            values={f"{count:,} names": ratios[count] for count in _COUNTS_WITH_TARGET},
            limit=LIMIT,
        ),
        notes=[
            (
                "difflib and rapidfuzz distinguish upper and lower case and do not know prefixes; "
                "rapidfuzz is compiled, the others are not."
            )
        ],
    )


def _time(rivals: dict[str, Message], count: int, quick: bool) -> Timings:
    names = _make_names(count)
    meant = names[count // 2]
    word = meant[:3] + meant[4:]
    for name, message in rivals.items():
        assert f"'{meant}'" in message(word, names), f"{name} does not find it"
    times = max(1, 1_000 // count)

    def rival(message: Message) -> Rival:
        return Rival(lambda: [message(word, names) for _ in range(times)], times=times)

    rounds = 3 if quick else 31 if count == max(_COUNTS) else 101
    return take_turns({name: rival(message) for name, message in rivals.items()}, rounds)


def _make_names(count: int) -> list[str]:
    """Return names as servers have them, the same in every run, in no order."""
    parts = itertools.product(_FIRST.split(), _SECOND.split(), range(1, 113))
    names = [f"{first}-{second}-{number}" for first, second, number in parts]
    return random.Random(0).sample(names, count)  # noqa: S311 - a choice


def _extract(word: str, names: Sequence[str]) -> list[str]:
    scorer = OSA.normalized_similarity
    found = process.extract(word, names, scorer=scorer, score_cutoff=0.6, limit=3)
    return [name for name, _score, _index in found]


def _say(word: str, suggestions: Sequence[str]) -> str:
    quoted = ", ".join(f"'{name}'" for name in suggestions)
    return f"Server '{word}' not found. Did you mean one of: {quoted}?"
