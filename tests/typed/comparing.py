"""Compare values: whether they are the same, and whether they share something changeable."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, settings

# Making classes takes time.
HEALTH: Any = [*HealthCheck]


def same_each_time(examples: int) -> settings:
    """Return settings under which each run tries the same examples, however slow they are."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=HEALTH,
    )


def spell(value: Any) -> Any:
    """Return a form that is equal for the same values only: 1, 1.0, True differ, NaN equals NaN.

    Containers in a state count as the plain ones that they stand for.
    """
    match value:
        case list():
            return ["list", *map(spell, _items(value))]
        case tuple():
            return ["tuple", *map(spell, _items(value))]
        case set() | frozenset():
            name = "set" if isinstance(value, set) else "frozenset"
            return [name, *sorted(map(repr, map(spell, _items(value))))]
        case dict():
            pairs: dict[Any, Any] = value
            return ["dict", *([spell(key), spell(item)] for key, item in pairs.items())]
        case _ if is_dataclass(value):
            parts = [spell(getattr(value, each.name)) for each in fields(value)]
            return [type(value).__name__, *parts]
        case _ if hasattr(value, "drain"):
            return [type(value).__name__, spell(value.drain())]
        case _:
            return [type(value).__name__, repr(value)]


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same, and of the same types."""
    return bool(spell(one) == spell(other))


def parts_of(value: Any) -> Iterator[Any]:
    """Return a value of a payload, and everything in it."""
    yield value
    inner: Iterable[Any] = ()
    match value:
        case list() | tuple() | set() | frozenset():
            inner = _items(value)
        case dict():
            pairs: dict[Any, Any] = value
            inner = [*pairs, *pairs.values()]
        case _ if is_dataclass(value):
            inner = [getattr(value, each.name) for each in fields(value)]
        case _:
            pass
    for each in inner:
        yield from parts_of(each)


def share_something(one: Any, other: Any) -> bool:
    """Return whether two values have something in common that can change."""
    mine, others = (
        {id(each) for each in parts_of(top) if _can_change(each)} for top in (one, other)
    )
    return bool(mine & others)


def _can_change(value: Any) -> bool:
    return isinstance(value, list | dict | set) or (
        is_dataclass(value) and type(value).__hash__ is None
    )


def _items(value: Iterable[Any]) -> list[Any]:
    return [*value]
