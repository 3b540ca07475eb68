"""The visitors: the browsers that are connected, and the values that they show to each other."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from . import messages

# Seconds without a connection after which a visitor has left: to reload a page is not to leave.
GRACE_SECONDS = 5.0
# Seconds in which changes are gathered before they are sent.
GATHER_SECONDS = 0.1
# Seconds without a word from another process after which its visitors have left.
LEASE_SECONDS = 45.0
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


class _Elsewhere:
    """The visitors of another process, and the moment at which they have left without a word."""

    def __init__(self, expiry: asyncio.TimerHandle) -> None:
        self.visitors: dict[str, Visitor] = {}
        self.expiry = expiry


class Presence:
    """The visitors of all processes. Its methods must be called in the event loop.

    Each process announces its own visitors to the others: changes at once, and all of them
    every now and then. A process that is silent for too long has been killed.

    Args:
        on_join: Called with each visitor that has come to this process.
        on_leave: Called with each visitor that has left this process.
        broadcast: Sends a message to the other processes, which call `receive()`; None in the only
            process.

    Attributes:
        on_change: Called when changes have been gathered, to send `since()` to the clients.
    """

    def __init__(
        self,
        on_join: Callable[[Visitor], object] = _ignore,
        on_leave: Callable[[Visitor], object] = _ignore,
        broadcast: Callable[[bytes], object] | None = None,
    ) -> None:
        self.on_change: Callable[[], object] = _ignore
        self._on_join, self._on_leave, self._broadcast = on_join, on_leave, broadcast
        self._everyone: dict[str, Visitor] = {}
        self._elsewhere: dict[str, _Elsewhere] = {}
        # The own visitors whose changes the other processes do not know yet.
        self._unannounced: dict[str, None] = {}
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
        return tuple(sorted(self._everyone.values(), key=lambda visitor: visitor.since))

    def join(self, client: str, by: str) -> Visitor:
        """Record that a client is connected, and return the visitor."""
        if leaving := self._leaving.pop(client, None):
            leaving.cancel()
        known = self._here.get(client)
        visitor = replace(known, by=by) if known else Visitor(client, by, int(time.time() * 1_000))
        self._put(visitor)
        if not known:
            self._on_join(visitor)
        return visitor

    def show(self, client: str, value: Mapping[str, Any] | None) -> Visitor:
        """Set the value that a connected client shows to the others, and return the visitor."""
        visitor = replace(self._here[client], presence=value)
        self._put(visitor)
        return visitor

    def leave(self, client: str) -> None:
        """Record that a client has gone; unless it comes back soon, the visitor has left."""
        loop = asyncio.get_running_loop()
        self._leaving[client] = loop.call_later(GRACE_SECONDS, self._end, client)

    def refresh(self) -> None:
        """Announce all own visitors to the other processes; call it several times in 45 s."""
        self._announce(self._here, is_complete=True)

    def receive(self, process: str, message: bytes) -> None:
        """Take a message that another process has broadcast."""
        form = json.loads(message)
        known = self._elsewhere.get(process)
        if known:
            known.expiry.cancel()
        expiry = asyncio.get_running_loop().call_later(LEASE_SECONDS, self._forget, process)
        other = self._elsewhere[process] = known or _Elsewhere(expiry)
        other.expiry = expiry
        changed = {each["id"]: Visitor(**each) for each in form["changed"]}
        gone = other.visitors.keys() - changed.keys() if form["complete"] else {*form["gone"]}
        for client in gone & other.visitors.keys():
            del other.visitors[client]
            self._update(client)
        for client, visitor in changed.items():
            if other.visitors.get(client) != visitor:
                other.visitors[client] = visitor
                self._update(client)

    def close(self) -> None:
        """Let all visitors leave now."""
        for leaving in self._leaving.values():
            leaving.cancel()
        for client in [*self._here]:
            self._end(client)
        self._announce((), is_complete=True)
        for other in self._elsewhere.values():
            other.expiry.cancel()
        if self._gathering:
            self._gathering.cancel()

    def _forget(self, process: str) -> None:
        """Let the visitors of another process leave."""
        for client in self._elsewhere.pop(process).visitors:
            self._update(client)

    def _announce(self, clients: Iterable[str], *, is_complete: bool) -> None:
        """Announce some own visitors to the other processes; they may have left."""
        self._unannounced.clear()
        if self._broadcast is None:
            return
        here = self._here
        changed = [asdict(here[client]) for client in clients if client in here]
        gone = [client for client in clients if client not in here]
        form = {"complete": is_complete, "changed": changed, "gone": gone}
        self._broadcast(json.dumps(form, separators=(",", ":")).encode())

    def since(self, version: int) -> tuple[int, list[bytes]]:
        """Return the version now, and the message about the changes after another, if any.

        Args:
            version: The version that a client knows, 0 if it knows none.
        """
        if version == self._version:
            return version, []
        # Most clients know the same version.
        if self._encoded is None or self._encoded[:2] != (version, self._version):
            changed = [asdict(self._everyone[each]) for each in _after(version, self._changed)]
            gone = _after(version, self._gone) if version else []
            self._encoded = version, self._version, messages.visitors(changed, gone)
        return self._version, [self._encoded[2]]

    def _put(self, visitor: Visitor) -> None:
        self._here[visitor.id] = visitor
        self._unannounced[visitor.id] = None
        self._update(visitor.id)

    def _end(self, client: str) -> None:
        self._leaving.pop(client, None)
        visitor = self._here.pop(client)
        self._unannounced[client] = None
        self._update(client)
        self._on_leave(visitor)

    def _update(self, client: str) -> None:
        """Record a change of a visitor, which may have left one process and be at another."""
        places = (self._here, *(other.visitors for other in self._elsewhere.values()))
        visitor = next((place[client] for place in places if client in place), None)
        if visitor:
            self._everyone[client] = visitor
            self._gone.pop(client, None)
            self._record(client, self._changed)
            return
        del self._everyone[client]
        self._changed.pop(client, None)
        self._record(client, self._gone)
        if len(self._gone) > MAX_GONE:
            del self._gone[next(iter(self._gone))]

    def _record(self, client: str, versions: dict[str, int]) -> None:
        self._version += 1
        versions.pop(client, None)
        versions[client] = self._version
        if self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(GATHER_SECONDS, self._flush)

    def _flush(self) -> None:
        self._gathering = None
        if self._unannounced:
            self._announce([*self._unannounced], is_complete=False)
        self.on_change()


def _after(version: int, versions: dict[str, int]) -> list[str]:
    """Return the clients with a later version, the oldest change first."""
    newest = itertools.takewhile(lambda item: item[1] > version, reversed(versions.items()))
    return [client for client, _ in newest][::-1]
