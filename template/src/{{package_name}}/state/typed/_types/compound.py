"""Handlers of the types that have parts: containers, unions, and those that allow anything."""

from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar, cast

from .._tracked import Collection, TrackedDict, TrackedList, TrackedSet, TrackedTuple
from .._tree import StateBase, TreeNode, drained
from .base import (
    TAG,
    CollectionHandler,
    LiteralValue,
    LoadContext,
    Scalar,
    TypeHandler,
    TypeMismatchError,
    convert,
)

R = TypeVar("R")

_TEXT = Scalar([str])


class _JsonScalar(Scalar):
    """The values of JSON that contain nothing."""

    def __init__(self) -> None:
        super().__init__([str, int, float, bool, type(None)])

    def validate(self, value: object, context: LoadContext) -> object:
        """Return the value."""
        return self.to_json(value)

    def to_json(self, value: object) -> object:
        """Return the value."""
        return value if self.all_json_unchanged([value]) else self.reject(value)

    def all_valid_unchanged(self, values: Iterable[object]) -> bool:
        """Return whether JSON has all values."""
        return self.all_json_unchanged(values)


class ListOf(CollectionHandler):
    """`list[int]`."""

    def __init__(self, item: TypeHandler) -> None:
        super().__init__(f"list[{item.name}]", item)

    def validate(self, value: object, context: LoadContext) -> TrackedList:
        """Return a tracked copy."""
        given: list[object] = self.expect(value, list)
        return TrackedList(self.item.validate_all(range(len(given)), given, context), self)

    def to_json(self, value: object) -> object:
        """Return a list."""
        given: list[object] = self.expect(value, list)
        return self.item.to_json_all(range(len(given)), given)


class SetOf(CollectionHandler):
    """`set[int]` or `frozenset[int]`: a list in JSON, sorted if that is possible."""

    def __init__(self, cls: type, item: TypeHandler) -> None:
        super().__init__(f"{cls.__name__}[{item.name}]", item)
        self._class = cls
        self.immutable = cls is frozenset

    def validate(self, value: object, context: LoadContext) -> object:
        """Return a frozenset, or a tracked copy of a set."""
        given: frozenset[object] = self.expect(value, self._class, *[list] * context.stored)
        items = self.item.validate_all(range(len(given)), given, context)
        try:
            return frozenset(items) if self.immutable else TrackedSet(items, self)
        except TypeError as error:  # an element that cannot be in a set
            raise TypeMismatchError(value, f"expected {self.name} ({error})") from error

    def to_json(self, value: object) -> list[Any]:
        """Return a list."""
        given: frozenset[object] = self.expect(value, self._class)
        items = self.item.to_json_all(range(len(given)), given)
        try:
            return sorted(cast(Iterable[Any], items))
        except TypeError:
            return [*items]


class TupleOf(TypeHandler):
    """`tuple[int, str]` or `tuple[int, ...]`: a list in JSON."""

    json_types = frozenset({list})

    def __init__(self, items: list[TypeHandler], *, repeated: bool) -> None:
        names = [item.name for item in items] + ["..."] * repeated
        self.name = f"tuple[{', '.join(names)}]"
        self._items, self._repeated = items, repeated
        self.immutable = all(item.immutable for item in items)
        self.holds_states = any(item.holds_states for item in items)

    def validate(self, value: object, context: LoadContext) -> tuple[object, ...]:
        """Return a tuple, a tracked one if an element can change."""
        pairs = self._pair(self.expect(value, tuple, *[list] * context.stored))
        items = convert(pairs, lambda pair: pair[0].validate(pair[1], context))
        tracked = any(isinstance(item, TreeNode) for item in items)
        return TrackedTuple(items, self) if tracked else tuple(items)

    def drain_items(self, value: tuple[object, ...]) -> Iterable[object]:
        """Return deep copies of the elements."""
        return (handler.drain(item) for _, (handler, item) in self._pair(value))

    def to_json(self, value: object) -> list[Any]:
        """Return a list."""
        pairs = self._pair(self.expect(value, tuple))
        return convert(pairs, lambda pair: pair[0].to_json(pair[1]))

    def _pair(self, value: tuple[object, ...]) -> Iterable[tuple[int, tuple[TypeHandler, object]]]:
        handlers = self._items * len(value) if self._repeated else self._items
        if len(value) != len(handlers):
            message = f"expected {self.name}, which has {len(handlers)} elements"
            raise TypeMismatchError(value, message)
        return enumerate(zip(handlers, value, strict=True))


class DictOf(CollectionHandler):
    """`dict[str, int]`: an object in JSON, or a list of pairs if the keys are not text."""

    def __init__(self, key: TypeHandler, item: TypeHandler) -> None:
        super().__init__(f"dict[{key.name}, {item.name}]", item)
        self.key = key
        self._is_object = isinstance(key, Scalar) and key.name == _TEXT.name
        self.json_types = frozenset({dict if self._is_object else list})

    def validate(self, value: object, context: LoadContext) -> TrackedDict:
        """Return a tracked copy."""
        keys, values = self._split(value, context)
        keys = self.key.validate_all(keys, keys, context)
        values = self.item.validate_all(keys, values, context)
        try:
            return TrackedDict(dict(zip(keys, values, strict=True)), self)
        except TypeError as error:  # a key that is not hashable
            raise TypeMismatchError(value, f"expected {self.name} ({error})") from error

    def _split(
        self, value: object, context: LoadContext
    ) -> tuple[Iterable[object], Iterable[object]]:
        if context.stored and not self._is_object and _is_list_of_pairs(value):
            pairs = cast(list[tuple[object, object]], value)
            return [key for key, _ in pairs], [item for _, item in pairs]
        given: dict[object, object] = self.expect(value, dict)
        return given, given.values()

    def to_json(self, value: object) -> object:
        """Return a dict, or a list of pairs."""
        given: dict[Any, object] = self.expect(value, dict)
        keys = self.key.to_json_all(given, given)
        if self._is_object and self.item.all_json_unchanged(given.values()):
            return given
        pairs = zip(keys, self.item.to_json_all(given, given.values()), strict=True)
        return dict(pairs) if self._is_object else [[*pair] for pair in pairs]


class Union(TypeHandler):
    """`int | list[str]`.

    A member whose JSON looks like that of another gets a tag with its name there. Values
    that JSON has too, such as text, do not.
    """

    def __init__(self, members: list[TypeHandler], name: str = "") -> None:
        self.name = name or " | ".join(member.name for member in members)
        self.immutable = all(member.immutable for member in members)
        self.holds_states = any(member.holds_states for member in members)
        self._members = members
        self._tagged: dict[str, TypeHandler] = {}
        for member in members:
            if self._is_ambiguous(member):
                if member.name in self._tagged:
                    raise TypeError(f"{self.name} has two members of the same name")
                self._tagged[member.name] = member
        untagged = [member for member in members if member.name not in self._tagged]
        self.json_types = frozenset[type]().union(*(member.json_types for member in untagged))
        self.json_types |= {dict} if self._tagged else set()

    def _is_ambiguous(self, member: TypeHandler) -> bool:
        others = (other for other in self._members if other is not member)
        return not isinstance(member, Scalar | LiteralValue) and any(
            member.json_types & other.json_types for other in others
        )

    def validate(self, value: Any, context: LoadContext) -> object:
        """Return the value as the first member keeps it that allows it."""
        if context.stored and (member := self._find_tagged(value)):
            return member.validate(value["value"], context)
        # A value that should have a tag and has none was drained, and is not JSON.
        plain = LoadContext()
        validated = self._first(
            value,
            lambda member: member.validate(
                value, plain if member.name in self._tagged and context.stored else context
            ),
        )
        context.states += plain.states
        return validated

    def all_valid_unchanged(self, values: Iterable[object]) -> bool:
        """Return whether one member allows all values."""
        return any(member.all_valid_unchanged(values) for member in self._members)

    def all_json_unchanged(self, values: Iterable[object]) -> bool:
        """Return whether all values are of one member, and JSON has them."""
        return any(member.all_json_unchanged(values) for member in self._members)

    def drain(self, value: object) -> Any:
        """Return a deep copy; a value with states gets its tag here: payloads have no class."""
        name = type(value).__name__ if isinstance(value, StateBase) else ""
        if isinstance(value, Collection | TrackedTuple) and self.holds_states:
            name = value.handler.name
        return self._tag(self._tagged.get(name), drained(value))

    def to_json(self, value: Any) -> object:
        """Return the JSON of the first member that has the value."""
        if member := self._find_tagged(value):
            return self._tag(member, member.to_json(value["value"]))
        return self._first(
            value, lambda member: self._tag(self._tagged.get(member.name), member.to_json(value))
        )

    def _first(self, value: object, function: Callable[[TypeHandler], R]) -> R:
        deepest: TypeMismatchError | None = None
        for member in self._members:
            try:
                return function(member)
            except TypeMismatchError as error:
                if error.path and not (deepest and len(deepest.path) >= len(error.path)):
                    deepest = error
        if deepest:
            raise deepest
        self.reject(value)

    def _find_tagged(self, value: Any) -> TypeHandler | None:
        match value:
            case {"__type__": str(name), "value": _} if len(value) == 2:
                return self._tagged.get(name)
            case _:
                return None

    def _tag(self, member: TypeHandler | None, value: object) -> object:
        return {TAG: member.name, "value": value} if member else value


class AnyJson(Union):
    """`Any`: a value that JSON has."""

    immutable = False
    name = "a value of JSON"

    def __init__(self) -> None:
        super().__init__([_JsonScalar(), ListOf(self), DictOf(_TEXT, self)], self.name)

    def reject(self, value: object) -> NoReturn:
        """Raise TypeMismatchError."""
        raise TypeMismatchError(value, "JSON does not have it: declare its type")


class AnyObject(TypeHandler):
    """Any value, where its type does not matter; containers are tracked."""

    immutable = False
    name = "anything"

    def __init__(self) -> None:
        self._parts: dict[type, TypeHandler] = {
            list: ListOf(self),
            dict: DictOf(self, self),
            set: SetOf(set, self),
            tuple: TupleOf([self], repeated=True),
        }

    def validate(self, value: object, context: LoadContext) -> object:
        """Return a tracked copy of a container, and any other value as it is."""
        if isinstance(value, StateBase):
            context.states.append(value)
        for cls, part in self._parts.items():
            if isinstance(value, cls):
                kept = part.validate(value, context)
                # A tuple without anything that can change keeps its own class.
                return kept if isinstance(kept, TreeNode) else value
        return value

    def to_json(self, value: object) -> object:
        """Return the value; raise TypeMismatchError if JSON does not have it."""
        return AnyJson().to_json(value)


def _is_list_of_pairs(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_pair, cast(list[object], value)))


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(cast(list[object], value)) == 2
