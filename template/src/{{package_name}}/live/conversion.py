"""Conversion: State classes that stand for dataclasses, pydantic models and dicts."""

import copy
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NotRequired,
    Required,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import typing_extensions
from pydantic import BaseModel, ValidationError

from ..state.typed import HydrationError, State, fields_of
from ..state.typed._tree import MISSING, StateBase
from ..state.typed._types.annotations import StateType
from ..state.typed.fields import Field, declare
from .marks import Counter, classes_within

# That of `typing` knows its own classes only.
is_typeddict = typing_extensions.is_typeddict
_MARKED = (Required, NotRequired, typing_extensions.ReadOnly)
_UNIONS = (typing.Union, types.UnionType)
_METHODS = (types.FunctionType, property, classmethod, staticmethod)
# Annotations and defaults by name.
_Declarations = dict[str, tuple[Any, Any]]
_derived: dict[Any, Any] = {}


class Fields(State, MutableMapping[str, Any]):
    """A state without declared types, made from a dict: its names are attributes and items."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return the value of a name."""

        def __setattr__(self, name: str, value: Any) -> None:
            """Set the value of a name."""

    def __getitem__(self, name: str) -> Any:
        """Return the value of a name."""
        if name not in fields_of(type(self)):
            raise KeyError(name)
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        """Set the value of a name."""
        if name not in fields_of(type(self)):
            names = ", ".join(fields_of(type(self)))
            raise KeyError(f"{name!r} is not a name of the state: it has {names}")
        setattr(self, name, value)

    def __delitem__(self, name: str) -> None:
        """Raise TypeError: the names are fixed."""
        raise TypeError(f"Cannot delete {name!r}: the names are fixed; set another value")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(fields_of(type(self)))

    def __len__(self) -> int:
        """Return the number of names."""
        return len(fields_of(type(self)))


def to_state(function: Callable[[], object], value: object) -> State:
    """Return the state that stands for the result of a function.

    Raises:
        TypeError: No State class can stand for its class.
    """
    if isinstance(value, State):
        return value
    if isinstance(value, dict):
        values, declared = cast(dict[str, Any], value), _declared_result(function)
        cls = derive(declared) if is_typeddict(declared) else _derive_fields(function, values)
        return cast(State, cls(**values))
    if is_convertible(type(value)):
        return cast(State, derive(type(value))._from_other(value))
    found = type(value).__name__
    raise TypeError(f"got {found}: return a State, a dataclass, a pydantic model or a dict")


def _declared_result(function: Callable[[], object]) -> Any:
    try:
        return get_type_hints(function).get("return")
    except NameError:  # names for checkers only
        return None


def is_convertible(value: object) -> bool:
    """Return whether a State class can stand for a class."""
    if not isinstance(value, type) or issubclass(value, State):
        return False
    cls = cast(type[Any], value)
    return dataclasses.is_dataclass(cls) or issubclass(cls, BaseModel) or is_typeddict(cls)


def derive(cls: Any) -> Any:
    """Return the State class that stands for a dataclass, a pydantic model or a TypedDict.

    Raises:
        TypeError: The type of a field cannot be one of a state.
    """
    if cls not in _derived:
        made = _derived[cls] = _make_class(cls)
        try:
            _declare(made, _declarations_of(cls))
        except BaseException:
            del _derived[cls]
            raise
    return _derived[cls]


def _declare(made: Any, declarations: _Declarations) -> None:
    """Give a class its fields; before, other classes may refer to it already."""
    for name, (_, default) in declarations.items():
        if default is not MISSING:
            setattr(made, name, default)
    made.__annotations__ = {name: _convert(each) for name, (each, _) in declarations.items()}
    declare(made, {})


def _make_class(cls: Any) -> Any:
    namespace = {
        "__doc__": cls.__doc__,
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "_live_origin": cls,
        "_from_other": classmethod(_from_original),
    }
    if is_typeddict(cls):
        return _new_class(cls.__name__, (Fields,), namespace)
    if not issubclass(cls, BaseModel):
        try:
            return _new_class(cls.__name__, (State, cls), namespace)
        except TypeError:  # it has slots, or a metaclass
            return _new_class(cls.__name__, (State,), {**_methods_of(cls), **namespace})
    namespace["__post_init__"] = check_model
    return _new_class(cls.__name__, (State,), {**_methods_of(cls), **namespace})


def _new_class(name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
    return types.new_class(name, bases, {}, lambda body: body.update(namespace))


def _methods_of(cls: type) -> dict[str, Any]:
    """Return the methods and properties of a class that a State class cannot inherit from."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base not in (object, BaseModel):
            # pydantic wraps computed fields and validators.
            members = {name: getattr(each, "wrapped", each) for name, each in vars(base).items()}
            found |= {
                name: each
                for name, each in members.items()
                if isinstance(each, _METHODS) and not hasattr(State, name)
            }
    return found


def _from_original(cls: Any, value: Any) -> Any:
    """Return the state that stands for an object of the original class, None for any other."""
    fields, origin = fields_of(cls), cls._live_origin
    if type(cast(object, value)) is not (dict if is_typeddict(origin) else origin):
        return None
    if is_typeddict(origin):
        required = {name for name, each in fields.items() if each.required}
        return cls(**value) if required <= value.keys() <= fields.keys() else None
    return cls(**{name: getattr(value, name) for name in fields})


def _declarations_of(cls: Any) -> _Declarations:
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError as error:
        message = f"An annotation of {cls.__name__} is not defined: {error}; define or import it"
        raise TypeError(message) from error
    if is_typeddict(cls):
        optional = cls.__optional_keys__
        return {
            name: (_unmarked(each) | None, None) if name in optional else (each, MISSING)
            for name, each in hints.items()
        }
    if issubclass(cls, BaseModel):
        return {
            name: (hints[name], _model_default(each)) for name, each in cls.model_fields.items()
        }
    return {each.name: (hints[each.name], _default_of(each)) for each in dataclasses.fields(cls)}


def _default_of(field: Any) -> Any:
    """Return the default of a field of a dataclass, MISSING if it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return Field("", Any, default_factory=field.default_factory)
    return MISSING if field.default is dataclasses.MISSING else field.default


def _model_default(field: Any) -> Any:
    """Return the default of a field of a pydantic model, MISSING if it has none."""
    if field.default_factory is not None and not field.default_factory_takes_validated_data:
        return Field("", Any, default_factory=field.default_factory)
    if field.default_factory is not None or field.is_required():
        return MISSING
    # pydantic copies such a default for each model.
    return _copying(field.default)


def _unmarked(annotation: Any) -> Any:
    """Return a type without the marks of a TypedDict."""
    while get_origin(annotation) in _MARKED:
        [annotation] = get_args(annotation)
    return annotation


def _convert(annotation: Any) -> Any:
    """Return a type with State classes in place of other classes with fields."""
    annotation = _unmarked(annotation)
    if inner := getattr(annotation, "__value__", getattr(annotation, "__supertype__", None)):
        return _convert(inner)
    origin, args = get_origin(annotation), get_args(annotation)
    if is_convertible(origin):
        raise TypeError(f"{annotation} has type parameters: write a class without them")
    if origin is Annotated:
        return cast(Any, Annotated)[(_convert(args[0]), *args[1:])]
    if origin in _UNIONS:
        return functools.reduce(lambda one, other: one | other, map(_convert, args))
    if origin in (list, tuple):
        return cast(Any, origin)[tuple(map(_convert, args))]  # an ellipsis stays one
    if origin is dict:  # its keys have to be hashable, as the members of a set
        return cast(Any, dict)[args[0], _convert(args[1])]
    return derive(annotation) if is_convertible(annotation) else annotation


def _derive_fields(function: Callable[[], object], values: Mapping[str, Any]) -> Any:
    """Return a State class with the names of a dict; its values show the types."""
    for name in values:
        if not isinstance(cast(object, name), str) or not name.isidentifier() or name[0] == "_":
            raise TypeError(f"{name!r} cannot name a field: use a letter, then letters and digits")
    words = function.__name__.split("_")
    namespace = {"__module__": function.__module__}
    made = _new_class("".join(word.capitalize() for word in words), (Fields,), namespace)
    # The defaults are for a journal that is older than a name.
    declarations = {name: (_type_of(value), _copying(value)) for name, value in values.items()}
    _declare(made, declarations)
    return made


def _copying(value: object) -> Field:
    """Return a default that is a new copy each time."""
    return Field("", Any, default_factory=functools.partial(copy.deepcopy, value))


def _type_of(value: object) -> Any:
    match value:
        case bool():
            return bool
        case int():
            return Counter
        case dict() if value and all(type(each) is int for each in cast(Any, value).values()):
            return dict[str, Counter]
        case dict():
            return dict[str, Any]
        case list():
            return list[Any]
        case None:
            return Any
        case _:
            return type(value)


def has_models(cls: type[State]) -> bool:
    """Return whether a state, or one in it, stands for a pydantic model."""
    return any(map(is_model, classes_within(StateType(cls))))


def is_model(cls: type[StateBase]) -> bool:
    """Return whether a state class stands for a pydantic model."""
    return issubclass(getattr(cls, "_live_origin", object), BaseModel)


def check_model(state: Any, name: str | None = None) -> None:
    """Check a state that stands for a pydantic model against the constraints of the model.

    Its validators may raise, but the values that they return are not used.

    Args:
        state: The state.
        name: The field that has changed; None to check all of them.

    Raises:
        HydrationError: A value does not meet them.
    """
    cls = cast(type[State], type(state))
    values = {each: _to_original(getattr(state, each)) for each in fields_of(cls)}
    origin: type[BaseModel] = state._live_origin
    try:
        if name is None:
            origin.model_validate(values, by_name=True)
        else:
            model = origin.model_construct(**values)
            model.__pydantic_validator__.validate_assignment(model, name, values[name])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, (cls.__name__, *first["loc"])))
        raise HydrationError(f"{where}: {first['msg']}, got {first['input']!r}") from error


def _to_original(value: Any) -> Any:
    """Return a value with objects of the original classes in place of states."""
    match value:
        case State():
            names = fields_of(type(value))
            return _make_original(value, {n: _to_original(getattr(value, n)) for n in names})
        case dict():
            return {key: _to_original(each) for key, each in cast(Any, value).items()}
        case list():
            return [_to_original(each) for each in cast(Any, value)]
        case tuple():
            return tuple(_to_original(each) for each in cast(Any, value))
        case set():
            return {*cast(Any, value)}
        case _:
            return value


def _make_original(state: State, values: dict[str, Any]) -> Any:
    origin = getattr(type(state), "_live_origin", None)
    if origin is None:
        return state
    if is_typeddict(origin):  # None stands for a key that is not there
        optional = origin.__optional_keys__
        return {n: each for n, each in values.items() if each is not None or n not in optional}
    if issubclass(origin, BaseModel):
        return origin.model_construct(**values)
    made = object.__new__(origin)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made
