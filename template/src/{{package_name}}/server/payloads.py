"""Payloads, results and events: frozen dataclasses in Python, objects on the wire."""

# pyright: reportPrivateUsage=false

import keyword
import re
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, cast

from ..state.shared import Refused
from ..state.typed._hydration import describe_mismatch
from ..state.typed._types.annotations import DataclassType, handler_for
from ..state.typed._types.base import LoadContext, TypeMismatchError
from .envelope import shown

JSON_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "None": "null",
}
# A value of a Literal, or the name of a type.
_QUOTED_OR_TYPE = re.compile(rf"'[^']*'|\b(?:{'|'.join(JSON_TYPES)})\b")


def wire_name(name: str) -> str:
    """Return the name of a function or class as the wire has it, in camelCase.

    Examples:
        >>> wire_name("add_track"), wire_name("TrackAdded"), wire_name("list_")
        ('addTrack', 'trackAdded', 'list')
    """
    name = re.sub(r"_+([^_])", lambda match: match[1].upper(), name.strip("_"))
    return name[:1].lower() + name[1:]


def description_of(declared: Any, name: str) -> str:
    """Return the docstring of a function or class.

    Raises:
        TypeError: It has none.
    """
    text: str = (declared.__doc__ or "").strip()
    # A dataclass without a docstring gets its signature as one.
    if not text or text.startswith(f"{declared.__name__}("):
        raise TypeError(f"{name} has no docstring: write one, it is the description for clients")
    return text


def in_words_of_json(types: str) -> str:
    """Return a text about types as clients in any language understand it.

    Examples:
        >>> in_words_of_json("expected list[str] | Literal['int'] | None")
        "expected list[string] | Literal['int'] | null"
    """
    return _QUOTED_OR_TYPE.sub(lambda found: JSON_TYPES.get(found[0], found[0]), types)


def member_name(field: str) -> str:
    """Return the name of a field as the wire has it: a keyword loses its underscore."""
    return bare if keyword.iskeyword(bare := field.removesuffix("_")) else field


class MessageType:
    """A frozen dataclass whose objects are payloads, results or events.

    Args:
        cls: The dataclass.
        where: The place that uses it, for errors.

    Attributes:
        cls: The dataclass.
        name: Its name on the wire.
        description: Its docstring.
        handler: Converts its objects to JSON and back.

    Raises:
        TypeError: It is not a frozen dataclass, has no docstring, or JSON cannot stand for the
            type of a field.
    """

    def __init__(self, cls: object, where: str) -> None:
        if not (isinstance(cls, type) and is_dataclass(cls)):
            raise TypeError(f"{where}: expected a frozen dataclass, got {cls!r}")
        parameters: Any = getattr(cls, "__dataclass_params__", None)
        if not parameters.frozen:
            raise TypeError(f"{where}: {cls.__name__} can change: declare it frozen=True")
        self.cls = cls
        self.name = wire_name(cls.__name__)
        self.description = description_of(cls, f"{where}: {cls.__name__}")
        try:
            self.handler = cast(DataclassType, handler_for(cls))
        except (TypeError, NameError) as error:
            raise TypeError(f"{where}: {cls.__name__}: {error}") from error
        # Without a part that can change, JSON shares nothing with an object anyway.
        self._is_flat = all(each.immutable for each in self.handler._handlers.values())
        renamed = {each.name: member_name(each.name) for each in fields(cls)}
        self._wire_names = {name: bare for name, bare in renamed.items() if name != bare}
        self._field_names = {bare: name for name, bare in self._wire_names.items()}

    def decode(self, payload: object, *, from_client: bool = True) -> Any:
        """Return the object that a payload stands for.

        Args:
            payload: The payload.
            from_client: Whether a client has written it, so that a bool is not a number.

        Raises:
            Refused: `invalid_payload`, with the path to the wrong member.
        """
        try:
            context = LoadContext(stored=True, encoded=True, closed=True, from_client=from_client)
            return self.handler.validate(self._rename(payload), context)
        except TypeMismatchError as error:
            steps = [*reversed(error.path)]
            name = steps[0].removeprefix(".") if steps else ""
            path = "".join([self._wire_names.get(name, name), *steps[1:]])
            where = f"payload.{path}" if path else "payload"
            found = "" if error.value is MISSING else f", got {shown(error.value)}"
            message = f"{where}: {in_words_of_json(error.reason)}{found}"
            raise Refused("invalid_payload", message, path=path) from error
        except RecursionError as error:
            message = "The payload is nested too deeply: send a flatter one"
            raise Refused("invalid_payload", message, path="") from error

    def _rename(self, payload: object) -> object:
        if not self._wire_names or not isinstance(payload, dict):
            return payload
        members = cast(dict[str, Any], payload)
        return {self._field_names.get(name, name): value for name, value in members.items()}

    def encode(self, value: object) -> dict[str, Any]:
        """Return an object as JSON, which shares nothing with it.

        Raises:
            TypeError: The object is of another class, or a field has a value of another type.
        """
        try:
            form = self.handler.to_json(value if self._is_flat else self.handler.drain(value))
        except TypeMismatchError as error:
            raise TypeError(describe_mismatch(self.cls.__name__, error)) from error
        return {self._wire_names.get(name, name): each for name, each in form.items()}
