"""What a type admits, and how its values become JSON: the types that have parts."""

from collections.abc import Callable, Iterable
from typing import Any, NoReturn, cast

from .._tracked import TrackedDict, TrackedList, TrackedSet, TrackedTuple
from .._tree import Container, StateBase, TreeNode, drained
from .base import TAG, LiteralValue, LoadContext, Scalar, TypeHandler, TypeMismatchError, convert

_TEXT = Scalar([str])


class _JsonScalar(Scalar):
    """What JSON has that contains nothing."""

    def __init__(self) -> None:
        super().__init__([str, int, float, bool, type(None)])

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return the value."""
        return self.to_json(value)

    def to_json(self, value: Any) -> Any:
        """Return the value."""
        return value if self.all_json_unchanged([value]) else self.refuse(value)

    def all_valid_unchanged(self, values: Iterable[Any]) -> bool:
        """Return whether JSON has all values."""
        return self.all_json_unchanged(values)


class _Homogeneous(TypeHandler):
    """A type of containers, whose elements have one type."""

    immutable = False
    json_types = frozenset({list})
    key: TypeHandler = _TEXT

    def __init__(self, name: str, item: TypeHandler) -> None:
        self.name, self.item = name, item
        self.holds_states = item.holds_states


class ListOf(_Homogeneous):
    """`list[int]`."""

    def __init__(self, item: TypeHandler) -> None:
        super().__init__(f"list[{item.name}]", item)

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return a tracked copy."""
        given: list[Any] = self.expect(value, list)
        return TrackedList(self.item.validate_all(range(len(given)), given, context), self)

    def to_json(self, value: Any) -> Any:
        """Return a list."""
        given: list[Any] = self.expect(value, list)
        return self.item.to_json_all(range(len(given)), given)


class SetOf(_Homogeneous):
    """`set[int]` or `frozenset[int]`: a list in JSON, sorted if that is possible."""

    def __init__(self, cls: type[Any], item: TypeHandler) -> None:
        super().__init__(f"{cls.__name__}[{item.name}]", item)
        self._class = cls
        self.immutable = cls is frozenset

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return a tracked copy."""
        given = self.expect(value, self._class, *[list] * context.stored)
        items = self.item.validate_all(range(len(given)), given, context)
        try:
            return frozenset(items) if self.immutable else TrackedSet(items, self)
        except TypeError as error:  # an element that cannot be in a set
            raise TypeMismatchError(value, f"expected {self.name} ({error})") from error

    def to_json(self, value: Any) -> Any:
        """Return a list."""
        given: frozenset[Any] = self.expect(value, self._class)
        items = self.item.to_json_all(range(len(given)), given)
        try:
            return sorted(items)
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

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return a tuple, tracked if it has something that changes."""
        pairs = self._pair(self.expect(value, tuple, *[list] * context.stored))
        items = convert(pairs, lambda pair: pair[0].validate(pair[1], context))
        tracked = any(isinstance(item, TreeNode) for item in items)
        return TrackedTuple(items, self) if tracked else tuple(items)

    def drain_items(self, value: tuple[Any, ...]) -> Iterable[Any]:
        """Return deep copies of the elements."""
        return (handler.drain(item) for _, (handler, item) in self._pair(value))

    def to_json(self, value: Any) -> Any:
        """Return a list."""
        pairs = self._pair(self.expect(value, tuple))
        return convert(pairs, lambda pair: pair[0].to_json(pair[1]))

    def _pair(self, value: tuple[Any, ...]) -> Iterable[tuple[int, tuple[TypeHandler, Any]]]:
        handlers = self._items * len(value) if self._repeated else self._items
        if len(value) != len(handlers):
            raise TypeMismatchError(
                value, f"expected {self.name}, which has {len(handlers)} elements"
            )
        return enumerate(zip(handlers, value, strict=True))


class DictOf(_Homogeneous):
    """`dict[str, int]`: an object in JSON, or a list of pairs if the keys are no text."""

    def __init__(self, key: TypeHandler, item: TypeHandler) -> None:
        super().__init__(f"dict[{key.name}, {item.name}]", item)
        self.key = key
        self._is_object = isinstance(key, Scalar) and key.name == _TEXT.name
        self.json_types = frozenset({dict if self._is_object else list})

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return a tracked copy."""
        keys: Iterable[Any]
        values: Iterable[Any]
        if context.stored and not self._is_object and _is_list_of_pairs(value):
            keys, values = [key for key, _ in value], [item for _, item in value]
        else:
            keys, values = self.expect(value, dict), value.values()
        keys = self.key.validate_all(keys, keys, context)
        values = self.item.validate_all(keys, values, context)
        try:
            return TrackedDict(dict(zip(keys, values, strict=True)), self)
        except TypeError as error:  # a key that cannot be one
            raise TypeMismatchError(value, f"expected {self.name} ({error})") from error

    def to_json(self, value: Any) -> Any:
        """Return a dict, or a list of pairs."""
        given: dict[Any, Any] = self.expect(value, dict)
        keys = self.key.to_json_all(given, given)
        if self._is_object and self.item.all_json_unchanged(given.values()):
            return given
        pairs = zip(keys, self.item.to_json_all(given, given.values()), strict=True)
        return dict(pairs) if self._is_object else [[*pair] for pair in pairs]


class Union(TypeHandler):
    """`int | list[str]`.

    A member whose JSON looks like that of another gets a tag with its name there; what
    JSON has too, such as text, does not.
    """

    def __init__(self, members: list[TypeHandler], name: str = "") -> None:
        self.name = name or " | ".join(member.name for member in members)
        self.immutable = all(member.immutable for member in members)
        self.holds_states = any(member.holds_states for member in members)
        self._members = members
        self._tagged: dict[str, TypeHandler] = {}
        for member in members:
            others = [other for other in members if other is not member]
            if not isinstance(member, Scalar | LiteralValue) and any(
                member.json_types & o.json_types for o in others
            ):
                if member.name in self._tagged:
                    raise TypeError(f"{self.name} has two members of the same name")
                self._tagged[member.name] = member
        untagged = [member for member in members if member.name not in self._tagged]
        self.json_types = frozenset[type]().union(*(member.json_types for member in untagged))
        self.json_types |= {dict} if self._tagged else set()

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return what the first member makes of it that admits it."""
        if context.stored and (member := self._find_tagged(value)):
            return member.validate(value["value"], context)
        # What should have a tag and has none was drained, and is no JSON.
        plain = LoadContext()
        validated = self._first(
            value,
            lambda member: member.validate(
                value, plain if member.name in self._tagged and context.stored else context
            ),
        )
        context.states += plain.states
        return validated

    def all_valid_unchanged(self, values: Iterable[Any]) -> bool:
        """Return whether one member admits all."""
        return any(member.all_valid_unchanged(values) for member in self._members)

    def all_json_unchanged(self, values: Iterable[Any]) -> bool:
        """Return whether JSON has all, which are of one member."""
        return any(member.all_json_unchanged(values) for member in self._members)

    def drain(self, value: Any) -> Any:
        """Return a deep copy; what has states gets its tag now, because payloads have no class."""
        name = type(value).__name__ if isinstance(value, StateBase) else ""
        if isinstance(value, Container) and self.holds_states:
            name = value.handler.name
        return self._tag(self._tagged.get(name), drained(value))

    def to_json(self, value: Any) -> Any:
        """Return the JSON of the first member that has the value."""
        if member := self._find_tagged(value):
            return self._tag(member, member.to_json(value["value"]))
        return self._first(
            value, lambda member: self._tag(self._tagged.get(member.name), member.to_json(value))
        )

    def _first(self, value: Any, function: Callable[[TypeHandler], Any]) -> Any:
        deepest: TypeMismatchError | None = None
        for member in self._members:
            try:
                return function(member)
            except TypeMismatchError as error:
                if error.path and not (deepest and len(deepest.path) >= len(error.path)):
                    deepest = error
        if deepest:
            raise deepest
        self.refuse(value)

    def _find_tagged(self, value: Any) -> TypeHandler | None:
        match value:
            case {"__type__": str(name), "value": _} if len(value) == 2:
                return self._tagged.get(name)
            case _:
                return None

    def _tag(self, member: TypeHandler | None, value: Any) -> Any:
        return {TAG: member.name, "value": value} if member else value


class AnyJson(Union):
    """`Any`: what JSON has."""

    immutable = False
    name = "a value of JSON"

    def __init__(self) -> None:
        super().__init__([_JsonScalar(), ListOf(self), DictOf(_TEXT, self)], self.name)

    def refuse(self, value: object) -> NoReturn:
        """Raise TypeMismatchError."""
        raise TypeMismatchError(value, "JSON does not have it: declare its type")


class AnyObject(TypeHandler):
    """Whatever there is, where the type is not asked; what contains something is tracked."""

    immutable = False
    name = "anything"

    def __init__(self) -> None:
        # As those of a list or dict that may hold anything.
        self.key = self.item = self
        self._parts = {
            list: ListOf(self),
            dict: DictOf(self, self),
            set: SetOf(set, self),
            tuple: TupleOf([self], repeated=True),
        }

    def validate(self, value: Any, context: LoadContext) -> Any:
        """Return a tracked copy of what contains something, else the value."""
        if isinstance(value, StateBase):
            context.states.append(value)
        for cls, part in self._parts.items():
            if isinstance(value, cls):
                kept: object = part.validate(value, context)
                # A tuple that contains nothing of the handler remains of its own class.
                return kept if isinstance(kept, TreeNode) else cast(object, value)
        return value

    def to_json(self, value: Any) -> Any:
        """Return the value; raise TypeMismatchError for what JSON does not have."""
        return AnyJson().to_json(value)


def _is_list_of_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_pair, cast(list[object], value)))


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(cast(list[object], value)) == 2
