"""States that many clients share: one order of changes, and copies that follow it."""

from .edit_journal import EditJournal
from .entry import Entry, Position
from .feed import Feed
from .local_log import LocalLog
from .log import Log, LoggedEntry, Recovery
from .machine import Applied, OperationMachine, StateMachine
from .refusal import Outcome, Refusal, Refused
from .replica import Pending, Replica
from .session import Session

__all__ = [
    "Applied",
    "EditJournal",
    "Entry",
    "Feed",
    "LocalLog",
    "Log",
    "LoggedEntry",
    "OperationMachine",
    "Outcome",
    "Pending",
    "Position",
    "Recovery",
    "Refusal",
    "Refused",
    "Replica",
    "Session",
    "StateMachine",
]
