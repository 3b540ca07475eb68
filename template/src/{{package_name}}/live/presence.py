"""The visitors: which browsers are connected, and what they show about themselves."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from . import messages

# Seconds without a connection after which a visitor has left: to reload a page is not to leave.
GRACE_SECONDS = 5.0
# Seconds in which changes are gathered before they are sent.
GATHER_SECONDS = 0.1
# Visitors that have left and are remembered for clients which read slowly.
MAX_GONE = 10_000


@dataclass(frozen=True)
class Visitor:
    """A browser, more exactly a tab of it, that is connected.

    Attributes:
        id: The client, as the ids of its entries name it.
        by: The name that `authorize` has returned; several tabs may have the same.
        since: When it came, in milliseconds since the epoch of the clock.
        presence: The value that it shows about itself to the others, as JSON.
    """

    id: str
    by: str
    since: int
    presence: Any = None


def _ignore(_: object = None) -> None:
    """Do nothing."""


class Presence:
    """The visitors of one process. Its methods must be called in the event loop.

    Args:
        on_join: Called with each visitor that has come.
        on_leave: Called with each visitor that has left.

    Attributes:
        on_change: Called when changes have been gathered, to send `since()` to the clients.
    """

    def __init__(
        self,
        on_join: Callable[[Visitor], object] = _ignore,
        on_leave: Callable[[Visitor], object] = _ignore,
    ) -> None:
        self.on_change: Callable[[], object] = _ignore
        self._on_join, self._on_leave = on_join, on_leave
        self._here: dict[str, Visitor] = {}
        self._leaving: dict[str, asyncio.TimerHandle] = {}
        # The number of the last change of each visitor, the oldest first.
        self._version = 0
        self._changed: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._gathering: asyncio.TimerHandle | None = None
        self._encoded: tuple[int, int, bytes] | None = None

    @property
    def visitors(self) -> tuple[Visitor, ...]:
        """The visitors, in the order in which they came; any thread may read them."""
        return tuple(self._here.values())

    def join(self, client: str, by: str) -> Visitor:
        """Note that a client is connected, and return the visitor."""
        if leaving := self._leaving.pop(client, None):
            leaving.cancel()
        known = self._here.get(client)
        visitor = replace(known, by=by) if known else Visitor(client, by, int(time.time() * 1_000))
        self._put(visitor)
        if not known:
            self._on_join(visitor)
        return visitor

    def show(self, client: str, value: Mapping[str, Any] | None) -> Visitor:
        """Note what a client that is connected shows about itself, and return the visitor."""
        visitor = replace(self._here[client], presence=value)
        self._put(visitor)
        return visitor

    def leave(self, client: str) -> None:
        """Note that a client is no longer connected; soon it has left."""
        loop = asyncio.get_running_loop()
        self._leaving[client] = loop.call_later(GRACE_SECONDS, self._end, client)

    def close(self) -> None:
        """Let all visitors leave now."""
        for leaving in self._leaving.values():
            leaving.cancel()
        for client in [*self._here]:
            self._end(client)
        if self._gathering:
            self._gathering.cancel()

    def since(self, version: int) -> tuple[int, list[bytes]]:
        """Return the version now, and the message about the changes after another, if any.

        Args:
            version: The version that a client knows, 0 if it knows none.
        """
        if version == self._version:
            return version, []
        # Most clients know the same version.
        if self._encoded is None or self._encoded[:2] != (version, self._version):
            changed = [asdict(self._here[each]) for each in _after(version, self._changed)]
            gone = _after(version, self._gone) if version else []
            self._encoded = version, self._version, messages.visitors(changed, gone)
        return self._version, [self._encoded[2]]

    def _put(self, visitor: Visitor) -> None:
        self._here[visitor.id] = visitor
        self._gone.pop(visitor.id, None)
        self._note(visitor.id, self._changed)

    def _end(self, client: str) -> None:
        self._leaving.pop(client, None)
        visitor = self._here.pop(client)
        del self._changed[client]
        self._note(client, self._gone)
        if len(self._gone) > MAX_GONE:
            del self._gone[next(iter(self._gone))]
        self._on_leave(visitor)

    def _note(self, client: str, versions: dict[str, int]) -> None:
        self._version += 1
        versions.pop(client, None)
        versions[client] = self._version
        if self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(GATHER_SECONDS, self._flush)

    def _flush(self) -> None:
        self._gathering = None
        self.on_change()


def _after(version: int, versions: dict[str, int]) -> list[str]:
    """Return the clients with a later version, the oldest change first."""
    newest = itertools.takewhile(lambda item: item[1] > version, reversed(versions.items()))
    return [client for client, _ in newest][::-1]
