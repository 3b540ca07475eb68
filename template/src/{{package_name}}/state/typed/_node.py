"""What a state knows besides its values: where it stands, and who is told of its changes."""

from functools import partial
from typing import Any
from weakref import ref

from ._changes import CHANGES, ChangeDispatcher, Dependents, KeyPath, Parent, Slot
from ._hydration import describe_mismatch
from ._tree import MISSING, ParentRef, StateBase, attach, detach, is_same
from ._types.base import LoadContext, TypeHandler, TypeMismatchError
from ._types.compound import AnyObject
from .fields import Field
from .reactive import BoundFunction, ReactiveDescriptor
from .strictness import is_strict

_ANY_OBJECT = AnyObject()
# Values of handlers that never change contain no states, of which it would take note.
_NO_STATES = LoadContext()


class ParentLink:
    """A place where a state stands."""

    __slots__ = ("count", "key", "parent")

    def __init__(self, parent: ParentRef, key: Any) -> None:
        self.parent, self.key, self.count = parent, key, 0


class StateNode:
    """What belongs to one state.

    Attributes:
        values: The values of its fields.
        dispatcher: Its listeners, once it has had one.
        bound: Its computed values, effects and queries, by what declares them.
        newer: The version and the unknown values of the newer payload that it had.
    """

    __slots__ = (
        "__weakref__",
        "_class",
        "_dependents",
        "_links",
        "_loose",
        "_state",
        "bound",
        "dispatcher",
        "newer",
        "values",
    )

    def __init__(self, state: StateBase) -> None:
        # Weak, as what refers to an parent.
        self._class, self._state = type(state), ref(state)
        self._links: dict[int, ParentLink] = {}
        # Whether there may be a value that is not of the type of its field.
        self._loose = False
        self._dependents: dict[str, Dependents] = {}
        self.values: dict[str, Any] = {}
        self.dispatcher: ChangeDispatcher | None = None
        self.bound: dict[ReactiveDescriptor[Any], BoundFunction] = {}
        self.newer: tuple[int, dict[str, Any]] | None = None

    def dependents_of(self, name: str) -> Dependents:
        """Return who is told when a field changes; the lock is held."""
        if (found := self._dependents.get(name)) is None:
            found = self._dependents[name] = Dependents()
        return found

    def try_fast_set(self, field: Field, value: Any) -> bool:
        """Give a field a value if nobody has to be told and all is well; return whether it was.

        Most writes are of that handler, and should cost little. The lock is held.
        """
        told = self._dependents or self._links or self.dispatcher
        if told or self._loose or not field.handler.immutable:
            return False
        try:
            self.values[field.name] = field.handler.validate(value, _NO_STATES)
        except TypeMismatchError:
            return False
        return True

    def set(self, field: Field, value: Any) -> None:
        """Give a field a value, and tell it; the lock is held."""
        before = self.values.get(field.name, MISSING)
        if value is before:
            return
        kept = self.coerce(field.handler, value, self, field.name)
        self.store(field.name, kept)
        detach(before, self)
        if not is_same(field.handler, before, kept):
            self.record((field.name,))

    def store(self, name: str, kept: Any) -> None:
        """Give a field what was taken."""
        self.values[name] = kept
        attach(kept, self, name)

    def coerce(self, handler: TypeHandler, value: Any, place: Any, name: str = "") -> Any:
        """Return a value as it is kept, checked and tracked.

        Args:
            handler: Its type.
            value: The value.
            place: Where it is put.
            name: To which field, where it is put in the state itself.

        Raises:
            TypeError: It is not of the type, in strict mode.
            ValueError: It contains the state, or itself.
        """
        context = _NO_STATES if handler.immutable else LoadContext()
        try:
            try:
                kept = handler.validate(value, context)
            except TypeMismatchError as error:
                if is_strict(self._class.__strict__):
                    where = self._describe(place, name)
                    raise TypeError(describe_mismatch(where, error)) from error
                context, self._loose = LoadContext(), True
                if place is not self:
                    place.handler = _ANY_OBJECT  # from now on it may hold anything
                kept = _ANY_OBJECT.validate(value, context)
        except RecursionError as error:
            where = self._describe(place, name)
            raise ValueError(f"{where}: it is nested in itself, or too deeply") from error
        if context.states:
            self._refuse_cycles(context.states, self._describe(place, name))
        return kept

    def _describe(self, place: Any, name: str) -> str:
        path = f".{name}" if name else "[...]"
        while place is not self:
            [parent] = place.parents()
            key = parent.locate(place, place)
            path = (f".{key}" if parent is self else f"[{key!r}]") + path
            place = parent
        return f"{self._class.__name__}{path}"

    def _refuse_cycles(self, states: list[Any], where: str) -> None:
        around: dict[int, Parent] = {}
        ahead: list[Parent] = [self]
        while ahead:
            parent = ahead.pop()
            if id(parent) not in around:
                around[id(parent)] = parent
                ahead += parent.parents()
        for state in states:
            if id(state._state_node) in around:
                raise ValueError(f"{where}: {type(state).__name__} would contain itself")

    def locate(self, slot: Slot, child: object) -> Any:
        """Return the field in which a child stands, if it stands in one."""
        if self.values.get(slot.key) is not child:
            slot.key = self.find(child)[0]
        return slot.key

    def find(self, child: object) -> list[Any]:
        """Return every field in which a child stands."""
        return [name for name, value in self.values.items() if value is child]

    def parents(self) -> list[Parent]:
        """Return what contains the state."""
        parents = (link.parent() for link in [*self._links.values()])
        return [parent for parent in parents if parent is not None]

    def attach_to(self, parent: Parent, key: Any) -> None:
        """Stand in one more link."""
        if id(parent) not in self._links:
            # It gets the reference too, as what to return if nothing is there.
            forget = partial(self._links.pop, id(parent))
            self._links[id(parent)] = ParentLink(ParentRef(parent, forget), key)
        self._links[id(parent)].count += 1

    def detach_from(self, parent: Parent) -> None:
        """Stand in one link less."""
        # What went into a list past its methods, as with heapq, was not attach_to.
        if link := self._links.get(id(parent)):
            link.count -= 1
            if not link.count:
                del self._links[id(parent)]

    def record(self, path: KeyPath) -> None:
        """Tell a change to whom it concerns, and to what contains the state."""
        if dependents := self._dependents.get(path[0]):
            dependents.notify()
        if self.dispatcher:
            CHANGES.record(self.dispatcher, path)
        for link in [*self._links.values()]:
            if (parent := link.parent()) is not None:
                once, state = link.count == 1, self._state()
                for key in [parent.locate(link, state)] if once else parent.find(state):
                    parent.record((key, *path))
