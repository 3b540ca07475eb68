"""States as plain JSON: the view form, in which a state is the object of its drained fields.

A view has neither versions nor the values of queries. A dict is an object, whatever its keys
are, so that a path leads through it. Where a union leaves the type open, values have tags,
as in a payload.
"""

# pyright: reportPrivateUsage=false

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn, TypeGuard, TypeVar, cast

from ...utils.persistence import to_envelope
from ._hydration import HydrationError, describe_mismatch, finishing_states
from ._tree import EncodedPayload, StateBase
from ._types.annotations import StateType, is_payload
from ._types.base import (
    TAG,
    LoadContext,
    TypeHandler,
    TypeMismatchError,
    convert,
    tag_of,
    tagged,
    untag,
)
from ._types.compound import DictOf, ListOf, TupleOf, Union, is_list_of_pairs
from .fields import Field, fields_of
from .state import State, preserved_queries, suggest

S = TypeVar("S", bound=State)
View = dict[str, Any]

# The version and the unknown values of a state whose payload was newer than its class. Names
# of fields do not end in underscores.
_NEWER = "__newer__"
# The largest integer that JavaScript reads exactly.
MAX_SAFE_INTEGER = 2**53 - 1
_TEXT = frozenset({str})


def view(state: State) -> View:
    """Return the drained fields of a state as JSON.

    Raises:
        TypeError: A value is not of the type of its field, or JSON does not have it.
    """
    cls = type(state)
    try:
        return _ToView().convert_state(cls, cls._state_dump(state.drain()))
    except TypeMismatchError as error:
        raise TypeError(f"Cannot view {describe_mismatch(cls.__name__, error)}") from error


def view_of(handler: TypeHandler, value: object) -> Any:
    """Return a value that a state keeps as JSON.

    Raises:
        TypeMismatchError: It is not of the type.
    """
    return _ToView().convert(handler, handler.to_json(handler.drain(value)))


def view_unshared(state: State) -> View:
    """Return the view of a state that nothing else refers to yet, as `view()` does.

    It takes the lock for one inner state at a time: others can be changed while it works on a
    large one.

    Raises:
        TypeMismatchError: A value is not of the type of its field.
    """
    node, fields = state._state_node, _drained_fields(type(state))
    form = {name: view_of(field.handler, node.values[name]) for name, field in fields.items()}
    if node.newer:
        version, unknown = node.newer
        form[_NEWER] = to_envelope(unknown, version)
    return form


def from_view(handler: TypeHandler, form: object, *, from_client: bool = False) -> Any:
    """Return the value that JSON stands for, as a state keeps it.

    States in it are complete, and their effects run after the change in progress. A payload
    may stand for a state too.

    Args:
        handler: The handler of the type.
        form: The JSON.
        from_client: Whether a client has written it, so that a bool is not a number.

    Raises:
        TypeMismatchError: The JSON does not stand for a value of the type.
        HydrationError: A payload in it does not fit its class.
        StateVersionError: A payload in it is newer than its class.
    """
    context = LoadContext(stored=True, encoded=True, from_client=from_client)
    with finishing_states(context):
        return parse(handler, form, context)


def parse(handler: TypeHandler, form: object, context: LoadContext) -> Any:
    """Return the value that JSON stands for; its states are incomplete. Raises as `from_view()`."""
    try:
        return handler.validate(_FromView().convert(handler, form), context)
    except RecursionError as error:
        raise TypeMismatchError(form, f"expected {handler.name}, less deeply nested") from error


def hydrate_view(cls: type[S], form: View, versions: Mapping[str, int]) -> S:
    """Return the state of a view of any version.

    Args:
        cls: The class of the state.
        form: The view. It is not changed.
        versions: The versions of the classes in it, as `versions_of()` has returned them.

    Raises:
        HydrationError: It does not fit; no object was made.
        StateVersionError: It is newer than the class, which does not allow that.
    """
    try:
        payload = EncodedPayload(_FromView(versions).convert_state(cls, form))
    except RecursionError as error:
        raise HydrationError(f"Cannot hydrate {cls.__name__}: nested too deeply") from error
    return cls.hydrate(payload)


def versions_of(cls: type[StateBase]) -> dict[str, int]:
    """Return the versions of a state class and of all classes of states in it, by name.

    Raises:
        TypeError: Two of the classes have the same name.
    """
    found: dict[str, type[StateBase]] = {}
    ahead = [cls]
    while ahead:
        each = ahead.pop()
        if found.setdefault(each.__name__, each) is not each:
            raise TypeError(
                f"{cls.__name__} contains two classes named {each.__name__}: rename one of them"
            )
        ahead += [
            inner
            for field in _drained_fields(each).values()
            for inner in _classes_in(field.handler)
            if found.get(inner.__name__) is not inner
        ]
    return {name: each.__version__ for name, each in found.items()}


def _classes_in(handler: TypeHandler) -> Iterator[type[StateBase]]:
    if isinstance(handler, StateType):
        yield handler.cls
    elif handler.holds_states:
        for part in handler.parts:
            yield from _classes_in(part)


def _drained_fields(cls: type[StateBase]) -> dict[str, Field]:
    return {name: field for name, field in fields_of(cls).items() if field.drained}


def step_of(handler: TypeHandler, key: object) -> str | int:
    """Return the step of a path to a dict key: a whole number from 0, or else text.

    An integer that JavaScript cannot read exactly is text too.

    Args:
        handler: The handler of the keys.
        key: The key.

    Raises:
        TypeMismatchError: The key is not of the type.
    """
    form = handler.to_json(key)
    is_number = type(form) is int and 0 <= form <= MAX_SAFE_INTEGER
    return form if is_number else _name_of(handler, form)


def key_of(handler: TypeHandler, step: str | int, *, from_client: bool = False) -> object:
    """Return the dict key that a step of a path, or a name in a view, stands for.

    Args:
        handler: The handler of the keys.
        step: The JSON of the key, or the text of it.
        from_client: Whether a client has written it, so that a bool is not a number.

    Raises:
        TypeMismatchError: It does not stand for a key of the type.
    """
    form = _from_text(step) if isinstance(step, str) and handler.json_types != _TEXT else step
    context = LoadContext(stored=True, encoded=True, from_client=from_client)
    try:
        return handler.validate(form, context)
    except TypeMismatchError:
        if form is step:
            raise
        return handler.validate(step, context)


def _name_of(handler: TypeHandler, form: object) -> str:
    """Return the name of a key in a view: its JSON if that is text, else the text of it.

    Where keys may be text and others, text that looks like JSON is quoted.
    """
    if isinstance(form, str) and (handler.json_types == _TEXT or _from_text(form) is form):
        return form
    return json.dumps(form, separators=(",", ":"))


def _from_text(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(text, parse_constant=_refuse)
    return text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON does not have {constant}")


class _Conversion(ABC):
    """Converts JSON between payload form and view form, and leaves any other JSON as it is."""

    def convert(self, handler: TypeHandler, form: Any, *, is_member: bool = False) -> Any:
        """Return a value in the other form.

        Args:
            handler: The handler of its type.
            form: The value.
            is_member: Whether the type is a member of a union. A union finds its member by the
                JSON, so a dict stays a list of pairs there if it is one in a payload.
        """
        if not handler.has_view:
            return form
        if isinstance(handler, Union):
            return self._convert_member(handler, form)
        if isinstance(handler, DictOf):
            return self.convert_dict(handler, form, is_member=is_member)
        if isinstance(handler, StateType) and isinstance(form, dict):
            return self.convert_state(handler.cls, cast(View, form))
        if isinstance(handler, ListOf | TupleOf) and _is_list(form):
            return self._convert_list(handler, form)
        return form

    @abstractmethod
    def convert_state(self, cls: type[StateBase], form: View) -> View:
        """Return a state in the other form."""

    @abstractmethod
    def convert_dict(self, handler: DictOf, form: Any, *, is_member: bool) -> Any:
        """Return a dict in the other form."""

    def _convert_list(self, handler: ListOf | TupleOf, form: list[Any]) -> list[Any]:
        handlers = handler.handlers_of(form)
        if len(handlers) != len(form):
            return form
        pairs = enumerate(zip(handlers, form, strict=True))
        return convert(pairs, lambda pair: self.convert(*pair))

    def _convert_member(self, handler: Union, form: Any) -> Any:
        if member := handler.find_tagged(form):
            return tagged(member.name, self.convert(member, form["value"], is_member=True))
        # A scalar has a tag as well, where another member could read it.
        member = handler.find_untagged(form) if tag_of(form) in (None, "dict") else None
        return self.convert(member, form, is_member=True) if member else form

    def convert_values(self, handler: DictOf, form: View) -> View:
        """Return the object of a dict with its values in the other form."""
        values = convert(form.items(), lambda value: self.convert(handler.item, value))
        return dict(zip(form, values, strict=True))

    def convert_fields(self, cls: type[StateBase], values: View) -> View:
        """Return values of the drained fields of a class in the other form."""
        fields = _drained_fields(cls)
        pairs = [(name, (fields[name].handler, values[name])) for name in fields if name in values]
        converted = convert(pairs, lambda pair: self.convert(*pair), named=True)
        return {name: value for (name, _), value in zip(pairs, converted, strict=True)}


class _ToView(_Conversion):
    """From payload form to view form."""

    def convert_state(self, cls: type[StateBase], form: View) -> View:
        """Return the fields of a payload."""
        values, version = form["values"], form["__version__"]
        converted = self.convert_fields(cls, values)
        if version > cls.__version__:
            known = converted.keys() | {name for name, _ in preserved_queries(cast(Any, cls))}
            unknown = {name: value for name, value in values.items() if name not in known}
            converted[_NEWER] = to_envelope(unknown, version)
        return converted

    def convert_dict(self, handler: DictOf, form: Any, *, is_member: bool) -> Any:
        """Return an object, also for keys that are not text."""
        if handler.is_object:
            return _keep_tag(form, self.convert_values(handler, untag(form, "dict")))
        pairs = cast(list[tuple[object, object]], form)
        values = convert(pairs, lambda value: self.convert(handler.item, value))
        keys = [key for key, _ in pairs]
        if is_member:
            return [[key, value] for key, value in zip(keys, values, strict=True)]
        converted = {_name_of(handler.key, k): v for k, v in zip(keys, values, strict=True)}
        if len(converted) < len(pairs):
            raise TypeMismatchError(form, "two keys have the same JSON")
        return tagged("dict", converted) if TAG in converted else converted


class _FromView(_Conversion):
    """From view form to payload form.

    Args:
        versions: The versions of the classes in the view; those of now if None.
    """

    def __init__(self, versions: Mapping[str, int] | None = None) -> None:
        self._versions = versions

    def convert_state(self, cls: type[StateBase], form: View) -> View:
        """Return the payload of a view; a payload, and an object of another class, as it is."""
        version = cls.__version__ if self._versions is None else self._versions.get(cls.__name__)
        if version is None or is_payload(form):
            return form
        match form.get(_NEWER):
            case {"__version__": int(version), "values": dict()}:
                values = {name: value for name, value in form.items() if name != _NEWER}
                values |= form[_NEWER]["values"]
            case _:
                values = form
                if self._versions is None:
                    _reject_unknown(cls, form)
        return to_envelope({**values, **self.convert_fields(cls, values)}, version)

    def convert_dict(self, handler: DictOf, form: Any, *, is_member: bool) -> Any:
        """Return an object if the keys are text, else a list of pairs."""
        if is_list_of_pairs(form):
            return [[key, self.convert(handler.item, value)] for key, value in form]
        inner = untag(form, "dict")
        if not isinstance(inner, dict):
            return form
        values = self.convert_values(handler, cast(View, inner))
        if handler.is_object:
            return _keep_tag(form, values)
        to_key = handler.key.to_json
        return [[to_key(key_of(handler.key, name)), value] for name, value in values.items()]


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _keep_tag(form: View, values: View) -> View:
    return tagged("dict", values) if tag_of(form) == "dict" else values


def _reject_unknown(cls: type[StateBase], form: View) -> None:
    fields = _drained_fields(cls)
    for name in form:
        if name not in fields:
            message = f"{cls.__name__} has no field {name!r}{suggest(name, fields)}"
            raise TypeMismatchError(form, message)
