"""From a payload to the values of a class: its version, its migration, and the effects after it."""

# pyright: reportPrivateUsage=false

import copy
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar, cast

from ...utils.persistence import StateVersionError, from_envelope
from ._changes import CHANGES
from ._display import short_repr
from ._tree import StateBase, Values
from ._types.base import LoadContext, TypeMismatchError
from .reactive import effect

T = TypeVar("T")


class HydrationError(ValueError):
    """A payload does not fit the class; no object was made.

    Raised if it is not a payload, if no migration leads to the version of the class, if a
    required field has no value, and if a value has another type than its field. The
    message names the class, the field and the versions.
    """


def open_payload(cls: type[StateBase], payload: object) -> tuple[Values, int]:
    """Return the values of a payload, migrated, and the version that they had.

    Args:
        cls: The class that is to have them.
        payload: A payload that `drain()` has returned, of any version of the class.

    Raises:
        HydrationError: It is not a payload, or cannot be migrated.
        StateVersionError: It is newer than the class, which does not allow that.
    """
    try:
        values, version = from_envelope(payload)
    except ValueError:
        values, version = {}, 0
    if not is_version(version):
        raise HydrationError(
            f"Cannot hydrate {cls.__name__}: expected a payload, as drain() returns it: a "
            f"dict with '__version__' and 'values', got {short_repr(payload)}"
        )
    if version > cls.__version__ and not cls.__allow_newer__:
        raise StateVersionError(
            f"{cls.__name__} has version {cls.__version__}, and the payload the newer {version}: "
            "upgrade, or set __allow_newer__ to keep unknown values"
        )
    return (_migrate(cls, values, version) if version < cls.__version__ else values), version


def is_version(version: object) -> bool:
    """Return whether a class or payload may have the version."""
    return type(version) is int and 0 < version < 2**63


def _migrate(cls: type[StateBase], values: Values, version: int) -> Values:
    step = f"from version {version} to {cls.__version__}"
    if not _covers(cls):
        raise HydrationError(
            f"Cannot hydrate {cls.__name__} {step}: it has a new __version__ and no migration "
            f"for it; define __migrate__ in the class, and return the values"
        )
    try:
        migrated = cast(object, cls.__migrate__(version, cls.__version__, copy.deepcopy(values)))
    except Exception as error:
        raise HydrationError(
            f"Cannot hydrate {cls.__name__}: its migration {step} failed: {error!r}"
        ) from error
    if not isinstance(migrated, dict):
        raise HydrationError(
            f"Cannot hydrate {cls.__name__}: its migration {step} returned {short_repr(migrated)}, "
            "expected the values, a dict"
        )
    return cast(Values, migrated)


def _covers(cls: type) -> bool:
    """Return whether the class that set the version, or one that derives from it, migrates."""
    names = {"__migrate__", "__version__"}
    return next("__migrate__" in vars(base) for base in cls.__mro__ if names & vars(base).keys())


def describe_mismatch(name: str, error: TypeMismatchError) -> str:
    """Return where a value is that a handler has rejected, and why.

    Args:
        name: The name of the object in which the path of the error begins.
        error: The error.
    """
    path, type_name = "".join(reversed(error.path)), type(error.value).__name__
    return f"{name}{path}: {error.reason}, got {short_repr(error.value)} ({type_name})"


class _ThreadContext(threading.local):
    # The states that this thread constructs during a hydration, which may still fail.
    deferred: list[StateBase] | None = None


_thread = _ThreadContext()


@contextmanager
def deferring_effects(cls: type[StateBase]) -> Generator[list[StateBase]]:
    """Run no effect in the block, and turn each mismatch into a HydrationError.

    Args:
        cls: The class that is hydrated.

    Yields:
        The states constructed in the block, whose effects are to run after it.

    Raises:
        HydrationError: A value is not of the type of its field.
    """
    with _describing_mismatches(cls), _deferring() as deferred:
        yield deferred


@contextmanager
def _describing_mismatches(cls: type[StateBase]) -> Generator[None]:
    try:
        yield
    except TypeMismatchError as error:
        raise HydrationError(
            f"Cannot hydrate {describe_mismatch(cls.__name__, error)}; if the declared type has "
            "changed, the class needs a new __version__, and __migrate__ must convert the value"
        ) from error
    except RecursionError as error:
        raise HydrationError(f"Cannot hydrate {cls.__name__}: nested too deeply") from error


@contextmanager
def _deferring() -> Generator[list[StateBase]]:
    outer, _thread.deferred = _thread.deferred, (deferred := list[StateBase]())
    try:
        yield deferred
    finally:
        _thread.deferred = outer


@contextmanager
def finishing_states(context: LoadContext) -> Generator[None]:
    """Run `__post_init__()` of the states that the block adds to a context, then their effects."""
    with _deferring() as deferred:
        yield
        for state in context.states:
            state.__post_init__()
    for state in (*context.states, *deferred):
        start_effects(state)


def finish_hydration(cls: type[StateBase], build: Callable[[], T], context: LoadContext) -> T:
    """Build an object, run `__post_init__()` of the states in the context, then their effects."""
    with _describing_mismatches(cls), finishing_states(context):
        return build()


def start_effects(state: StateBase) -> None:
    """Run the effects of a state for the first time, after the hydration in progress if any."""
    if _thread.deferred is not None:
        _thread.deferred.append(state)
        return
    for each in state._state_declared.values():
        if isinstance(each, effect):
            with CHANGES:  # in a batch, after it
                CHANGES.schedule(each.bound_to(state).run)
