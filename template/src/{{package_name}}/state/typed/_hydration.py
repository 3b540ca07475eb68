"""From a payload to the values of a class: which version it is, and what migrates it."""

import copy
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from ...utils.persistence import StateVersionError
from ._changes import CHANGES
from ._tree import StateBase
from ._types.base import LoadContext, TypeMismatchError, shown
from .reactive import effect

T = TypeVar("T")


class HydrationError(ValueError):
    """A payload does not fit the class; no object was made.

    Raised if it is no payload, if no migration leads to the version of the class, if a
    required field has no value, and if a value has another type than its field. The
    message names the class, the field and the versions.
    """


def open_payload(cls: type[Any], payload: object) -> tuple[dict[str, Any], int]:
    """Return the values of a payload, migrated, and their version.

    Args:
        cls: The class that is to have them.
        payload: What `drain()` has returned, here or in an older version.

    Raises:
        HydrationError: It is no payload, or cannot be migrated.
        StateVersionError: It is newer than the class, which does not allow that.
    """
    match payload:
        case {"__version__": int(version), "values": dict()} if is_version(version):
            values = cast(dict[str, Any], cast(Any, payload)["values"])
        case _:
            raise HydrationError(
                f"Cannot hydrate {cls.__name__}: expected what drain() returns, a dict with "
                f"'__version__' and 'values', got {shown(payload)}"
            )
    if version > cls.__version__ and not cls.__allow_newer__:
        raise StateVersionError(
            f"{cls.__name__} has version {cls.__version__}, and the payload the newer {version}: "
            "upgrade, or set __allow_newer__ to keep what is unknown"
        )
    return (_migrate(cls, values, version) if version < cls.__version__ else values), version


def is_version(version: Any) -> bool:
    """Return whether a class or payload may have the version."""
    return type(version) is int and 0 < version < 2**63


def _migrate(cls: type[Any], values: dict[str, Any], version: int) -> dict[str, Any]:
    step = f"from version {version} to {cls.__version__}"
    if not _covers(cls):
        raise HydrationError(
            f"Cannot hydrate {cls.__name__} {step}: it has a new __version__ and no migration "
            f"for it; define __migrate__ in the class, and return the values"
        )
    try:
        migrated = cls.__migrate__(version, cls.__version__, copy.deepcopy(values))
    except Exception as error:
        raise HydrationError(
            f"Cannot hydrate {cls.__name__}: its migration {step} failed: {error!r}"
        ) from error
    if not isinstance(migrated, dict):
        raise HydrationError(
            f"Cannot hydrate {cls.__name__}: its migration {step} returned {shown(migrated)}, "
            "not the values"
        )
    return cast(dict[str, Any], migrated)


def _covers(cls: type[Any]) -> bool:
    """Return whether the class that gave the version, or one that derives from it, migrates."""
    names = {"__migrate__", "__version__"}
    return next("__migrate__" in vars(base) for base in cls.__mro__ if names & vars(base).keys())


def describe_mismatch(name: str, error: TypeMismatchError) -> str:
    """Return where a value is that was refused, and why.

    Args:
        name: Of what has it.
        error: Why; its path begins in what has that name.
    """
    path, type_name = "".join(reversed(error.path)), type(error.value).__name__
    return f"{name}{path}: {error.reason}, got {shown(error.value)} ({type_name})"


class _ThreadContext(threading.local):
    # What is constructed in this thread while something is built, which may still fail.
    deferred: list[Any] | None = None


_thread = _ThreadContext()


@contextmanager
def deferring_effects(cls: type[StateBase]) -> Generator[list[Any]]:
    """Explain what is refused in the block, and let no effect run in it.

    Args:
        cls: What is built from a payload.

    Yields:
        The states that were constructed in the block, whose effects are to run after it.

    Raises:
        HydrationError: A value is not of the type of its field.
    """
    outer, _thread.deferred = _thread.deferred, (deferred := list[Any]())
    try:
        yield deferred
    except TypeMismatchError as error:
        raise HydrationError(f"Cannot hydrate {describe_mismatch(cls.__name__, error)}") from error
    except RecursionError as error:
        raise HydrationError(f"Cannot hydrate {cls.__name__}: nested too deeply") from error
    finally:
        _thread.deferred = outer


def finish_hydration(cls: type[StateBase], build: Callable[[], T], context: LoadContext) -> T:
    """Return what was built, once `__post_init__()` and the effects of its states have run."""
    with deferring_effects(cls) as deferred:
        built = build()
        for state in context.states:
            state.__post_init__()
    for state in (*context.states, *deferred):
        start_effects(state)
    return built


def start_effects(state: Any) -> None:
    """Run the effects of a state for the first time, after what is being built if it is."""
    if _thread.deferred is not None:
        _thread.deferred.append(state)
        return
    for each in state._state_declared.values():
        if isinstance(each, effect):
            with CHANGES:  # in a batch, after it
                CHANGES.schedule(each.bound_to(state).run)
