"""The WebSocket endpoint: it admits browsers, and keeps their connections."""

import asyncio
import base64
import contextlib
import hashlib
import inspect
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..problems import check_origin, without_port
from ..state.shared import Refusal, Refused, Session
from ..state.typed import Operation
from . import messages
from .connection import GONE, Connection, receive
from .limits import Limits
from .messages import CloseCode, Closing, Hello
from .presence import Presence, Visitor

logger = logging.getLogger(__name__)

# Seconds until a new connection must have sent its hello.
HELLO_SECONDS = 5.0
# Seconds between two messages that show that the line is alive.
TICK_SECONDS = 15.0
# Seconds in which a client that does not read may still receive the reason of the closing.
CLOSING_SECONDS = 5.0
LOOPBACK_ONLY = (
    "Live state is open to this machine alone. Pass Live(authorize=...), a function that returns "
    "the name of a visitor, or Live(authorize=anyone) to admit everyone"
)

Authorize = Callable[[HTTPConnection], str | Awaitable[str | None] | None]
# Returns the reason to refuse an operation of a visitor, None to let it pass.
Veto = Callable[[Visitor, Operation], Refused | None]
OnRefused = Callable[[Visitor, Refusal], object]


def _ignore(visitor: Visitor, refusal: Refusal) -> None:
    """Do nothing."""


def anyone(connection: HTTPConnection) -> str:
    """Admit everyone, under no name: `Live(authorize=anyone)`."""
    return ""


def client_of(secret: str) -> str:
    """Return the public id of the client that knows a secret."""
    digest = hashlib.sha256(secret.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:22]


class Door:
    """Serves the states of a session to browsers; make it in the event loop.

    Args:
        session: Orders and applies the entries.
        presence: Knows the visitors.
        authorize: Returns the name of a visitor, or None to refuse it. It is a coroutine
            function, or a function, which is called in a thread; it may raise HTTPException,
            with the status 401 if the visitor has to log in. None admits this machine alone.
        veto: Asked for each operation before the session.
        on_refused: Called for each entry that was refused for good.
        limits: The limits of each connection.

    Attributes:
        join: Joins messages to frames, once for all connections.
        on_refused: Called for each entry that was refused for good.
    """

    def __init__(
        self,
        session: Session,
        presence: Presence,
        *,
        authorize: Authorize | None = None,
        veto: Veto | None = None,
        on_refused: OnRefused = _ignore,
        limits: Limits | None = None,
    ) -> None:
        self.session, self.presence, self.on_refused = session, presence, on_refused
        self.limits = limits or Limits()
        self.join = messages.Joiner().join
        self._authorize, self._veto = authorize, veto
        self._connections: dict[str, Connection] = {}
        self._size = 0
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._is_closing = self._has_warned = False
        presence.on_change = self._announce
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until it ends.

        Raises:
            HTTPException: A page of another site has opened it.
        """
        check_origin(socket)
        # A browser learns nothing from a refused handshake, and would try again for ever.
        try:
            await socket.accept()
        except OSError:  # it is gone
            return
        self._size += 1
        self._is_empty.clear()
        try:
            await self._serve(socket)
        except Closing as closing:
            with contextlib.suppress(TimeoutError, *GONE):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await socket.close(closing.code, closing.reason)
        except WebSocketDisconnect:
            logger.debug("A visitor left early")
        finally:
            self._size -= 1
            if not self._size:
                self._is_empty.set()

    async def close(self) -> None:
        """Close all connections, and let all visitors leave."""
        self._is_closing = True
        self._timer.cancel()
        for connection in self._connections.values():
            connection.close(CloseCode.STOPPED, "The service stops")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._is_empty.wait()
        self.presence.close()

    def check(self, visitor: Visitor, operations: Sequence[Any]) -> None:
        """Ask whether a visitor may do some operations.

        Raises:
            Refused: It may not.
        """
        if self._veto is None:
            return
        for operation in operations:
            # The session refuses anything that is not an operation.
            if _has_path(operation) and (refused := self._ask(self._veto, visitor, operation)):
                raise refused

    def _ask(self, veto: Veto, visitor: Visitor, operation: Operation) -> Refused | None:
        try:
            return veto(visitor, operation)
        except Exception:
            logger.exception("Refused an operation, because `allow` failed")
            return Refused("internal", "The entry was refused because of a fault in the program")

    async def _serve(self, socket: WebSocket) -> None:
        if self._size > self.limits.visitors:
            raise Closing(CloseCode.TOO_MANY_VISITORS, "There are too many visitors: try later")
        by = await self._identify(socket)
        hello = await self._greet(socket)
        if self._is_closing:
            raise Closing(CloseCode.STOPPED, "The service stops")
        client = client_of(hello.secret)
        if former := self._connections.get(client):
            former.close(CloseCode.TAKEN_OVER, "This client has connected again")
        visitor = self.presence.join(client, by)
        connection = self._connections[client] = Connection(self, socket, visitor, hello)
        try:
            await connection.run()
        finally:
            if self._connections.get(client) is connection:
                del self._connections[client]
                self.presence.leave(client)

    async def _identify(self, socket: WebSocket) -> str:
        """Return the name of a visitor."""
        if self._authorize is None:
            if not _is_local(socket):
                if not self._has_warned:
                    self._has_warned = True
                    logger.error("Refused a visitor from %s: %s", socket.client, LOOPBACK_ONLY)
                raise Closing(CloseCode.FORBIDDEN, "Only visitors on the same machine are admitted")
            return ""
        try:
            by = await run_in_threadpool(self._authorize, socket)
            if inspect.isawaitable(by):
                by = await by
        except HTTPException as error:
            is_unknown = error.status_code == 401
            code = CloseCode.UNAUTHENTICATED if is_unknown else CloseCode.FORBIDDEN
            raise Closing(code, str(error.detail)) from error
        if by is None:
            raise Closing(CloseCode.FORBIDDEN, "This visitor is not admitted")
        if not isinstance(cast(object, by), str):  # False must not admit
            raise TypeError(f"authorize returned {by!r}: return a name, or None to refuse")
        return by

    async def _greet(self, socket: WebSocket) -> Hello:
        """Return the first message of a client."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                message = messages.parse(await receive(socket, self.limits))
        except TimeoutError:
            reason = f"No hello has come in {HELLO_SECONDS:g} s"
            raise Closing(CloseCode.INVALID, reason) from None
        if not isinstance(message, Hello):
            raise Closing(CloseCode.INVALID, "The first message must be a hello")
        return message

    def _announce(self) -> None:
        for connection in self._connections.values():
            connection.announce()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        self.presence.refresh()
        for connection in self._connections.values():
            connection.tick()


def _is_local(socket: WebSocket) -> bool:
    """Return whether both ends are this machine.

    Host too: a web page may point its own name at a loopback address, and a proxy here serves
    other machines.
    """
    host = without_port(socket.headers.get("host", "")).strip("[]")
    ends = socket.scope.get("client"), socket.scope.get("server"), (host,)
    return all(map(_is_loopback, ends))


def _is_loopback(address: Sequence[Any] | None) -> bool:
    host = str(address[0]) if address else ""
    if host == "localhost":
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def _has_path(operation: object) -> bool:
    members = cast(dict[str, Any], operation) if isinstance(operation, dict) else {}
    return bool(members.get("path")) and isinstance(members["path"], list)
