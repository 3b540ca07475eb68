"""Further cases of sessions, feeds, replicas and edit journals, on logs of one process.

The emitted tests show one of each.
"""

import asyncio
import json
import math
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

CLIENT = "k3J9x2Qw"
SNAPSHOT = b'{"epoch":"1-a","seq":0}'


def add(value: int = 1) -> list[Any]:
    return [{"op": "increment", "path": ["game", "score"], "value": value}]


def rename(title: str, expect: str) -> list[Any]:
    return [{"op": "set", "path": ["game", "title"], "value": title, "expect": expect}]


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 10))


@pytest.fixture(scope="module")
def game_class(state: Any) -> Any:
    class Game(state.State):
        score: int = 0
        title: str = ""
        moves: list[str] = state.field(default_factory=list)
        places: dict[str, int] = state.field(default_factory=dict)

    return Game


@pytest.fixture
def path(memory: Path) -> Path:
    return memory / "session.edits"


class Host:
    """A game, and sessions that open it."""

    def __init__(self, engine: Any, game: Any) -> None:
        self.engine, self.game = engine, game

    async def open(self, path: Path | None = None, **options: Any) -> Any:
        limit = {"max_bytes": options.pop("max_bytes")} if "max_bytes" in options else {}
        log = self.engine.LocalLog(self.engine.EditJournal(path, **limit) if path else None)
        machine = self.engine.OperationMachine({"game": self.game})
        return await self.engine.Session.open(machine, log=log, **options)

    def entry(self, number: int, do: Any = None, client: str = CLIENT) -> Any:
        return self.engine.Entry(f"{client}:{number}", do or add())


@pytest.fixture
def host(engine: Any, game_class: Any) -> Host:
    return Host(engine, game_class())


def test_many_entries_are_answered_in_the_order_in_which_they_came(host: Host) -> None:
    async def story() -> None:
        session = await host.open()
        answered = list[str]()

        async def send(client: str, number: int) -> None:
            await session.submit(host.entry(number, client=client))
            answered.append(f"{client}:{number}")

        clients = ("client-a", "client-b")
        names = [(client, number) for number in range(1, 101) for client in clients]
        await asyncio.gather(*(send(client, number) for client, number in names))
        assert answered == [f"{client}:{number}" for client, number in names]
        assert session.position.seq == 200
        await session.close()

    run(story)


def test_a_turn_ends_after_its_time(
    host: Host, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.session, "TURN_SECONDS", 0)

    async def story() -> None:
        session = await host.open()
        sent = [session.submit(host.entry(number)) for number in (1, 2, 3)]
        answers = await asyncio.gather(*sent)
        epoch = session.position.epoch
        assert answers == [engine.Outcome(engine.Position(epoch, seq)) for seq in (1, 2, 3)]
        await session.close()

    run(story)


def test_the_view_is_encoded_once_per_position(host: Host) -> None:
    async def story() -> None:
        session = await host.open()
        view = session.view()
        assert session.view() is view
        await session.submit(host.entry(1))
        assert session.view() is not view
        await session.close()

    run(story)


def test_no_command_walks_over_the_states(
    host: Host, engine: Any, state: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        host.game.places.update({str(index): index for index in range(1_000)})
        session = await host.open(path)

        def fail(*_: object) -> NoReturn:
            raise AssertionError("the whole state was walked over")

        for name in ("drain", "_state_dump"):
            monkeypatch.setattr(state.State, name, fail)
        monkeypatch.setattr(engine.executor, "view", fail)
        for number, (op, key) in enumerate([("set", "new"), ("set", "7"), ("delete", "500")], 1):
            do: dict[str, Any] = {"op": op, "path": ["game", "places", key]}
            do |= {"value": number} if op == "set" else {}
            answer = await session.submit(host.entry(number, [do]))
            assert isinstance(answer, engine.Outcome)
        assert len(json.loads(session.view())["game"]["places"]) == 1_000
        session.snapshot()
        session.compact()
        session.feed(None).take()
        await session.close()

    run(story)


def test_an_effect_cannot_change_the_states_of_a_session(
    engine: Any, state: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Echo(state.State):
        score: int = 0
        shown: int = 0

        @state.effect
        def show(self) -> None:
            if self.score:
                self.shown = self.score

    async def story() -> None:
        echo: Any = Echo()
        host = Host(engine, echo)
        session = await host.open()
        assert isinstance(await session.submit(host.entry(1)), engine.Outcome)
        assert (echo.score, echo.shown) == (1, 0)
        assert "was changed past the log" in caplog.text
        await session.close()

    run(story)


def test_a_check_refuses_changes_past_the_log_too(host: Host, state: Any) -> None:
    def check(name: str, paths: object) -> None:
        raise state.RefusedOperation("broken_invariant", "The score is fixed: leave it")

    async def story() -> None:
        session = await host.open(check=check, capture="submit")
        with pytest.raises(ValueError, match="leave it"):
            host.game.score = 5
        assert (host.game.score, session.position.seq) == (0, 0)
        await session.close()

    run(story)


@pytest.mark.parametrize("value", [math.nan, json.loads("[" * 300 + "]" * 300)])
def test_an_entry_that_no_log_can_keep_is_refused(
    value: Any, engine: Any, path: Path, host: Host
) -> None:
    class Counting(engine.OperationMachine):
        """Has one command, which counts."""

        def apply(self, entry: Any) -> Any:
            return super().apply(engine.Entry(entry.id, add()))

    async def story() -> None:
        log = engine.LocalLog(engine.EditJournal(path))
        session = await engine.Session.open(Counting({"game": host.game}), log=log)
        do = {"domain": "game", "command": "count", "payload": {"value": value}}
        refusal = await session.submit(host.entry(1, do))
        assert isinstance(refusal, engine.Refusal)
        assert (refusal.code, host.game.score) == ("invalid_payload", 0)
        do = {"domain": "game", "command": "count", "payload": {}}
        assert isinstance(await session.submit(host.entry(2, do)), engine.Outcome)
        assert host.game.score == 1
        await session.close()

    run(story)


@pytest.mark.parametrize("value", [2**53, [1, {"x": -(2**53)}]])
def test_integers_that_javascript_lacks_may_be_refused(value: Any, engine: Any, state: Any) -> None:
    class Anything(state.State):
        value: Any = None

    async def story() -> None:
        anything: Any = Anything()
        host = Host(engine, anything)
        session = await host.open(capture="submit", safe_integers=True)
        do = [{"op": "set", "path": ["game", "value"], "value": value}]
        refusal = await session.submit(host.entry(1, do))
        assert isinstance(refusal, engine.Refusal)
        assert refusal.code == "invalid_value"
        with pytest.raises(ValueError, match="JavaScript"):
            anything.value = value
        assert anything.value is None
        await session.close()

    run(story)


@pytest.mark.parametrize("max_bytes", [1_000_000, 1])
def test_a_commit_that_fails_takes_the_whole_turn_back(
    max_bytes: int,
    host: Host,
    engine: Any,
    state: Any,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whether the entries would have been appended, or replaced by a snapshot."""

    def fail(*_: object, **options: bool) -> NoReturn:
        raise state.StoreUnavailableError("disk full")

    async def story() -> None:
        session = await host.open(path, max_bytes=max_bytes)
        await session.submit(host.entry(1))
        before, moves = session.snapshot(), host.game.moves
        monkeypatch.setattr(engine.EditJournal, "append", fail)
        # On a busy machine, too, one turn has both entries.
        monkeypatch.setattr(engine.session, "TURN_SECONDS", 10)
        do = [{"op": "append", "path": ["game", "moves"], "value": "e4"}]
        wrong = [{"op": "append", "path": ["game", "title"], "value": "e4"}]
        answers = await asyncio.gather(
            *(session.submit(host.entry(number, each)) for number, each in [(2, do), (3, wrong)]),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [state.StoreUnavailableError] * 2
        assert (session.snapshot(), host.game.moves) == (before, [])
        assert host.game.moves is moves
        monkeypatch.undo()
        assert isinstance(await session.submit(host.entry(2, do)), engine.Outcome)
        assert isinstance(await session.submit(host.entry(3, wrong)), engine.Refusal)
        assert "Entries taken back: 2. disk full" in caplog.text
        await session.close()

    run(story)


async def write(host: Host, session: Any, first: int, count: int, title: str = "") -> None:
    for number in range(first, first + count):
        more = [{"op": "set", "path": ["game", "title"], "value": title}] if title else []
        await session.submit(host.entry(number, add() + more))


@pytest.mark.parametrize(("epoch", "seq"), [("another", 1), ("", 3), ("", -1)])
def test_a_position_of_another_history_begins_with_a_snapshot(
    epoch: str, seq: int, host: Host, engine: Any
) -> None:
    async def story() -> None:
        session = await host.open()
        await write(host, session, 1, 2)
        since = engine.Position(epoch or session.position.epoch, seq)
        assert session.feed(since).resumed == "snapshot"
        await session.close()

    run(story)


def test_the_ring_is_bounded_in_bytes_too(
    host: Host, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.feed, "RING_BYTES", 10_000)

    async def story() -> None:
        session = await host.open()
        await write(host, session, 1, 3, title="x" * 4_000)
        epoch = session.position.epoch
        assert session.feed(engine.Position(epoch, 0)).resumed == "snapshot"
        assert session.feed(engine.Position(epoch, 1)).resumed == "entries"
        await session.close()

    run(story)


@pytest.mark.parametrize(("limit", "max_bytes"), [(3, 1_000_000), (1_000, 400)])
def test_a_slow_subscriber_is_dropped_and_the_others_notice_nothing(
    limit: int, max_bytes: int, host: Host, engine: Any
) -> None:
    async def story() -> None:
        session = await host.open()
        slow = session.feed(session.position, {"state"}, limit, max_bytes)
        fast = session.feed(session.position, {"state"})
        seen = asyncio.Event()
        slow.on_ready = seen.set
        assert slow.take() == fast.take() == []
        await write(host, session, 1, 10)
        assert seen.is_set()
        with pytest.raises(engine.Refused, match="read faster, and resume") as raised:
            slow.take()
        assert raised.value.code == "slow_client"
        assert [json.loads(message)["seq"] for message in fast.take()] == [*range(1, 11)]
        slow.close()
        await session.close()

    run(story)


class Line:
    """A connection of a replica to a session, which a test moves on message by message."""

    def __init__(self, engine: Any, session: Any, client: str, game: Any) -> None:
        self.engine, self.session, self.client, self.game = engine, session, client, game
        self.replica = engine.Replica({"game": game}, client)
        self.up, self.down = list[Any](), list[Any]()
        self.refused = list[tuple[str, str]]()
        self.replica.on_refusal(lambda each, why: self.refused.append((each.entry.id, why.code)))
        self._feed: Any = None

    async def connect(self) -> None:
        self.replica.connect(self.up.append)
        hello = self.up.pop(0)
        since = self.engine.Position(hello["epoch"], hello["seq"]) if hello["epoch"] else None
        self._feed = self.session.feed(since, {"state"})
        last, outcomes = self.session.outcomes(self.client, hello["pending"])
        answer = {"last": last, "outcomes": {str(n): each for n, each in outcomes.items()}}
        if self._feed.resumed == "entries":
            epoch, seq = self.session.position
            self.down.append({"type": "resume", "epoch": epoch, "seq": seq, **answer})
        else:
            self.down.append(json.loads(self._feed.take()[0]) | answer)
        await self.settle()

    def cut(self) -> None:
        """Lose the connection, with everything that is on its way."""
        self.replica.disconnect()
        self.up.clear()
        self.down.clear()
        self._feed.close()

    def take(self) -> None:
        while due := self._feed.take():
            self.down.extend(map(json.loads, due))

    async def deliver_up(self) -> None:
        message = self.up.pop(0)
        name = f"{self.client}:{message['id']}"
        answer = await self.session.submit(self.engine.Entry(name, message["do"]))
        self.take()
        if isinstance(answer, self.engine.Refusal):
            refusal = {"code": answer.code, "message": answer.message, **answer.details}
            self.down.append({"type": "refused", **refusal, "id": name})
        elif answer.duplicate:
            self.down.append({"type": "done", "id": name, "seq": answer.position.seq})

    def deliver_down(self) -> None:
        self.replica.receive(self.down.pop(0))

    async def settle(self) -> None:
        """Deliver everything in both directions."""
        self.take()
        while self.up or self.down:
            while self.down:
                self.deliver_down()
            if self.up:
                await self.deliver_up()
            self.take()


Connect = Callable[[Any, str], Coroutine[Any, Any, Line]]


@pytest.fixture
def connect(engine: Any, game_class: Any) -> Connect:
    """Return a function that connects a replica to a session."""

    async def connect(session: Any, client: str) -> Line:
        line = Line(engine, session, client, game_class())
        await line.connect()
        return line

    return connect


@pytest.mark.parametrize("is_answered", [True, False])
def test_after_a_lost_connection_nothing_is_lost_and_nothing_is_done_twice(
    is_answered: bool, host: Host, connect: Connect
) -> None:
    async def story() -> None:
        session = await host.open()
        one, two = await connect(session, "client-1"), await connect(session, "client-2")
        for _ in range(3):
            one.replica.write(add())
        await one.deliver_up()
        await one.deliver_up()
        if is_answered:
            one.deliver_down()
        one.cut()
        two.replica.write(add(10))
        await two.settle()
        await one.connect()
        await two.settle()
        assert not one.replica.pending
        assert one.game.score == two.game.score == 13
        await session.close()

    run(story)


def test_an_entry_that_is_hidden_may_be_applied_all_the_same(host: Host, connect: Connect) -> None:
    async def story() -> None:
        session = await host.open()
        one, two = await connect(session, "client-1"), await connect(session, "client-2")
        two.replica.write(rename("theirs", ""))
        await two.settle()
        mine = one.replica.write(rename("mine", ""))
        two.replica.write(rename("", "theirs"))
        one.take()
        one.deliver_down()
        assert not mine.is_shown
        await two.settle()
        await one.settle()
        await two.settle()
        assert one.game.title == two.game.title == "mine"
        assert one.refused == []
        await session.close()

    run(story)


def test_a_write_in_the_session_itself_reaches_replicas(
    host: Host, engine: Any, connect: Connect
) -> None:
    async def story() -> None:
        session = await host.open()
        one = await connect(session, "client-1")
        outcome = await session.submit(host.entry(1, add(3), "client-9"))
        assert isinstance(outcome, engine.Outcome)
        await one.settle()
        assert one.game.score == 3
        await session.close()

    run(story)


class Journals:
    """Edit journals of one durability, and the entries in them."""

    def __init__(self, engine: Any, durability: str, path: Path) -> None:
        self.make = partial(engine.EditJournal, durability=durability)
        log = sys.modules[f"{engine.__name__}.log"]
        self.entry, self.logged_entry, self.recovery = engine.Entry, log.LoggedEntry, log.Recovery
        self.open = self.make(path)
        assert self.open.open() == self.recovery()
        self.open.rewrite(SNAPSHOT)

    def logged(self, seq: int) -> Any:
        return self.logged_entry(seq, self.entry(f"{CLIENT}:{seq * 10}", add(seq), at=seq), {})

    def found_in(self, path: Path) -> Any:
        """Return the content of a journal, as after a kill."""
        journal = self.make(path)
        try:
            return journal.open()
        finally:
            journal.close()


@pytest.fixture(params=["process", "power"])
def journals(engine: Any, path: Path, request: pytest.FixtureRequest) -> Iterator[Journals]:
    journals = Journals(engine, request.param, path)
    yield journals
    journals.open.close()


def test_only_its_owner_can_read_a_journal(journals: Journals, path: Path) -> None:
    journals.open.append([journals.logged(1)])
    if os.name == "posix":
        files = [each for each in path.parent.iterdir() if each.stat().st_size]
        assert len(files) > 1
        assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}


def test_a_backup_of_the_open_database_is_a_journal(journals: Journals, path: Path) -> None:
    journals.open.append([journals.logged(1)])
    copy = path.with_name("copy.edits")
    # As the command `.backup` of sqlite3 does.
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    journals.open.append([journals.logged(2)])
    assert journals.found_in(copy).entries == (journals.logged(1),)


def test_a_copy_of_the_closed_file_is_a_journal(journals: Journals, path: Path) -> None:
    journals.open.append([journals.logged(1)])
    journals.open.close()
    copy = Path(shutil.copy(path, path.with_name("copy.edits")))
    assert journals.found_in(copy).entries == (journals.logged(1),)


def test_both_files_that_a_kill_leaves_are_a_journal(journals: Journals, path: Path) -> None:
    journals.open.append([journals.logged(1)])
    copy = path.with_name("copy.edits")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    assert journals.found_in(copy).entries == (journals.logged(1),)


def test_a_snapshot_replaces_the_entries_of_a_journal(journals: Journals, path: Path) -> None:
    journals.open.append([journals.logged(1)])
    assert journals.open.size > len(SNAPSHOT)
    journals.open.rewrite(b'{"epoch":"1-a","seq":1}')
    assert journals.open.size == len(SNAPSHOT)
    journals.open.close()
    assert journals.found_in(path) == journals.recovery({"epoch": "1-a", "seq": 1})


def test_entries_are_set_aside_as_lines(journals: Journals) -> None:
    entries = [journals.logged(1), journals.logged(2)]
    path = Path(journals.open.set_aside(entries))
    assert path.name.startswith("session.edits.unreplayed-2")
    assert path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("damage", [b"no database" * 100, b"SQLite format 3\0" + b"x" * 4096])
def test_a_damaged_journal_is_left_untouched_and_can_be_moved_away(
    damage: bytes, engine: Any, state: Any, path: Path
) -> None:
    path.write_bytes(damage)
    journal = engine.EditJournal(path)
    with pytest.raises(state.CorruptStateError, match="move it away"):
        journal.open()
    assert path.read_bytes() == damage
    path.with_name("session.edits-wal").write_bytes(b"its log")
    moved = journal.move_away()
    assert moved.name.startswith("session.edits.damaged-2")
    assert moved.read_bytes() == damage
    assert not path.exists()
    assert moved.with_name(f"{moved.name}-wal").read_bytes() == b"its log"
