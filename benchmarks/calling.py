"""`normalize_input`, per call, against a bare function and against alternatives.

Each way takes one parameter, which is a dict or else a JSON string of it. The loop around the
calls is in every figure: it makes the bare call look a little slower, and ratios smaller.
"""

# Installed for benchmarks only: the checks have to do without them.
# mypy: disable-error-code="import-not-found", allow-untyped-decorators, allow-subclassing-any
# pyright: reportMissingImports=false

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pydantic

from benchmarks.importing import import_emitted
from benchmarks.report import Panels, Result, Verdict, microseconds
from benchmarks.timing import Timings, loop, take_turns

BARE_LIMIT = 8.0
PYDANTIC_LIMIT = 1 / 3
JSON_LIMIT = 1.6

_BARE = "bare call"
_LOADS = "json.loads()"
_OURS = "normalize_input"
_PYDANTIC = "pydantic.validate_call"
_KEYWORD = "dict by keyword"
_POSITION = "dict by position"
_JSON = "JSON string"

_CONFIG = {"host": "localhost", "port": 8080, "tags": ["a", "b"]}

Config = dict[str, Any]
Configure = Callable[..., Any]  # called by keyword and by position


@dataclass(frozen=True)
class Way:
    """One way to do it, by the argument of the function."""

    takes_dict: Configure
    takes_json: Configure


def measure(folder: Path, quick: bool) -> Result:
    validation = import_emitted("validation", folder / "library")
    timings = _time(_ways(validation), rounds=5 if quick else 301)
    dicts = {case: timings[case] for case in (_KEYWORD, _POSITION)}
    return Result(
        name="call",
        title="Calling through `normalize_input`",
        introduction=(
            "Microseconds a call, and in brackets the ratio to a bare call with the same "
            "argument; for a JSON string, the ratio to `json.loads`."
        ),
        columns=(*timings, "the function receives"),
        rows={
            _BARE: (*(_cell(times, _BARE, _BARE) for times in dicts.values()), "", "the argument"),
            _LOADS: ("", "", _cell(timings[_JSON], _LOADS, _LOADS), ""),
            **{
                name: (*(_cell(times, name, _floor(case)) for case, times in timings.items()), what)
                for name, what in _RECEIVED.items()
            },
        },
        rounds={f"call with a {case}": times.rounds for case, times in timings.items()},
        verdicts=[
            *(
                Verdict(f"{case}, against a bare call", times.ratio(_OURS, _BARE), BARE_LIMIT)
                for case, times in dicts.items()
            ),
            *(
                Verdict(f"{case}, against {_PYDANTIC}", ratio, PYDANTIC_LIMIT)
                for case, times in dicts.items()
                for ratio in [times.ratio(_OURS, _PYDANTIC)]
            ),
            Verdict(
                f"small {_JSON}, against {_LOADS}",
                timings[_JSON].ratio(_OURS, _LOADS),
                JSON_LIMIT,
            ),
        ],
        plot=Panels(
            title="Calling through normalize_input",
            unit=(
                f"times as long as a {_BARE}, and for a JSON string as {_LOADS} (logarithmic)\n"
                "filled blue: the function receives the very dict that was passed"
            ),
            values={
                case: {name: times.ratio(name, _floor(case)) for name in _RECEIVED}
                for case, times in timings.items()
            },
            outstanding={name for name, what in _RECEIVED.items() if what == _SAME},
        ),
    )


def _floor(case: str) -> str:
    return _LOADS if case == _JSON else _BARE


def _cell(times: Timings, name: str, floor: str) -> str:
    return f"{microseconds(times.median(name))} ({times.ratio(name, floor):.2f})"


_SAME = "the same dict"
_RECEIVED = {
    _OURS: _SAME,
    "msgspec, by hand": "a Struct",
    "inspect.Signature.bind()": _SAME,
    _PYDANTIC: "a copy",
}


def _time(ways: Mapping[str, Way], rounds: int) -> dict[str, Timings]:
    text = json.dumps(_CONFIG)
    for name, way in ways.items():
        for received in (way.takes_dict(_CONFIG), way.takes_json(text)):
            assert msgspec.to_builtins(received) == _CONFIG, f"{name} passes something else"
        assert (way.takes_dict(_CONFIG) is _CONFIG) == (_RECEIVED[name] == _SAME), name

    def turns(statement: str, value: Any, rivals: Mapping[str, Configure]) -> Timings:
        loops = {
            name: loop(statement, configure=configure, value=value)
            for name, configure in rivals.items()
        }
        return take_turns(loops, rounds)

    of_dicts = {_BARE: _configure, **{name: way.takes_dict for name, way in ways.items()}}
    of_json = {_LOADS: json.loads, **{name: way.takes_json for name, way in ways.items()}}
    return {
        _KEYWORD: turns("configure(config=value)", _CONFIG, of_dicts),
        _POSITION: turns("configure(value)", _CONFIG, of_dicts),
        _JSON: turns("configure(value)", text, of_json),
    }


def _ways(validation: Any) -> dict[str, Way]:
    either = validation.InputFormat.DICT_OR_JSON
    ours = validation.normalize_input(config=either)(_configure)
    bound = _with_bind(_configure)
    ways = (
        Way(ours, ours),
        Way(_convert_with_msgspec, _decode_with_msgspec),
        Way(bound, bound),
        Way(_with_pydantic, _with_pydantic_and_parser),
    )
    return dict(zip(_RECEIVED, ways, strict=True))


def _configure(config: Any) -> Any:
    return config


# msgspec checks the types of a dict anew at each call; a class is its intended use.
class _Config(msgspec.Struct):
    host: str
    port: int
    tags: list[str]


_decoder = msgspec.json.Decoder(_Config)


def _convert_with_msgspec(config: Any) -> Any:
    return _configure(msgspec.convert(config, _Config))


def _decode_with_msgspec(config: Any) -> Any:
    return _configure(_decoder.decode(config))


def _with_bind(function: Configure) -> Configure:
    """Decorate with the tools of `inspect`, which find an argument wherever it has arrived."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        value = _parse(bound.arguments["config"])
        if not isinstance(value, dict):
            raise TypeError(f"config must be dict or JSON string, got {type(value).__name__}")
        bound.arguments["config"] = value
        return function(*bound.args, **bound.kwargs)

    return wrapper


@pydantic.validate_call
def _with_pydantic(config: Config) -> Config:
    return config


def _parse(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


@pydantic.validate_call
def _with_pydantic_and_parser(
    config: Annotated[Config, pydantic.BeforeValidator(_parse)],
) -> Config:
    return config
