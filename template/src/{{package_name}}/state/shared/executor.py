"""Applies entries to the states of a machine, and remembers their outcomes."""

# pyright: reportPrivateUsage=false

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

from .. import _json
from ..typed import Operation, RefusedOperation, State, transaction
from ..typed._changes import KeyPath
from ..typed._journal import current_journal
from ..typed._node import StateNode
from ..typed._records import Linked
from ..typed._rendering import Rendering
from ..typed._view import MAX_SAFE_INTEGER, versions_of, view
from ..typed.operations import MAX_DEPTH, apply_rendered, check_json
from .entry import Entry, Position
from .feed import Published, Ring
from .log import LoggedEntry
from .machine import Applied, StateMachine
from .mirror import Mirror
from .outcomes import Outcomes, Settled
from .refusal import Outcome, Refusal, Refused

logger = logging.getLogger(__name__)

Answer = Outcome | Refusal
# Called with the name of a state and the paths that an entry has changed in it.
Check = Callable[[str, Sequence[KeyPath]], object]


class Result(NamedTuple):
    """The effect of one entry.

    Attributes:
        entry: The entry.
        answer: The answer to it.
        published: Its messages, if it was applied.
        operations: Its changes, as operations in order.
        is_new: Whether it was not answered before.
    """

    entry: Entry
    answer: Answer
    published: Published | None = None
    operations: Sequence[Operation] = ()
    is_new: bool = True

    @property
    def settled(self) -> Settled:
        """The outcome to remember."""
        return self.answer.code if isinstance(self.answer, Refusal) else self.answer.position.seq


class Executor:
    """Applies entries, and keeps everything that follows from them.

    An entry is applied in a transaction of the caller, which may still take it back.
    `publish()` makes it final, once the log has it. The caller must hold the lock; an executor
    has no event loop, and writes to no file.

    Args:
        machine: Applies the entries.
        check: Called in the transaction of each entry; it may raise `RefusedOperation`.
        epoch: The epoch to begin with.

    Attributes:
        position: The position after the last published entry.
        at: The time of the last published entry, in milliseconds.
        outcomes: The outcomes of recent entries.
        ring: The last published entries.
    """

    def __init__(self, machine: StateMachine, check: Check | None, epoch: str) -> None:
        self.position = Position(epoch, 0)
        self.outcomes, self.ring, self.at = Outcomes(), Ring(), 0
        self._machine, self._check = machine, check
        self._mirror = Mirror({}, {})
        self._places = Rendering(machine.states)
        self._encoded: tuple[Position, bytes] | None = None

    def restore(self, snapshot: Mapping[str, Any] | None) -> None:
        """Begin with a snapshot, or, without one, with the states as they are."""
        if snapshot:
            self._machine.restore_states(snapshot["states"], snapshot["versions"])
            self._machine.restore_extra(snapshot["extra"])
            self.outcomes = Outcomes.from_json(snapshot["clients"])
            self.position = Position(snapshot["epoch"], snapshot["seq"])
            self.at = snapshot["at"]
        self.ring.clear()
        # Not those of the snapshot, which may be of older classes.
        views = {name: state and view(state) for name, state in self._machine.states.items()}
        self._mirror = Mirror(views, _classes(self._machine.states))

    def replay(self, entries: Sequence[LoggedEntry]) -> Sequence[LoggedEntry]:
        """Apply the entries of a log again, and return the rest from the first refused one."""
        self._machine.is_replaying = True
        left = [*itertools.dropwhile(self._replay, entries)]
        self._machine.is_replaying = False
        return left

    def _replay(self, logged: LoggedEntry) -> bool:
        with transaction():
            result = self.apply(logged.entry, logged.seq)
        if result.published is None:
            return False
        client = logged.entry.client
        for number, code in logged.refused.items():
            if number > self.outcomes.last(client):
                self.outcomes.settle(client, number, code)
        self.publish([result])
        return True

    def begin_epoch(self, epoch: str) -> None:
        """Count from 1 again: history that others know may be gone."""
        self.position = Position(epoch, 0)
        self.ring.clear()
        self.outcomes.begin_epoch()

    def apply(self, entry: Entry, seq: int, inverses: Sequence[Operation] | None = None) -> Result:
        """Apply an entry as the one with a number, or refuse it without any effect.

        Args:
            entry: The entry.
            seq: The number.
            inverses: The operations that take the entry back, if the states have its changes
                already; a refused one is taken back.
        """
        result = self._apply(entry, seq, inverses)
        if inverses is not None and result.published is None:
            apply_rendered(cast(Mapping[str, State], self._machine.states), inverses)
        return result

    def _apply(self, entry: Entry, seq: int, inverses: Sequence[Operation] | None) -> Result:
        try:
            with transaction():
                before = len(current_journal().records)
                if inverses is None:
                    applied = self._machine.apply(entry)
                else:
                    applied = Applied(operations=_operations(entry), inverses=inverses)
                check_encodable(entry)
                self._check_places(before)
                return self._complete(entry, seq, applied)
        except Refused as error:
            return Result(entry, error.refusal)
        except RefusedOperation as error:
            return Result(entry, _to_refusal(error))
        except Exception:
            logger.exception("Entry %s failed, and was taken back", entry.id)
            message = f"{entry.id} failed because of a fault in the program, and has no effect"
            return Result(entry, Refusal("internal", message, {"id": entry.id}))

    def adopt(self, entry: Entry, inverses: Sequence[Operation]) -> Result:
        """Return the result of an entry whose operations were applied past the log.

        Args:
            entry: The entry.
            inverses: The operations that take it back.

        Raises:
            RefusedOperation: The check does not allow it, or a state stands in two places.
            ValueError: It has an integer that JavaScript cannot read exactly.
        """
        operations = _operations(entry)
        if self._machine.safe_integers:
            for operation in operations:
                check_json(operation.get("value"), MAX_DEPTH, MAX_SAFE_INTEGER)
        self._check_places()
        applied = Applied(operations=operations, inverses=inverses)
        return self._complete(entry, self.position.seq + 1, applied)

    def verify(self, entry: Entry, inverses: Sequence[Operation]) -> None:
        """Check an entry as `adopt()` does; the log decides later whether it is applied."""
        extra = self._machine.extra()
        try:
            self.adopt(entry, inverses)
        finally:
            self._machine.restore_extra(extra)

    def _complete(self, entry: Entry, seq: int, applied: Applied) -> Result:
        self._machine.check(applied)
        self._verify(applied.operations)
        position = Position(self.position.epoch, seq)
        messages = self._machine.messages(entry, position, applied)
        # A later entry of the turn may close a state again.
        self._mirror.classes.update(_classes(self._machine.states))
        outcome = Outcome(position, applied.result, tuple(applied.events))
        return Result(entry, outcome, Published(seq, outcome, messages), applied.operations)

    def _check_places(self, before: int = 0) -> None:
        """Raise RefusedOperation for a state that stands in two places now.

        It would be two states after a snapshot.

        Args:
            before: The number of changes that were checked before.
        """
        for record in current_journal().records[before:]:
            if isinstance(record, Linked) and isinstance(node := record._child, StateNode):
                paths = self._places._paths_to(node)
                if len(paths) > 1:
                    first, second = (".".join(map(str, path)) for path in paths[:2])
                    message = f"{first} and {second} are the same state: copy it, or use a key"
                    raise RefusedOperation("invalid_value", message, paths[1])

    def _verify(self, operations: Iterable[Operation]) -> None:
        """Raise RefusedOperation for changes that the check does not allow."""
        if self._check is None:
            return
        paths: dict[str, dict[KeyPath, None]] = {}
        for operation in operations:
            name, *path = operation["path"]
            paths.setdefault(str(name), {})[tuple(path)] = None
        for name, touched in paths.items():
            self._check(name, tuple(touched))

    def settled(self, entry_id: str) -> Answer | None:
        """Return the answer to an entry that was settled before, None for any other."""
        client, _, number = entry_id.partition(":")
        if int(number) > self.outcomes.last(client):
            return None
        match self.outcomes.find(client, int(number)):
            case None:
                message = f"{entry_id} is older than the entries whose outcomes are known"
                return Refusal("outcome_unknown", message, {"id": entry_id}, duplicate=True)
            case str(code):
                message = f"{entry_id} was refused before: send a new entry with another number"
                return Refusal(code, message, {"id": entry_id}, duplicate=True)
            case seq:
                kept = self.ring.find(seq)
                known = kept.outcome if kept else Outcome(Position(self.position.epoch, seq))
                return replace(known, duplicate=True)

    def to_logged(self, results: Iterable[Result]) -> list[LoggedEntry]:
        """Return the applied entries, with the refusals before each, as a log keeps them."""
        logged: list[LoggedEntry] = []
        refused: dict[str, dict[int, str]] = {}
        for result in results:
            client = result.entry.client
            if client not in refused:
                refused[client] = self.outcomes.refused_last(client)
            if result.published:
                logged.append(LoggedEntry(result.published.seq, result.entry, refused[client]))
                refused[client] = {}
            elif isinstance(result.answer, Refusal) and result.is_new:
                refused[client][result.entry.number] = result.answer.code
        return logged

    def publish(self, results: Iterable[Result]) -> list[Published]:
        """Make entries final that the log has, and return the applied ones for the feeds."""
        applied: list[Published] = []
        for result in results:
            entry = result.entry
            if result.published:
                self._mirror.apply(result.operations)
                self.position, self.at = result.published.outcome.position, entry.at
                self.ring.append(result.published)
                applied.append(result.published)
            if result.is_new:
                self.outcomes.settle(entry.client, entry.number, result.settled)
        return applied

    def view(self) -> bytes:
        """Return the states as JSON by name."""
        if self._encoded is None or self._encoded[0] != self.position:
            self._encoded = self.position, _json.encode("view", self._mirror.views)
        return self._encoded[1]

    def snapshot(self) -> bytes:
        """Return everything that the next entries depend on, as JSON."""
        classes = _classes(self._machine.states).values()
        head = {
            "epoch": self.position.epoch,
            "seq": self.position.seq,
            "at": self.at,
            "versions": {n: v for each in classes for n, v in versions_of(each).items()},
            "clients": self.outcomes.to_json(),
            "extra": self._machine.extra(),
        }
        return _json.encode("snapshot", head)[:-1] + b',"states":' + self.view() + b"}"

    def snapshot_message(self) -> bytes:
        """Return the message that gives a subscriber all states."""
        return self._machine.snapshot_message(self.position, self.view())


def _operations(entry: Entry) -> Sequence[Operation]:
    return cast(Sequence[Operation], entry.do)


def _classes(states: Mapping[str, State | None]) -> dict[str, type[State]]:
    return {name: type(state) for name, state in states.items() if state is not None}


def check_encodable(entry: Entry) -> None:
    """Raise Refused for an entry that a log cannot keep."""
    try:
        _ = entry.encoded
    except (TypeError, RecursionError) as error:
        message = f"{entry.id} cannot be kept ({error}): send values that JSON has, less deep"
        raise Refused("invalid_payload", message, id=entry.id) from error


def _to_refusal(error: RefusedOperation) -> Refusal:
    details = {**error.refusal}
    return Refusal(details.pop("code"), details.pop("message"), details)
