"""Lists, dicts, sets and tuples in a state: they validate new elements and record changes."""

import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Generic, Self, SupportsIndex, TypeVar, cast

from ._changes import CHANGES, KeyPath
from ._records import (
    AllItems,
    AllKeys,
    ItemSet,
    KeyDeleted,
    KeySet,
    Members,
    Splice,
    insert_key,
)
from ._tree import (
    MISSING,
    Parent,
    ParentRef,
    TreeNode,
    TupleRef,
    attach,
    attach_to_new,
    detach,
    is_same,
)
from ._types.base import NO_STATES, CollectionHandler, LoadContext, TypeHandler, TypeMismatchError

if TYPE_CHECKING:
    from ._journal import Journal
    from ._node import StateNode
    from ._types.compound import TupleOf


H = TypeVar("H", bound=TypeHandler)


def coerce(parent: Parent, handler: TypeHandler, value: object, field: str = "") -> Any:
    """Return a value as a parent keeps it: validated, and tracked if it can change.

    Only an invalid value, one nested too deeply, and one with states in it need the state
    around the parent. A container that was removed from its state keeps any value as it is.

    Args:
        parent: The node or container that is to hold the value.
        handler: The type of the value there.
        value: The value.
        field: The name of the field, where the parent is the node of a state.

    Raises:
        TypeError: The value is not of the type, in strict mode.
        ValueError: The value contains the state, or itself.
    """
    context = NO_STATES if handler.immutable else LoadContext()
    try:
        kept = handler.validate(value, context)
        if kept is value and not context.states and not handler.opaque:
            return kept
        if (root := parent.root()) is None:
            return value
        if handler.opaque:
            root.check_codec(parent, value, field)
        if context.states:
            root.reject_cycles(context.states, parent, field)
        return kept
    except (TypeMismatchError, RecursionError) as error:
        root = parent.root()
        return root.coerce_invalid(parent, handler, value, field, error) if root else value


class Container(TreeNode, Parent, Generic[H]):
    """A container that stands in one place; a container put into another place is copied.

    Attributes:
        key: Its key in the parent, which may be out of date.
        handler: Its type.
    """

    __slots__ = ()

    key: Any
    handler: H
    _parent: ParentRef | None

    @property
    def _state_node(self) -> Self:
        """The container itself: its place is the only one that it has."""
        return self

    # Checkers look for slots here, but the subclasses have them: so self is of any type.
    def _track(self: Any, handler: TypeHandler) -> None:
        self._parent, self.key, self.handler, self.lenient = None, None, handler, False
        if self._holds_nodes():
            for key, child in self.children():
                attach_to_new(child, self, key)

    def _link(self: Any, parent: ParentRef | None, key: object = None) -> None:
        self._parent, self.key = parent, key

    @abstractmethod
    def _holds_nodes(self) -> bool:
        """Return whether there may be tree nodes in it."""

    def attach_to(self, parent: Parent, key: object) -> None:
        """Report changes to a parent, unless there is one already."""
        if self._find_parent() is None:
            self._link(ParentRef(parent), key)

    def detach_from(self, parent: Parent) -> None:
        """Stop reporting changes to a parent."""
        if self._find_parent() is parent:
            self._link(None)

    def find_link(self: Any, parent: Parent) -> tuple[ParentRef | None, object]:
        """Return its only link, and its key there."""
        return self._parent, self.key

    def restore_link(self, parent: Parent, link: tuple[ParentRef | None, object]) -> None:
        """Restore its earlier link, the only one."""
        self._link(*link)

    def _find_parent(self) -> Parent | None:
        return self._parent() if self._parent else None

    def parents(self) -> list[Parent]:
        """Return the parent, if there is one."""
        parent = self._find_parent()
        return [] if parent is None else [parent]

    def root(self) -> "StateNode | None":
        """Return the node of the innermost state around it, None outside of a state."""
        parent = self._find_parent()
        return None if parent is None else parent.root()

    def record(self, path: KeyPath) -> None:
        """Collect a change at a path within it, for the listeners of the states around it."""
        if (parent := self._find_parent()) is not None:
            parent.record((parent.locate(self, self), *path))


class Collection(Container[CollectionHandler]):
    """A container whose elements have one type."""

    __slots__ = ()

    def _holds_nodes(self) -> bool:
        return self.lenient or not self.handler.item.immutable

    def _replaced(self, key: Any, before: object, after: object) -> None:
        if self._holds_nodes():
            detach(before, self)
            attach(after, self, key)
        if not is_same(self.handler.item, before, after):
            self.record((key,))


# Never changed.
_NO_ITEMS: list[Any] = []


class TrackedList(list[Any], Collection):
    """A list in a state; otherwise it behaves as a list."""

    __slots__ = ("__weakref__", "_parent", "handler", "key", "lenient")

    def __init__(self, items: Iterable[object], handler: CollectionHandler) -> None:
        super().__init__(items)
        self._track(handler)

    def children(self) -> Iterable[tuple[int, object]]:
        """Return the elements with their indices."""
        return enumerate(self)

    def get_child(self, key: Any) -> object:
        """Return the element at an index, or None."""
        return self[key] if key < len(self) else None

    def drain(self) -> list[Any]:
        """Return a deep copy in plain Python objects."""
        # copy() is several times as fast as a loop over the elements.
        return [*map(self.handler.item.drain, self)] if self._holds_nodes() else self.copy()

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Copy and pickle it as a plain list."""
        return list, ([*self],)

    def append(self, value: object, /) -> None:
        """Do as `list.append` does."""
        with CHANGES:
            value = coerce(self, self.handler.item, value)
            if (keep := self.handler.keep) is not None:
                self._make_room(1, keep)
            super().append(value)
            index = len(self) - 1
            if (journal := CHANGES.journal) is not None:
                journal.record(Splice(self, index, _NO_ITEMS, [value]))
            if self._holds_nodes():
                attach(value, self, index)
            self.record((index,))

    def insert(self, index: SupportsIndex, value: object, /) -> None:
        """Do as `list.insert` does."""
        self[index:index] = [value]

    def extend(self, values: Iterable[object], /) -> None:
        """Do as `list.extend` does."""
        with CHANGES:
            self[len(self) :] = [*values]

    def __setitem__(self, position: Any, value: Any, /) -> None:
        """Do as `list.__setitem__` does."""
        with CHANGES:
            if isinstance(position, slice):
                self._set_slice(position, value)
                return
            index = range(len(self))[operator.index(position)]
            before = self[index]
            if value is before:
                return
            value = coerce(self, self.handler.item, value)
            super().__setitem__(index, value)
            if (journal := CHANGES.journal) is not None:
                journal.record(ItemSet(self, index, before))
            self._replaced(index, before, value)

    def _set_slice(self, part: Any, values: Iterable[object]) -> None:
        # First, because a generator of values may change the list.
        kept = [coerce(self, self.handler.item, value) for value in values]
        before, (start, _, step) = self[part], part.indices(len(self))
        keep = self.handler.keep
        if step == 1 and keep is not None and len(self) - len(before) + len(kept) > keep:
            if start < len(self):
                self._set_and_trim(part, kept, keep)
                return
            kept = kept[-keep:]
            self._make_room(len(kept), keep)
            start = len(self)
        if step == 1:
            super().__setitem__(part, kept)
            self._record_splice(start, before, kept)
        else:
            items = self.copy()
            items[part] = kept
            self._replace_all(items)
        self._exchange(before, kept, start)

    def _set_and_trim(self, part: Any, kept: list[Any], keep: int) -> None:
        before, items = self.copy(), self.copy()
        items[part] = kept
        self._replace_all(items[-keep:])
        self._exchange(before, self.copy())

    def _make_room(self, count: int, keep: int) -> None:
        """Drop elements from the front of a list that keeps its last ones."""
        del self[: max(0, len(self) + count - keep)]

    def _record_splice(self, start: int, removed: list[Any], added: list[Any]) -> None:
        if (journal := CHANGES.journal) is not None and (removed or added):
            journal.record(Splice(self, start, removed, added))

    def _replace_all(self, items: list[Any]) -> None:
        journal = CHANGES.journal
        before = [] if journal is None else self.copy()
        super().__setitem__(slice(None), items)
        if journal is not None:
            journal.record(AllItems(self, before))

    def _exchange(self, before: list[Any], kept: list[Any], start: int = 0) -> None:
        if not (before or kept):
            return
        if self._holds_nodes():
            for item in before:
                detach(item, self)
            for index, item in enumerate(kept, start):
                attach(item, self, index)
        self.record(())

    def __delitem__(self, index: Any, /) -> None:
        """Do as `list.__delitem__` does."""
        with CHANGES:
            if isinstance(index, slice):
                self._delete_slice(index)
                return
            before, start = [self[index]], range(len(self))[operator.index(index)]
            super().__delitem__(index)
            self._record_splice(start, before, [])
            self._exchange(before, [])

    def _delete_slice(self, part: Any) -> None:
        before, (start, _, step) = self[part], part.indices(len(self))
        if step == 1:
            super().__delitem__(part)
            self._record_splice(start, before, [])
        else:
            items = self.copy()
            del items[part]
            self._replace_all(items)
        self._exchange(before, [])

    def __iadd__(self, values: Iterable[object], /) -> Self:  # type: ignore[misc]  # as in typeshed
        """Do as `list.__iadd__` does."""
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex, /) -> Self:
        """Do as `list.__imul__` does."""
        with CHANGES:
            more = operator.index(times) - 1
            self.extend([*self] * more)
            if more < 0:
                self.clear()
        return self

    def pop(self, index: SupportsIndex = -1, /) -> Any:
        """Do as `list.pop` does."""
        with CHANGES:
            value = self[index]
            del self[index]
        return value

    def remove(self, value: object, /) -> None:
        """Do as `list.remove` does."""
        with CHANGES:
            del self[self.index(value)]

    def clear(self) -> None:
        """Do as `list.clear` does."""
        with CHANGES:
            self[:] = ()

    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        """Do as `list.sort` does."""
        with CHANGES:
            # A comparison that fails leaves it as it was.
            self._reorder(sorted(self, key=cast(Any, key), reverse=reverse))

    def reverse(self) -> None:
        """Do as `list.reverse` does."""
        with CHANGES:
            self._reorder(self[::-1])

    def _reorder(self, items: list[Any]) -> None:
        if any(old is not new for old, new in zip(self, items, strict=True)):
            self._replace_all(items)
            self.record(())


class TrackedDict(dict[Any, Any], Collection):
    """A dict in a state; otherwise it behaves as a dict."""

    __slots__ = ("__weakref__", "_parent", "handler", "key", "lenient")

    def __init__(self, items: Mapping[Any, object], handler: CollectionHandler) -> None:
        super().__init__(items)
        self._track(handler)

    def children(self) -> Iterable[tuple[Any, object]]:
        """Return the values with their keys."""
        return self.items()

    def get_child(self, key: object) -> object:
        """Return the value under a key, or None."""
        return self.get(key)

    def drain(self) -> dict[Any, Any]:
        """Return a deep copy in plain Python objects."""
        if not self._holds_nodes():
            return self.copy()
        drain = self.handler.item.drain
        return {key: drain(item) for key, item in self.items()}

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Copy and pickle it as a plain dict."""
        return dict, ({**self},)

    def __setitem__(self, key: object, value: object, /) -> None:
        """Do as `dict.__setitem__` does."""
        with CHANGES:
            self._put({key: value})

    def _put(self, items: Mapping[Any, object]) -> None:
        kept = {
            coerce(self, self.handler.key, key): coerce(self, self.handler.item, value)
            for key, value in items.items()
            if self.get(key, MISSING) is not value
        }
        for key, value in kept.items():
            before = self.get(key, MISSING)
            super().__setitem__(key, value)
            if (journal := CHANGES.journal) is not None:
                journal.record(KeySet(self, key, before))
            self._replaced(key, before, value)

    def __delitem__(self, key: object, /) -> None:
        """Do as `dict.__delitem__` does."""
        with CHANGES:
            value = self[key]
            if (journal := CHANGES.journal) is None:
                super().__delitem__(key)
            else:
                key, at = find_equal(self, key), self.place_of(key)
                super().__delitem__(key)
                journal.record(KeyDeleted(self, key, value, at))
            detach(value, self)
            self.record((key,))

    def place_of(self, key: object) -> int:
        """Return the place of a key in the order; the last one is found at once."""
        return len(self) - 1 if next(reversed(self)) == key else operator.indexOf(self, key)

    def insert_at(self, key: object, value: object, at: int) -> None:
        """Set a new, valid key at a place in the order, in a transaction."""
        value = coerce(self, self.handler.item, value)
        insert_key(self, key, value, at)
        cast("Journal", CHANGES.journal).record(KeySet(self, key, MISSING))
        self._replaced(key, MISSING, value)

    def setdefault(self, key: object, default: object = None, /) -> Any:
        """Do as `dict.setdefault` does."""
        with CHANGES:
            if key not in self:
                self[key] = default
            return self[key]

    def update(self, /, *items: Any, **more: Any) -> None:
        """Do as `dict.update` does."""
        with CHANGES:
            self._put(dict(*items, **more))

    def __ior__(self, items: Any, /) -> Self:  # type: ignore[misc]  # as in typeshed
        """Do as `dict.__ior__` does."""
        self.update(items)
        return self

    def pop(self, key: object, /, *default: object) -> Any:
        """Do as `dict.pop` does."""
        with CHANGES:
            if key not in self:
                return super().pop(key, *default)
            value = self[key]
            del self[key]
        return value

    def popitem(self) -> tuple[Any, Any]:
        """Do as `dict.popitem` does."""
        with CHANGES:
            if not self:
                raise KeyError("popitem(): dictionary is empty")
            key = next(reversed(self))
            return key, self.pop(key)

    def clear(self) -> None:
        """Do as `dict.clear` does."""
        with CHANGES:
            if not self:
                return
            before = self.copy()
            super().clear()
            if (journal := CHANGES.journal) is not None:
                journal.record(AllKeys(self, before))
            for value in before.values():
                detach(value, self)
            self.record(())


def _in_place(method: Callable[..., None]) -> Any:
    """Return the in-place operator of a method; the operator accepts only sets."""

    def operate(self: Any, other: object) -> Any:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        method(self, other)
        return self

    return operate


class TrackedSet(set[Any], Collection):
    """A set in a state; otherwise it behaves as a set."""

    __slots__ = ("_parent", "handler", "key", "lenient")

    def __init__(self, items: Iterable[object], handler: CollectionHandler) -> None:
        super().__init__(items)
        self._track(handler)

    def children(self) -> Iterable[tuple[None, object]]:
        """Return the elements, which have no keys."""
        return ((None, item) for item in self)

    def drain(self) -> set[Any]:
        """Return a deep copy in plain Python objects."""
        return {*self}

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Copy and pickle it as a plain set."""
        return set, ([*self],)

    def __repr__(self) -> str:
        """Return the `repr()` of a plain set."""
        return repr({*self})

    def _change(self, adding: Iterable[object] = (), removing: Iterable[object] = ()) -> None:
        added = [coerce(self, self.handler.item, value) for value in adding if value not in self]
        removed = [value for value in removing if value in self]
        if (journal := CHANGES.journal) is not None:
            removed = [find_equal(self, value) for value in removed]
        super().update(added)
        super().difference_update(removed)
        if removed or added:
            if journal is not None:
                journal.record(Members(self, added, removed))
            self.record(())

    def add(self, value: object, /) -> None:
        """Do as `set.add` does."""
        with CHANGES:
            self._change(adding=(value,))

    def update(self, *others: Iterable[object]) -> None:
        """Do as `set.update` does."""
        with CHANGES:
            self._change(adding=_union(others))

    def discard(self, value: object, /) -> None:
        """Do as `set.discard` does."""
        with CHANGES:
            self._change(removing=(value,))

    def remove(self, value: object, /) -> None:
        """Do as `set.remove` does."""
        with CHANGES:
            if value not in self:
                raise KeyError(value)
            self.discard(value)

    def pop(self) -> Any:
        """Do as `set.pop` does."""
        with CHANGES:
            for value in self:
                self.discard(value)
                return value
        raise KeyError("pop from an empty set")

    def clear(self) -> None:
        """Do as `set.clear` does."""
        with CHANGES:
            self._change(removing={*self})

    def difference_update(self, *others: Iterable[object]) -> None:
        """Do as `set.difference_update` does."""
        with CHANGES:
            self._change(removing=_union(others))

    def intersection_update(self, *others: Iterable[object]) -> None:
        """Do as `set.intersection_update` does."""
        with CHANGES:
            self._change(removing={*self} - self.intersection(*others))

    def symmetric_difference_update(self, other: Iterable[object], /) -> None:
        """Do as `set.symmetric_difference_update` does."""
        with CHANGES:
            members = {*other}
            self._change(adding=members, removing=members & self)

    __ior__ = _in_place(update)
    __isub__ = _in_place(difference_update)
    __iand__ = _in_place(intersection_update)
    __ixor__ = _in_place(symmetric_difference_update)


def _union(others: Iterable[Iterable[object]]) -> set[object]:
    return set[object]().union(*others)


class _Probe:
    """Stands for a value in a search, and keeps the equal key or member that was found."""

    __slots__ = ("_value", "found")

    def __init__(self, value: object) -> None:
        self._value = self.found = value

    def __hash__(self) -> int:
        return hash(self._value)

    def __eq__(self, other: object) -> bool:
        if is_equal := other is self._value or bool(other == self._value):
            self.found = other
        return is_equal


def find_equal(container: TrackedDict | TrackedSet, value: object) -> object:
    """Return a key or member as it stands in a dict or set; the value itself if none is equal.

    An equal one may have another JSON, as 1 and 1.0 have.
    """
    if type(value) is str:
        return value
    probe = _Probe(value)
    return probe.found if probe in container else value


class TrackedTuple(tuple[Any, ...], Container["TupleOf"]):
    """A tuple in a state with elements that can change."""

    _reference: TupleRef

    def __new__(cls, items: Iterable[object], handler: "TupleOf") -> Self:
        """Return a tuple of validated elements."""
        self = super().__new__(cls, items)
        self._reference = TupleRef(self)
        self._track(handler)
        return self

    def with_items(self, items: Iterable[object]) -> Self:
        """Return a tuple of the same type with other elements, which do not report to it."""
        made = super().__new__(type(self), items)
        made.handler = self.handler
        return made

    @property
    def weak_target(self) -> TupleRef:
        """A stand-in, because there are no weak references to tuples."""
        return self._reference

    def children(self) -> Iterable[tuple[int, object]]:
        """Return the elements with their indices."""
        return enumerate(self)

    def _holds_nodes(self) -> bool:
        return True

    def drain(self) -> tuple[Any, ...]:
        """Return a deep copy in plain Python objects."""
        return tuple(self.handler.drain_items(self))

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Copy and pickle it as a plain tuple."""
        return tuple, ([*self],)
