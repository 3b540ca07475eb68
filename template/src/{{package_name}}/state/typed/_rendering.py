"""Changes as operations, rendered at the moment of each change, because values move on."""

# pyright: reportPrivateUsage=false

from collections.abc import Generator, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from ._changes import CHANGES
from ._hydration import describe_mismatch
from ._journal import Journal, Observer, current_journal
from ._node import StateNode
from ._records import (
    AllItems,
    AllKeys,
    FieldSet,
    ItemSet,
    KeyDeleted,
    KeySet,
    Members,
    Record,
    Splice,
)
from ._tracked import (
    Collection,
    Container,
    TrackedDict,
    TrackedList,
    TrackedSet,
    TrackedTuple,
    find_equal,
)
from ._tree import MISSING, Parent, is_unchanged
from ._types.base import TypeHandler, TypeMismatchError
from ._view import MAX_SAFE_INTEGER, step_of, view, view_of
from .fields import fields_of
from .state import State

if TYPE_CHECKING:
    from .operations import Operation

Path = list[str | int]
Operations = list["Operation"]
# Operations, and those that take them back, in the order in which to apply them.
Rendered = tuple[Operations, Operations]

_NOTHING: Rendered = [], []


def observe(state: State) -> None:
    """Let each write to a state look for the journal. The caller must hold the lock.

    A write to a state that nothing reads or contains takes a faster path outside of blocks.
    """
    # Readers of no field: they are never notified.
    state._state_node.dependents_of("")


class _CounterMode:
    """Whether writes of counters are rendered as differences. The lock protects it."""

    is_absolute = False


@contextmanager
def rendering_sets() -> Generator[None]:
    """Render the writes of counters in the block as `set`."""
    with CHANGES:
        outer, _CounterMode.is_absolute = _CounterMode.is_absolute, True
        try:
            yield
        finally:
            _CounterMode.is_absolute = outer


def replace_root(states: MutableMapping[str, State | None], name: str, state: State | None) -> None:
    """Let a name stand for another state, or for none, in the transaction in progress.

    It is rendered as an operation on a path of one step, where the states are watched.
    """
    with CHANGES:
        record = RootReplaced(states, name)
        states[name] = state
        if state is not None:
            observe(state)
        current_journal().record(record)


class RootReplaced(Record):
    """A name stands for another state, or for none."""

    __slots__ = ("before", "name", "states")

    def __init__(self, states: MutableMapping[str, State | None], name: str) -> None:
        self.states, self.name, self.before = states, name, states.get(name)

    def undo(self) -> None:
        """Let the name stand for the old one."""
        self.states[self.name] = self.before


class Rendering(Observer):
    """The operations of the changes in some states.

    Args:
        states: The states by name. Only changes in them are rendered.
    """

    def __init__(self, states: Mapping[str, State | None]) -> None:
        self.states = states
        # The operations of each change, with the number of changes before it.
        self._rendered: list[tuple[int, Rendered]] = []
        # The first change that could not be rendered: the number of changes before it, and why.
        self._failure: tuple[int, TypeError] | None = None

    @property
    def operations(self) -> Operations:
        """The operations, in the order of the changes."""
        return [each for _, (operations, _) in self._rendered for each in operations]

    @property
    def inverses(self) -> Operations:
        """The operations that take the changes back, in the order in which to apply them."""
        return [each for _, (_, inverses) in reversed(self._rendered) for each in inverses]

    @property
    def problem(self) -> TypeError | None:
        """The reason why the operations are not complete, if they are not."""
        return self._failure[1] if self._failure else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing in the states has changed."""
        return not (self._rendered or self._failure)

    def add(self, number: int, record: Record) -> None:
        """Render a change that was just made.

        Args:
            number: The number of changes before it.
            record: The change.
        """
        try:
            rendered = self._render(record)
        except TypeMismatchError as error:
            where = describe_mismatch("A change to record", error)
            problem = TypeError(f"{where}: set a value of the declared type")
            self._failure = self._failure or (number, problem)
        except RecursionError:
            problem = TypeError("A change to record is nested too deeply: flatten the value")
            self._failure = self._failure or (number, problem)
        else:
            if rendered[0]:
                self._rendered.append((number, rendered))

    def drop_since(self, number: int) -> None:
        """Drop the operations of all changes but the first ones."""
        while self._rendered and self._rendered[-1][0] >= number:
            self._rendered.pop()
        if self._failure and self._failure[0] >= number:
            self._failure = None

    def end_block(self, journal: Journal) -> None:
        """Do nothing: the transaction takes its operations itself."""

    def reset(self) -> None:
        """Begin anew."""
        self._rendered, self._failure = [], None

    def _render(self, record: Record) -> Rendered:
        match record:
            case FieldSet(target=node, field=field, before=before):
                paths = self._paths_at(node, field.name)
                return _set(paths, field.handler, before, node.values[field.name])
            case ItemSet(target=target, index=index, before=before):
                paths = self._paths_at(target, index)
                return _set(paths, target.handler.item, before, target[index])
            case KeySet():
                return self._render_key(record)
            case Splice():
                return self._render_splice(record)
            case KeyDeleted():
                return self._render_deleted(record)
            case Members():
                return self._render_members(record)
            case AllItems(target=target, before=before) | AllKeys(target=target, before=before):
                return self._render_whole(target, before)
            case RootReplaced(name=name, before=before) if record.states is self.states:
                old, new = (each and view(each) for each in (before, self.states[name]))
                return [_to_set([name], new)], [_to_set([name], old)]
            case _:
                return _NOTHING

    def _render_key(self, change: KeySet) -> Rendered:
        target, key, before = change.target, change.key, change.before
        rendered = _set(self._paths_at(target, key), target.handler.item, before, target[key])
        if before is not MISSING or (at := target.place_of(key)) == len(target) - 1:
            return rendered
        return [{**each, "op": "insert", "at": at} for each in rendered[0]], rendered[1]

    def _render_splice(self, splice: Splice) -> Rendered:
        target, start, end = splice.target, splice.start, splice.start + len(splice.added)
        paths = self._paths_to(target)
        exchanged = splice.added and splice.removed
        if exchanged or len(splice.removed) > len(target) or len(paths) > 1:
            before = [*target[:start], *splice.removed, *target[end:]]
            return self._render_whole(target, before)
        if not paths:
            return _NOTHING
        [path] = paths
        values = splice.added or splice.removed
        forms = [view_of(target.handler.item, value) for value in values]
        inserts: Operations = [
            {"op": "insert", "path": [*path, index], "value": form}
            for index, form in enumerate(forms, start)
        ]
        if splice.removed:
            return [_to_delete([*path, start]) for _ in forms], inserts
        deletes = [_to_delete([*path, index]) for index in reversed(range(start, end))]
        if end == len(target):
            inserts = [{"op": "append", "path": path, "value": form} for form in forms]
        return inserts, deletes

    def _render_deleted(self, deleted: KeyDeleted) -> Rendered:
        target, key, before, at = deleted.target, deleted.key, deleted.before, deleted.at
        paths = self._paths_at(target, key)
        if len(paths) > 1:
            items = [*target.items()]
            items.insert(at, (key, before))
            return self._render_whole(target, dict(items))
        if not paths:
            return _NOTHING
        form = view_of(target.handler.item, before)
        return [_to_delete(paths[0])], [
            {"op": "insert", "path": paths[0], "value": form, "at": at},
        ]

    def _render_members(self, change: Members) -> Rendered:
        target, paths = change.target, self._paths_to(change.target)
        if not paths:
            return _NOTHING
        # The view of a set has the same order in each process; the set itself has not.
        removed, added = (
            view_of(target.handler, TrackedSet(members, target.handler))
            for members in (change.removed, change.added)
        )
        operations: Operations = []
        inverses: Operations = []
        for path in paths:
            for form in removed:
                operations.append({"op": "remove", "path": path, "value": form})
                inverses.append({"op": "append", "path": path, "value": form})
            for form in added:
                operations.append({"op": "append", "path": path, "value": form})
                inverses.append({"op": "remove", "path": path, "value": form})
        return operations, inverses

    def _render_whole(self, target: TrackedList | TrackedDict, before: Any) -> Rendered:
        """Render the replacement of all elements of a container."""
        if not self._paths_to(target):
            return _NOTHING
        new: Container[Any] = target
        old: Container[Any] = type(target)(before, target.handler)
        [outer] = new.parents()
        while isinstance(outer, TrackedTuple):  # which is set as a whole
            items = [old if item is new else item for item in outer]
            new, old = outer, outer.with_items(items)
            [outer] = new.parents()
        key = outer.locate(new, new)
        return _set(self._paths_at(outer, key), _handler_at(outer, key), old, new)

    def _paths_to(self, part: Parent) -> list[Path]:
        """Return the paths to a node or container, from each state that it is in."""
        if isinstance(part, StateNode):
            state = part._state()
            paths: list[Path] = [[name] for name, each in self.states.items() if each is state]
            for parent, key in _places_of(part):
                paths += self._paths_at(parent, key)
            return paths
        container = cast(Container[Any], part)
        outer = container._find_parent()
        return [] if outer is None else self._paths_at(outer, outer.locate(container, part))

    def _paths_at(self, parent: Parent, key: Any) -> list[Path]:
        """Return the paths to the value under a key of a node or container."""
        if isinstance(parent, StateNode) and not fields_of(parent._class)[key].drained:
            return []
        if paths := self._paths_to(parent):
            step = key
            if isinstance(parent, TrackedDict):
                step = step_of(parent.handler.key, find_equal(parent, key))
            return [[*path, step] for path in paths]
        return []


def _places_of(node: StateNode) -> Iterator[tuple[Parent, Any]]:
    state, links = node._state(), [*node._links.values()]
    for link, parent in [(each, parent) for each in links if (parent := each.parent()) is not None]:
        for key in [parent.locate(link, state)] if link.count == 1 else parent.find(state):
            yield parent, key


def _handler_at(parent: Parent, key: Any) -> TypeHandler:
    if isinstance(parent, StateNode):
        return fields_of(parent._class)[key].handler
    return cast(Collection, parent).handler.item


def _set(paths: list[Path], handler: TypeHandler, before: object, after: object) -> Rendered:
    """Render the replacement of a value; to nothing if both have the same JSON."""
    if not paths:
        return _NOTHING
    new = view_of(handler, after)
    old = 0 if before is MISSING else view_of(handler, before)
    if before is not MISSING and is_unchanged(old, new):
        return _NOTHING
    operations: Operations = [_to_set(path, new) for path in paths]
    # A number of a state in two places would count twice.
    is_difference = handler.counter and not _CounterMode.is_absolute
    if is_difference and len(paths) == 1 and _is_sum(old, new):
        operations = [{"op": "increment", "path": paths[0], "value": new - old}]
    if before is MISSING:
        return operations, [_to_delete(path) for path in paths]
    return operations, [_to_set(path, old) for path in paths]


def _to_set(path: Path, form: object) -> "Operation":
    return {"op": "set", "path": path, "value": form}


def _to_delete(path: Path) -> "Operation":
    return {"op": "delete", "path": path}


def _is_sum(old: Any, new: Any) -> bool:
    """Return whether a number, as JSON, is exactly another one and their difference."""
    numbers = {type(old), type(new)} <= {int, float}
    if type(new) is int and abs(new) > MAX_SAFE_INTEGER:
        return False  # JavaScript has another sum
    try:
        return numbers and is_unchanged(old + (new - old), new)
    except OverflowError:  # a float, and an integer beyond all of them
        return False
