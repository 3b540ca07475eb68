"""Entries, which a log puts into one order, and their positions in it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

from .. import _json

# The largest number that every client can count to, in JavaScript too.
MAX_NUMBER = 2**53 - 1
MAX_OPERATIONS = 1_000
_ID = re.compile(r"([A-Za-z0-9_-]{8,32}):([1-9][0-9]{0,15})")
_COMMAND = {"domain": str, "command": str, "payload": dict}

# A list of operations, or one command: {"domain", "command", "payload"}.
Work = Sequence[Any] | Mapping[str, Any]


class Position(NamedTuple):
    """The number of an applied entry, and the epoch in which the numbers count.

    A new epoch says that history known before may be gone. Numbers start at 1 in each
    epoch; 0 is the position before the first entry.
    """

    epoch: str
    seq: int


@dataclass(frozen=True)
class Entry:
    """One request in a log: operations or a command, applied as a whole or not at all.

    Attributes:
        id: `<client>:<number>`. A client is 8 to 32 of the characters `A-Z a-z 0-9 _ -`; its
            numbers, from 1 to 2**53 - 1, rise from entry to entry.
        do: 1 to 1,000 operations, or one command.
        at: Milliseconds since the epoch of the clock; the log sets it.
        by: The author, for people; None if unknown.
        group: Entries of one client with the same group are one step of the undo history.
        captured: Whether it was made of changes past the log, in a process of the session. It
            is not part of the JSON: no client can say so.

    Raises:
        ValueError: The id is not valid, or there is nothing to do, or too much.
    """

    id: str
    do: Work
    at: int = 0
    by: str | None = None
    group: str | None = None
    captured: bool = False

    def __post_init__(self) -> None:
        """Check the id and the number of operations."""
        found = _ID.fullmatch(self.id)
        if not found or int(found[2]) > MAX_NUMBER:
            raise ValueError(
                f"{self.id[:60]!r} is not the id of an entry: expected <client>:<number>, with a "
                "client of 8 to 32 letters, digits, '_' or '-', such as 'k3J9x2Qw:17'"
            )
        if not (_is_command(self.do) or _is_operations(self.do)):
            raise ValueError(
                f"Entry {self.id} has {_describe(self.do)}: give 1 to {MAX_OPERATIONS} "
                "operations, or one command with 'domain', 'command' and 'payload'"
            )

    @property
    def client(self) -> str:
        """The client that made it."""
        return self.id.partition(":")[0]

    @property
    def number(self) -> int:
        """Its number among the entries of the client."""
        return int(self.id.partition(":")[2])

    @cached_property
    def encoded(self) -> bytes:
        """The entry as JSON in UTF-8.

        Raises:
            TypeError: JSON cannot express it.
            RecursionError: It is nested too deeply.
        """
        form = self.to_json()
        do = _json.encode(self.id, form.pop("do"))
        # The rest has no floats to look through for values that JSON does not have.
        rest = _json.encode(self.id, form, finite=True)
        return rest[:-1] + b',"do":' + do + b"}"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        form: dict[str, Any] = {"id": self.id, "at": self.at, "by": self.by, "do": self.do}
        return form if self.group is None else {**form, "group": self.group}

    @classmethod
    def from_json(cls, form: Any) -> "Entry":
        """Return the entry that JSON stands for.

        Raises:
            ValueError: It is not an entry.
        """
        members = cast(dict[str, Any], form) if isinstance(form, dict) else {}
        name, do, at = members.get("id"), members.get("do"), members.get("at", 0)
        by, group = members.get("by"), members.get("group")
        is_text = _is_text(by) and _is_text(group)
        if isinstance(name, str) and isinstance(do, list | dict) and type(at) is int and is_text:
            return cls(name, cast(Work, members["do"]), at, by, group)
        found = str(cast(object, form))[:60]
        raise ValueError(f"{found!r} is not an entry: expected 'id', 'at', 'by' and 'do'")


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _describe(do: Work) -> str:
    return "an incomplete command" if isinstance(do, Mapping) else f"{len(do)} operations"


def _is_command(do: Work) -> bool:
    return isinstance(do, Mapping) and all(
        isinstance(do.get(name), each) for name, each in _COMMAND.items()
    )


def _is_operations(do: Work) -> bool:
    return not isinstance(do, Mapping) and 1 <= len(do) <= MAX_OPERATIONS
