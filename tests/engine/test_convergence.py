"""Replicas converge under any interleaving, lost connections, late duplicates and refusals."""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections import Counter, deque
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.killing import kill
from engine.random_entries import fitting_operation, make_model

SEEDS = int(os.environ.get("HOLDFAST_ENGINE_SEEDS", "12"))


class Line:
    """A connection of a replica to a session, moved on one message at a time."""

    def __init__(self, engine: Any, session: Any, model: Any, client: str) -> None:
        self._engine, self.session, self.client = engine, session, client
        self.model = model
        self.replica = engine.Replica({"model": model}, client)
        self.up, self.down = deque[Any](), deque[Any]()
        self.answers = Counter[str]()
        self.written = set[str]()
        self.replica.on_refusal(lambda pending, _: self.answers.update([pending.entry.id]))
        self._feed: Any = None
        self._late: list[Any] = []

    @property
    def is_open(self) -> bool:
        return self._feed is not None

    def connect(self) -> None:
        self.cut()
        self.replica.connect(self.up.append)
        self._greet(self.up.popleft())

    def _greet(self, hello: dict[str, Any]) -> None:
        epoch, seq = hello["epoch"], hello["seq"]
        since = self._engine.Position(epoch, seq) if epoch else None
        self._feed = self.session.feed(since, {"state"})
        if self._feed.resumed == "entries":
            epoch, seq = self.session.position
            self.down.append({"type": "resume", "epoch": epoch, "seq": seq, **self._outcomes()})
        self.take()

    def _outcomes(self) -> dict[str, Any]:
        last, outcomes = self.session.outcomes(self.client)
        return {"last": last, "outcomes": {str(number): each for number, each in outcomes.items()}}

    def cut(self) -> None:
        if self._feed:
            self._feed.close()
        self._feed = None
        self.replica.disconnect()
        # Messages on their way may come later than expected.
        self._late = [each for each in self.down if each["type"] == "sync"][:2]
        self.up.clear()
        self.down.clear()

    def take(self) -> None:
        while self._feed and (due := self._feed.take()):
            for message in map(json.loads, due):
                # Where the ring has passed the reader, there is one in the middle too.
                is_snapshot = message["type"] == "snapshot"
                self.down.append(message | self._outcomes() if is_snapshot else message)

    async def deliver_up(self) -> None:
        message, feed = self.up.popleft(), self._feed
        if message["type"] == "hello":  # it has noticed a gap
            feed.close()
            self._greet(message)
            return
        name = f"{self.client}:{message['id']}"
        answer = await self.session.submit(self._engine.Entry(name, message["do"]))
        if self._feed is not feed:
            return
        self.take()
        if isinstance(answer, self._engine.Refusal):
            assert answer.code not in ("internal", "outcome_unknown"), answer
            self.down.append({"type": "refused", "code": answer.code, "message": "", "id": name})
        elif answer.duplicate:
            self.down.append({"type": "done", "id": name, "seq": answer.position.seq})

    def deliver_down(self, chance: random.Random) -> None:
        self.replica.receive(self.down.popleft())
        if self._late and chance.random() < 0.3:
            self.replica.receive(self._late.pop())

    def write(self, chance: random.Random, view: Any) -> None:
        do: list[Any] = [
            {
                "op": "increment",
                "path": ["model", "branches", "counts", "leaves", self.client, "size"],
                "value": 1,
            }
        ]
        if chance.random() < 0.7:
            do = [fitting_operation(chance, view)]
            if chance.random() < 0.3:
                do.append({"op": "set", "path": ["model", "ratio"], "value": 0.5, "expect": 0.0})
        with contextlib.suppress(self._engine.replica.RefusedOperation):
            self.written.add(self.replica.write(do).entry.id)


class World:
    """Some replicas of one session, and everything that the session has applied."""

    def __init__(self, engine: Any, state: Any, chance: random.Random, path: Path | None) -> None:
        self._engine, self._chance, self._path = engine, chance, path
        self._class = make_model(state)
        self._view = sys.modules[f"{state.__name__}.typed._view"].view
        self.applied = Counter[str]()
        self.lines: list[Line] = []

    async def open(self, replicas: int) -> None:
        await self._open_session()
        session = self._session
        names = [f"client-{index}" for index in range(replicas)]
        self.lines = [Line(self._engine, session, self._class(), name) for name in names]
        leaves: dict[str, Any] = {"leaves": {name: {} for name in names}}
        first = [{"op": "set", "path": ["model", "branches", "counts"], "value": leaves}]
        await session.submit(self._engine.Entry("the-first:1", first))

    async def _open_session(self) -> None:
        machine = self._engine.OperationMachine({"model": self._class()})
        journal = self._engine.EditJournal(self._path) if self._path else None
        log = self._engine.LocalLog(journal)
        self._session = session = await self._engine.Session.open(machine, log=log)
        self._watcher = session.feed(session.position, {"state"}, 1_000_000, 1 << 30)

    async def restart(self) -> None:
        """Kill the session, and open it again; all connections are lost."""
        self.watch()
        for line in self.lines:
            line.cut()
        kill(self._session)
        await self._open_session()
        for line in self.lines:
            line.session = self._session

    async def close(self) -> None:
        await self._session.close()

    async def step(self) -> None:
        """Let anything happen."""
        chance, line = self._chance, self._chance.choice(self.lines)
        match chance.choice(["write", "up", "up", "down", "down", "down", "cut"]):
            case "write":
                line.write(chance, json.loads(self._session.view())["model"])
            case "up" if line.up:
                await line.deliver_up()
            case "down" if line.down:
                line.deliver_down(chance)
            case "cut" if line.is_open and chance.random() < 0.2:
                line.cut()
            case _ if not line.is_open:
                line.connect()
            case _:
                line.take()
        self.watch()

    def watch(self) -> None:
        self.applied.update(json.loads(each)["id"] for each in self._watcher.take())

    async def settle(self) -> None:
        """Connect everybody, and deliver everything."""
        for line in self.lines:
            if not line.is_open or not line.replica.online:
                line.connect()
        is_busy = True
        while is_busy:
            for line in self.lines:
                line.take()
                while line.down:
                    line.deliver_down(self._chance)
                if line.up:
                    await line.deliver_up()
            self.watch()
            is_busy = any(line.up or line.down or line.replica.pending for line in self.lines)
        for line in self.lines:
            line.take()
            while line.down:
                line.deliver_down(self._chance)

    def check(self, seed: int) -> None:
        """Compare all replicas, and the fate of all that was written."""
        final = json.dumps(json.loads(self._session.view())["model"])
        for line in self.lines:
            assert json.dumps(self._view(line.model)) == final, (seed, line.client)
            assert line.replica.position == self._session.position
            for name in line.written:
                # Either applied, or refused, and that once.
                assert self.applied[name] + line.answers[name] == 1, (seed, name)


async def live(
    engine: Any, state: Any, seed: int, replicas: int, steps: int, path: Path | None = None
) -> None:
    """Let replicas write and lose connections, then deliver everything and compare.

    With the path of a journal, the session dies now and then, and the machine with it.
    """
    world = World(engine, state, random.Random(seed), path)  # noqa: S311 - no secret
    await world.open(replicas)
    for number in range(steps):
        await world.step()
        if path and number % 40 == 39:
            with pytest.MonkeyPatch.context() as patch:
                if number % 80 == 79:
                    patch.setattr(engine.edit_journal, "_boot", partial(str, f"boot {number}"))
                await world.restart()
    await world.settle()
    world.check(seed)
    await world.close()


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
@pytest.mark.parametrize("ring", [4, 16, 1_024])
def test_a_few_replicas_converge(
    replicas: int, ring: int, engine: Any, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.feed, "RING_ENTRIES", ring)
    for seed in range(SEEDS):
        asyncio.run(live(engine, state, 1_000 * replicas + seed, replicas, 120))


def test_replicas_converge_after_a_session_has_died(engine: Any, state: Any, memory: Path) -> None:
    for seed in range(SEEDS):
        asyncio.run(live(engine, state, seed, 3, 240, memory / f"{seed}.edits"))


def test_a_hundred_replicas_converge(
    engine: Any, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.feed, "RING_ENTRIES", 64)
    asyncio.run(live(engine, state, 7, 100, 3_000))
