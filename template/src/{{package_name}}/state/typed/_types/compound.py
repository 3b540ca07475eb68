"""Handlers of the types that have parts: containers, unions, and those that allow anything."""

# pyright: reportPrivateUsage=false

import json
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, NoReturn, TypeVar, cast

from .._tracked import Collection, TrackedDict, TrackedList, TrackedSet, TrackedTuple
from .._tree import NamedPayload, StateBase, TreeNode, drained
from .base import (
    TAG,
    CollectionHandler,
    LiteralValue,
    LoadContext,
    Scalar,
    TypeHandler,
    TypeMismatchError,
    convert,
    tag_of,
    tagged,
    untag,
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
        given: list[object] = self.expect_stored(value, context, list)
        if self.keep is not None and len(given) > self.keep:
            given = given[-self.keep :]
        return TrackedList(self.item.validate_all(range(len(given)), given, context), self)

    def to_json(self, value: object) -> object:
        """Return a list."""
        given: list[object] = self.expect(value, list)
        return self.item.to_json_all(range(len(given)), given)

    def handlers_of(self, value: Sized) -> list[TypeHandler]:
        """Return the handlers of the elements."""
        return [self.item] * len(value)


class SetOf(CollectionHandler):
    """`set[int]` or `frozenset[int]`: a sorted list in JSON."""

    def __init__(self, cls: type, item: TypeHandler) -> None:
        super().__init__(f"{cls.__name__}[{item.name}]", item)
        self._class = cls
        self.immutable = cls is frozenset

    def validate(self, value: object, context: LoadContext) -> object:
        """Return a frozenset, or a tracked copy of a set."""
        types = [self._class, *[list] * context.stored]
        given: frozenset[object] = self.expect_stored(value, context, *types)
        items = self.item.validate_all(range(len(given)), given, context)
        try:
            return frozenset(items) if self.immutable else TrackedSet(items, self)
        except TypeError as error:  # an element that cannot be in a set
            raise TypeMismatchError(value, f"expected {self.name} ({error})") from error

    def to_json(self, value: object) -> list[Any]:
        """Return a list."""
        given: frozenset[object] = self.expect(value, self._class)
        return sorted_members(self.item.to_json_all(range(len(given)), given))


def sorted_members(items: Iterable[Any]) -> list[Any]:
    """Return the JSON of the members of a set, in one order in every process."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=json.dumps)


class TupleOf(TypeHandler):
    """`tuple[int, str]` or `tuple[int, ...]`: a list in JSON."""

    json_types = frozenset({list})

    def __init__(self, items: list[TypeHandler], *, repeated: bool) -> None:
        names = [item.name for item in items] + ["..."] * repeated
        self.name = f"tuple[{', '.join(names)}]"
        self.parts, self.is_repeated = items, repeated
        self.immutable = all(item.immutable for item in items)
        self.holds_states = any(item.holds_states for item in items)
        self.has_view = any(item.has_view for item in items)
        self.opaque = any(item.opaque for item in items)

    def validate(self, value: object, context: LoadContext) -> tuple[object, ...]:
        """Return a tuple, a tracked one if an element can change."""
        types = [tuple, *[list] * context.stored]
        pairs = self._pair(self.expect_stored(value, context, *types))
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
        handlers = self.handlers_of(value)
        if len(value) != len(handlers):
            message = f"expected {self.name}, which has {len(handlers)} elements"
            raise TypeMismatchError(value, message)
        return enumerate(zip(handlers, value, strict=True))

    def handlers_of(self, value: Sized) -> list[TypeHandler]:
        """Return the handlers of the elements, which the value may lack."""
        return [*self.parts] * (len(value) if self.is_repeated else 1)


def _is_plain_dict(value: object) -> bool:
    return type(value) is dict


class DictOf(CollectionHandler):
    """`dict[str, int]`: an object in JSON, or a list of pairs if the keys are not text.

    An object that looks like a tag gets a tag of its own, so that it is not taken for one. If
    text is one of several types of the keys, the object of a dict whose keys were all text is
    accepted too, and the opposite.
    """

    def __init__(self, key: TypeHandler, item: TypeHandler, *, escape: bool = True) -> None:
        super().__init__(f"dict[{key.name}, {item.name}]", item)
        self.key, self._escape = key, escape
        self.opaque |= key.opaque
        self.is_object = isinstance(key, Scalar) and key.name == _TEXT.name
        self.has_view |= not self.is_object
        forms: set[type] = {dict if self.is_object else list}
        self.json_types = frozenset(forms | ({dict} if _allows_text(key) else set()))

    def validate(self, value: object, context: LoadContext) -> TrackedDict:
        """Return a tracked copy."""
        form = self._unescape(value) if context.encoded else value
        keys, values = self._split(form, context)
        keys = self.key.validate_all(keys, keys, context)
        values = self.item.validate_all(keys, values, context)
        try:
            return TrackedDict(dict(zip(keys, values, strict=True)), self)
        except TypeError as error:  # a key that is not hashable
            raise TypeMismatchError(value, f"expected {self.name} ({error})") from error

    def _unescape(self, value: object) -> object:
        form: Any = untag(value, self.name)
        inner = untag(form, "dict")
        if inner is form and isinstance(form, dict) and TAG in form:
            self.reject(value)
        return inner

    def _split(
        self, value: object, context: LoadContext
    ) -> tuple[Iterable[object], Iterable[object]]:
        if context.exact and _is_plain_dict(value) and dict not in self.json_types:
            self.reject(value)
        may_be_pairs = context.encoded or (context.stored and not self.is_object)
        if may_be_pairs and is_list_of_pairs(value):
            pairs = cast(list[tuple[object, object]], value)
            return [key for key, _ in pairs], [item for _, item in pairs]
        given: dict[object, object] = self.expect(value, dict)
        return given, given.values()

    def to_json(self, value: object) -> object:
        """Return a dict, or a list of pairs."""
        given: dict[Any, object] = self.expect(value, dict)
        keys = self.key.to_json_all(given, given)
        values = self.item.to_json_all(given, given.values())
        if not self.is_object:
            return [[*pair] for pair in zip(keys, values, strict=True)]
        unchanged = self.item.all_json_unchanged(given.values())
        form = given if unchanged else dict(zip(keys, values, strict=True))
        return tagged("dict", form) if self._escape and TAG in form else form


class Union(TypeHandler):
    """`int | list[str]`.

    A member whose JSON looks like that of another gets a tag with its name there. A value that
    JSON has too, such as text, gets one only if another member could read it.

    So a value of JSON without a tag is of the one member that can read it. If several can, it
    was saved when the type was declared otherwise, and is rejected rather than guessed.
    """

    def __init__(self, members: list[TypeHandler], name: str = "") -> None:
        self.name = name or " | ".join(member.name for member in members)
        self.immutable = all(member.immutable for member in members)
        self.holds_states = any(member.holds_states for member in members)
        self.has_view = any(member.has_view for member in members)
        self.opaque = any(member.opaque for member in members)
        self.parts = members
        ambiguous = [member.name for member in members if self._is_ambiguous(member)]
        self._tagged = {*ambiguous}
        if len(self._tagged) < len(ambiguous):
            raise TypeError(f"{self.name} has two members of the same name")
        untagged = [member for member in members if member.name not in self._tagged]
        self.json_types = _json_types_of(untagged) | ({dict} if self._tagged else set())
        plain = [member for member in members if isinstance(member, _PLAIN)]
        others = [member for member in members if not isinstance(member, _PLAIN)]
        self._named = {member.name: member for member in others}
        # The types of plain values that other members have in JSON too.
        self._shared = _json_types_of(plain) & _json_types_of(others)

    def _is_ambiguous(self, member: TypeHandler) -> bool:
        others = (other for other in self.parts if other is not member)
        return not isinstance(member, _PLAIN) and any(
            member.json_types & other.json_types for other in others
        )

    def validate(self, value: Any, context: LoadContext) -> object:
        """Return the value as the first member keeps it that allows it."""
        if context.exact:
            return self._decode(value, context)
        member = self.find_tagged(value) if context.stored else None
        if member and (self.holds_states or context.encoded):
            return member.validate(value["value"], context)
        try:
            return self._validate_drained(value, context)
        except TypeMismatchError:
            if member is None:
                raise
            return member.validate(value["value"], context)

    def _validate_drained(self, value: object, context: LoadContext) -> object:
        # A value that should have a tag and has none was drained, and is not JSON.
        plain = LoadContext(copies=context.copies, from_client=context.from_client)
        members = [*self.parts]
        if context.stored and tag_of(value) is not None:  # then it is a dict of the user
            members = sorted(members, key=lambda member: dict not in member.json_types)
        validated = self._first(
            value,
            members,
            lambda member: member.validate(
                value, plain if member.name in self._tagged and context.stored else context
            ),
        )
        context.merge(plain)
        return validated

    def _decode(self, value: Any, context: LoadContext) -> object:
        """Return the value that JSON stands for, without a guess."""
        if member := self.find_tagged(value):
            return member.validate(value["value"], context)
        has_tag = tag_of(value) is not None
        members = [one for one in self.parts if has_tag or type(value) in one.json_types]
        if len(members) == 1:
            return members[0].validate(value, context)

        def read(member: TypeHandler) -> tuple[object, LoadContext]:
            part = context.apart()
            try:
                return member.validate(value, part), part
            except ValueError as error:  # it may be the payload of another class
                return error, part

        (first, part), *others = self._results(value, members, read)
        if any(not _is_identical(first, other) for other, _ in others):
            raise TypeMismatchError(value, f"expected {self.name}, but several of its types fit")
        if isinstance(first, ValueError):
            raise first
        context.merge(part)
        return first

    def all_valid_unchanged(self, values: Iterable[object]) -> bool:
        """Return whether one member allows all values."""
        return not self._shares_any(values) and any(
            member.all_valid_unchanged(values) for member in self.parts
        )

    def all_json_unchanged(self, values: Iterable[object]) -> bool:
        """Return whether all values are of one member, and JSON has them."""
        return not self._shares_any(values) and any(
            member.all_json_unchanged(values) for member in self.parts
        )

    def _shares_any(self, values: Iterable[object]) -> bool:
        return bool(self._shared) and not self._shared.isdisjoint(map(type, values))

    def drain(self, value: object) -> Any:
        """Return a deep copy; a value with states gets its tag here: payloads have no class."""
        plain, name = drained(value), ""
        if isinstance(value, StateBase):
            name = type(value).__name__
            others = (one for one in self.parts if isinstance(one, AnyObject))
            if name not in self._named and (other := next(others, None)):
                return other.drain(value)
        elif isinstance(value, Collection | TrackedTuple) and self.holds_states:
            name = value.handler.name
            name = next((m.name for m in self.parts if name in m.part_names), name)
        looks_tagged = self.holds_states and tag_of(plain) is not None
        return tagged(name, plain) if name in self._tagged or looks_tagged else plain

    def to_json(self, value: Any) -> object:
        """Return the JSON of the first member that has the value."""
        if self.holds_states and (member := self.find_tagged(value)):
            return self._tag(member, member.to_json(value["value"]))
        return self._first(
            value, self.parts, lambda member: self._tag(member, member.to_json(value))
        )

    def _tag(self, member: TypeHandler, form: object) -> object:
        if member.name in self._tagged:
            return tagged(member.name, form)
        if isinstance(member, _PLAIN) and type(form) in self._shared and self._misleads(form):
            return tagged(type(form).__name__, form)
        return form

    def _misleads(self, form: object) -> bool:
        try:
            self._decode(form, LoadContext(stored=True, encoded=True))
        except TypeMismatchError:
            return True
        return False

    def _first(
        self, value: object, members: Iterable[TypeHandler], function: Callable[[TypeHandler], R]
    ) -> R:
        return next(self._results(value, members, function))

    def _results(
        self, value: object, members: Iterable[TypeHandler], function: Callable[[TypeHandler], R]
    ) -> Iterator[R]:
        """Return the results for the members that accept a value, of which there is one or more."""
        deepest: TypeMismatchError | None = None
        accepted = False
        for member in members:
            try:
                result = function(member)
            except TypeMismatchError as error:
                if error.path and not (deepest and len(deepest.path) >= len(error.path)):
                    deepest = error
            else:
                accepted = True
                yield result
        if deepest and not accepted:
            raise deepest
        if not accepted:
            self.reject(value)

    def find_tagged(self, value: object) -> TypeHandler | None:
        """Return the member that the tag of a value names, if there is one."""
        return self._named.get(tag_of(value) or "")

    def find_untagged(self, form: object) -> TypeHandler | None:
        """Return the member whose JSON has the type of a value, and no tag."""
        members = (one for one in self._named.values() if one.name not in self._tagged)
        return next((one for one in members if type(form) in one.json_types), None)


# Their values are JSON as they are.
_PLAIN = (Scalar, LiteralValue)


def _json_types_of(members: Iterable[TypeHandler]) -> frozenset[type]:
    return frozenset[type]().union(*(member.json_types for member in members))


def _is_identical(one: object, other: object) -> bool:
    # 1, True and a member of an IntEnum are equal, at any depth.
    return type(one) is type(other) and repr(one) == repr(other)


def _allows_text(handler: TypeHandler) -> bool:
    if isinstance(handler, Union):
        return any(map(_allows_text, handler.parts))
    return isinstance(handler, _PLAIN) and str in handler.json_types


class AnyJson(Union):
    """`Any`: a value that JSON has.

    Args:
        escape: Whether an object that looks like a tag gets a tag of its own.
    """

    immutable = False
    name = "a value of JSON"

    def __init__(self, *, escape: bool = True) -> None:
        parts: list[TypeHandler] = [_JsonScalar(), ListOf(self), DictOf(_TEXT, self, escape=escape)]
        super().__init__(parts, self.name)
        self.part_names = {part.name for part in parts}

    def reject(self, value: object) -> NoReturn:
        """Raise TypeMismatchError."""
        raise TypeMismatchError(value, "JSON does not have it: declare its type")


class AnyObject(TypeHandler):
    """Any value, where its type does not matter; containers are tracked."""

    immutable = False
    opaque = True
    name = "anything"

    def __init__(self) -> None:
        self._parts: dict[type, TypeHandler] = {
            list: ListOf(self),
            dict: DictOf(self, self),
            set: SetOf(set, self),
            tuple: TupleOf([self], repeated=True),
        }
        self.part_names = {part.name for part in self._parts.values()}

    def validate(self, value: object, context: LoadContext) -> object:
        """Return a tracked copy of a container, the state of a payload, and all else as it is."""
        if isinstance(value, NamedPayload) and (context.stored or context.copies):
            return value.cls._state_build(value, context)
        if isinstance(value, StateBase):
            context.states.append(value)
        for cls, part in self._parts.items():
            if isinstance(value, cls):
                kept = part.validate(value, context)
                if isinstance(kept, TreeNode):
                    return kept
        # A tuple without anything that can change keeps its own class.
        return drained(value) if context.copies else value

    def drain(self, value: object) -> Any:
        """Return a deep copy in plain Python objects; the payload of a state names its class."""
        plain = drained(value)
        if isinstance(value, StateBase):
            plain = NamedPayload(plain)
            plain.cls = type(value)
        return plain

    def to_json(self, value: object) -> object:
        """Return the value; raise TypeMismatchError if JSON does not have it."""
        return AnyJson().to_json(value)


def is_list_of_pairs(value: object) -> bool:
    """Return whether a value is a list whose elements all have two elements."""
    return isinstance(value, list) and all(map(_is_pair, cast(list[object], value)))


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(cast(list[object], value)) == 2
