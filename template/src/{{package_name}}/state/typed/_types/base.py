"""What a type admits, and how its values become JSON: the types without parts."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any, NoReturn, Self

from .._tree import drained

# Marks in JSON what is of a type that the shape of the JSON does not tell.
TAG = "__type__"


_UNPRINTABLE = (ValueError, RecursionError)


def shown(value: object) -> str:
    """Return the beginning of what a value looks like, if it can be printed."""
    try:
        return f"{value!r:.100}"
    except _UNPRINTABLE as error:  # more digits than Python prints, or nested too deeply
        return f"<{error}>"


class TypeMismatchError(Exception):
    """A value is not of a type.

    Attributes:
        value: The value.
        reason: What is wrong with it.
        path: The steps to where it is in what was given, from the inside out.
    """

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(value, reason)
        self.value, self.reason = value, reason
        self.path: list[str] = []

    def at(self, step: str) -> Self:
        """Add a step to the path."""
        self.path.append(step)
        return self


def convert(
    items: Iterable[tuple[Any, Any]], function: Callable[[Any], Any], *, named: bool = False
) -> list[Any]:
    """Return the converted values of pairs; of a value that is refused, note the key or name."""
    converted: list[Any] = []
    for key, value in items:
        try:
            converted.append(function(value))
        except TypeMismatchError as error:
            raise error.at(f".{key}" if named else f"[{shown(key)}]") from error.__cause__
    return converted


class LoadContext:
    """What is noticed while a value is validated.

    Attributes:
        stored: Whether it comes from a payload, and may have the form of JSON.
        states: The states in it, those inside others first.
        outdated: Whether something was migrated or dropped, so that the payload holds more.
    """

    def __init__(self, *, stored: bool = False) -> None:
        self.stored = stored
        self.states: list[Any] = []
        self.outdated = False


class TypeHandler(ABC):
    """A type."""

    # As it is written, for errors and for the tags of unions.
    name: str
    # The types of Python that its JSON is decoded to.
    json_types: frozenset[type] = frozenset({str})
    # Whether no value of it changes.
    immutable = True
    # Whether it has states in it, of which a payload does not tell the class.
    holds_states = False

    @abstractmethod
    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return a value as a state keeps it; raise TypeMismatchError if it is not of the type."""

    @abstractmethod
    def to_json(self, value: Any) -> Any:
        """Return a drained value as JSON; raise TypeMismatchError if it is not of the type."""

    def drain(self, value: Any) -> Any:
        """Return a deep copy of a value that a state keeps, in plain Python objects."""
        return drained(value)

    def all_valid_unchanged(self, values: Iterable[Any]) -> bool:
        """Return whether it admits all values as they are, where that is fast to tell."""
        return False

    def all_json_unchanged(self, values: Iterable[Any]) -> bool:
        """Return whether JSON has all values as they are, where that is fast to tell."""
        return False

    def validate_all(
        self, keys: Iterable[Any], values: Iterable[Any], context: LoadContext
    ) -> Iterable[Any]:
        """Return the values under some keys as a state keeps them."""
        if self.all_valid_unchanged(values):
            return values
        return convert(zip(keys, values, strict=True), lambda value: self.validate(value, context))

    def to_json_all(self, keys: Iterable[Any], values: Iterable[Any]) -> Iterable[Any]:
        """Return the drained values under some keys as JSON."""
        return (
            values
            if self.all_json_unchanged(values)
            else convert(zip(keys, values, strict=True), self.to_json)
        )

    def expect(self, value: Any, *types: type[Any]) -> Any:
        """Return a value that is of one of some types; else raise TypeMismatchError."""
        return value if isinstance(value, types) else self.refuse(value)

    def refuse(self, value: object) -> NoReturn:
        """Raise TypeMismatchError."""
        raise TypeMismatchError(value, f"expected {self.name}")


class Scalar(TypeHandler):
    """Types that JSON has too: str, int, float, bool, None."""

    def __init__(self, types: Iterable[type[Any]]) -> None:
        given = [*types]
        self.name = " | ".join("None" if each is type(None) else each.__name__ for each in given)
        # As type checkers have it: a bool is an int, and an int will do for a float.
        wider: dict[type[Any], list[type[Any]]] = {float: [int, bool], int: [bool]}
        more = [each for narrow in given for each in wider.get(narrow, [])]
        self.types: frozenset[type[Any]] = frozenset(given + more)
        self.json_types = self.types

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return the value."""
        if type(value) in self.types:
            return value
        if context.stored and float in self.types and (number := _to_number(value)):
            return number
        self.refuse(value)

    def to_json(self, value: Any) -> Any:
        """Return the value; what JSON does not have, such as infinity, gets a tag."""
        if type(value) not in self.types:
            self.refuse(value)
        finite = type(value) is not float or math.isfinite(value)
        return value if finite else {TAG: "float", "value": repr(value)}

    def all_valid_unchanged(self, values: Iterable[Any]) -> bool:
        """Return whether it admits all values, much faster than one by one."""
        return self.types.issuperset(map(type, values))

    def all_json_unchanged(self, values: Iterable[Any]) -> bool:
        """Return whether JSON has all values, much faster than one by one."""
        types = set(map(type, values))
        if types == {float} <= self.types:
            return math.isfinite(sum(values))  # only if all are, and without a call for each
        return types <= self.types and (float not in types or all(map(_is_finite, values)))


def _is_finite(value: Any) -> bool:
    return type(value) is not float or math.isfinite(value)


def _to_number(value: Any) -> float | None:
    match value:
        case {"__type__": "float", "value": "nan" | "inf" | "-inf" as text} if len(value) == 2:
            return float(text)
        case _:
            return None


class LiteralValue(TypeHandler):
    """Values of their own: `Literal["left", "right"]`."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.name = f"Literal[{', '.join(map(repr, values))}]"
        self.json_types = frozenset(map(type, values))
        self._values = values

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return the value."""
        return self.to_json(value)

    def to_json(self, value: Any) -> Any:
        """Return the value."""
        if any(type(value) is type(each) and value == each for each in self._values):
            return value
        self.refuse(value)


class Encoded(TypeHandler):
    """Types that become text in JSON, or what else it has: datetime, Decimal, an Enum."""

    def __init__(
        self,
        cls: type[Any],
        to_json: Callable[[Any], Any],
        from_json: Callable[[Any], Any],
        json_types: Iterable[type[Any]] = (str,),
    ) -> None:
        self.name, self.json_types = cls.__name__, frozenset(json_types)
        self._class, self._to_json, self._from_json = cls, to_json, from_json

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return the value, or that which its JSON stands for."""
        if self._holds(value):
            return value
        if context.stored and type(value) in self.json_types:
            try:
                return self._from_json(value)
            except (ValueError, ArithmeticError, LookupError) as error:
                raise TypeMismatchError(value, f"expected {self.name} ({error})") from error
        self.refuse(value)

    def to_json(self, value: Any) -> Any:
        """Return the JSON of the value."""
        return self._to_json(value) if self._holds(value) else self.refuse(value)

    def _holds(self, value: Any) -> bool:
        # A datetime is a date, and would come back without its time.
        return isinstance(value, self._class) and not (
            self._class is date and isinstance(value, datetime)
        )


class Opaque(TypeHandler):
    """A type of which nothing is known: for what is not stored, or is pickled."""

    immutable = False

    def __init__(self, annotation: object) -> None:
        self.name = getattr(annotation, "__name__", str(annotation))
        self._class = annotation if isinstance(annotation, type) else object
        try:
            isinstance(None, self._class)
        except TypeError:  # a TypedDict, or a Protocol that is not runtime_checkable
            self._class = object

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return the value, or a copy of one that is stored."""
        found = self.expect(value, self._class)
        return copy.deepcopy(found) if context.stored else found

    def to_json(self, value: Any) -> Any:
        """Refuse: JSON does not have it."""
        raise TypeMismatchError(value, "JSON does not have it")
