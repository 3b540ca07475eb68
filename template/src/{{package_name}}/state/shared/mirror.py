"""The states of a session as plain JSON, which every operation brings up to date."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from ..typed import State, fields_of
from ..typed._changes import CHANGES
from ..typed._types.annotations import StateType
from ..typed._types.base import TAG, CollectionHandler, TypeHandler, tagged, untag
from ..typed._types.compound import DictOf, SetOf, TupleOf, Union, sorted_members
from ..typed._view import hydrate_view, key_of


class Mirror:
    """The views of the states by name: all that views, snapshots and saves are made of.

    It applies the operations that changes were rendered to, and never looks at the states.

    Args:
        views: The states in view form.
        classes: The classes of the states by name.

    Attributes:
        views: The states in view form, null for one that is closed.
        classes: The classes of the states by name.
    """

    def __init__(self, views: dict[str, Any], classes: dict[str, type[State]]) -> None:
        self.views, self.classes = views, classes

    def apply(self, operations: Iterable[Mapping[str, Any]]) -> None:
        """Apply operations that a transaction has rendered."""
        for operation in operations:
            name, *steps = operation["path"]
            if not steps:
                # A whole document, which nothing else keeps, is not worth a copy.
                self.views[name] = operation["value"]
                continue
            value = _copied(operation.get("value"))
            slot = _Slot(self.views, name, StateType(self.classes[name]))
            if operation["op"] in ("append", "remove"):
                _change_members(operation["op"], slot.follow(steps), value)
            else:
                *way, last = steps
                _change_item(operation, slot.follow(way), last, value)


def apply_view(state: State, form: dict[str, Any], versions: Mapping[str, int]) -> None:
    """Give a state the values of a view, in place.

    Args:
        state: The state.
        form: A view of a state of its class.
        versions: The versions of the classes in the view, by name.

    Raises:
        HydrationError: It does not fit; the state is as it was.
        StateVersionError: It is newer than the class, which does not allow that.
    """
    restored = hydrate_view(type(state), form, versions)
    with CHANGES:
        for name, each in fields_of(type(state)).items():
            if each.drained:
                setattr(state, name, getattr(restored, name))


class _Slot(NamedTuple):
    """A place in the mirror: a key of a holder, and the handler of the value there."""

    holder: Any
    key: Any
    handler: TypeHandler

    @property
    def value(self) -> Any:
        """The value, without the tag of a dict that looks like one."""
        value = self.holder[self.key]
        return untag(value, "dict") if isinstance(self.handler, DictOf) else value

    def follow(self, steps: Iterable[Any]) -> "_Slot":
        """Return the place that steps lead to, within the tags of unions."""
        slot = self._opened()
        for step in steps:
            slot = slot._part(step)._opened()
        return slot

    def _opened(self) -> "_Slot":
        holder, key, handler = self
        while isinstance(handler, Union):
            if member := handler.find_tagged(holder[key]):
                holder, key, handler = holder[key], "value", member
            else:
                handler = cast(TypeHandler, handler.find_untagged(holder[key]))
        return _Slot(holder, key, handler)

    def _part(self, step: Any) -> "_Slot":
        value = self.value
        match self.handler:
            case StateType(cls=cls):
                return _Slot(value, step, fields_of(cls)[step].handler)
            case TupleOf() as each:
                return _Slot(value, step, each.handlers_of(value)[step])
            case DictOf(item=item) as each if isinstance(value, list):
                return _Slot(value[_find_pair(each, self.value, step)], 1, item)
            case DictOf(item=item):
                return _Slot(value, str(step), item)
            case each:
                return _Slot(value, step, cast(CollectionHandler, each).item)


def _change_members(op: str, slot: _Slot, value: Any) -> None:
    members: list[Any] = slot.value
    if op == "remove":
        members.remove(value)
    else:
        members.append(value)
    if isinstance(slot.handler, SetOf):
        members[:] = sorted_members(members)


def _change_item(operation: Mapping[str, Any], slot: _Slot, step: Any, value: Any) -> None:
    items, at = slot.value, operation.get("at")
    if not isinstance(slot.handler, DictOf):
        _change_key(operation["op"], items, step, value, at)
    elif isinstance(items, list):
        _change_pair(operation["op"], slot.handler, slot.value, step, value, at)
    else:
        _change_key(operation["op"], items, str(step), value, at)
        if step == TAG:  # with this key it looks like a tag, and without it, it does not
            slot.holder[slot.key] = tagged("dict", items) if TAG in items else items


def _change_key(op: str, items: Any, key: Any, value: Any, at: int | None) -> None:
    """Change an object, or a list."""
    match op:
        case "delete":
            del items[key]
        case "increment":
            items[key] = value + (items[key] if isinstance(items, list) else items.get(key, 0))
        case "insert" if at is None:
            items.insert(key, value)
        case "insert":
            pairs = [*items.items()]
            items.clear()
            items.update([*pairs[:at], (key, value), *pairs[at:]])
        case _:
            items[key] = value


def _change_pair(
    op: str, handler: DictOf, pairs: list[Any], step: Any, value: Any, at: int | None
) -> None:
    """Change a dict in a union, which is a list of pairs if its keys are not text."""
    index = _find_pair(handler, pairs, step)
    if op == "delete":
        del pairs[index]
    elif index < len(pairs):
        pairs[index][1] = pairs[index][1] + value if op == "increment" else value
    else:
        pairs.insert(len(pairs) if at is None else at, [_to_form(handler, step), value])


def _find_pair(handler: DictOf, pairs: Sequence[Any], step: Any) -> int:
    form = _to_form(handler, step)
    found = (index for index, (key, _) in enumerate(pairs) if key == form)
    return next(found, len(pairs))


def _to_form(handler: DictOf, step: Any) -> Any:
    return handler.key.to_json(key_of(handler.key, step))


def _copied(value: Any) -> Any:
    """Return a copy: operations are kept elsewhere too."""
    match value:
        case dict():
            return {key: _copied(each) for key, each in cast(dict[str, Any], value).items()}
        case list():
            return [_copied(each) for each in cast(list[object], value)]
        case _:
            return value
