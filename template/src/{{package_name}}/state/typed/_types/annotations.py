"""From the annotation of a field to the handler of its type."""

# pyright: reportPrivateUsage=false

import base64
import sys
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from inspect import get_annotations, signature
from operator import attrgetter
from pathlib import PurePath
from types import MappingProxyType, NoneType, UnionType
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

from .._tree import NamedPayload, Payload, StateBase, drained
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
_CONTAINERS: frozenset[object] = frozenset({list, dict, set, frozenset, tuple})
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

    def __init__(self, cls: type, args: tuple[object, ...], *, any_type: bool) -> None:
        names = [getattr(each, "__name__", str(each)) for each in args]
        self.name = f"{cls.__name__}[{', '.join(names)}]" if args else cls.__name__
        self._class = cls
        self.opaque = any_type
        self._fields: dict[str, Field[object]] = {each.name: each for each in fields(cls)}
        self._handlers: dict[str, TypeHandler] = {}

    def resolve(self, args: tuple[object, ...]) -> None:
        """Find the handlers of the fields.

        Raises:
            NameError: An annotation uses a name that is not defined yet.
            TypeError: JSON cannot stand for the type of a field.
        """
        hints = _bind(self._class, args, _resolve_hints(self._class))
        for name in self._fields:
            self._handlers[name] = handler_for(hints[name], any_type=self.opaque)
        handlers = self._handlers
        if any(handler.holds_states for handler in handlers.values()):
            raise TypeError(f"The dataclass {self.name} has states in it: make it a State too")
        if TAG in handlers:
            raise TypeError(f"The dataclass {self.name} has a field {TAG!r}: choose another name")

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
        restored = dict(zip(known, validated, strict=True))
        try:
            value = self._construct(restored)
        except (TypeError, ValueError) as error:
            raise TypeMismatchError(values, f"expected {self.name} ({error})") from error
        # Those that __post_init__ computes have been computed before.
        for name, item in restored.items():
            object.__setattr__(value, name, item)
        return value

    def _construct(self, values: dict[str, object]) -> object:
        arguments = {name for name, each in self._fields.items() if each.init}
        if set(signature(self._class).parameters) == arguments:
            return self._class(**{n: value for n, value in values.items() if n in arguments})
        # With an InitVar, or an __init__ of its own: its arguments are not stored.
        made = cast(object, object.__new__(self._class))
        for name in self._fields.keys() - values.keys():
            object.__setattr__(made, name, _make_default(self._fields[name]))
        return made


def _resolve_hints(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls, include_extras=True)
    except NameError:
        # A local class, or names for checkers only; those of its own module have priority.
        known = vars(sys.modules[cls.__module__])
        names = {name: value for name, value in _names.get().items() if name not in known}
        return get_type_hints(cls, localns=names, include_extras=True)


def _bind(cls: type, args: tuple[object, ...], hints: dict[str, Any]) -> dict[str, Any]:
    """Return the annotations of a class with the arguments for its type parameters."""
    parameters: tuple[object, ...] = getattr(cls, "__parameters__", ())
    arguments: dict[object, dict[object, object]] = {cls: dict(zip(parameters, args, strict=False))}
    for base in cls.__mro__:
        for alias in base.__dict__.get("__orig_bases__", ()):
            arguments[get_origin(alias)] = {
                parameter: fill(argument, arguments.get(base, {}))
                for parameter, argument in arguments_of(alias)
            }
    owners = {name: base for base in reversed(cls.__mro__) for name in get_annotations(base)}
    return {name: fill(hint, arguments.get(owners[name], {})) for name, hint in hints.items()}


def arguments_of(alias: object) -> Iterable[tuple[object, object]]:
    """Return the type parameters of a generic class, each with its argument in an alias."""
    parameters: tuple[object, ...] = getattr(get_origin(alias), "__parameters__", ())
    return zip(parameters, get_args(alias), strict=False)


def fill(annotation: Any, arguments: Mapping[object, object]) -> object:
    """Return an annotation with arguments in place of type parameters."""
    if isinstance(annotation, TypeVar):
        return arguments.get(annotation, annotation)
    if parameters := getattr(annotation, "__parameters__", ()):
        return annotation[tuple(arguments.get(each, each) for each in parameters)]
    return annotation


def _make_default(field: Field[object]) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    if field.default is MISSING:
        raise TypeError(f"missing {field.name!r}")
    return field.default


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
        case {"__version__": int(), "values": dict()} if not isinstance(value, NamedPayload):
            return len(cast(dict[str, object], value)) == 2
        case _:
            return False


# The names around the class that is declared, and the dataclasses that are being resolved.
_names: ContextVar[Mapping[str, object]] = ContextVar("names", default=MappingProxyType({}))
_unresolved: ContextVar[Mapping[object, DataclassType]] = ContextVar(
    "unresolved", default=MappingProxyType({})
)


@contextmanager
def names_around(names: Mapping[str, object]) -> Generator[None]:
    """Let annotations of dataclasses use some names in the block."""
    token = _names.set(names)
    try:
        yield
    finally:
        _names.reset(token)


def _dataclass_handler(cls: type, args: tuple[object, ...], *, any_type: bool) -> TypeHandler:
    key, unresolved = (cls, args, any_type), _unresolved.get()
    if key in unresolved:  # it contains itself
        return unresolved[key]
    handler = DataclassType(cls, args, any_type=any_type)
    token = _unresolved.set({**unresolved, key: handler})
    try:
        handler.resolve(args)
    except NameError:
        if not any_type:
            raise
        return Opaque(cls)
    finally:
        _unresolved.reset(token)
    return handler


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
    handler = handler or _class_handler(cls, args, any_type=any_type)
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
    origin: Any = get_origin(annotation)
    if annotation is Ellipsis or origin not in _CONTAINERS:
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
    if cls is set:
        return SetOf(set, *items or [anything])
    if cls is frozenset:
        return SetOf(frozenset, *items or [anything])
    if cls is tuple:
        return TupleOf([anything] if bare else items, repeated=Ellipsis in args or bare)
    return None


def _class_handler(cls: Any, args: tuple[object, ...], *, any_type: bool) -> TypeHandler | None:
    if cls is Any or cls is object:
        return AnyObject() if any_type else AnyJson()
    if cls is None or cls in _SCALARS:
        return Scalar([NoneType if cls is None else cls])
    return _other_handler(cls, args, any_type=any_type) if isinstance(cls, type) else None


def _other_handler(
    cls: type[Any], args: tuple[object, ...], *, any_type: bool
) -> TypeHandler | None:
    if cls in _TEXTS:
        is_encodable = None if any_type or cls not in (datetime, time) else iso.has_known_zone
        return Encoded(cls, *_TEXTS[cls], is_encodable=is_encodable)
    if issubclass(cls, PurePath):
        return Encoded(cls, cls.as_posix, cls)
    if issubclass(cls, Enum):
        return _enum_handler(cls)
    if issubclass(cls, StateBase):
        return StateType(cls)
    return _dataclass_handler(cls, args, any_type=any_type) if is_dataclass(cls) else None


def _enum_handler(cls: type[Enum]) -> TypeHandler:
    types: set[type] = {type(member.value) for member in cls}
    if types <= {str, int}:
        return Encoded(cls, attrgetter("value"), cls, types)
    return Encoded(cls, attrgetter("name"), cls.__getitem__)
