"""From the annotation of a field to the handler of its type."""

import base64
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from operator import attrgetter
from pathlib import PurePath
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

from .._tree import Payload, StateBase, drained
from . import iso
from .base import (
    TAG,
    Encoded,
    LiteralValue,
    LoadContext,
    Opaque,
    Scalar,
    TypeHandler,
    TypeMismatchError,
    convert,
    tag_of,
    untag,
)
from .compound import AnyJson, AnyObject, DictOf, ListOf, SetOf, TupleOf, Union

R = TypeVar("R")

# Marks a field that is not drained.
TRANSIENT = object()
_UNIONS = (typing.Union, UnionType)
_SCALARS = (str, int, float, bool, NoneType)


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_TEXTS: dict[type, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    datetime: (iso.to_moment, iso.from_moment),
    date: (date.isoformat, date.fromisoformat),
    time: (iso.to_moment, iso.from_time),
    timedelta: (iso.to_duration, iso.from_duration),
    Decimal: (str, Decimal),
    UUID: (str, UUID),
    bytes: (lambda data: base64.b64encode(data).decode(), _from_base64),
}


class DataclassType(TypeHandler):
    """A dataclass: an object in JSON, whose unknown names are ignored."""

    immutable = False
    json_types = frozenset({dict})

    def __init__(self, cls: type, *, any_type: bool) -> None:
        self.name = cls.__name__
        self._class = cls
        self.opaque = self._any_type = any_type

    @cached_property
    def _fields(self) -> dict[str, Field[object]]:
        return {each.name: each for each in fields(self._class)}

    @cached_property
    def _handlers(self) -> dict[str, TypeHandler]:
        hints = get_type_hints(self._class, include_extras=True)
        handlers = {
            name: handler_for(hints[name], any_type=self._any_type) for name in self._fields
        }
        if any(handler.holds_states for handler in handlers.values()):
            raise TypeError(f"The dataclass {self.name} has states in it: make it a State too")
        if TAG in handlers:
            raise TypeError(f"The dataclass {self.name} has a field {TAG!r}: choose another name")
        return handlers

    def validate(self, value: object, context: LoadContext) -> object:
        """Return the object, a copy of a stored one, or the one that a dict stands for."""
        if type(value) is self._class:
            self._convert(value, lambda handler, item: handler.validate(item, LoadContext()))
            return drained(value) if context.stored else value
        form: Any = untag(value, self.name) if context.stored else value
        if context.stored and type(form) is dict and tag_of(form) is None:
            return self._build(cast(dict[str, object], form), context)
        self.reject(value)

    def to_json(self, value: object) -> dict[str, Any]:
        """Return a dict."""
        if type(value) is not self._class:
            self.reject(value)
        return self._convert(value, lambda handler, item: handler.to_json(item))

    def _convert(self, value: object, function: Callable[[TypeHandler, Any], R]) -> dict[str, R]:
        pairs = {name: (each, getattr(value, name)) for name, each in self._handlers.items()}
        converted = convert(pairs.items(), lambda pair: function(*pair), named=True)
        return dict(zip(pairs, converted, strict=True))

    def _build(self, values: dict[str, object], context: LoadContext) -> object:
        known = {name: value for name, value in values.items() if name in self._handlers}
        validated = convert(
            ((name, (self._handlers[name], value)) for name, value in known.items()),
            lambda pair: drained(pair[0].validate(pair[1], context)),
            named=True,
        )
        arguments = dict(zip(known, validated, strict=True))
        others = {name: arguments.pop(name) for name in known if not self._fields[name].init}
        try:
            value = self._class(**arguments)
        except (TypeError, ValueError) as error:
            raise TypeMismatchError(values, f"expected {self.name} ({error})") from error
        for name, item in others.items():
            object.__setattr__(value, name, item)
        return value


class StateType(TypeHandler):
    """A state in a state: its payload in JSON."""

    immutable = False
    holds_states = True
    json_types = frozenset({dict})

    def __init__(self, cls: type[StateBase]) -> None:
        self.name = cls.__name__
        self._class = cls

    def validate(self, value: object, context: LoadContext) -> StateBase:
        """Return the state, or the one that a payload stands for."""
        if type(value) is self._class:
            if not context.stored:
                context.states.append(value)
            return value
        if context.stored and _is_payload(form := untag(value, self.name)):
            return self._class._state_build(form, context)
        self.reject(value)

    def to_json(self, value: Any) -> Payload:
        """Return the payload as JSON."""
        return self._class._state_dump(value) if _is_payload(value) else self.reject(value)


def _is_payload(value: object) -> bool:
    match value:
        case {"__version__": int(), "values": dict()}:
            return len(cast(dict[str, object], value)) == 2
        case _:
            return False


def handler_for(annotation: object, *, any_type: bool = False) -> TypeHandler:
    """Return the handler of a type.

    Args:
        annotation: The type, as in an annotation whose names are resolved.
        any_type: Whether any type is allowed, because its values do not become JSON.

    Raises:
        TypeError: JSON cannot stand for the type, and `any_type` is not set.
    """
    annotation = _strip(annotation)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in _UNIONS:
        return _union_handler([*dict.fromkeys(_members(annotation))], any_type=any_type)
    if origin is Literal and set(map(type, args)) <= {str, int, bool, NoneType}:
        return LiteralValue(args)
    cls: object = origin or annotation
    handler = _container_handler(cls, args, bare=origin is None, any_type=any_type)
    handler = handler or _class_handler(cls, any_type=any_type)
    if handler is None and not any_type:
        raise TypeError(f"JSON cannot stand for {annotation}")
    return handler or Opaque(annotation)


def _strip(annotation: Any) -> object:
    """Return the type that a TypeVar, a NewType, an alias or an annotated type stands for."""
    if isinstance(annotation, TypeVar):
        return _strip(annotation.__bound__ or Any)
    # A NewType, or an alias made with `type`.
    if inner := getattr(annotation, "__supertype__", getattr(annotation, "__value__", None)):
        return _strip(inner)
    if TRANSIENT in get_args(annotation):
        raise TypeError("Transient must enclose the whole type: Transient[str | None]")
    if get_origin(annotation) in (Annotated, Final):
        return _strip(get_args(annotation)[0])
    return annotation


def _strip_parts(annotation: Any) -> object:
    """Return a type whose parts are stripped, so that `set[str]` is one type by any name."""
    origin = get_origin(annotation)
    if annotation is Ellipsis or origin not in (list, dict, set, frozenset, tuple):
        return annotation
    return origin[tuple(_strip_parts(_strip(each)) for each in get_args(annotation))]


def _members(annotation: object) -> Iterator[object]:
    stripped = _strip(annotation)
    if get_origin(stripped) not in _UNIONS:
        yield _strip_parts(stripped)
        return
    for member in get_args(stripped):
        yield from _members(member)


def _union_handler(args: list[Any], *, any_type: bool) -> TypeHandler:
    scalars = [each for each in args if each in _SCALARS]
    members = [handler_for(each, any_type=any_type) for each in args if each not in _SCALARS]
    if scalars:
        members.insert(0, Scalar(scalars))
    return Union(members) if len(members) > 1 else members[0]


def _container_handler(
    cls: object, args: Iterable[object], *, bare: bool, any_type: bool
) -> TypeHandler | None:
    items = [handler_for(each, any_type=any_type) for each in args if each is not Ellipsis]
    anything: TypeHandler = AnyObject() if any_type else AnyJson()
    if cls is list:
        return ListOf(*items or [anything])
    if cls is dict:
        return DictOf(*items or [Scalar([str]), anything])
    if cls is set or cls is frozenset:
        return SetOf(cls, *items or [anything])
    if cls is tuple:
        return TupleOf([anything] if bare else items, repeated=Ellipsis in args or bare)
    return None


def _class_handler(cls: Any, *, any_type: bool) -> TypeHandler | None:
    if cls is Any or cls is object:
        return AnyObject() if any_type else AnyJson()
    if cls is None or cls in _SCALARS:
        return Scalar([NoneType if cls is None else cls])
    return _other_handler(cls, any_type=any_type) if isinstance(cls, type) else None


def _other_handler(cls: type[Any], *, any_type: bool) -> TypeHandler | None:
    if cls in _TEXTS:
        is_encodable = None if any_type or cls not in (datetime, time) else iso.has_known_zone
        return Encoded(cls, *_TEXTS[cls], is_encodable=is_encodable)
    if issubclass(cls, PurePath):
        return Encoded(cls, cls.as_posix, cls)
    if issubclass(cls, Enum):
        return _enum_handler(cls)
    if issubclass(cls, StateBase):
        return StateType(cls)
    return DataclassType(cls, any_type=any_type) if is_dataclass(cls) else None


def _enum_handler(cls: type[Enum]) -> TypeHandler:
    types: set[type] = {type(member.value) for member in cls}
    if types <= {str, int}:
        return Encoded(cls, attrgetter("value"), cls, types)
    return Encoded(cls, attrgetter("name"), cls.__getitem__)
