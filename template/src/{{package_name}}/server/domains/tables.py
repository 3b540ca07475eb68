"""Rows by their ids, each in a list of its owner, as tracks and nodes have them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from ..domain import KeyPath, Refused
from ..model import Project

T = TypeVar("T")
Owner = TypeVar("Owner")


def find(rows: Mapping[str, T], key: str, kind: str) -> T:
    """Return a row; refuse if there is none of that id."""
    if key not in rows:
        is_listed = kind in ("track", "lane", "channel")
        place = "list them with tracks.list" if is_listed else "session.snapshot has them all"
        message = f"There is no {kind} {key!r}: {place}"
        raise Refused(f"unknown_{kind}", message, **{kind: key})
    return rows[key]


def insert(members: list[str], key: str, index: int | None) -> int:
    """Put an id into a list, by default at its end; return the index."""
    place = len(members) if index is None else index
    if not 0 <= place <= len(members):
        message = f"The index would be {place}: give 0 to {len(members)}"
        raise Refused("bad_index", message, index=place, last=len(members))
    members.insert(place, key)
    return place


def touched(project: Project, changed: Iterable[KeyPath], table: str) -> list[str]:
    """Return the ids of the rows of a table in which something has changed."""
    paths = [path for path in changed if path[0] == table]
    if (table,) in paths:
        return sorted(getattr(project, table))
    return sorted({path[1] for path in paths})


def agree(
    kind: str,
    rows: Mapping[str, T],
    owner_of: Callable[[T], Owner],
    members_of: Callable[[Owner], Sequence[str] | None],
    moved: Iterable[str],
    owners: Iterable[Owner],
) -> None:
    """Refuse unless each row stands once in the list of its owner, and in no other list.

    Args:
        kind: The word for a row.
        rows: All rows.
        owner_of: Returns the id of the owner of a row.
        members_of: Returns the list of an owner, None if there is no such owner.
        moved: The rows to check.
        owners: The owners to check.
    """
    for key in moved:
        if key in rows and (members_of(owner_of(rows[key])) or ()).count(key) != 1:
            message = f"The {kind} {key} would not stand once in {owner_of(rows[key])}"
            raise Refused("misplaced", message, **{kind: key})
    for owner in owners:
        for key in members_of(owner) or ():
            if key not in rows or owner_of(rows[key]) != owner:
                message = f"{owner} would list the {kind} {key}, which is not in it"
                raise Refused("misplaced", message, **{kind: key})
