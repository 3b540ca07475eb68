"""Declared state, beside other ways to declare the fields of a class.

For JSON the rivals have 1,000 fields of 1,000 entries each: lists of integers, of floats and of
text, and dicts of integers by text, as many of each. Each is used as its documentation shows,
and checks its input where it can.
"""

# Installed for benchmarks only: the checks have to do without them.
# mypy: disable-error-code="import-not-found", allow-subclassing-any, allow-untyped-calls
# pyright: reportMissingImports=false

import gc
import importlib
import itertools
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import attrs
import cattrs.preconf.orjson
import msgspec
import pydantic
import traitlets

from benchmarks.importing import importable_library
from benchmarks.report import Panels, Result, Verdict, duration
from benchmarks.timing import Rival, Timings, loop, take_turns

# Times msgspec, which is compiled and notifies no listener.
LIMIT = 3.0

_OURS = "State"
_LISTENING = "State, with a listener"
_PLAIN = "plain object"
_ATTRS = "attrs, cattrs"
_PYDANTIC = "pydantic"
_MSGSPEC = "msgspec"
_TRAITLETS = "traitlets"
_OBSERVED = "traitlets, with an observer"

_READ = "read"
_WRITE = "write"
_APPEND = "append"
_ENCODE = "drain and encode"
_DECODE = "decode and hydrate"

_FIELDS = 1_000
_ENTRIES = 1_000

_PACKAGE = "declaring"


@dataclass(frozen=True)
class Form:
    """One way to make JSON of an object, and an object of JSON."""

    value: Any
    encode: Callable[[Any], bytes | str]
    decode: Callable[[bytes], Any]


def measure(folder: Path, quick: bool) -> Result:
    library = importable_library(folder / "library", _PACKAGE, include_typed_state=True)
    sys.path.insert(0, str(library))
    emitted = importlib.import_module(f"{_PACKAGE}.state")
    rounds = 5 if quick else 201
    timings = {
        **_time_attributes(emitted, rounds),
        _APPEND: _time_appending(emitted, rounds),
        **_time_json(emitted, 20 if quick else _FIELDS, 2 if quick else 11),
    }
    strict = _time_strict_mode(emitted, rounds)
    names = dict.fromkeys(name for times in timings.values() for name in times.seconds)
    return Result(
        name="state",
        title="Declared state",
        introduction=(
            "The time for reading, writing and appending an integer, and in brackets the ratio "
            f"to a plain object or list; then for JSON of {_FIELDS:,} fields of {_ENTRIES:,} "
            "entries each, and the ratio to msgspec."
        ),
        columns=(*timings,),
        rows={
            name: tuple(_cell(times, name, _floor(case)) for case, times in timings.items())
            for name in names
        },
        rounds={f"state: {case}": times.rounds for case, times in timings.items()},
        verdicts=list(_verdicts(timings)),
        plot=Panels(
            title="Declared state",
            unit=(
                f"times as long as a {_PLAIN}, and for JSON as {_MSGSPEC} (logarithmic)\n"
                "filled blue: listeners are notified of changes"
            ),
            values={
                case: {
                    name: times.ratio(name, _floor(case))
                    for name in times.seconds
                    if name not in (_LISTENING, _OBSERVED)
                }
                for case, times in timings.items()
                if case != _APPEND
            },
            outstanding={_OURS, _TRAITLETS},
        ),
        notes=[
            (
                "State, pydantic (`validate_assignment`), attrs (`instance_of`) and traitlets "
                "check what is written; a plain object and a `msgspec.Struct` do not. Each write "
                "gives another value than there was."
            ),
            (
                f"{_MSGSPEC}: `to_builtins` and then `encode`, as a state is drained and then "
                "encoded; and its typed decoder."
            ),
            f"A write, by strict mode, against {_ON}: "
            + ", ".join(
                f"{name} {duration(strict.median(name))} ({strict.ratio(name, _ON):.2f})"
                for name in strict.seconds
            )
            + ".",
        ],
    )


def _floor(case: str) -> str:
    return _MSGSPEC if case in (_ENCODE, _DECODE) else _PLAIN


def _cell(times: Timings, name: str, floor: str) -> str:
    if name not in times.seconds:
        return ""
    return f"{duration(times.median(name))} ({times.ratio(name, floor):.2f})"


def _verdicts(timings: Mapping[str, Timings]) -> Iterator[Verdict]:
    limits = {
        _READ: {_TRAITLETS: 1.0},
        _WRITE: {_PYDANTIC: 1.0},
        _ENCODE: {_MSGSPEC: LIMIT, _PYDANTIC: 1.0, _ATTRS: 1.0},
        _DECODE: {_MSGSPEC: LIMIT, _PYDANTIC: 1.0, _ATTRS: 1.0},
    }
    for case, rivals in limits.items():
        for name, limit in rivals.items():
            yield Verdict(f"{case}, against {name}", timings[case].ratio(_OURS, name), limit)


def _time_attributes(emitted: Any, rounds: int) -> dict[str, Timings]:
    things = {name: cls(count=0) for name, cls in _small_classes(emitted).items()}
    told: list[object] = []
    things[_LISTENING] = type(things[_OURS])(count=0)
    things[_LISTENING].on_change(told.append)
    things[_OBSERVED] = type(things[_TRAITLETS])(count=0)
    things[_OBSERVED].observe(told.append, names="count")
    writing = {name: _writing(thing, told.clear) for name, thing in things.items()}
    for name, rival in writing.items():
        told.clear()
        rival.run()
        assert bool(told) == (name in (_LISTENING, _OBSERVED)), name
    reading = {
        name: loop("thing.count", thing=thing)
        for name, thing in things.items()
        if name not in (_LISTENING, _OBSERVED)
    }
    return {_READ: take_turns(reading, rounds), _WRITE: take_turns(writing, rounds)}


def _writing(thing: Any, prepare: Callable[[], object]) -> Rival:
    # Two writes: the written value always differs from the old one.
    rival = loop("thing.count = 1_000; thing.count = 2_000", thing=thing)
    return replace(rival, prepare=prepare, times=2 * rival.times)


def _small_classes(emitted: Any) -> dict[str, Any]:
    class Plain:
        def __init__(self, count: int) -> None:
            self.count = count

    class Declared(emitted.State):
        count: int

    class Traits(traitlets.HasTraits):
        count = traitlets.Int()

    @attrs.define
    class Defined:
        count: int = attrs.field(validator=attrs.validators.instance_of(int))

    class Struct(msgspec.Struct):
        count: int

    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(validate_assignment=True)
        count: int

    return {
        _PLAIN: Plain,
        _OURS: Declared,
        _TRAITLETS: Traits,
        _ATTRS: Defined,
        _MSGSPEC: Struct,
        _PYDANTIC: Model,
    }


def _time_appending(emitted: Any, rounds: int) -> Timings:
    class Declared(emitted.State):
        items: list[int] = emitted.field(default_factory=list)

    plain: list[int] = []
    tracked, listened = Declared(), Declared()
    told: list[object] = []
    listened.on_change(told.append)

    def start_again() -> None:
        for items in (plain, tracked.items, listened.items, told):
            items.clear()

    lists = {_PLAIN: plain, _OURS: tracked.items, _LISTENING: listened.items}
    rivals = {
        name: replace(loop("items.append(1_000)", items=items), prepare=start_again)
        for name, items in lists.items()
    }
    assert told
    return take_turns(rivals, rounds)


_ON = "on"


def _time_strict_mode(emitted: Any, rounds: int) -> Timings:
    # In a function of its own, so that each class is asked for its own `__strict__`.
    def make(strict: bool | None) -> Any:
        class Declared(emitted.State):
            __strict__ = strict
            count: int

        return Declared(count=0)

    def rival(
        *, of_class: bool | None = None, process: bool = True, block: Any = nullcontext
    ) -> Rival:
        writing = _writing(make(of_class), lambda: emitted.set_strict(process))

        def run() -> None:
            with block():
                writing.run()

        return replace(writing, run=run)

    rivals = {
        _ON: rival(),
        "off": rival(process=False),
        "off in a block": rival(block=lambda: emitted.strict_mode(False)),
        "on for the class": rival(of_class=True, process=False),
        "off for the class": rival(of_class=False),
    }
    timings = take_turns(rivals, rounds)
    emitted.set_strict(True)
    return timings


def _time_json(emitted: Any, fields: int, rounds: int) -> dict[str, Timings]:
    encoding: dict[str, Rival] = {}
    decoding: dict[str, Rival] = {}
    made: list[object] = []

    def clean() -> None:
        # Garbage of one rival must not cost the next one time, nor itself: some leave
        # that to the garbage collector.
        made.clear()
        gc.collect()

    def keep(function: Callable[[Any], object], argument: Any) -> Rival:
        return Rival(lambda: made.append(function(argument)), clean)

    for name, form in _forms(emitted, *_data(fields)).items():
        encoded = form.encode(form.value)
        data = encoded.encode() if isinstance(encoded, str) else encoded
        assert form.decode(data) == form.value, name
        encoding[name] = keep(form.encode, form.value)
        decoding[name] = keep(form.decode, data)
    return {_ENCODE: take_turns(encoding, rounds), _DECODE: take_turns(decoding, rounds)}


def _data(fields: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the types of the fields and their values, the same in every run."""
    numbers = random.Random(0)  # noqa: S311 - a choice
    makers: dict[Any, Callable[[], Any]] = {
        list[int]: lambda: numbers.choices(range(1_000_000), k=_ENTRIES),
        list[float]: lambda: [numbers.gauss(15.0, 10.0) for _ in range(_ENTRIES)],
        list[str]: lambda: [f"station {numbers.randrange(100_000)}" for _ in range(_ENTRIES)],
        dict[str, int]: lambda: {
            f"key-{number}": numbers.randrange(1_000_000)
            for number in numbers.sample(range(100_000), _ENTRIES)
        },
    }
    names = (f"field_{number:03}" for number in range(fields))
    types = dict(zip(names, itertools.cycle(makers), strict=False))
    return types, {name: makers[declared]() for name, declared in types.items()}


def _forms(emitted: Any, types: dict[str, Any], values: dict[str, Any]) -> dict[str, Form]:
    wide: Any = type("Wide", (emitted.State,), {"__annotations__": types, "__module__": __name__})
    codec = emitted.JsonCodec()
    struct = msgspec.defstruct("Wide", [*types.items()], kw_only=True)
    decoder = msgspec.json.Decoder(struct)
    defined: Any = attrs.make_class(
        "Wide", {name: attrs.field(type=declared) for name, declared in types.items()}, kw_only=True
    )
    converter = cattrs.preconf.orjson.make_converter()
    model: Any = pydantic.create_model("Wide", **types)
    return {
        _OURS: Form(
            wide(**values),
            lambda state: codec.encode(wide, state.drain()),
            lambda data: wide.hydrate(codec.decode(data)),
        ),
        _ATTRS: Form(
            defined(**values), converter.dumps, lambda data: converter.loads(data, defined)
        ),
        _MSGSPEC: Form(
            struct(**values),
            lambda value: msgspec.json.encode(msgspec.to_builtins(value)),
            decoder.decode,
        ),
        _PYDANTIC: Form(
            model(**values), lambda value: value.model_dump_json(), model.model_validate_json
        ),
    }
