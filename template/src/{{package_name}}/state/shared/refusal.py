"""The answers to an entry: it was applied, or refused without any effect."""

from dataclasses import dataclass, field
from typing import Any

from .entry import Position


@dataclass(frozen=True)
class Outcome:
    """An entry was applied.

    Attributes:
        position: Its position; `seq` is 0 if it was applied in an earlier epoch.
        result: The result, as JSON; None if it is no longer known.
        events: The events of a command, in order: `{"domain", "command", "payload"}` each.
        duplicate: Whether the entry had been applied before, and not now.
    """

    position: Position
    result: Any = None
    events: tuple[Any, ...] = ()
    duplicate: bool = False


@dataclass(frozen=True)
class Refusal:
    """An entry was refused, and has changed nothing.

    Attributes:
        code: The code, for programs.
        message: The value, the expectation and the way out, for people.
        details: Every value in the message, as JSON, for programs.
        duplicate: Whether the entry had been refused before, and not now.
    """

    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    duplicate: bool = False


class Refused(Exception):  # noqa: N818 - a refusal is an answer, and has this name
    """Raised to refuse an entry; its changes are rolled back.

    Args:
        code: The code, for programs.
        message: The value, the expectation and the way out, for people.
        **details: Every value in the message, as JSON.
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details

    @property
    def refusal(self) -> Refusal:
        """The refusal, to answer with."""
        return Refusal(self.code, self.message, self.details)
