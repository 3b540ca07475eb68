"""The outcomes of recent entries: no entry is applied twice."""

import itertools
from typing import Any, NamedTuple

MAX_ENTRIES = 128
MAX_CLIENTS = 10_000

# The number of an applied entry in the log, 0 if it was in an earlier epoch; the code of a
# refused one.
Settled = int | str


class _Client(NamedTuple):
    last: int
    settled: dict[int, Settled]


class Outcomes:
    """The highest settled number of each client, and the outcomes of its last 128 entries.

    A client may have 128 unanswered entries, so every entry that it can send again is among
    them. The 10,000 clients whose entries were settled last are remembered, in the order of
    the log.
    """

    def __init__(self) -> None:
        self._clients: dict[str, _Client] = {}

    def last(self, client: str) -> int:
        """Return the highest settled number of a client, 0 for an unknown one."""
        return self._clients[client].last if client in self._clients else 0

    def find(self, client: str, number: int) -> Settled | None:
        """Return the outcome of an entry; None if it is not settled, or no longer known."""
        return self.known(client).get(number)

    def known(self, client: str) -> dict[int, Settled]:
        """Return all known outcomes of a client, by number; it must not be changed."""
        return self._clients[client].settled if client in self._clients else {}

    def settle(self, client: str, number: int, outcome: Settled) -> None:
        """Note the outcome of an entry whose number is above all before it."""
        known = self._clients.pop(client, None)
        settled = known.settled if known else {}
        settled[number] = outcome
        if len(settled) > MAX_ENTRIES:
            del settled[next(iter(settled))]
        self._clients[client] = _Client(number, settled)
        if len(self._clients) > MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]

    def refused_last(self, client: str) -> dict[int, str]:
        """Return the codes of the entries that were refused after the last applied one."""
        newest = reversed(self.known(client).items())
        codes = itertools.takewhile(lambda item: isinstance(item[1], str), newest)
        return {number: str(code) for number, code in [*codes][::-1]}

    def begin_epoch(self) -> None:
        """Forget the numbers in the log, which count in the old epoch."""
        for _, settled in self._clients.values():
            settled.update({n: 0 for n, outcome in settled.items() if isinstance(outcome, int)})

    def to_json(self) -> dict[str, Any]:
        """Return all clients: `{client: [last, [[number, outcome], …]]}`."""
        return {
            client: [last, [[number, outcome] for number, outcome in settled.items()]]
            for client, (last, settled) in self._clients.items()
        }

    @classmethod
    def from_json(cls, form: dict[str, Any]) -> "Outcomes":
        """Return the outcomes that JSON stands for."""
        outcomes = cls()
        for client, (last, settled) in form.items():
            outcomes._clients[client] = _Client(last, dict(settled))
        return outcomes
