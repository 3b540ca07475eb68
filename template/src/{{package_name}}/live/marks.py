"""Marks: facts about the values of live states, for browsers, which know no types."""

# pyright: reportPrivateUsage=false

import functools
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar, get_args, get_origin

from ..state.typed import State, fields_of
from ..state.typed._tree import StateBase
from ..state.typed._types.annotations import COUNTER, StateType
from ..state.typed._types.base import CollectionHandler, TypeHandler
from ..state.typed._types.compound import AnyJson, SetOf, TupleOf, Union
from ..state.typed.fields import Field

T = TypeVar("T")

# Marks a field that clients can read, and only the server can write.
SERVER_ONLY = object()
Counter = Annotated[int, COUNTER]
ServerOnly = Annotated[T, SERVER_ONLY]

_Marks = dict[str, dict[str, Any]]


def is_server_only(field: Field) -> bool:
    """Return whether clients may not write a field."""
    return get_origin(field.type) is Annotated and SERVER_ONLY in get_args(field.type)


def classes_within(handler: TypeHandler) -> set[type[StateBase]]:
    """Return the classes of the states in the values of a type, at any depth."""
    found: set[type[StateBase]] = set()
    ahead = [handler]
    while ahead:
        for each in handlers_in(ahead.pop()):
            if isinstance(each, StateType) and each.cls not in found:
                found.add(each.cls)
                ahead += [field.handler for field in fields_of(each.cls).values()]
    return found


def has_server_only(handler: TypeHandler) -> bool:
    """Return whether clients may not write something in the values of a type."""
    return handler.holds_states and any(map(_has_server_only, classes_within(handler)))


@functools.cache
def _has_server_only(cls: type[StateBase]) -> bool:
    return any(map(is_server_only, fields_of(cls).values()))


def handlers_in(handler: TypeHandler) -> Iterator[TypeHandler]:
    """Return a handler and those of its parts, at any depth."""
    yield handler
    for part in () if isinstance(handler, AnyJson) else handler.parts:  # it is a part of itself
        yield from handlers_in(part)


def find_marks(cls: type[State]) -> _Marks:
    """Return the marks of a state class, by the paths of the values."""
    return _Marker().find(cls)


class _Marker:
    """Finds the marks in a class, and in the classes that it refers to by name."""

    def __init__(self) -> None:
        self._found: _Marks = {}
        self._named: set[str] = set()

    def find(self, cls: type[StateBase]) -> _Marks:
        """Return the marks of a class."""
        self._add_fields(cls, "", frozenset())
        return self._found

    def _add_fields(
        self, cls: type[StateBase], prefix: str, around: frozenset[type[StateBase]]
    ) -> None:
        for name, field in fields_of(cls).items():
            if field.drained:
                path = _join(prefix, name)
                if is_server_only(field):
                    self._mark(path, "serverOnly", True)
                self._add(field.handler, path, around | {cls})

    def _add(self, handler: TypeHandler, path: str, around: frozenset[type[StateBase]]) -> None:
        self._mark_value(handler, path)
        match handler:
            case StateType(cls=cls) if cls in around:
                self._mark(path, "class", cls.__name__)
                self._add_named(handler)
            case StateType(cls=cls):
                self._add_fields(cls, path, around)
            case CollectionHandler():
                self._add(handler.item, _join(path, "*"), around)
            case TupleOf():
                for index, part in enumerate(handler.parts):
                    step = "*" if handler.is_repeated else str(index)
                    self._add(part, _join(path, step), around)
            case Union() if not isinstance(handler, AnyJson):
                for part in handler.parts:
                    if part.name in handler._tagged:
                        self._add_named(part)
                    else:
                        self._add(part, path, around)
            case _:
                pass

    def _mark_value(self, handler: TypeHandler, path: str) -> None:
        if handler.counter:
            self._mark(path, "counter", True)
        if isinstance(handler, SetOf) and not handler.immutable:
            self._mark(path, "set", True)
        if isinstance(handler, CollectionHandler) and handler.keep is not None:
            self._mark(path, "keep", handler.keep)

    def _add_named(self, handler: TypeHandler) -> None:
        """Add the marks within a value whose class is named, once."""
        if handler.name not in self._named:
            self._named.add(handler.name)
            prefix = f"{handler.name}:"
            if isinstance(handler, StateType):
                self._add_fields(handler.cls, prefix, frozenset())
            else:
                self._add(handler, prefix, frozenset())

    def _mark(self, path: str, name: str, value: Any) -> None:
        self._found.setdefault(path, {})[name] = value


def _join(path: str, step: str) -> str:
    return path + step if not path or path.endswith(":") else f"{path}/{step}"
