"""Records of the changes of a state, each of which can take its change back."""

# pyright: reportPrivateUsage=false

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from ._tree import MISSING, Parent

if TYPE_CHECKING:
    from ._node import StateNode
    from ._tracked import TrackedDict, TrackedList, TrackedSet
    from .fields import Field

# A change is taken back by the plain methods, which record nothing.
_list: Any = list
_dict: Any = dict
_set: Any = set


class Record(ABC):
    """One change, made while a journal is active."""

    __slots__ = ()

    @abstractmethod
    def undo(self) -> None:
        """Take the change back; later changes were taken back before. Computed values notice."""


class Action(Record):
    """Something outside of the states that a rollback takes back too."""

    __slots__ = ("_undo",)

    def __init__(self, undo: Callable[[], object]) -> None:
        self._undo = undo

    def undo(self) -> None:
        """Call the function."""
        self._undo()


class Linked(Record):
    """A node or container has got or lost a place in a parent.

    It refers to the parent, because the link does so only weakly.
    """

    __slots__ = ("_child", "_link", "_parent")

    def __init__(self, child: Parent, parent: Parent) -> None:
        self._child, self._parent, self._link = child, parent, child.find_link(parent)

    def undo(self) -> None:
        """Restore the link."""
        self._child.restore_link(self._parent, self._link)


class BecameLenient(Record):
    """A node or container holds a value that its declared type does not allow."""

    __slots__ = ("_parent",)

    def __init__(self, parent: Any) -> None:
        self._parent = parent

    def undo(self) -> None:
        """Hold valid values only, as before."""
        self._parent.lenient = False


class FieldSet(Record):
    """A field of a state has another value."""

    __slots__ = ("before", "field", "target")

    def __init__(self, target: "StateNode", field: "Field", before: object) -> None:
        self.target, self.field, self.before = target, field, before

    def undo(self) -> None:
        """Set the old value."""
        self.target.values[self.field.name] = self.before
        self.target.record((self.field.name,))


class ItemSet(Record):
    """An index of a list has another value."""

    __slots__ = ("before", "index", "target")

    def __init__(self, target: "TrackedList", index: int, before: object) -> None:
        self.target, self.index, self.before = target, index, before

    def undo(self) -> None:
        """Set the old value."""
        _list.__setitem__(self.target, self.index, self.before)
        self.target.record((self.index,))


class Splice(Record):
    """Neighbours in a list were removed, and others added in their place."""

    __slots__ = ("added", "removed", "start", "target")

    def __init__(
        self, target: "TrackedList", start: int, removed: list[Any], added: list[Any]
    ) -> None:
        self.target, self.start = target, start
        self.removed, self.added = removed, added

    def undo(self) -> None:
        """Put the removed elements back."""
        part = slice(self.start, self.start + len(self.added))
        _list.__setitem__(self.target, part, self.removed)
        self.target.record(())


class AllItems(Record):
    """A list has other elements, or another order."""

    __slots__ = ("before", "target")

    def __init__(self, target: "TrackedList", before: list[Any]) -> None:
        self.target, self.before = target, before

    def undo(self) -> None:
        """Put the old elements back."""
        _list.__setitem__(self.target, slice(None), self.before)
        self.target.record(())


class KeySet(Record):
    """A key of a dict has another value, or its first one."""

    __slots__ = ("before", "key", "target")

    def __init__(self, target: "TrackedDict", key: object, before: object) -> None:
        self.target, self.key, self.before = target, key, before

    def undo(self) -> None:
        """Set the old value, or delete the key."""
        if self.before is MISSING:
            _dict.__delitem__(self.target, self.key)
        else:
            _dict.__setitem__(self.target, self.key, self.before)
        self.target.record((self.key,))


class KeyDeleted(Record):
    """A key of a dict was deleted.

    Attributes:
        at: Its place in the order of the dict.
    """

    __slots__ = ("at", "before", "key", "target")

    def __init__(self, target: "TrackedDict", key: object, before: object, at: int) -> None:
        self.target, self.key, self.before, self.at = target, key, before, at

    def undo(self) -> None:
        """Put the key back in its place."""
        insert_key(self.target, self.key, self.before, self.at)
        self.target.record((self.key,))


def insert_key(target: "TrackedDict", key: object, value: object, at: int) -> None:
    """Set a new key at a place in the order of a dict, past its methods."""
    items = target.copy()
    if at < len(items):
        _dict.clear(target)
        _dict.update(target, {name: items[name] for name in islice(items, at)})
    _dict.__setitem__(target, key, value)
    _dict.update(target, items)


class AllKeys(Record):
    """A dict has other keys and values."""

    __slots__ = ("before", "target")

    def __init__(self, target: "TrackedDict", before: dict[Any, Any]) -> None:
        self.target, self.before = target, before

    def undo(self) -> None:
        """Put the old ones back."""
        _dict.clear(self.target)
        _dict.update(self.target, self.before)
        self.target.record(())


class Members(Record):
    """A set has other members."""

    __slots__ = ("added", "removed", "target")

    def __init__(self, target: "TrackedSet", added: list[Any], removed: list[Any]) -> None:
        self.target, self.added, self.removed = target, added, removed

    def undo(self) -> None:
        """Take the new members out, and put the old ones back."""
        _set.difference_update(self.target, self.added)
        _set.update(self.target, self.removed)
        self.target.record(())
