"""A domain: the commands of a state, the events for its clients, and its invariants.

The functions of a domain are pure: they see the state, the payload and the context, and nothing
else. So every process that applies the same entries in the same order has the same state.
"""

import inspect
import re
from base64 import b32encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints, overload

from ..state import State
from ..state.shared import Entry, Refused
from ..state.typed._changes import KeyPath
from .model import SessionState
from .payloads import MessageType, description_of, wire_name

if TYPE_CHECKING:
    from .document import Document

__all__ = ["Context", "Domain", "KeyPath", "Refused"]

S = TypeVar("S", bound=State)
P = TypeVar("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., None])

Handler = Callable[[S, P, "Context"], R]

# The door answers `session`; the events of `state` are the operations of each entry.
_RESERVED = ("session", "state")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Context:
    """The circumstances of one command: all that it may depend on besides state and payload.

    Attributes:
        now: The time at which the entry was put into the log, in UTC. It is the same wherever
            and whenever the entry is applied.
        author: The name of the client that sent the command, None if it gave none.
        session: The state that all clients share, through which domains reach each other.
        document: The open project and its history, for the domains that come with the server.
        events: The events that were emitted.
        step: The label that the command has given to its step of the undo history.
    """

    def __init__(
        self,
        entry: Entry,
        session: SessionState,
        document: "Document",
        declared: Iterable[MessageType] = (),
    ) -> None:
        self.now = _EPOCH + timedelta(milliseconds=entry.at)
        self.author = entry.by
        self.session = session
        self.document = document
        self.events: list[object] = []
        self.step: str | None = None
        self._entry_id = entry.id
        self._declared = [each.cls for each in declared]
        self._ids = 0

    def new_id(self, prefix: str = "") -> str:
        """Return an id that nothing else has: the prefix, and 16 letters and digits.

        It follows from the id of the entry, so that each process that applies the entry makes
        the same one.
        """
        self._ids += 1
        return prefix + derive_id(self._entry_id, self._ids)

    def emit(self, event: object) -> None:
        """Send an event to the subscribers of the domain once the command has succeeded.

        Raises:
            TypeError: The domain does not declare the event.
        """
        if type(event) not in self._declared:
            name = type(event).__name__
            raise TypeError(f"{name} is not an event of this domain: add it to its events=(...)")
        self.events.append(event)

    def label(self, text: str) -> None:
        """Name the step of the undo history that this command makes, such as "Move clip"."""
        self.step = text


def derive_id(entry_id: str, number: int) -> str:
    """Return the id of a thing that an entry makes, by its number among them."""
    digest = blake2b(f"{entry_id}/{number}".encode(), digest_size=10).digest()
    return b32encode(digest).decode().lower()


@dataclass(frozen=True)
class Command:
    """A command or query of a domain.

    Attributes:
        domain: The name of its domain.
        name: Its name on the wire.
        description: Its docstring.
        function: The function that carries it out.
        payload: The type of its payload.
        result: The type of its result, None if it returns nothing.
        internal: Whether only this process may send it.
        reads: Whether it is a query, which changes nothing.
    """

    domain: str
    name: str
    description: str
    function: Callable[[Any, Any, Context], object]
    payload: MessageType
    result: MessageType | None
    internal: bool = False
    reads: bool = False

    @property
    def summary(self) -> str:
        """The first line of its description, without the full stop."""
        return self.description.partition("\n")[0].removesuffix(".")


@dataclass(frozen=True)
class Invariant:
    """A condition that holds after every command.

    Attributes:
        check: Raises Refused if it does not hold.
        takes_changes: Whether it takes the key paths that have changed, as second argument.
    """

    check: Callable[..., None]
    takes_changes: bool


class Domain(Generic[S]):
    """The commands, queries, events and invariants of one subject.

    Args:
        name: Its name on the wire.
        root: The class of the state that its functions get: `Project`, which must be open, or
            `SessionState`.
        events: The classes of its events.

    Attributes:
        name: Its name on the wire.
        root: The class of its state.
        description: The docstring of its module.
        events: Its events, by their name on the wire.
        commands: Its commands and queries, by their name on the wire.
        invariants: Its invariants.

    Raises:
        TypeError: The name or an event cannot be used.
    """

    def __init__(self, name: str, root: type[S], events: Iterable[type] = ()) -> None:
        if not re.fullmatch(r"[a-z][A-Za-z0-9]{0,39}", name) or name in _RESERVED:
            raise TypeError(
                f"A domain cannot be called {name!r}: begin with a small letter, go on with up "
                f"to 39 letters and digits, and do not take {' or '.join(_RESERVED)}"
            )
        self.name, self.root = name, root
        self.description = _docstring_of_caller()
        self.events: dict[str, MessageType] = {}
        self.commands: dict[str, Command] = {}
        self.invariants: list[Invariant] = []
        for event in events:
            message = MessageType(event, f"Domain {name!r}, event")
            if message.name in self.events:
                raise TypeError(f"Domain {name!r} has two events called {message.name!r}")
            self.events[message.name] = message

    @overload
    def command(self, function: Handler[S, P, R], /) -> Handler[S, P, R]: ...
    @overload
    def command(self, /, *, internal: bool) -> Callable[[Handler[S, P, R]], Handler[S, P, R]]: ...
    def command(self, function: Any = None, /, *, internal: bool = False) -> Any:
        """Declare a function as a command: it changes the state, and may emit events.

        Args:
            function: Gets the state, the payload and the context; returns the result.
            internal: Whether only this process may send the command.

        Raises:
            TypeError: The function does not have the form of a command.
        """
        if function is None:
            return partial(self._add, internal=internal)
        return self._add(function)

    def declare(self, payload: type[P], result: type[R], function: Handler[S, P, R]) -> None:
        """Declare a command by its types; the payload gives it its name and description.

        Args:
            payload: The class of the payload.
            result: The class of the result.
            function: Carries it out, perhaps as one of several commands.

        Raises:
            TypeError: A class cannot be used, or the domain has a command of that name.
        """
        asked, answer = (MessageType(each, f"Domain {self.name!r}") for each in (payload, result))
        self._put(Command(self.name, asked.name, asked.description, function, asked, answer))

    def query(self, function: Handler[S, P, R]) -> Handler[S, P, R]:
        """Declare a function as a query: it reads the state, and returns a result.

        Raises:
            TypeError: The function does not have the form of a query.
        """
        return self._add(function, reads=True)

    def invariant(self, function: F) -> F:
        """Declare a function that raises Refused if the state must not be as it is.

        Args:
            function: Gets the state, and, if it has a second parameter, the key paths in the
                state that the command has changed, as a frozenset. Keys of dicts are as JSON
                has them. Where a list or a set has changed, a path leads to it.

        Raises:
            TypeError: It takes other parameters, or is asynchronous.
        """
        where = f"{self.name}.{function.__name__}"
        _expect_plain(function, where)
        parameters = len(inspect.signature(function).parameters)
        if parameters not in (1, 2):
            raise TypeError(f"{where}: an invariant takes the state, or the state and the changes")
        self.invariants.append(Invariant(function, takes_changes=parameters == 2))
        return function

    def _add(
        self, function: Handler[S, P, R], *, internal: bool = False, reads: bool = False
    ) -> Handler[S, P, R]:
        name = wire_name(function.__name__)
        where = f"{self.name}.{name}"
        _expect_plain(function, where)
        root, payload, result = _signature_of(function, where)
        if root is not self.root:
            raise TypeError(f"{where}: its first parameter must be a {self.root.__name__}")
        self._put(
            Command(
                self.name,
                name,
                description_of(function, where),
                function,
                MessageType(payload, f"{where}, payload"),
                None if result is NoneType else MessageType(result, f"{where}, result"),
                internal,
                reads,
            )
        )
        return function

    def _put(self, command: Command) -> None:
        name = command.name
        if name in self.commands:
            raise TypeError(f"{self.name}.{name} is declared twice: give one of them another name")
        self.commands[name] = command


def _expect_plain(function: Callable[..., object], where: str) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(
            f"{where} is asynchronous or a generator: a domain waits for nothing. Leave work that "
            "takes time to server.on(), which sends its result as a command"
        )


def _signature_of(function: Callable[..., object], where: str) -> tuple[object, object, object]:
    """Return the types of the state, of the payload, and of the result."""
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise TypeError(f"{where}: an annotation is not defined: {error}") from error
    names = [*inspect.signature(function).parameters]
    types = [hints.get(name) for name in names]
    if len(names) != 3 or types[2] is not Context or "return" not in hints:
        raise TypeError(
            f"{where}: write it as {function.__name__}(state: State, payload: Payload, "
            "context: Context) -> Result, with your own State, Payload and Result"
        )
    return types[0], types[1], hints["return"]


def _docstring_of_caller() -> str:
    """Return the docstring of the module that declares a domain."""
    frame = inspect.currentframe()
    while frame and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return (frame.f_globals.get("__doc__") or "").strip() if frame else ""
