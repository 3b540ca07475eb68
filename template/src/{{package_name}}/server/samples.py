"""Values of a type as JSON: the examples of the description, and the payloads of tests."""

# pyright: reportPrivateUsage=false

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from ..state.typed._types.annotations import DataclassType
from ..state.typed._types.base import Encoded, LiteralValue, Scalar, TypeHandler, tagged
from ..state.typed._types.compound import AnyJson, DictOf, TupleOf, Union
from .payloads import member_name

_NUMBERS: Mapping[str, Sequence[object]] = {
    "int": (1, 0, 2, 3, 120, -1),
    "float": (1.0, 0.0, 0.5, 4.0, 120.0, -1.0),
    "bool": (True, False),
    "None": (None,),
}
_TEXTS: Mapping[type, str] = {
    datetime: "2026-05-17T08:00:00+00:00",
    date: "2026-05-17",
    time: "08:00:00",
    timedelta: "PT90.5S",
    Decimal: "12.50",
    UUID: "6f1d2c3b-4a5e-4f60-8a7b-9c0d1e2f3a4b",
    bytes: "aGVsbG8=",
}
_MAX_DEPTH = 6
# The number of texts to choose from: older ids belong to things that were removed.
_RECENT = 8


def first(options: Sequence[Any]) -> Any:
    """Return the first of some options."""
    return options[0]


class Sampler:
    """Makes values of types.

    Args:
        choose: Chooses one of several options: `first`, or the method of a random generator.

    Attributes:
        texts: Texts to use, such as ids, by the name of the member that had them. Another
            member gets any of them.
    """

    def __init__(self, choose: Callable[[Sequence[Any]], Any] = first) -> None:
        self._choose = choose
        self.texts: dict[str, list[str]] = {}

    def learn(self, name: str, value: object) -> None:
        """Collect the texts in a value that is JSON."""
        match value:
            case str():
                self.texts.setdefault(name, []).append(value)
            case dict():
                for key, each in cast(dict[str, object], value).items():
                    self.learn(key, each)
            case list():
                for each in cast(list[object], value):
                    self.learn(name, each)
            case _:
                pass

    def _text(self, name: str) -> str:
        pools = [self.texts[name]] if name in self.texts else self.texts.values()
        text: str = self._choose((name, *(each for pool in pools for each in pool[-_RECENT:])))
        return text

    def message(self, handler: DataclassType, depth: int = 0) -> dict[str, Any]:
        """Return an object of a dataclass, by default without the members that have a default."""
        values: dict[str, Any] = {}
        for name, each in handler._fields.items():
            required = each.default is MISSING and each.default_factory is MISSING
            if each.init and (required or not self._choose((True, False))):
                form = self.value(handler._handlers[name], name, depth + 1)
                values[name if depth else member_name(name)] = form
        return values

    def value(self, handler: TypeHandler, name: str = "text", depth: int = 0) -> Any:
        """Return a value of a type as JSON; the name serves as a text."""
        match handler:
            case DataclassType():
                return self.message(handler, depth)
            case Scalar():
                kind = self._choose(handler.name.split(" | "))
                return self._choose(_NUMBERS[kind]) if kind in _NUMBERS else self._text(name)
            case LiteralValue():
                return self._choose(handler._values)
            case Encoded():
                return self._encoded(handler._class, handler)
            case AnyJson():
                return self._choose((name, 1, None, True, [1], {"a": 1}))
            case Union():
                member = self._choose(handler.parts)
                form = self.value(member, name, depth + 1)
                return tagged(member.name, form) if member.name in handler._tagged else form
            case TupleOf():
                items = self._some(handler.parts, depth) if handler.is_repeated else handler.parts
                return [self.value(item, name, depth + 1) for item in items]
            case DictOf():
                keys = [self.value(handler.key, name, depth + 1) for _ in self._some((0,), depth)]
                pairs = [[key, self.value(handler.item, name, depth + 1)] for key in keys]
                return dict(pairs) if dict in handler.json_types and handler.is_object else pairs
            case _:  # a list or a set
                items = self._some(handler.parts, depth)
                return [self.value(item, name, depth + 1) for item in items]

    def _encoded(self, cls: type[object], handler: Encoded) -> object:
        if issubclass(cls, Enum):
            return handler.to_json(self._choose([*cls]))
        return _TEXTS.get(cls, "folder/file.txt")

    def _some(self, items: Sequence[Any], depth: int) -> list[Any]:
        return [*items] * (self._choose((1, 0, 2)) if depth < _MAX_DEPTH else 0)
