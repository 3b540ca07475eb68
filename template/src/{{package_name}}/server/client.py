"""A client of the state server, for other programs and for this process."""

import asyncio
import contextlib
import logging
import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from ..state._json import decode, encode
from ..state.errors import StoreUnavailableError
from ..state.shared import Position
from .address import Address, data_folder, find_address, read_token
from .envelope import ALL, SERVER, SESSION, STATE, VERSIONS
from .framing import FrameParser, FramingError, frame
from .limits import Limits

logger = logging.getLogger(__name__)

# A program that is not such a server has sent something.
_FAULTS = (FramingError, ValueError, LookupError, StoreUnavailableError)
# Reasons to end a connection after which another attempt would end in the same way.
_FINAL = ("taken_over", "forbidden", "unsupported_version")
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0
_HELLO = "hello"
_ENDED = "The server has ended"
_START = f"`python -m {__name__.removesuffix('.server.client')} serve`"
# Those that `Event` has too.
_EVENT_MEMBERS = ("id", "domain", "command", "payload", "correlation_id", "source", "timestamp")
# Above the number of every event of an entry.
_WHOLE = 1 << 53

Dial = Callable[[Callable[[], "_Link"]], Awaitable[object]]


class CommandRefused(Exception):  # noqa: N818 - a refusal is an answer, and has this name
    """The server refused a command, which has changed nothing.

    Attributes:
        code: The code, such as `tally.below_zero`.
        message: The value, the expectation and the way out.
        details: The values in the message.
    """

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})


def _refusal_of(fault: Mapping[str, Any]) -> CommandRefused:
    return CommandRefused(fault["code"], fault["message"], fault.get("details"))


class OutcomeUnknown(Exception):  # noqa: N818 - the command may well have succeeded
    """The server did not answer in time: it may have applied the command, or may still apply it.

    Attributes:
        id: The id of the command. To learn the outcome, send the same command with it again.
    """

    def __init__(self, id: str, reason: object = None) -> None:  # noqa: A002 - as on the wire
        cause = f" ({reason})" if reason else ""
        super().__init__(f"The outcome of {id} is unknown{cause}: send it again with the same id")
        self.id = id


@dataclass(frozen=True)
class Reply:
    """The answer to a command that was applied.

    Attributes:
        id: The id of the command.
        payload: The result.
        position: Its position in the log.
        duplicate: Whether it had been applied before, and not now.
        envelope: The whole message.
    """

    id: str
    payload: dict[str, Any]
    position: Position
    duplicate: bool
    envelope: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Event:
    """An event.

    Attributes:
        id: Its id: the number of its entry, and its own number in the entry, as in `42.0`.
        domain: The domain.
        command: The name of the event.
        payload: Its members.
        correlation_id: The id of the command that caused it.
        source: The name of the client that sent the command.
        timestamp: The time of the entry.
        position: The position of the entry.
        envelope: The whole message.
    """

    id: str
    domain: str
    command: str
    payload: dict[str, Any]
    correlation_id: str
    source: str
    timestamp: str
    position: Position
    envelope: dict[str, Any] = field(repr=False)


class Events:
    """The events of some domains; an asynchronous iterator.

    Those that are not taken yet wait in memory.
    """

    def __init__(self, domains: frozenset[str], closed: Callable[["Events"], None]) -> None:
        self.domains = domains
        self._closed = closed
        self._due = deque[Event]()
        self._changed = asyncio.Event()
        self._end: BaseException | None = None

    def __aiter__(self) -> Self:
        """Iterate."""
        return self

    async def __anext__(self) -> Event:
        """Return the next event.

        Raises:
            StopAsyncIteration: The client was closed.
            CommandRefused: The server has ended the connection for good.
        """
        while not self._due:
            if self._end:
                raise self._end
            self._changed.clear()
            await self._changed.wait()
        return self._due.popleft()

    def close(self) -> None:
        """Take no further events."""
        self.end(StopAsyncIteration())
        self._closed(self)

    def offer(self, event: Event) -> None:
        """Add an event if it is of one of the domains."""
        if event.domain in self.domains or (ALL in self.domains and event.domain != STATE):
            self._due.append(event)
            self._changed.set()

    def end(self, reason: BaseException) -> None:
        """End the iteration after the events that are due."""
        self._end = reason
        self._changed.set()


@dataclass
class _Pending:
    frame: bytes
    future: "asyncio.Future[dict[str, Any]]"
    is_repeatable: bool = True

    def fail(self, error: Exception) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):  # its answer has just come
            self.future.set_exception(error)


class _Link(asyncio.Protocol):
    """One connection: it cuts the bytes into messages."""

    def __init__(self, receive: Callable[["_Link", dict[str, Any]], None]) -> None:
        loop = asyncio.get_running_loop()
        self.welcome: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.fault: CommandRefused | None = None
        self.heard = loop.time()
        self._receive = receive
        self._parser = FrameParser(Limits.max_message_bytes)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard = asyncio.get_running_loop().time()
        self._parser.feed(data)
        try:
            while (body := self._parser.next()) is not None:
                self._receive(self, decode(body, "The message"))
        except _FAULTS:
            logger.exception("Closed a connection: the other side does not speak this protocol")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)
        if not self.welcome.done():
            self.welcome.set_exception(ConnectionError("it has closed the connection"))

    def write(self, data: bytes) -> None:
        cast(asyncio.Transport, self._transport).write(data)

    def close(self) -> None:
        if self._transport:
            self._transport.abort()


class Client:
    """A connection to a state server, which is made again when it breaks.

    Make one with `Client.connect()`, or in the process of the server with `server.client()`, and
    use it as an asynchronous context manager.

    Attributes:
        id: The id of the client, the first half of the ids of its commands.
        position: The position up to which it knows all events.
    """

    def __init__(
        self,
        dial: Dial,
        name: str,
        client: str | None = None,
        token: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.id = client or secrets.token_urlsafe(9)
        self.position: Position | None = None
        self._dial, self._name, self._token = dial, name, token
        self._number = self._requests = 0
        self._last_event = (0, -1)  # its entry, and its number in the entry
        self._link: _Link | None = None
        self._pending: dict[str, _Pending] = {}
        self._slots = asyncio.Semaphore(Limits.max_pending)
        self._streams: list[Events] = []
        self._on_reset: list[Callable[[Position], object]] = []
        self._end: Exception | None = None
        self._trouble: Exception | None = None  # the last reason why answers stay away

    @classmethod
    def connect(
        cls,
        address: Address | str | None = None,
        name: str = "tool",
        *,
        client: str | None = None,
        token: str | None = None,
        data: Path | None = None,
    ) -> "Client":
        """Return a client of a server on this machine.

        Args:
            address: The address that the server has printed; None for the one that a server on a
                TCP port has left in its data folder, or else the default one.
            name: The name that others see as the source of events.
            client: The id of an earlier client, to send one of its commands again. It must not
                be connected any more.
            token: The token of a server on a TCP port; by default it is read from the data folder.
            data: The data folder of the server, if it is not the default one.

        Raises:
            ValueError: The address is not one of this machine.
        """

        def place() -> Address:
            return Address.parse(str(address)) if address else find_address(data)

        async def dial(link: Callable[[], _Link]) -> None:
            loop, to = asyncio.get_running_loop(), place()
            try:
                if to.path:
                    await loop.create_unix_connection(link, str(to.path))
                else:
                    await loop.create_connection(link, to.host, to.port)
            except OSError as error:
                raise ConnectionError(f"{to}: {error.strerror or error}") from error

        def find_token() -> str | None:
            if token or place().path:
                return token
            try:
                return read_token(data or data_folder())
            except OSError as error:
                raise OSError(f"cannot read its token, {error}: give its data folder") from error

        if address:
            place()  # a wrong one raises here
        return cls(dial, name, client, find_token)

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            ConnectionError: No server answers.
            CommandRefused: The server refuses the handshake.
        """
        link = await self._open()
        self._task = asyncio.create_task(self._stay_connected(link))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if link := self._link:
            link.close()
            await link.lost
        self._finish(ConnectionError("The client was closed"), StopAsyncIteration())

    async def send(
        self,
        domain: str,
        command: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout: float = 30.0,  # noqa: ASYNC109 - the outcome is unknown after it
        group: str | None = None,
        id: str | None = None,  # noqa: A002 - as on the wire
    ) -> Reply:
        """Send a command, and wait until it was applied.

        If the connection breaks, the command is sent again, and is not applied twice. At most
        128 commands are sent before their answers; the others wait for them.

        Args:
            domain: The domain.
            command: The command.
            payload: Its members.
            timeout: Seconds to wait for the answer.
            group: Commands in a row with the same group are one step of the undo history.
            id: The id of an earlier command of this client, to learn its outcome.

        Raises:
            CommandRefused: It was refused.
            OutcomeUnknown: The server did not answer in time, or no longer knows the outcome.
            TypeError: The payload has a value that JSON does not have.
            ValueError: A command with this id still waits for its answer.
        """
        async with self._slots:
            if id is None:
                self._number += 1
                id = f"{self.id}:{self._number}"  # noqa: A001 - as on the wire
            data = self._encode(id, domain, command, payload, group)
            message = await self._exchange(id, data, seconds=timeout)
        place = Position(message["epoch"], message["seq"])
        return Reply(id, message["payload"], place, message["duplicate"], message)

    async def request(self, command: str, payload: Mapping[str, Any] | None = None) -> Any:
        """Send a command of the domain `session`, such as `status`, and return its result.

        Raises:
            CommandRefused: It was refused.
            ConnectionError: The command is `shutdown`, and the server has ended.
            OutcomeUnknown: The server did not answer in time.
        """
        data = self._encode(label := self._next_label(), SESSION, command, payload)
        return (await self._exchange(label, data, command != "shutdown"))["payload"]

    async def view(self) -> Any:
        """Return all states, by name."""
        return (await self.request("snapshot"))["states"]

    def events(self, *domains: str, since: Position | None = None) -> Events:
        """Return the events of some domains, from now on.

        Args:
            *domains: The domains; without them, all but `state`, whose events are the operations
                of each entry.
            since: Before the client is connected: the position after which the events begin.
        """
        stream = Events(frozenset(domains or (ALL,)), self._forget)
        known = self._subscribed()
        self._streams.append(stream)
        if self._end:
            stream.end(self._end)
        if since:
            self.position, self._last_event = since, (since.seq, _WHOLE)
        if new := stream.domains - known:
            self._subscribe(new)
        return stream

    def on_reset(self, callback: Callable[[Position], object]) -> None:
        """Call a function whenever events were missed, after which known states are out of date.

        This happens in a new epoch, when history may be gone, and after a long interruption.
        The function gets the position from which the events go on.
        """
        self._on_reset.append(callback)

    async def _exchange(
        self, label: str, data: bytes, is_repeatable: bool = True, seconds: float = 30.0
    ) -> dict[str, Any]:
        """Send a message, and return the answer."""
        if self._end:
            raise self._end
        if not (is_repeatable or self._link):
            raise ConnectionError(_ENDED)
        if label in self._pending:
            raise ValueError(f"{label} still waits for its answer: await that, or use another id")
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[label] = _Pending(data, future, is_repeatable)
        if self._link:
            self._link.write(data)
        try:
            async with asyncio.timeout(seconds):
                message = await future
        except TimeoutError:
            raise OutcomeUnknown(label, self._trouble) from None
        finally:
            del self._pending[label]
        if fault := message.get("error"):
            if fault["code"] == "outcome_unknown":
                raise OutcomeUnknown(label)
            raise _refusal_of(fault)
        return message

    def _next_label(self) -> str:
        self._requests += 1
        return f"session-{self._requests}"

    def _encode(
        self,
        label: str,
        domain: str,
        command: str,
        payload: Mapping[str, Any] | None = None,
        group: str | None = None,
    ) -> bytes:
        message = {
            "v": VERSIONS[-1],
            "kind": "command",
            "id": label,
            "source": self._name,
            "target": SERVER,
            "domain": domain,
            "command": command,
            "payload": dict(payload or {}),
        }
        return frame(encode("payload", message if group is None else message | {"group": group}))

    async def _open(self) -> _Link:
        """Connect, and say hello."""
        link = _Link(self._receive)
        try:
            async with asyncio.timeout(Limits.hello_seconds):
                await self._dial(lambda: link)
                link.write(self._encode(_HELLO, SESSION, "hello", self._hello()))
                await link.welcome
        except BaseException as error:
            link.close()
            link.welcome.cancel()  # nothing waits for it, such as after a token that is missing
            if not isinstance(error, OSError):  # cancelled, such as when the client is closed
                raise
            if link.fault:
                raise link.fault from None
            reason = str(error) or f"no answer within {Limits.hello_seconds:g} seconds"
            raise ConnectionError(f"No server answers ({reason}): start one, {_START}") from error
        return link

    def _hello(self) -> dict[str, Any]:
        """Return the payload of the handshake."""
        hello: dict[str, Any] = {"name": self._name, "versions": [*VERSIONS], "client": self.id}
        if token := self._token():
            hello["token"] = token
        self._greeted = frozenset[str]()
        if self.position and (domains := self._subscribed()):
            self._greeted = domains
            hello |= {"subscribe": sorted(domains), "resume": self.position._asdict()}
        return hello

    async def _stay_connected(self, link: _Link | None) -> None:
        """Wait until the connection breaks, and make it again."""
        loop, wait = asyncio.get_running_loop(), _FIRST_WAIT
        while True:
            if link:
                began = loop.time()
                await self._watch(link)
                self._link, self._trouble = None, link.fault or self._trouble
                if link.fault and link.fault.code in _FINAL:
                    self._finish(link.fault, link.fault)
                    return
                self._drop_requests()
                if loop.time() - began > _LONGEST_WAIT:
                    wait = _FIRST_WAIT
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - not a secret
            wait = min(2 * wait, _LONGEST_WAIT)
            try:
                link = await self._open()
            except ConnectionError as error:
                link = None
                if str(error) != str(self._trouble):
                    logger.info("Connecting again: %s", error)
                self._trouble = error
            except CommandRefused as refused:
                self._finish(refused, refused)
                return

    async def _watch(self, link: _Link) -> None:
        """Wait until a connection is lost; close it if the server has become silent."""
        loop = asyncio.get_running_loop()
        while not link.lost.done():
            await asyncio.wait([link.lost], timeout=Limits.ping_seconds)
            if loop.time() - link.heard > Limits.silent_seconds:
                link.close()

    def _drop_requests(self) -> None:
        """Give up the commands that must not reach another server, such as `shutdown`."""
        for pending in self._pending.values():
            if not pending.is_repeatable:
                pending.fail(ConnectionError(_ENDED))

    def _finish(self, reason: Exception, end: Exception) -> None:
        """End everything that waits, once and for all."""
        self._end, self._link = reason, None
        for label, pending in self._pending.items():
            pending.fail(OutcomeUnknown(label))
        for stream in self._streams:
            stream.end(end)

    def _receive(self, link: _Link, message: dict[str, Any]) -> None:
        match message:
            case {"kind": "event", "domain": "session"}:
                link.write(self._encode(self._next_label(), SESSION, "ping"))
            case {"kind": "event"}:
                self._take_event(message)
            case {"kind": "snapshot"}:
                self._reset(Position(message["epoch"], message["seq"]))
            case {"kind": "error", "correlation_id": None, "error": fault}:
                link.fault = _refusal_of(fault)
            case {"kind": "error", "correlation_id": "hello", "error": fault}:
                link.fault = _refusal_of(fault)
                link.close()
            case {"kind": "reply", "correlation_id": "hello", "payload": welcome}:
                self._begin(link, welcome)
            case _:
                self._take_answer(message)

    def _begin(self, link: _Link, welcome: Mapping[str, Any]) -> None:
        """Go on where the last connection has ended."""
        known, now = self.position, Position(welcome["epoch"], welcome["seq"])
        if isinstance(self._trouble, ConnectionError):
            self._trouble = None
        if known:
            logger.info("Connected again: going on after %s:%s", *known)
        self._number = max(self._number, welcome["last"])
        if welcome["resumed"] == "none":
            self.position, self._last_event = now, (now.seq, _WHOLE)
            if known and known.epoch != now.epoch:
                self._reset(now)
        self._link = link
        if new := self._subscribed() - self._greeted:
            self._subscribe(new)
        for pending in self._pending.values():
            link.write(pending.frame)
        link.welcome.set_result(None)

    def _reset(self, position: Position) -> None:
        self.position, self._last_event = position, (position.seq, _WHOLE)
        for callback in self._on_reset:
            callback(position)

    def _take_event(self, message: dict[str, Any]) -> None:
        place = Position(message["epoch"], message["seq"])
        this = place.seq, int(message["id"].rpartition(".")[2])
        if this <= self._last_event:  # it came again, after the connection was made again
            return
        self._last_event = this
        # More events of the same entry may follow.
        self._advance(Position(place.epoch, place.seq - 1))
        members = {name: message[name] for name in _EVENT_MEMBERS}
        event = Event(**members, position=place, envelope=message)
        for stream in self._streams:
            stream.offer(event)

    def _take_answer(self, message: dict[str, Any]) -> None:
        if "seq" in message:  # all events up to here have come before it
            self._advance(Position(message["epoch"], message["seq"]))
        self._trouble = None
        pending = self._pending.get(message["correlation_id"])
        if pending and not pending.future.done():
            pending.future.set_result(message)

    def _advance(self, place: Position) -> None:
        if self.position and self.position < place and self.position.epoch == place.epoch:
            self.position = place

    def _subscribed(self) -> frozenset[str]:
        return frozenset[str]().union(*(stream.domains for stream in self._streams))

    def _subscribe(self, domains: frozenset[str]) -> None:
        if self._link:
            wanted = {"domains": sorted(domains)}
            self._link.write(self._encode(self._next_label(), SESSION, "subscribe", wanted))

    def _forget(self, stream: Events) -> None:
        if stream in self._streams:
            self._streams.remove(stream)
