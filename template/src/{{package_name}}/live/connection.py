"""The connection of one browser: its entries and their answers, and those of all others."""

import asyncio
import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from ..state.errors import StoreUnavailableError
from ..state.shared import Entry, Feed, Outcome, Refusal, Refused
from . import messages
from .limits import Allowance, Limits
from .messages import CloseCode, Closing, Do, Hello, Present
from .presence import Visitor

if TYPE_CHECKING:
    from .door import Door

logger = logging.getLogger(__name__)

# Seconds after which a client that reads nothing is closed.
STALL_SECONDS = 15.0
# Raised where a client is gone, by Starlette or by the server.
GONE = (WebSocketDisconnect, RuntimeError)
# The codes of entries that were refused because of their time alone.
_FOR_NOW = ("rate_limited", "too_many_pending")


class Connection:
    """One browser behind the door.

    Args:
        door: The parts that all connections share.
        socket: The accepted socket.
        visitor: The visitor.
        hello: The first message.
    """

    def __init__(self, door: "Door", socket: WebSocket, visitor: Visitor, hello: Hello) -> None:
        self._door, self._session, self._limits = door, door.session, door.limits
        self._socket, self._visitor, self._hello = socket, visitor, hello
        self._loop = asyncio.get_running_loop()
        self._allowance = Allowance(self._limits, self._loop.time())
        self._unanswered = self._excess = 0
        self._replies: list[bytes] = []
        self._is_due = asyncio.Event()
        # These messages are made when they are sent, so that they never wait.
        self._wants_tick, self._wants_visitors, self._known_visitors = False, True, 0
        self._blocked_since: float | None = None
        self._closing: asyncio.Future[Closing] = self._loop.create_future()

    async def run(self) -> None:
        """Welcome the client, and serve it until it is gone.

        Raises:
            Closing: The connection is to be closed.
        """
        # The outcomes of entries that an earlier connection has sent belong to the welcome.
        await self._session.ask(lambda: None)
        if self._hello.position:
            await self._session.catch_up(self._hello.position)
        feed, welcome = self._open_feed()
        receiving = self._loop.create_task(self._receive_all())
        sending = self._loop.create_task(self._send_all(feed, welcome))
        tasks: list[asyncio.Future[Any]] = [receiving, sending]
        try:
            await asyncio.wait([*tasks, self._closing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            feed.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        errors = [task.exception() for task in tasks if not task.cancelled()]
        if self._closing.done():
            raise self._closing.result()
        for error in errors:
            if error:
                raise error

    def close(self, code: CloseCode, reason: str) -> None:
        """End the connection."""
        if not self._closing.done():
            self._closing.set_result(Closing(code, reason))

    def announce(self) -> None:
        """Send the changes of the visitors."""
        self._wants_visitors = True
        self._is_due.set()

    def tick(self) -> None:
        """Show that the line is alive, unless the client does not read."""
        since = self._blocked_since
        if since is not None and self._loop.time() - since >= STALL_SECONDS:
            self.close(CloseCode.TOO_FAST_OR_SLOW, f"Nothing was read for {STALL_SECONDS:g} s")
        self._wants_tick = True
        self._is_due.set()

    def _open_feed(self) -> tuple[Feed, list[bytes]]:
        """Return the messages of the session from now on, and those before them."""
        hello, limits = self._hello, self._limits
        feed = self._session.feed(
            hello.position, limit=limits.outbox, max_bytes=limits.outbox_bytes
        )
        feed.on_ready = self._is_due.set
        self._is_due.set()
        if feed.resumed == "snapshot":
            return feed, []
        outcomes = self._session.outcomes(self._visitor.id, hello.pending)
        return feed, [messages.resume(self._session.position, self._visitor.id, outcomes, limits)]

    async def _receive_all(self) -> None:
        while True:
            match messages.parse(await receive(self._socket, self._limits)):
                case Do() as message:
                    self._do(message)
                case Present(value):
                    self._show(value)
                case _:
                    raise Closing(CloseCode.INVALID, "A hello has come before")

    def _do(self, message: Do) -> None:
        try:
            self._check(message)
        except Refused as refused:
            self._refuse(message.id, refused.refusal)
            return
        entry = Entry(self._name(message.id), message.do, by=self._visitor.by)
        self._unanswered += 1
        self._session.enqueue(entry).add_done_callback(partial(self._settle, message.id))

    def _check(self, message: Do) -> None:
        """Raise Refused for an entry that must not reach the session."""
        size, limits = len(message.do), self._limits
        if self._unanswered >= limits.pending:
            text = f"{self._unanswered} entries have no answer yet: wait for one"
            raise Refused("too_many_pending", text, pending=self._unanswered)
        # An entry that is too large counts too, so that a flood of them ends.
        if wait := self._take_allowance(min(size, limits.burst)):
            text = f"More than {limits.rate:g} operations per second: send it again in {wait} s"
            raise Refused("rate_limited", text, retry_after=wait, rate=limits.rate)
        if size > limits.operations:
            text = f"The entry has {size} operations, more than {limits.operations}: send several"
            raise Refused("too_large", text, operations=size, limit=limits.operations)
        # An entry that was applied before must not be refused now.
        if self._session.settled(self._name(message.id)) is None:
            self._door.check(self._visitor, message.do)

    def _name(self, number: int) -> str:
        return f"{self._visitor.id}:{number}"

    def _take_allowance(self, operations: int) -> float:
        """Count some operations, or return the seconds to wait before sending them again.

        Raises:
            Closing: The client never waits.
        """
        wait = self._allowance.take(operations, self._loop.time())
        self._excess = self._excess + 1 if wait else 0
        if self._excess > self._limits.pending:
            raise Closing(CloseCode.TOO_FAST_OR_SLOW, "Too many messages: wait as refusals ask")
        return math.ceil(wait * 1_000) / 1_000

    def _show(self, value: Any) -> None:
        if not self._take_allowance(1):
            self._visitor = self._door.presence.show(self._visitor.id, value)

    def _settle(self, number: int, future: "asyncio.Future[Outcome | Refusal]") -> None:
        """Answer an entry; one that was applied now has its answer in the feed."""
        self._unanswered -= 1
        try:
            answer = future.result()
        except StoreUnavailableError as error:
            logger.warning("Closed the connection of %s: %s", self._visitor.id, error)
            self.close(CloseCode.UNREACHABLE, "Nothing can be saved now: send it again later")
            return
        if isinstance(answer, Refusal):
            self._refuse(number, answer)
        elif answer.duplicate:
            self._reply(messages.done(number, answer.position.seq))

    def _refuse(self, number: int, refusal: Refusal) -> None:
        self._reply(messages.refused(number, refusal))
        # Entries that were refused for now come again.
        if not refusal.duplicate and refusal.code not in _FOR_NOW:
            self._door.on_refused(self._visitor, refusal)

    def _reply(self, message: bytes) -> None:
        self._replies.append(message)
        self._is_due.set()
        if len(self._replies) > self._limits.outbox:
            self.close(CloseCode.TOO_FAST_OR_SLOW, "Too many answers wait: read faster")

    async def _send_all(self, feed: Feed, due: list[bytes]) -> None:
        while True:
            for frame in self._door.join(due):
                self._blocked_since = self._loop.time()
                try:
                    await self._socket.send_text(frame)
                except GONE:
                    return
                self._blocked_since = None
            await self._is_due.wait()
            self._is_due.clear()
            due = self._take(feed)

    def _take(self, feed: Feed) -> list[bytes]:
        """Return the messages that are due."""
        position, may_reset = self._session.position, feed.is_catching_up
        try:
            due = feed.take()
        except Refused as slow:
            raise Closing(CloseCode.TOO_FAST_OR_SLOW, slow.message) from slow
        if may_reset:
            due = [self._complete(each) if messages.is_snapshot(each) else each for each in due]
        replies, self._replies = self._replies, []
        due += replies
        if feed.is_catching_up:
            return due
        if self._wants_visitors:
            self._wants_visitors = False
            self._known_visitors, changes = self._door.presence.since(self._known_visitors)
            due += changes
        if self._wants_tick:
            self._wants_tick = False
            # The feed has given out everything up to the position before it was asked.
            due.append(messages.tick(position.seq))
        return due

    def _complete(self, snapshot: bytes) -> bytes:
        """Return a snapshot with the outcomes of everything that the client may have sent."""
        client, by = self._visitor.id, self._visitor.by
        outcomes = self._session.outcomes(client)
        return messages.complete_snapshot(snapshot, client, outcomes, self._limits, by)


async def receive(socket: WebSocket, limits: Limits) -> bytes:
    """Return the text of the next frame.

    Raises:
        Closing: The frame has no text, or too much.
        WebSocketDisconnect: The client is gone.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text: str | None = message.get("text")
    if text is None:
        raise Closing(CloseCode.BINARY, "Binary frames are not accepted: send text")
    data = text.encode()
    if len(data) > limits.frame:
        reason = f"The frame has {len(data)} bytes, more than {limits.frame}"
        raise Closing(CloseCode.TOO_LARGE, reason)
    return data
