"""The parts of a server that its connections share, and the clients behind them."""

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..state.shared import Entry, Outcome, Refusal, Refused, Session
from .dispatcher import Dispatcher, unknown
from .envelope import ALL, STATE
from .limits import Limits

if TYPE_CHECKING:
    from .connection import Connection


class ProjectHandler(Protocol):
    """Carries out the commands of the domain `project`, which read and write outside the log."""

    async def handle(self, entry: Entry) -> Outcome | Refusal:
        """Carry out a command; its effects on the states go through the log."""
        ...

    def status(self) -> Any:
        """Return which project is open, as JSON."""
        ...


class Member:
    """A client that is connected, or has commands in progress.

    Attributes:
        connection: Its connection; the newest one if there were several.
        in_progress: Its commands that are not settled yet.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self.connection: Connection | None = None
        self.in_progress = set[asyncio.Future[Outcome | Refusal]]()
        self._limits = limits
        self._tokens, self._filled = float(limits.burst), now

    def take_token(self, now: float) -> None:
        """Count a command.

        Raises:
            Refused: `rate_limited`, if there were too many.
        """
        rate = self._limits.commands_per_second
        self._tokens = min(self._limits.burst, self._tokens + rate * (now - self._filled))
        self._filled = now
        if self._tokens < 1:
            wait = math.ceil((1 - self._tokens) / rate * 1_000) / 1_000
            message = f"More than {rate:g} commands per second: send it again in {wait} s, anew"
            raise Refused("rate_limited", message, retry_after=wait, rate=rate)
        self._tokens -= 1


@dataclass
class Door:
    """The parts of a server that its connections share.

    Attributes:
        session: Orders and applies the commands.
        dispatcher: Knows the domains.
        limits: The limits of each connection.
        status: Returns the status of the server, as JSON.
        stop: Begins the shutdown; None where clients may not ask for it.
        projects: Carries out the commands of the domain `project`.
        token: The token that clients must send; None if they need none.
        members: The clients by id.
        connections: All connections, also those without a handshake.
        is_closing: Whether the server takes no further commands.
    """

    session: Session
    dispatcher: Dispatcher
    limits: Limits
    status: Callable[[], Any]
    stop: Callable[[], object] | None = None
    projects: ProjectHandler | None = None
    token: str | None = None
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    connections: "set[Connection]" = field(default_factory=lambda: set["Connection"]())
    is_closing: bool = False

    def expand(self, domains: Iterable[str]) -> set[str]:
        """Return the domains that a subscription names.

        Raises:
            Refused: `unknown_domain`.
        """
        known = {*self.dispatcher.domains, STATE}
        named = {*domains}
        for name in sorted(named - known - {ALL}):
            raise unknown("domain", name, known, domain=name)
        return (known - {STATE} if ALL in named else set[str]()) | (named - {ALL})
