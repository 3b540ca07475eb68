"""The commands of the domain `session`: about a connection, or the server as a whole."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from ..state.shared import Refused
from . import envelope
from .envelope import TEXT, is_text
from .payloads import MessageType

if TYPE_CHECKING:
    from .connection import Connection

_CLIENT = re.compile(r"[A-Za-z0-9_-]{8,32}")


@dataclass(frozen=True)
class Resume:
    """The position up to which a client knows the events."""

    epoch: str
    seq: int


@dataclass(frozen=True)
class Hello:
    """Begin the connection; it must be the first message."""

    name: str
    versions: list[int]
    client: str | None = None
    token: str | None = None
    subscribe: list[str] = field(default_factory=list[str])
    resume: Resume | None = None
    pending: list[int] = field(default_factory=list[int])


@dataclass(frozen=True)
class Domains:
    """Domains to subscribe to; `*` means all but `state`, which must be named."""

    domains: list[str]


@dataclass(frozen=True)
class Subject:
    """A domain or a command to describe; without them, all are described."""

    domain: str | None = None
    command: str | None = None


@dataclass(frozen=True)
class Nothing:
    """No members."""


def check_hello(hello: Hello) -> None:
    """Check the texts of a handshake.

    Raises:
        Refused: `invalid_payload`.
    """
    if hello.client is not None and not _CLIENT.fullmatch(hello.client):
        _refuse("client", hello.client, "8 to 32 letters, digits, '_' or '-'")
    if not is_text(hello.name):
        _refuse("name", hello.name, TEXT)


def _refuse(member: str, found: str, expected: str) -> NoReturn:
    message = f"payload.{member}: expected {expected}, got {found[:60]!r}"
    raise Refused("invalid_payload", message, path=member)


def _ping(connection: "Connection", _: Nothing) -> None:
    """Show that both sides live."""


def _greet_again(connection: "Connection", _: Hello) -> None:
    message = "This connection has said hello already: open another one"
    raise Refused("invalid_envelope", message, field="command")


def _subscribe(connection: "Connection", wanted: Domains) -> Any:
    """Send the events of more domains, from now on."""
    domains = connection.door.expand(wanted.domains)
    if connection.feed is None:
        connection.open_feed(domains, connection.door.session.position)
    else:
        connection.feed.domains |= domains
    return _subscribed(connection)


def _unsubscribe(connection: "Connection", unwanted: Domains) -> Any:
    """Send the events of fewer domains."""
    if connection.feed:
        connection.feed.domains -= connection.door.expand(unwanted.domains)
    return _subscribed(connection)


def _subscribed(connection: "Connection") -> Any:
    return {"domains": sorted(connection.feed.domains) if connection.feed else []}


def _snapshot(connection: "Connection", _: Nothing) -> Any:
    """Return all states, at the position of the reply."""
    return envelope.states(connection.door.session.view())


def _describe(connection: "Connection", subject: Subject) -> Any:
    """Return the description of a domain, of a command, or of all."""
    return connection.door.dispatcher.describe(subject.domain, subject.command)


def _status(connection: "Connection", _: Nothing) -> Any:
    """Return the state of the server process."""
    return connection.door.status()


def _goodbye(connection: "Connection", _: Nothing) -> None:
    """End the connection, after the answers that are due."""
    connection.is_leaving = True


def _shutdown(connection: "Connection", _: Nothing) -> None:
    """Stop the server."""
    stop = connection.door.stop
    if stop is None or connection.is_inside:
        message = "Only clients of a Unix socket may stop the server: send it a signal"
        raise Refused("forbidden", message)
    asyncio.get_running_loop().call_soon(stop)


HELLO = MessageType(Hello, "session.hello")

# The payload of each command, and the function that answers it.
COMMANDS: "dict[str, tuple[MessageType, Callable[[Connection, Any], Any]]]" = {
    "hello": (HELLO, _greet_again),
    "ping": (MessageType(Nothing, "session.ping"), _ping),
    "subscribe": (MessageType(Domains, "session.subscribe"), _subscribe),
    "unsubscribe": (MessageType(Domains, "session.unsubscribe"), _unsubscribe),
    "snapshot": (MessageType(Nothing, "session.snapshot"), _snapshot),
    "describe": (MessageType(Subject, "session.describe"), _describe),
    "status": (MessageType(Nothing, "session.status"), _status),
    "goodbye": (MessageType(Nothing, "session.goodbye"), _goodbye),
    "shutdown": (MessageType(Nothing, "session.shutdown"), _shutdown),
}
