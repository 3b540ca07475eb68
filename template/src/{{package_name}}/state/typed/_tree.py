"""What stands in a state: it knows where, and tells its changes there."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Self
from weakref import ref

from ._changes import KeyPath, Parent, Slot


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


class TupleRef:
    """Stands for a tuple, to which there are no weak references."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent


class ParentRef:
    """Who contains something, as long as it is there.

    What contains something refers to it, and so it may not do the same: a state that is
    dropped should be gone, and not wait for the garbage collector.
    """

    __slots__ = ("_target",)

    def __init__(self, parent: Parent, forget: Callable[[Any], object] | None = None) -> None:
        self._target = ref(getattr(parent, "tuple_ref", parent), forget)

    def __call__(self) -> Parent | None:
        """Return the parent, None if it is gone."""
        tuple_ref: Any = self._target()
        parent: Parent | None = tuple_ref.parent if isinstance(tuple_ref, TupleRef) else tuple_ref
        return parent


class TreeNode:
    """What may stand in a state, and tells its changes there."""

    __slots__ = ()

    # Where it stands: apart, because the names of a state belong to its fields.
    _state_node: Any

    def drain(self) -> Any:
        """Return a deep copy in plain Python objects."""


class StateBase(TreeNode):
    """A state, as far as what contains it has to know."""

    __slots__ = ()

    __strict__: ClassVar[bool | None] = None
    _state_fields: ClassVar[dict[str, Any]] = {}
    # Whether the fields are found later, because an annotation is not defined yet.
    _state_pending: ClassVar[bool] = False
    __codec__: ClassVar[Any]

    @classmethod
    def _state_build(cls, payload: dict[str, Any], context: Any) -> Any:
        """Return the state of a payload, without its effects."""

    @classmethod
    def _state_check(cls, payload: dict[str, Any]) -> None:
        """Raise TypeMismatchError if a drained value is not of the type of its field."""

    @classmethod
    def _state_dump(cls, payload: dict[str, Any]) -> Any:
        """Return a payload as JSON."""


def is_same(handler: Any, before: Any, after: Any) -> bool:
    """Return whether a value of a type is no other than the one before."""
    same_type = handler.immutable and type(before) is type(after)
    return before is after or (same_type and bool(before == after))


def attach(value: Any, parent: Parent, key: Any) -> None:
    """Have a value tell its changes to an parent."""
    if isinstance(value, TreeNode):
        value._state_node.attach_to(parent, key)


def detach(value: Any, parent: Parent) -> None:
    """Have a value that was taken out tell nothing any more."""
    if isinstance(value, TreeNode):
        value._state_node.detach_from(parent)


def drained(value: Any) -> Any:
    """Return a deep copy of a value in plain Python objects."""
    if isinstance(value, TreeNode):
        return value.drain()
    return value if type(value) in _ATOMS else copy.deepcopy(value)


_ATOMS = frozenset({str, int, float, bool, type(None)})


class Container(TreeNode):
    """A container that stands in one place; put into another, it is copied."""

    __slots__ = ()

    key: Any
    _parent: ParentRef | None
    handler: Any

    @property
    def _state_node(self) -> Self:
        """Return the container, which knows by itself where it stands."""
        return self

    # Of any type, because a checker does not find the slots, which its subclasses have.
    def attach_to(self: Any, parent: Parent, key: Any) -> None:
        """Belong to an parent from now on, if to none."""
        if not self.parents():
            self._parent, self.key = ParentRef(parent), key

    def detach_from(self: Any, parent: Parent) -> None:
        """Belong to an parent no more."""
        if any(each is parent for each in self.parents()):
            self._parent = None

    def parents(self) -> list[Parent]:
        """Return what contains this."""
        parent = self._parent() if self._parent else None
        return [] if parent is None else [parent]

    def coerce(self, handler: Any, value: Any, place: Parent) -> Any:
        """Return a value as it is kept there, of a type, checked and tracked."""
        for parent in self.parents():
            value = parent.coerce(handler, value, place)
        # What was taken out of a state is an ordinary container.
        return value

    def _coerce(self, handler: Any, value: Any) -> Any:
        return self.coerce(handler, value, self)

    def locate(self, slot: Slot, child: object) -> Any:
        """Return under which key a child stands."""
        if self._at(slot.key) is not child:
            slot.key = self.find(child)[0]
        return slot.key

    def find(self, child: object) -> Any:
        """Return every key under which a child stands."""

    def _at(self, key: Any) -> Any:
        return None  # which is found then

    def record(self, path: KeyPath) -> None:
        """Take note of a change at a path."""
        for parent in self.parents():
            parent.record((parent.locate(self, self), *path))
