"""The limits of live state, in one place."""

from dataclasses import dataclass

from ..state.shared.entry import MAX_OPERATIONS


@dataclass(frozen=True)
class Limits:
    """Limits of the connections of browsers.

    Args:
        frame: Bytes of a frame that a client sends.
        pending: Entries of one client that are not answered yet.
        rate: Operations per second of one client, on average.
        burst: Operations that a client may send at once after a pause.
        outbox: Messages that wait for a client which does not read.
        outbox_bytes: Bytes of those messages.
        visitors: Connections at the same time.
        state: Bytes of one shared state as JSON.
    """

    frame: int = 65_536
    pending: int = 128
    rate: float = 200.0
    burst: int = 1_000
    outbox: int = 1_024
    outbox_bytes: int = 4_194_304
    visitors: int = 10_000
    state: int = 1_048_576

    @property
    def operations(self) -> int:
        """The most operations of one entry."""
        return min(self.burst, MAX_OPERATIONS)


class Allowance:
    """The operations that one client may still send: a bucket that fills at the rate.

    A client that has to wait for one entry has to wait with all after it, so that it can send
    them again in their order.

    Args:
        limits: The rate and the size of the bucket.
        now: The current time, in seconds.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._left, self._filled, self._closed_until = float(limits.burst), now, now

    def take(self, operations: int, now: float) -> float:
        """Take some operations, or return the seconds to wait before trying again.

        Args:
            operations: Their number, at most `burst`.
            now: The current time, in seconds.
        """
        limits = self._limits
        self._left = min(limits.burst, self._left + limits.rate * (now - self._filled))
        self._filled = now
        wait = max((operations - self._left) / limits.rate, self._closed_until - now)
        if wait > 0:
            self._closed_until = now + wait
            return wait
        self._left -= operations
        return 0.0
