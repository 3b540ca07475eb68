"""State machines: the same entries have the same effect wherever they are applied."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .. import _json
from ..typed import Operation, State, apply_operations, transaction
from ..typed.operations import apply_rendered
from .entry import Entry, Position
from .mirror import apply_view
from .refusal import Refused

# The domain that a message is about, and the message as it is sent to everyone.
Message = tuple[str, bytes]


class Applied(NamedTuple):
    """The effect of an entry.

    Attributes:
        result: The result, as JSON.
        events: The events in order: `{"domain", "command", "payload"}` each.
        operations: The changes of the states, as operations in order.
        inverses: The operations that take them back, in the order in which to apply them.
    """

    result: Any = None
    events: Sequence[Any] = ()
    operations: Sequence[Any] = ()
    inverses: Sequence[Any] = ()


class StateMachine(ABC):
    """Applies entries to states. The same entries must have the same effect in each process.

    Attributes:
        states: The states by name, None for one that is closed.
        safe_integers: Whether to refuse integers that JavaScript cannot represent; the
            session sets it.
        is_replaying: Whether the entries were applied before, by this program or an older
            one; the session sets it.
    """

    states: Mapping[str, State | None]
    safe_integers: bool = False
    is_replaying: bool = False

    @abstractmethod
    def apply(self, entry: Entry) -> Applied:
        """Apply an entry, in a transaction of the caller. It may depend on nothing else.

        Raises:
            Refused: It is refused; the caller rolls back.
        """

    def check(self, applied: Applied) -> None:  # noqa: B027 - few machines need it
        """Check the effect of an entry, in its transaction.

        Of a change that was made past the log, only the operations and inverses are known.

        Raises:
            RefusedOperation: The effect is not allowed; the caller rolls back.
        """

    @abstractmethod
    def messages(self, entry: Entry, position: Position, applied: Applied) -> Sequence[Message]:
        """Return the messages about an applied entry, each with its domain, for all subscribers."""

    def snapshot_message(self, position: Position, view: bytes) -> bytes:
        """Return the message that gives a subscriber all states: JSON by name."""
        head = {"type": "snapshot", "epoch": position.epoch, "seq": position.seq}
        return _json.encode("snapshot", head)[:-1] + b',"states":' + view + b"}"

    def extra(self) -> Any:
        """Return everything else that the next entries depend on, as JSON."""
        return None

    def restore_extra(self, extra: Any) -> None:  # noqa: B027 - few machines need it
        """Apply a value that `extra()` has returned."""

    def restore_states(self, views: Mapping[str, Any], versions: Mapping[str, int]) -> None:
        """Give the states the values of a snapshot, in place.

        Args:
            views: The states in view form by name, null for one that is closed.
            versions: The versions of the classes in them, by name.
        """
        for name, state in self.states.items():
            if state is not None and name in views:
                apply_view(state, views[name], versions)


class OperationMachine(StateMachine):
    """Applies entries of operations.

    Args:
        states: The states by name.
    """

    def __init__(self, states: Mapping[str, State]) -> None:
        self.states = self._states = states

    def apply(self, entry: Entry) -> Applied:
        """Apply the operations of an entry."""
        if isinstance(entry.do, Mapping):
            command = f"{entry.do['domain']}.{entry.do['command']}"
            message = f"Got the command {command}, expected operations"
            raise Refused("unknown_command", message, command=command)
        with transaction(self._states) as changes:
            # Changes that were made past the log may be of private fields too.
            if self.is_replaying or entry.captured:
                apply_rendered(self._states, entry.do)
            else:
                self._apply_operations(entry.do)
        return Applied(operations=changes.operations, inverses=changes.inverses)

    def _apply_operations(self, operations: Sequence[Operation]) -> None:
        """Apply the operations of a client, in the transaction of their entry."""
        apply_operations(self._states, operations, safe_integers=self.safe_integers)

    def messages(self, entry: Entry, position: Position, applied: Applied) -> Sequence[Message]:
        """Return one message, with the operations as they were sent."""
        return [("state", b'{"type":"sync","seq":%d,' % position.seq + entry.encoded[1:])]
