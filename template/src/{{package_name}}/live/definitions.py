"""The definitions of live states: from the result of a function to a state."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast, get_args

from ..state.typed import State, fields_of
from ..state.typed._rendering import rendering_sets
from ..state.typed._tracked import TrackedDict, TrackedList
from ..state.typed._tree import StateBase
from ..state.typed._types.annotations import DataclassType, StateType
from ..state.typed._types.base import tag_of
from ..state.typed._view import MAX_SAFE_INTEGER, versions_of, view
from ..state.typed.operations import MAX_DEPTH, check_json
from .conversion import to_state
from .marks import SERVER_ONLY, classes_within, handlers_in, is_server_only

# JavaScript gives these names another meaning in every object.
RESERVED = frozenset({"__proto__", "constructor", "prototype"})


@dataclasses.dataclass(frozen=True)
class Definition:
    """A state that the server and all browsers share.

    Attributes:
        state: The state.
        marks: Facts about the values at some paths, for browsers, which know no types. `*` in a
            path stands for any index or key. A path of a class begins with its name and a colon:
            `{"class": "Node"}` refers to it, and so does the tag of a value in a union.
    """

    state: State
    marks: Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class LocalDefinition:
    """A state that each tab of a browser has for itself.

    Attributes:
        state: The state on the server, which keeps its first values.
        values: These values as JSON.
        persist: Whether the browser keeps it: not, for all tabs, or for one `"tab"`.
    """

    state: State
    values: Mapping[str, Any]
    persist: bool | str


def replace(of: object, name: Any, value: Any) -> None:
    """Set a value, also that of a counter: the counts of others in the meantime are lost.

    Args:
        of: A state, or a list or dict in it.
        name: The field, the index or the key.
        value: The value.

    Raises:
        TypeError: `of` is something else.
    """
    if not isinstance(of, StateBase | TrackedDict | TrackedList):
        raise TypeError(f"{type(of).__name__} is not a part of a state: give a state, list or dict")
    with rendering_sets():
        if isinstance(of, StateBase):
            setattr(of, name, value)
        else:
            of[name] = value


def make_state(function: Callable[[], object]) -> State:
    """Return the state that the result of a function is, or is turned into.

    Args:
        function: Returns a State, which is taken as it is; or a dataclass, a pydantic model, or a
            dict, whose class and its parts are turned into State classes.

    Raises:
        TypeError: The result cannot be a live state; the message names the field and the way out.
    """
    name, value = function.__name__, function()
    if name.startswith("_") or name in RESERVED:
        raise TypeError(f"{name}() cannot name a state in a browser: choose another name")
    try:
        state = to_state(function, value)
        _check_classes(type(state))
        _check_values(state)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}(): {error}") from error
    return state


def _check_values(state: State) -> None:
    for name, form in view(state).items():
        try:
            check_json(form, MAX_DEPTH - 2, MAX_SAFE_INTEGER)
            check_for_browser(form)
        except ValueError as error:
            raise ValueError(f"{type(state).__name__}.{name}: {error}") from error


def check_for_browser(form: object, steps: Iterable[object] = ()) -> None:
    """Check JSON that is to be read in a browser.

    Args:
        form: The JSON.
        steps: Names that lead to it.

    Raises:
        ValueError: JavaScript reserves a name, or does not have a number.
    """
    _check_names(steps)
    if tag_of(form) == "float":
        raise ValueError(f"JSON does not have {cast(Any, form)['value']}: use None, or text")
    match form:
        case dict():
            items = cast(dict[str, object], form)
            _check_names(items)
            for each in items.values():
                check_for_browser(each)
        case list():
            for each in cast(list[object], form):
                check_for_browser(each)
        case _:
            pass


def _check_names(names: Iterable[object]) -> None:
    for name in names:
        if name in RESERVED:
            raise ValueError(f"{name!r} has another meaning in JavaScript: choose another name")


def _check_classes(cls: type[State]) -> None:
    """Raise TypeError if changes of a state would not be noticed, or JSON does not have it."""
    versions_of(cls)  # raises for two classes of one name
    for each in classes_within(StateType(cls)):
        _check_class(each)


def _check_class(cls: type[StateBase]) -> None:
    if cls.__codec__.any_type:
        raise TypeError(f"{cls.__name__} is pickled, and browsers read JSON: use JsonCodec")
    for name, field in fields_of(cls).items():
        where = f"{cls.__name__}.{name}"
        if name in RESERVED:
            raise TypeError(f"{where} has another meaning in JavaScript: choose another name")
        if not is_server_only(field) and _is_within(SERVER_ONLY, field.type):
            raise TypeError(f"{where}: ServerOnly must enclose the whole type of a field")
        for handler in handlers_in(field.handler):
            if field.drained and isinstance(handler, DataclassType) and not handler.is_frozen:
                raise TypeError(
                    f"{where}: the attributes of {handler.name} can change unnoticed: "
                    "make it a State, or a dataclass with frozen=True"
                )


def _is_within(mark: object, annotation: Any) -> bool:
    args = get_args(annotation)
    return mark in args or any(_is_within(mark, each) for each in args)
