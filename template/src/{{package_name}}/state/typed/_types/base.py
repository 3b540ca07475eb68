"""Handlers validate the values of a type and convert them to JSON: types without parts."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, NoReturn, Self, TypeVar

from .._display import short_repr
from .._tree import EncodedPayload, StateBase, drained

T = TypeVar("T")
R = TypeVar("R")

# Marks JSON whose type its shape does not show: `{"__type__": <name>, "value": <JSON>}`.
TAG = "__type__"


def tagged(name: str, value: object) -> dict[str, Any]:
    """Return a value with a tag."""
    return {TAG: name, "value": value}


def tag_of(value: Any) -> str | None:
    """Return the name in the tag of a value, None if it has no tag."""
    match value:
        case {"__type__": str(name), "value": _}:
            return name if len(value) == 2 else None
        case _:
            return None


def untag(value: Any, *names: str) -> Any:
    """Return the value in a tag that has one of the names, and any other value as it is."""
    return value["value"] if tag_of(value) in names else value


class TypeMismatchError(Exception):
    """A value is not of a type.

    Attributes:
        value: The value.
        reason: The expectation that it does not meet.
        path: The steps from the given value to the wrong one, innermost first.
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
    items: Iterable[tuple[object, T]], function: Callable[[T], R], *, named: bool = False
) -> list[R]:
    """Return the converted values of pairs; an error gets the key or name in its path."""
    converted: list[R] = []
    for key, value in items:
        try:
            converted.append(function(value))
        except TypeMismatchError as error:
            raise error.at(f".{key}" if named else f"[{short_repr(key)}]") from error.__cause__
    return converted


class LoadContext:
    """The circumstances and the side results of a validation.

    Attributes:
        stored: Whether the value comes from a payload, and may have the form of JSON.
        copies: Whether to copy what can change, so that nothing is shared with the payload.
        encoded: Whether the payload is in the forms of JSON, so that a tag in it is a tag and
            not a dict of the user.
        exact: Whether nothing but the codec has written the values, so that one that fits
            two members of a union was written by another declaration.
        closed: Whether a dataclass rejects names that it does not declare.
        from_client: Whether a client has written the values: in JSON, a bool is not a number.
        states: The states in it, inner ones first.
        outdated: Whether something was migrated or dropped, so that the payload holds more.
    """

    def __init__(
        self,
        *,
        stored: bool = False,
        encoded: bool = False,
        closed: bool = False,
        from_client: bool = False,
        copies: bool | None = None,
    ) -> None:
        self.stored = stored
        self.copies = stored if copies is None else copies
        self.encoded = encoded
        self.closed = closed
        self.from_client = from_client
        self.exact: bool = encoded
        self.states: list[StateBase] = []
        self.outdated = False

    @classmethod
    def of_payload(cls, payload: object) -> Self:
        """Return the context of a payload."""
        return cls(stored=True, encoded=isinstance(payload, EncodedPayload))

    def apart(self) -> Self:
        """Return a context of the same circumstances, without side results."""
        other = copy.copy(self)
        other.states, other.outdated = [], False
        return other

    def merge(self, other: "LoadContext") -> None:
        """Add the side results of a validation of a part."""
        self.states += other.states
        self.outdated |= other.outdated

    @contextmanager
    def within(self, *, migrated: bool) -> Generator[None]:
        """Validate the values of one state in the block; a migration may have written them."""
        exact = self.exact
        self.exact, self.outdated = exact and not migrated, self.outdated or migrated
        try:
            yield
        finally:
            self.exact = exact


# For handlers of immutable types: their values contain no states to collect.
NO_STATES = LoadContext()


class TypeHandler(ABC):
    """Validates the values of one type, and converts them to JSON and back.

    Attributes:
        name: The type as it is written, for messages and for the tags of unions.
        json_types: The Python types that its JSON decodes to.
        immutable: Whether its values never change.
        holds_states: Whether its values contain states, whose class a payload does not name.
        opaque: Whether its values may be of any type, so that only the codec knows which ones
            it can encode.
        has_view: Whether the JSON of its values in a view differs from that in a payload.
        parts: The handlers of the values in its values, but not of the keys of a dict, nor of
            the fields of a dataclass or a state.
        part_names: The names of the handlers of its containers, if it is not one itself.
        counter: Whether a change of a number is a difference, so that two changes both count.
    """

    name: str
    counter = False
    part_names: Collection[str] = ()
    json_types: frozenset[type] = frozenset({str})
    immutable = True
    holds_states = False
    has_view = False
    parts: Sequence["TypeHandler"] = ()
    opaque = False

    @abstractmethod
    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return a value as a state keeps it.

        Raises:
            TypeMismatchError: The value is not of the type.
        """

    @abstractmethod
    def to_json(self, value: Any) -> Any:
        """Return a drained value as JSON.

        Raises:
            TypeMismatchError: The value is not of the type.
        """

    def drain(self, value: object) -> Any:
        """Return a deep copy of a value that a state keeps, in plain Python objects."""
        return drained(value)

    def all_valid_unchanged(self, values: Iterable[object]) -> bool:
        """Return whether all values are valid as they are; False where that is slow to find."""
        return False

    def all_json_unchanged(self, values: Iterable[object]) -> bool:
        """Return whether all values are JSON as they are; False where that is slow to find."""
        return False

    def validate_all(
        self, keys: Iterable[object], values: Iterable[object], context: LoadContext
    ) -> Iterable[object]:
        """Return the values under some keys as a state keeps them."""
        may_be_wrong = context.from_client and bool in map(type, values)
        if not may_be_wrong and self.all_valid_unchanged(values):
            return values
        return convert(zip(keys, values, strict=True), lambda value: self.validate(value, context))

    def to_json_all(self, keys: Iterable[object], values: Collection[object]) -> Collection[object]:
        """Return the drained values under some keys as JSON."""
        if self.all_json_unchanged(values):
            return values
        return convert(zip(keys, values, strict=True), self.to_json)

    def expect(self, value: object, *types: type) -> Any:
        """Return a value of one of some types; raise TypeMismatchError for any other."""
        return value if isinstance(value, types) else self.reject(value)

    def expect_stored(self, value: object, context: LoadContext, *types: type) -> Any:
        """Return a value of one of some types, without the tag that a union has given to it."""
        if context.stored and not isinstance(value, types):
            value = untag(value, self.name)
        return self.expect(value, *types)

    def reject(self, value: object) -> NoReturn:
        """Raise TypeMismatchError."""
        raise TypeMismatchError(value, f"expected {self.name}")


class CollectionHandler(TypeHandler):
    """A type of containers whose elements have one type.

    Attributes:
        key: The handler of the keys of a dict.
        item: The handler of the elements.
        keep: How many elements a list keeps, the last ones; None for all.
    """

    immutable = False
    keep: int | None = None
    json_types = frozenset({list})
    key: TypeHandler

    def __init__(self, name: str, item: TypeHandler) -> None:
        self.name, self.item = name, item
        self.parts = [item]
        self.holds_states, self.opaque = item.holds_states, item.opaque
        self.has_view = item.has_view


class Scalar(TypeHandler):
    """Types that JSON has too: str, int, float, bool, None."""

    def __init__(self, types: Iterable[type]) -> None:
        given = [*types]
        self.name = " | ".join("None" if each is type(None) else each.__name__ for each in given)
        # As for type checkers: an int is accepted as a float, and a bool is an int.
        self._client_types = frozenset(given + [int] * (float in given))
        more = [bool] * (int in self._client_types)
        self.types = self.json_types = self._client_types | frozenset(more)
        self._names = [each.__name__ for each in self.types]

    def validate(self, value: object, context: LoadContext) -> object:
        """Return the value."""
        types = self._client_types if context.from_client else self.types
        if type(value) in types:
            return value
        if context.stored and float in types and (number := _to_number(value)):
            return number
        if context.stored and type(found := untag(value, *self._names)) in types:
            return found
        self.reject(value)

    def to_json(self, value: object) -> object:
        """Return the value; a float that JSON lacks, such as infinity, gets a tag."""
        if type(value) not in self.types:
            self.reject(value)
        return value if _is_finite(value) else tagged("float", repr(value))

    def all_valid_unchanged(self, values: Iterable[object]) -> bool:
        """Return whether all values are valid, much faster than one by one."""
        return self.types.issuperset(map(type, values))

    def all_json_unchanged(self, values: Iterable[Any]) -> bool:
        """Return whether JSON has all values, much faster than one by one."""
        types = set(map(type, values))
        if types == {float} <= self.types:
            return math.isfinite(sum(values))  # only if all are, and without a call for each
        return types <= self.types and (float not in types or all(map(_is_finite, values)))


def _is_finite(value: object) -> bool:
    return type(value) is not float or math.isfinite(value)


def _to_number(value: object) -> float | None:
    match untag(value, "float"):
        case "nan" | "inf" | "-inf" as text if text is not value:
            return float(text)
        case _:
            return None


class LiteralValue(TypeHandler):
    """A choice of values: `Literal["left", "right"]`."""

    def __init__(self, values: tuple[object, ...]) -> None:
        self.name = f"Literal[{', '.join(map(repr, values))}]"
        self.json_types = frozenset(map(type, values))
        self._values = values
        self._names = [each.__name__ for each in self.json_types]

    def validate(self, value: object, context: LoadContext) -> object:
        """Return the value."""
        return self.to_json(untag(value, *self._names) if context.stored else value)

    def to_json(self, value: object) -> object:
        """Return the value."""
        if any(type(value) is type(each) and value == each for each in self._values):
            return value
        self.reject(value)


class Encoded(TypeHandler):
    """Types whose values become text or a number in JSON: datetime, Decimal, an Enum."""

    def __init__(
        self,
        cls: type,
        encode: Callable[[Any], object],
        decode: Callable[[Any], object],
        json_types: Iterable[type] = (str,),
        is_encodable: Callable[[Any], bool] | None = None,
    ) -> None:
        self.name, self.json_types = cls.__name__, frozenset(json_types)
        self._is_encodable = is_encodable
        self._class, self._encode, self._decode = cls, encode, decode

    def validate(self, value: object, context: LoadContext) -> object:
        """Return the value, or the value that its JSON stands for."""
        if self._is_instance(value):
            return self._expect_encodable(value)
        if context.stored and type(form := untag(value, self.name)) in self.json_types:
            try:
                return self._decode(form)
            except (ValueError, ArithmeticError, LookupError, OSError) as error:
                raise TypeMismatchError(value, f"expected {self.name} ({error})") from error
        self.reject(value)

    def to_json(self, value: object) -> object:
        """Return the JSON of the value."""
        if not self._is_instance(value):
            self.reject(value)
        return self._encode(self._expect_encodable(value))

    def _expect_encodable(self, value: object) -> object:
        if self._is_encodable and not self._is_encodable(value):
            expected = "expected a ZoneInfo with a name or a fixed offset as its time zone"
            raise TypeMismatchError(value, expected)
        return value

    def _is_instance(self, value: object) -> bool:
        # A datetime is a date, and would come back without its time.
        return isinstance(value, self._class) and not (
            self._class is date and isinstance(value, datetime)
        )


class Opaque(TypeHandler):
    """Any other type, for values that are not stored, or that are pickled."""

    immutable = False
    opaque = True

    def __init__(self, annotation: object) -> None:
        self.name = getattr(annotation, "__name__", str(annotation))
        self._class: type = annotation if isinstance(annotation, type) else object
        try:
            isinstance(None, self._class)
        except TypeError:  # a TypedDict, or a Protocol that is not runtime_checkable
            self._class = object

    def validate(self, value: object, context: LoadContext) -> object:
        """Return the value, or a copy of one that is stored."""
        found = self.expect(value, self._class)
        return copy.deepcopy(found) if context.copies else found

    def to_json(self, value: object) -> NoReturn:
        """Raise TypeMismatchError: JSON does not have the type."""
        raise TypeMismatchError(value, "JSON does not have it")
