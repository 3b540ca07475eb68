"""The tree of a state: its nodes, the parents that contain them, and the links between both."""

# pyright: reportPrivateUsage=false

import copy
from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from weakref import ref

from ._changes import CHANGES, KeyPath

if TYPE_CHECKING:
    from ._node import StateNode
    from ._types.base import LoadContext, TypeHandler

# The values of a state by name, and those with their version, as `State.drain()` returns them.
Values = dict[str, Any]
Payload = dict[str, Any]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


class EncodedPayload(dict[str, Any]):
    """A payload whose values are in the forms of JSON, as a codec encodes and decodes it."""


class NamedPayload(dict[str, Any]):
    """A payload that names the class of its state, because the declared type does not.

    Only pickles can hold it.
    """

    cls: "type[StateBase]"


class Slot(Protocol):
    """The position of a child in a parent: its key, which `Parent.locate()` corrects."""

    key: Any


class Parent(ABC):
    """A part of a state that contains values: the node of a state, or a tracked container.

    Attributes:
        lenient: Whether it may hold a value that its declared type does not allow, which can
            happen outside strict mode.
    """

    __slots__ = ()

    lenient: bool

    # Checkers look for slots here, but the subclasses have them: so self is of any type.
    def become_lenient(self: Any) -> None:
        """Note that it may hold a value that its declared type does not allow.

        The caller must hold the lock.
        """
        if (journal := CHANGES.journal) is not None and not self.lenient:
            journal.record_lenient(self)
        self.lenient = True

    @property
    def weak_target(self) -> "Parent | TupleRef":
        """The object that weak references to it refer to."""
        return self

    @abstractmethod
    def children(self) -> Iterable[tuple[Any, object]]:
        """Return the values in it, each with its key."""

    @abstractmethod
    def parents(self) -> "list[Parent]":
        """Return the parents that contain it."""

    @abstractmethod
    def root(self) -> "StateNode | None":
        """Return the node of the innermost state around it, None outside of a state."""

    @abstractmethod
    def attach_to(self, parent: "Parent", key: object) -> None:
        """Report changes to a parent from now on."""

    @abstractmethod
    def detach_from(self, parent: "Parent") -> None:
        """Stop reporting changes to a parent."""

    @abstractmethod
    def find_link(self, parent: "Parent") -> Any:
        """Return its link to a parent as it is now, for `restore_link()`."""

    @abstractmethod
    def restore_link(self, parent: "Parent", link: Any) -> None:
        """Restore an earlier link to a parent."""

    @abstractmethod
    def record(self, path: KeyPath) -> None:
        """Collect a change at a path within it, for its listeners and those of its parents."""

    def get_child(self, key: Any) -> object:
        """Return the value under a key; None if there is none, or if `find()` is as fast."""
        return None

    def find(self, child: object) -> list[Any]:
        """Return every key of a child."""
        return [key for key, value in self.children() if value is child]

    def locate(self, slot: Slot, child: object) -> Any:
        """Return the current key of a child that it contains once."""
        if self.get_child(slot.key) is not child:
            slot.key = self.find(child)[0]
        return slot.key


class TupleRef:
    """Stands for a tracked tuple, because tuples cannot have weak references."""

    __slots__ = ("__weakref__", "parent")

    def __init__(self, parent: Parent) -> None:
        self.parent = parent


class ParentRef:
    """A weak reference to a parent.

    The parent refers to the child. A strong reference back would keep a dropped state alive
    until the garbage collector runs.
    """

    __slots__ = ("_target",)

    def __init__(
        self, parent: Parent, forget: "Callable[[ref[Any]], object] | None" = None
    ) -> None:
        self._target = ref(parent.weak_target, forget)

    def __call__(self) -> Parent | None:
        """Return the parent, None once it is gone."""
        target = self._target()
        return target.parent if isinstance(target, TupleRef) else target


class TreeNode(ABC):
    """A value that may stand in a state and reports its changes there."""

    __slots__ = ()

    # The node of a state is an object of its own: names on a state belong to its fields.
    @property
    @abstractmethod
    def _state_node(self) -> Parent: ...

    @abstractmethod
    def drain(self) -> Any:
        """Return a deep copy in plain Python objects."""


class StateMeta(ABCMeta):
    """The class of state classes: it completes a state after its whole `__init__`."""

    if not TYPE_CHECKING:  # pragma: no branch - a checker would accept any arguments

        def __call__(cls, /, *args: object, **values: object) -> object:
            """Return a complete state; one whose `__init__` raises runs no hooks."""
            state = super().__call__(*args, **values)
            if isinstance(state, cls):  # __new__ may return anything
                state._state_complete()
            return state


class StateBase(TreeNode, metaclass=StateMeta):
    """The part of a state that the modules below it need."""

    __slots__ = ()

    __version__: ClassVar[int] = 1
    __allow_newer__: ClassVar[bool] = False
    __strict__: ClassVar[bool | None] = None

    @property
    @abstractmethod
    def _state_node(self) -> "StateNode": ...

    # Any, because libraries resolve the annotations of a class and of its bases at run time.
    __codec__: ClassVar[Any]
    _state_fields: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    _state_declared: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    # Whether the fields are resolved later, because an annotation is not defined yet.
    _state_pending: ClassVar[bool] = False

    # The parts of the public class that run while a state is hydrated.
    @abstractmethod
    def __post_init__(self) -> None: ...

    @abstractmethod
    def _state_complete(self) -> None:
        """Fill in defaults after `__init__`, and run the hooks."""

    @classmethod
    @abstractmethod
    def __migrate__(cls, start_version: int, target_version: int, values: Values) -> Values: ...

    @classmethod
    @abstractmethod
    def _state_build(cls, payload: object, context: "LoadContext") -> "StateBase":
        """Return the state of a payload, without its effects."""

    @classmethod
    def _from_other(cls, value: object) -> "StateBase | None":
        """Return the state that stands for an object of another class; None if none does."""
        return None

    @classmethod
    @abstractmethod
    def _state_check(cls, payload: Payload) -> None:
        """Raise TypeMismatchError if a drained value is not of the type of its field."""

    @classmethod
    @abstractmethod
    def _state_dump(cls, payload: Payload) -> Payload:
        """Return a drained payload as JSON."""


_ATOMS = frozenset({str, int, float, bool, type(None)})


def drained(value: object) -> Any:
    """Return a deep copy of a value in plain Python objects."""
    if type(value) in _ATOMS:
        return value
    return value.drain() if isinstance(value, TreeNode) else copy.deepcopy(value)


def is_same(handler: "TypeHandler", before: object, after: object) -> bool:
    """Return whether replacing a value by another is not a change."""
    same_type = handler.immutable and type(before) is type(after)
    if isinstance(before, datetime | time) and repr(before) != repr(after):
        return False  # the same moment in two time zones is equal
    return before is after or (same_type and bool(before == after))


def is_unchanged(before: Any, after: Any) -> bool:
    """Return whether two drained values are equal, and alike where `==` hides a difference.

    It hides the type of `True` and `1`, the fold of a time, its time zone, the digits of a
    Decimal, and the fields of a dataclass that are not compared.
    """
    return bool(before == after) and _is_alike(before, after)


def _is_alike(before: Any, after: Any) -> bool:
    kind = before.__class__
    if issubclass(kind, list | tuple):
        return all(_is_alike(old, new) for old, new in zip(before, after, strict=True))
    if issubclass(kind, set | frozenset):
        return _is_alike(dict.fromkeys(before), dict.fromkeys(after))
    if issubclass(kind, dict):
        keys: dict[Any, Any] = {key: key for key in after}
        return all(_is_alike(k, keys[k]) and _is_alike(before[k], after[k]) for k in before)
    if issubclass(kind, datetime | time | Decimal | float):
        return repr(before) == repr(after)
    if kind is type(after) and is_dataclass(kind):
        names = (each.name for each in fields(kind))
        return all(is_unchanged(getattr(before, n), getattr(after, n)) for n in names)
    return kind is type(after)


def attach(value: object, parent: Parent, key: object) -> None:
    """Let a value report its changes to a parent. The caller must hold the lock."""
    if isinstance(value, TreeNode):
        if (journal := CHANGES.journal) is not None:
            journal.record_link(value._state_node, parent)
        value._state_node.attach_to(parent, key)


def attach_to_new(value: object, parent: Parent, key: object) -> None:
    """Let a value report its changes to a parent that is being made.

    A rollback leaves such a link: an object that was made in the block stays as it was made.
    """
    if isinstance(value, TreeNode):
        value._state_node.attach_to(parent, key)


def detach(value: object, parent: Parent) -> None:
    """Let a value that was removed from a parent no longer report to it.

    The caller must hold the lock.
    """
    if isinstance(value, TreeNode):
        if (journal := CHANGES.journal) is not None:
            journal.record_link(value._state_node, parent)
        value._state_node.detach_from(parent)
