"""The node of a state: its values, the parents that contain it, and its listeners."""

# pyright: reportPrivateUsage=false

from collections.abc import Iterable
from functools import partial
from typing import Any, cast
from weakref import ref

from ._changes import CHANGES, ChangeDispatcher, Dependents, KeyPath
from ._hydration import describe_mismatch
from ._records import FieldSet
from ._tracked import Container, coerce
from ._tree import (
    MISSING,
    Parent,
    ParentRef,
    StateBase,
    Values,
    attach,
    attach_to_new,
    detach,
    is_same,
)
from ._types.base import NO_STATES, TypeHandler, TypeMismatchError
from ._types.compound import AnyObject
from .fields import Field, fields_of
from .reactive import BoundFunction, ReactiveDescriptor
from .strictness import is_strict

_ANY_OBJECT = AnyObject()


class ParentLink:
    """The places of a state in one parent: one of the keys, and how many there are."""

    __slots__ = ("count", "key", "parent")

    def __init__(self, parent: ParentRef, key: object) -> None:
        self.parent, self.key, self.count = parent, key, 0


class StateNode(Parent):
    """The part of a state that users do not see.

    Attributes:
        values: The values of its fields.
        dispatcher: Its listeners, once it has had one.
        bound: Its computed values, effects and queries, by their descriptors.
        complete: Whether it was constructed, with its hooks.
        newer: The version and the unknown values of the newer payload that it came from.
    """

    __slots__ = (
        "__weakref__",
        "_class",
        "_dependents",
        "_links",
        "_state",
        "bound",
        "complete",
        "dispatcher",
        "lenient",
        "newer",
        "values",
    )

    def __init__(self, state: StateBase) -> None:
        # Weak, as all references to a parent.
        self._class, self._state = type(state), ref(state)
        self._links: dict[int, ParentLink] = {}
        self._dependents: dict[str, Dependents] = {}
        self.lenient = self.complete = False
        self.values: Values = {}
        self.dispatcher: ChangeDispatcher | None = None
        self.bound: dict[ReactiveDescriptor[Any], BoundFunction] = {}
        self.newer: tuple[int, Values] | None = None

    def dependents_of(self, name: str) -> Dependents:
        """Return the readers of a field. The caller must hold the lock."""
        if name not in self._dependents:
            self._dependents[name] = Dependents()
        return self._dependents[name]

    def try_fast_set(self, field: Field, value: object) -> bool:
        """Fast path: set a field and return True if the value is valid and nothing observes it.

        Most writes are of this kind. The caller must hold the lock.
        """
        observed = self._dependents or self._links or self.dispatcher
        if observed or self.lenient or not field.handler.immutable or field.handler.opaque:
            return False
        try:
            kept = field.handler.validate(value, NO_STATES)
        except TypeMismatchError:
            return False
        if CHANGES.journal is None or not CHANGES.depth:
            self.values[field.name] = kept
        else:
            before, self.values[field.name] = self.values[field.name], kept
            CHANGES.journal.record(FieldSet(self, field, before))
        return True

    def set(self, field: Field, value: object) -> None:
        """Set a field, and record the change. The caller must hold the lock."""
        before = self.values.get(field.name, MISSING)
        if value is before:
            return
        kept = coerce(self, field.handler, value, field.name)
        if before is MISSING:
            self.store(field, kept)
        else:
            self._replace(field, before, kept)
        if not is_same(field.handler, before, kept):
            self.record((field.name,))

    def _replace(self, field: Field, before: object, kept: object) -> None:
        self.values[field.name] = kept
        if (journal := CHANGES.journal) is not None:
            journal.record(FieldSet(self, field, before))
        if self.lenient or not field.handler.immutable:
            attach(kept, self, field.name)
            detach(before, self)

    def store(self, field: Field, kept: object) -> None:
        """Set a field of a new state to a coerced value, without a record of the change."""
        self.values[field.name] = kept
        if self.lenient or not field.handler.immutable:
            attach_to_new(kept, self, field.name)

    def root(self) -> "StateNode":
        """Return the node itself."""
        return self

    def coerce_invalid(
        self,
        parent: Parent,
        handler: TypeHandler,
        value: object,
        field: str,
        error: TypeMismatchError | RecursionError,
    ) -> object:
        """Return a value that its handler has rejected as a parent keeps it outside strict mode.

        Raises:
            TypeError: The value is not of the type, in strict mode.
            ValueError: The value contains itself.
        """
        match error:
            case RecursionError():
                where = self._describe(parent, field)
                raise ValueError(f"{where}: it is nested in itself, or too deeply") from error
            case _ if is_strict(self._class.__strict__) or isinstance(handler, AnyObject):
                where = self._describe(parent, field)
                raise TypeError(describe_mismatch(where, error)) from error
            case _:
                parent.become_lenient()
                return coerce(parent, _ANY_OBJECT, value, field)

    def check_codec(self, parent: Parent, value: object, field: str) -> None:
        """Raise TypeMismatchError for a value that the codec rejects, in strict mode."""
        codec = self._class.__codec__
        checked = is_strict(self._class.__strict__) and codec.any_type
        if checked and self._is_drained(parent, field) and (problem := codec.find_problem(value)):
            raise TypeMismatchError(value, problem)

    def _is_drained(self, parent: Parent, field: str) -> bool:
        while parent is not self:
            [outer] = parent.parents()
            field = outer.locate(cast(Container[Any], parent), parent)
            parent = outer
        return fields_of(self._class)[field].drained

    def _describe(self, parent: Parent, field: str) -> str:
        path = f".{field}" if field else "[...]"
        while parent is not self:
            [outer] = parent.parents()
            key = outer.locate(cast(Container[Any], parent), parent)
            path = (f".{key}" if outer is self else f"[{key!r}]") + path
            parent = outer
        return f"{self._class.__name__}{path}"

    def reject_cycles(self, states: list[StateBase], parent: Parent, field: str) -> None:
        """Raise ValueError if a state would contain itself."""
        around = self._ancestors()
        for state in states:
            if id(state._state_node) in around:
                where, name = self._describe(parent, field), type(state).__name__
                raise ValueError(f"{where}: {name} would contain itself: refer to it by a key")

    def _ancestors(self) -> dict[int, Parent]:
        found: dict[int, Parent] = {}
        ahead: list[Parent] = [self]
        while ahead:
            parent = ahead.pop()
            if id(parent) not in found:
                found[id(parent)] = parent
                ahead += parent.parents()
        return found

    def children(self) -> Iterable[tuple[str, object]]:
        """Return the values of the fields with their names."""
        return self.values.items()

    def get_child(self, key: str) -> object:
        """Return the value of a field, or None."""
        return self.values.get(key)

    def parents(self) -> list[Parent]:
        """Return the parents that contain the state."""
        parents = (link.parent() for link in [*self._links.values()])
        return [parent for parent in parents if parent is not None]

    def attach_to(self, parent: Parent, key: object) -> None:
        """Stand in one more place of a parent."""
        if id(parent) not in self._links:
            # The callback gets the reference too, as the default of pop().
            forget = partial(self._links.pop, id(parent))
            self._links[id(parent)] = ParentLink(ParentRef(parent, forget), key)
        self._links[id(parent)].count += 1

    def detach_from(self, parent: Parent) -> None:
        """Stand in one place of a parent less."""
        # A value that went into a list past its methods, as with heapq, was not attached.
        if link := self._links.get(id(parent)):
            link.count -= 1
            if not link.count:
                del self._links[id(parent)]

    def find_link(self, parent: Parent) -> tuple[ParentLink, int] | None:
        """Return its link to a parent and the number of its places there, None without one."""
        link = self._links.get(id(parent))
        return (link, link.count) if link else None

    def restore_link(self, parent: Parent, link: tuple[ParentLink, int] | None) -> None:
        """Restore an earlier link to a parent."""
        if link is None:
            self._links.pop(id(parent), None)
        else:
            self._links[id(parent)], link[0].count = link

    def record(self, path: KeyPath) -> None:
        """Collect a change at a path, for its listeners and those of its parents."""
        if dependents := self._dependents.get(path[0]):
            dependents.notify()
        if self.dispatcher:
            CHANGES.record(self.dispatcher, path)
        for link in [*self._links.values()]:
            if (parent := link.parent()) is not None:
                once, state = link.count == 1, self._state()
                for key in [parent.locate(link, state)] if once else parent.find(state):
                    parent.record((key, *path))
