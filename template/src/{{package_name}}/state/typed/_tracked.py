"""Lists, dicts, sets and tuples in a state: what is put in is checked, what changes is told."""

import operator
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Self, SupportsIndex, cast

from ._changes import CHANGES
from ._tree import MISSING, Container, TupleRef, attach, detach, is_same


class TrackedList(list[Any], Container):
    """A list in a state; otherwise it behaves as a list."""

    __slots__ = ("__weakref__", "_parent", "handler", "key")

    def __init__(self, items: Iterable[Any], handler: Any) -> None:
        super().__init__(items)
        self._parent, self.key, self.handler = None, None, handler
        if not handler.item.immutable:
            for index, item in enumerate(self):
                attach(item, self, index)

    def find(self, child: object) -> list[Any]:
        """Return every index at which a child stands."""
        return [index for index, item in enumerate(self) if item is child]

    def _at(self, key: Any) -> Any:
        return self[key] if key < len(self) else None

    def drain(self) -> list[Any]:
        """Return a deep copy in plain Python objects."""
        # copy() is several times as fast as what goes from element to element.
        return self.copy() if self.handler.item.immutable else [*map(self.handler.item.drain, self)]

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Be copied and pickled without what watches it."""
        return list, ([*self],)

    def append(self, value: Any, /) -> None:
        """Do as `list.append` does."""
        with CHANGES:
            value = self._coerce(self.handler.item, value)
            super().append(value)
            attach(value, self, len(self) - 1)
            self.record((len(self) - 1,))

    def insert(self, index: SupportsIndex, value: Any, /) -> None:
        """Do as `list.insert` does."""
        self[index:index] = [value]

    def extend(self, values: Iterable[Any], /) -> None:
        """Do as `list.extend` does."""
        with CHANGES:
            self[len(self) :] = values

    def __setitem__(self, position: Any, value: Any, /) -> None:
        """Do as `list.__setitem__` does."""
        with CHANGES:
            if isinstance(position, slice):
                self._replace(position, value)
                return
            index = range(len(self))[operator.index(position)]
            before = self[index]
            if value is before:
                return
            value = self._coerce(self.handler.item, value)
            super().__setitem__(index, value)
            detach(before, self)
            attach(value, self, index)
            if not is_same(self.handler.item, before, value):
                self.record((index,))

    def _replace(self, part: Any, values: Iterable[Any]) -> None:
        before, (start, _, _) = self[part], part.indices(len(self))
        kept = [self._coerce(self.handler.item, value) for value in values]
        super().__setitem__(part, kept)
        self._exchange(before, kept, start)

    def _exchange(self, before: list[Any], kept: list[Any], start: int = 0) -> None:
        if not (before or kept):
            return
        if not self.handler.item.immutable:
            for item in before:
                detach(item, self)
            for index, item in enumerate(kept, start):
                attach(item, self, index)
        self.record(())

    def __delitem__(self, index: Any, /) -> None:
        """Do as `list.__delitem__` does."""
        with CHANGES:
            before = self[index]
            super().__delitem__(index)
            self._exchange(before if isinstance(index, slice) else [before], [])

    def __iadd__(self, values: Iterable[Any], /) -> Self:  # type: ignore[misc]  # as in typeshed
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

    def remove(self, value: Any, /) -> None:
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
            super().__setitem__(slice(None), items)
            self.record(())


class TrackedDict(dict[Any, Any], Container):
    """A dict in a state; otherwise it behaves as a dict."""

    __slots__ = ("__weakref__", "_parent", "handler", "key")

    def __init__(self, items: Mapping[Any, Any], handler: Any) -> None:
        super().__init__(items)
        self._parent, self.key, self.handler = None, None, handler
        if not handler.item.immutable:
            for key, item in self.items():
                attach(item, self, key)

    def find(self, child: object) -> list[Any]:
        """Return every key under which a child stands."""
        return [key for key, item in self.items() if item is child]

    def _at(self, key: Any) -> Any:
        return self.get(key)

    def drain(self) -> dict[Any, Any]:
        """Return a deep copy in plain Python objects."""
        if self.handler.item.immutable:
            return self.copy()
        drain = self.handler.item.drain
        return {key: drain(item) for key, item in self.items()}

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Be copied and pickled without what watches it."""
        return dict, ({**self},)

    def __setitem__(self, key: Any, value: Any, /) -> None:
        """Do as `dict.__setitem__` does."""
        with CHANGES:
            self._put({key: value})

    def _put(self, items: Mapping[Any, Any]) -> None:
        item = self.handler.item
        kept = {
            self._coerce(self.handler.key, key): self._coerce(item, value)
            for key, value in items.items()
            if self.get(key, MISSING) is not value
        }
        for key, value in kept.items():
            before = self.get(key, MISSING)
            detach(before, self)
            super().__setitem__(key, value)
            attach(value, self, key)
            if not is_same(item, before, value):
                self.record((key,))

    def __delitem__(self, key: Any, /) -> None:
        """Do as `dict.__delitem__` does."""
        with CHANGES:
            detach(self[key], self)
            super().__delitem__(key)
            self.record((key,))

    def setdefault(self, key: Any, default: Any = None, /) -> Any:
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

    def pop(self, key: Any, /, *default: Any) -> Any:
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
            for value in self.values():
                detach(value, self)
            if self:
                super().clear()
                self.record(())


def _in_place(method: Callable[..., None]) -> Any:
    """Return the operator of a method, which takes nothing but sets."""

    def operate(self: Any, other: object) -> Any:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        method(self, other)
        return self

    return operate


class TrackedSet(set[Any], Container):
    """A set in a state; otherwise it behaves as a set."""

    __slots__ = ("_parent", "handler", "key")

    def __init__(self, items: Iterable[Any], handler: Any) -> None:
        super().__init__(items)
        self._parent, self.key, self.handler = None, None, handler

    def drain(self) -> set[Any]:
        """Return a deep copy in plain Python objects."""
        return {*self}

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Be copied and pickled without what watches it."""
        return set, ([*self],)

    def __repr__(self) -> str:
        """Return what a set shows."""
        return repr({*self})

    def _change(self, adding: Iterable[Any] = (), removing: Iterable[Any] = ()) -> None:
        added = [self._coerce(self.handler.item, value) for value in adding if value not in self]
        removed = [value for value in removing if value in self]
        super().update(added)
        super().difference_update(removed)
        if removed or added:
            self.record(())

    def add(self, value: Any, /) -> None:
        """Do as `set.add` does."""
        with CHANGES:
            self._change(adding=(value,))

    def update(self, *others: Iterable[Any]) -> None:
        """Do as `set.update` does."""
        with CHANGES:
            self._change(adding=_union(others))

    def discard(self, value: Any, /) -> None:
        """Do as `set.discard` does."""
        with CHANGES:
            self._change(removing=(value,))

    def remove(self, value: Any, /) -> None:
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

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Do as `set.difference_update` does."""
        with CHANGES:
            self._change(removing=_union(others))

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Do as `set.intersection_update` does."""
        with CHANGES:
            self._change(removing={*self} - self.intersection(*others))

    def symmetric_difference_update(self, other: Iterable[Any], /) -> None:
        """Do as `set.symmetric_difference_update` does."""
        with CHANGES:
            members = {*other}
            self._change(adding=members, removing=members & self)

    __ior__ = _in_place(update)
    __isub__ = _in_place(difference_update)
    __iand__ = _in_place(intersection_update)
    __ixor__ = _in_place(symmetric_difference_update)


def _union(others: Iterable[Iterable[Any]]) -> set[Any]:
    return set[Any]().union(*others)


class TrackedTuple(tuple[Any, ...], Container):
    """A tuple in a state with something in it that changes."""

    tuple_ref: TupleRef

    def __new__(cls, items: Iterable[Any], handler: Any) -> Self:
        """Return a tuple of what was validated."""
        self = super().__new__(cls, items)
        self._parent, self.key, self.handler, self.tuple_ref = None, None, handler, TupleRef(self)
        for index, item in enumerate(self):
            attach(item, self, index)
        return self

    def find(self, child: object) -> list[Any]:
        """Return every index at which a child stands."""
        return [index for index, item in enumerate(self) if item is child]

    def drain(self) -> tuple[Any, ...]:
        """Return a deep copy in plain Python objects."""
        return tuple(self.handler.drain_items(self))

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Be copied and pickled without what watches it."""
        return tuple, ([*self],)
