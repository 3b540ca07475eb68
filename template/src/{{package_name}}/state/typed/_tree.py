"""What stands in a state: it knows where, and tells its changes there."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Self
from weakref import ref

from ._changes import KeyPath, Owner, Place


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


class Anchor:
    """Stands for a tuple, to which there are no weak references."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner


class Ownership:
    """Who contains something, as long as it is there.

    What contains something refers to it, and so it may not do the same: a state that is
    dropped should be gone, and not wait for the garbage collector.
    """

    __slots__ = ("_anchor",)

    def __init__(self, owner: Owner, forget: Callable[[Any], object] | None = None) -> None:
        self._anchor = ref(getattr(owner, "anchor", owner), forget)

    def __call__(self) -> Owner | None:
        """Return the owner, None if it is gone."""
        anchor: Any = self._anchor()
        owner: Owner | None = anchor.owner if isinstance(anchor, Anchor) else anchor
        return owner


class Child:
    """What may stand in a state, and tells its changes there."""

    __slots__ = ()

    # Where it stands: apart, because the names of a state belong to its fields.
    __node__: Any

    def drain(self) -> Any:
        """Return a deep copy in plain Python objects."""


class Nested(Child):
    """A state, as far as what contains it has to know."""

    __slots__ = ()

    __strict__: ClassVar[bool | None] = None
    __fields__: ClassVar[dict[str, Any]] = {}
    # Whether the fields are found later, because an annotation is not defined yet.
    __pending__: ClassVar[bool] = False
    __codec__: ClassVar[Any]

    @classmethod
    def __build__(cls, payload: dict[str, Any], context: Any) -> Any:
        """Return the state of a payload, without its effects."""

    @classmethod
    def __check__(cls, payload: dict[str, Any]) -> None:
        """Raise TypeMismatchError if a drained value is not of the type of its field."""

    @classmethod
    def __dump__(cls, payload: dict[str, Any]) -> Any:
        """Return a payload as JSON."""


def is_same(handler: Any, before: Any, after: Any) -> bool:
    """Return whether a value of a type is no other than the one before."""
    same_type = handler.immutable and type(before) is type(after)
    return before is after or (same_type and bool(before == after))


def adopt(value: Any, owner: Owner, key: Any) -> None:
    """Have a value tell its changes to an owner."""
    if isinstance(value, Child):
        value.__node__.adopted(owner, key)


def release(value: Any, owner: Owner) -> None:
    """Have a value that was taken out tell nothing any more."""
    if isinstance(value, Child):
        value.__node__.released(owner)


def drained(value: Any) -> Any:
    """Return a deep copy of a value in plain Python objects."""
    if isinstance(value, Child):
        return value.drain()
    return value if type(value) in _ATOMS else copy.deepcopy(value)


_ATOMS = frozenset({str, int, float, bool, type(None)})


class Container(Child):
    """A container that stands in one place; put into another, it is copied."""

    __slots__ = ()

    key: Any
    _owner: Ownership | None
    handler: Any

    @property
    def __node__(self) -> Self:
        """Return the container, which knows by itself where it stands."""
        return self

    # Of any type, because a checker does not find the slots, which its subclasses have.
    def adopted(self: Any, owner: Owner, key: Any) -> None:
        """Belong to an owner from now on, if to none."""
        if not self.owners():
            self._owner, self.key = Ownership(owner), key

    def released(self: Any, owner: Owner) -> None:
        """Belong to an owner no more."""
        if any(each is owner for each in self.owners()):
            self._owner = None

    def owners(self) -> list[Owner]:
        """Return what contains this."""
        owner = self._owner() if self._owner else None
        return [] if owner is None else [owner]

    def take(self, handler: Any, value: Any, place: Owner) -> Any:
        """Return a value as it is kept there, of a type, checked and tracked."""
        for owner in self.owners():
            value = owner.take(handler, value, place)
        # What was taken out of a state is an ordinary container.
        return value

    def _take(self, handler: Any, value: Any) -> Any:
        return self.take(handler, value, self)

    def locate(self, place: Place, child: object) -> Any:
        """Return under which key a child stands."""
        if self._at(place.key) is not child:
            place.key = self.find(child)[0]
        return place.key

    def find(self, child: object) -> Any:
        """Return every key under which a child stands."""

    def _at(self, key: Any) -> Any:
        return None  # which is found then

    def report(self, path: KeyPath) -> None:
        """Take note of a change at a path."""
        for owner in self.owners():
            owner.report((owner.locate(self, self), *path))
