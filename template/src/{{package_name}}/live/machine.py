"""The machine of live states: it applies the entries of clients, and checks all changes."""

# pyright: reportPrivateUsage=false

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, cast

from ..state import _json
from ..state.shared import Applied, Entry, OperationMachine, Position
from ..state.shared.machine import Message
from ..state.typed import HydrationError, Operation, RefusedOperation, State, fields_of
from ..state.typed._changes import KeyPath
from ..state.typed._journal import current_journal, on_rollback
from ..state.typed._node import StateNode
from ..state.typed._records import FieldSet, Record
from ..state.typed._rendering import rendering_sets
from ..state.typed._tree import MISSING, Parent, StateBase
from ..state.typed._types.base import CollectionHandler, LoadContext, TypeHandler, TypeMismatchError
from ..state.typed._view import parse, view, view_of
from ..state.typed.fields import Field
from ..state.typed.operations import BoundOperation, Place
from .conversion import check_model, has_models, is_model
from .definitions import check_for_browser
from .marks import has_server_only, is_server_only

# JSON that does not stand for a value of a type.
_NOT_A_VALUE = (TypeMismatchError, ValueError, ArithmeticError)
# Bytes by which the size of a state may be uncertain for each operation: those of a number.
_NUMBER = 24
# A size that is uncertain by one part of so many of the limit is measured again.
_UNCERTAIN_PARTS = 64


class _Size(NamedTuple):
    """The bytes of a state as JSON, or of its growth; it may be larger by the uncertain ones."""

    bytes: int
    uncertain: int


class LiveMachine(OperationMachine):
    """Applies the entries of clients to live states, and checks the changes of the server too.

    A client may not change a field marked `ServerOnly`. No change may break a constraint of a
    pydantic model, use a name that JavaScript reserves, or let a state outgrow its limit.

    Args:
        states: The states by name.
        limit: Bytes of one state as JSON.
    """

    def __init__(self, states: Mapping[str, State], limit: int) -> None:
        super().__init__(states)
        self._limit = limit
        # The size of each state that was changed.
        self._sizes: dict[str, _Size] = {}
        self._has_models = any(has_models(type(state)) for state in states.values())
        # The effect of the last entry of a client, and the number of records before it.
        self._applied: Applied | None = None
        self._records_before = 0

    def apply(self, entry: Entry) -> Applied:
        """Apply the operations of an entry."""
        self._records_before = len(current_journal().records)
        self._applied = super().apply(entry)
        return self._applied

    def extra(self) -> Any:
        """Return the sizes of the states, on which the next refusal depends."""
        return {name: [*size] for name, size in self._sizes.items()}

    def restore_extra(self, extra: Any) -> None:
        """Apply a value that `extra()` has returned."""
        sizes = cast(dict[str, list[int]], extra or {})
        self._sizes = {name: _Size(*size) for name, size in sizes.items()}

    def _apply_operations(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            _ClientOperation(self._states, operation, safe_integers=self.safe_integers).apply()

    def check(self, applied: Applied) -> None:
        """Check names, sizes, and the constraints of models."""
        if not self.is_replaying:
            for operation in applied.operations:
                path = operation["path"]
                try:
                    check_for_browser(operation.get("value"), path)
                except ValueError as error:
                    raise RefusedOperation("invalid_value", str(error), path) from error
            if self._has_models:
                before = self._records_before if applied is self._applied else 0
                _check_models(applied, current_journal().records[before:])
        self._count(applied)

    def messages(self, entry: Entry, position: Position, applied: Applied) -> Sequence[Message]:
        """Return one message with the changes themselves, for clients that know no types.

        They are not always those that a client has sent: a value has one form, fields that
        were left out have their defaults, and an operation without effect is left out.
        """
        if applied.operations == entry.do:
            return super().messages(entry, position, applied)
        form = {"type": "sync", "seq": position.seq, **entry.to_json(), "do": applied.operations}
        return [("state", _json.encode(entry.id, form))]

    def _count(self, applied: Applied) -> None:
        """Raise RefusedOperation if a state outgrows the limit."""
        for name, growth in _growth(applied).items():
            before = self._sizes.get(name)
            size = self._sizes[name] = self._size_after(name, before, growth)
            on_rollback(_restoring(self._sizes, name, before))
            if size.bytes > self._limit and growth.bytes > 0 and not self.is_replaying:
                raise RefusedOperation(
                    "state_too_large",
                    f"{name} would have {size.bytes} bytes as JSON, and {self._limit} are allowed: "
                    "remove something from it first",
                    [name],
                )

    def _size_after(self, name: str, before: _Size | None, growth: _Size) -> _Size:
        """Return the size of a state that has grown; it is measured only if it must be."""
        if before is not None:
            uncertain = before.uncertain + growth.uncertain
            if uncertain <= self._limit // _UNCERTAIN_PARTS:
                return _Size(before.bytes + growth.bytes, uncertain)
        return _Size(len(_json.encode(name, view(self._states[name]))), 0)


class _ClientOperation(BoundOperation):
    """An operation of a client, which may not change a field marked `ServerOnly`."""

    def _enter_state(self, state: StateBase, step: Any) -> Place:
        place = super()._enter_state(state, step)
        if is_server_only(fields_of(type(state))[step]):
            self._refuse_server_only(type(state).__name__, step)
        return place

    def _check_expectation(self, place: Place) -> None:
        super()._check_expectation(place)
        handler, before = self._find_written(place)
        if handler is not None and has_server_only(handler):
            self._check_server_only(handler, before)

    def _set(self, place: Place) -> None:
        with rendering_sets():  # a counter is set too, and not counted up to the value
            super()._set(place)

    def _find_written(self, place: Place) -> tuple[TypeHandler | None, object]:
        """Return the handler of the value that the operation writes, and the value before."""
        match self._operation["op"]:
            case "set":
                return place.handler, place.value
            case "append":
                return _item_of(place.value), MISSING
            case "insert":
                return _item_of(place.parent), MISSING
            case _:
                return None, MISSING

    def _check_server_only(self, handler: TypeHandler, before: object) -> None:
        """Raise RefusedOperation if a value brings another value for a field of the server."""
        context = LoadContext(stored=True, encoded=True)
        try:
            after = parse(handler, self._operation["value"], context)
        except _NOT_A_VALUE:
            return  # it is refused for that
        kept = {path: value for path, _, value in _server_only_in(before)}
        for path, field, value in _server_only_in(after):
            if value != (kept[path] if path in kept else _view_of_default(field)):
                *_, name = path
                self._refuse_server_only(handler.name, name)

    def _refuse_server_only(self, where: str, name: object) -> NoReturn:
        message = f"{self._where}: only the server writes {where}.{name}: leave it as it is"
        self._refuse("forbidden", message)


def _item_of(container: object) -> TypeHandler | None:
    """Return the handler of the elements of a list or dict, None for anything else."""
    handler = getattr(container, "handler", None)
    return handler.item if isinstance(handler, CollectionHandler) else None


def _server_only_in(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Field, Any]]:
    """Return the fields of the server in a value: their paths, and their values as JSON."""
    match value:
        case StateBase():
            for name, field in fields_of(type(value)).items():
                kept = value._state_node.values[name]
                if is_server_only(field):
                    yield (*path, name), field, view_of(field.handler, kept)
                else:
                    yield from _server_only_in(kept, (*path, name))
        case dict():
            for key, item in cast(dict[Any, object], value).items():
                yield from _server_only_in(item, (*path, key))
        case list() | tuple():
            for index, item in enumerate(cast(Sequence[object], value)):
                yield from _server_only_in(item, (*path, index))
        case _:
            pass


def _view_of_default(field: Field) -> Any:
    """Return the default of a field as JSON, MISSING if it has none."""
    if field.required:
        return MISSING
    context = LoadContext()
    return view_of(field.handler, field.handler.validate(field.make_default(), context))


def _check_models(applied: Applied, records: Iterable[Record]) -> None:
    """Raise RefusedOperation if a changed field breaks a constraint of its pydantic model."""
    touched = {(id(node), name): node for node, name in _changed_fields(records)}
    for (_, name), node in touched.items():
        try:
            if (state := node._state()) is not None and is_model(type(state)):
                check_model(state, name)
        except HydrationError as error:
            path = next((each["path"] for each in applied.operations), ())
            raise RefusedOperation("invalid_value", str(error), path) from error


def _changed_fields(records: Iterable[Record]) -> Iterator[tuple[StateNode, str]]:
    """Return the innermost state around each change, and the field of it."""
    for record in records:
        if isinstance(record, FieldSet):
            yield record.target, record.field.name
        part: Any = getattr(record, "target", None)
        while isinstance(part, Parent) and not isinstance(part, StateNode):
            outer = next(iter(part.parents()), None)
            if isinstance(outer, StateNode):
                yield outer, outer.locate(cast(Any, part), part)
            part = outer


def _growth(applied: Applied) -> dict[str, _Size]:
    """Return by how many bytes each state has grown."""
    counted = {(*each["path"],) for each in applied.operations if each["op"] == "increment"}
    deleted = {(*each["path"],) for each in applied.inverses if each["op"] == "delete"}
    grown, uncertain = Counter[str](), Counter[str]()
    for operation in applied.operations:
        name, *steps = path = (*operation["path"],)
        if path in counted or isinstance(steps[-1], int):
            uncertain[name] += _NUMBER
        # The size of a number is uncertain, but a key that was not there has grown the state.
        added = [steps[-1]] if path in deleted else []
        grown[name] += _size_of(added) if path in counted else _size_written(operation)
    for operation in applied.inverses:
        if (*operation["path"],) not in counted:
            grown[operation["path"][0]] -= _size_written(operation)
    return {name: _Size(grown[name], uncertain[name]) for name in grown}


def _size_written(operation: Mapping[str, Any]) -> int:
    """Return the bytes that an operation adds."""
    if operation["op"] not in ("set", "append", "insert"):
        return 0
    step = operation["path"][-1]
    key = isinstance(step, str) and operation["op"] != "append"
    return _size_of([step, operation["value"]] if key else [operation["value"]])


def _size_of(parts: list[Any]) -> int:
    """Return the bytes of a value, with its key and a comma."""
    return len(_json.encode("size", parts)) - 1


def _restoring(sizes: dict[str, _Size], name: str, before: _Size | None) -> Callable[[], object]:
    return lambda: sizes.pop(name, None) if before is None else sizes.update({name: before})
