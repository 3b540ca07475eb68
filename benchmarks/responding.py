"""`Response.success()` with logging off, against the dict that it returns, written by hand.

A caller would have to use `json.dumps` on the dict to learn that it is serializable,
and pydantic does both: it checks, and returns a plain dict.
"""

# Installed for benchmarks only: the checks have to do without it.
# mypy: disable-error-code="import-not-found", allow-subclassing-any
# pyright: reportMissingImports=false

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pydantic

from benchmarks.importing import import_emitted
from benchmarks.report import Bars, Result, Verdict, microseconds
from benchmarks.timing import Rival, Timings, loop, take_turns

LIMIT = 5.0
LINEAR_LIMIT = 1.5

_LITERAL = "dict literal"
_OURS = "Response.success()"

# Written in place, without a call: so it takes the least time possible.
_WRITTEN = """{
    "status": "success",
    "action": action,
    "data": data,
    "metadata": {},
    "timestamp": time.time(),
}"""
_SMALL = {"id": "u1", "name": "Ada", "active": True}
_ENTRIES = (10, 1_000, 100_000)

Success = Callable[[str, Any], dict[str, Any]]


def measure(folder: Path, quick: bool) -> Result:
    responses = import_emitted("responses", folder / "library")
    assert not logging.getLogger(responses.__name__).isEnabledFor(logging.INFO)
    ways: dict[str, Success] = {
        _OURS: responses.Response.success,
        "literal and json.dumps()": _literal_and_dumps,
        "pydantic model, model_dump()": _model_and_dump,
    }
    small = _time_small(ways, rounds=5 if quick else 301)
    large = _time_large(ways, rounds=2 if quick else 15)
    few, many = _ENTRIES[1:]
    growth = large.ratio(_case(_OURS, many), _case(_OURS, few))
    ratios = {name: small.ratio(name, _LITERAL) for name in ways}
    return Result(
        name="respond",
        title="Making a response",
        introduction=(
            "Microseconds for data of three members, and in brackets the ratio to the dict "
            "literal. For lists of records of four members: microseconds a record."
        ),
        columns=("small data", *(f"{entries:,} records" for entries in _ENTRIES)),
        rows={
            _LITERAL: (f"{microseconds(small.median(_LITERAL))} (1.00)", *("" for _ in _ENTRIES)),
            **{
                name: (
                    f"{microseconds(small.median(name))} ({ratio:.2f})",
                    *(microseconds(large.median(_case(name, entries))) for entries in _ENTRIES),
                )
                for name, ratio in ratios.items()
            },
        },
        rounds={"response of small data": small.rounds, "response of records": large.rounds},
        verdicts=[
            Verdict(f"small data, against the {_LITERAL}", ratios[_OURS], LIMIT),
            Verdict(f"a record of {many:,}, against one of {few:,}", growth, LINEAR_LIMIT),
        ],
        plot=Bars(
            title="Making a response of small data",
            unit=f"times as long as the {_LITERAL} (which checks nothing)",
            values=ratios,
            limit=LIMIT,
        ),
    )


def _time_small(ways: dict[str, Success], rounds: int) -> Timings:
    arguments = {"action": "add", "data": _SMALL}
    rivals = {
        name: loop("success(action, data)", success=success, **arguments)
        for name, success in ways.items()
    }
    return take_turns({_LITERAL: loop(_WRITTEN, time=time, **arguments), **rivals}, rounds)


def _time_large(ways: dict[str, Success], rounds: int) -> Timings:
    """Time the same number of records in each case, in one response or in thousands."""
    records = [_record(number) for number in range(max(_ENTRIES))]

    def rival(success: Success, entries: int) -> Rival:
        parts = [records[i : i + entries] for i in range(0, len(records), entries)]

        def list_all() -> None:
            for part in parts:
                success("list", part)

        return Rival(list_all, times=len(records))

    rivals = {
        _case(name, entries): rival(success, entries)
        for entries in _ENTRIES
        for name, success in ways.items()
    }
    return take_turns(rivals, rounds)


def _case(name: str, entries: int) -> str:
    return f"{name}, {entries}"


def _record(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"server-{number}",
        "load": number / 7,
        "active": number % 3 > 0,
    }


def _literal_and_dumps(action: str, data: Any = None, **metadata: Any) -> dict[str, Any]:
    response = {
        "status": "success",
        "action": action,
        "data": data,
        "metadata": metadata,
        "timestamp": time.time(),
    }
    json.dumps(response)
    return response


class _Model(pydantic.BaseModel):
    status: Literal["success"] = "success"
    action: str
    data: Any = None
    metadata: dict[str, Any]
    timestamp: float = pydantic.Field(default_factory=time.time)


def _model_and_dump(action: str, data: Any = None, **metadata: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = _Model(action=action, data=data, metadata=metadata).model_dump(
        mode="json"
    )
    return dumped
