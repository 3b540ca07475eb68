"""More moments at which a log on Redis changes its place, its snapshot or its server.

The emitted tests show some of them.
"""

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis
from stores.redis_server import RedisServer, running

from redis_log.conftest import ANSWERS

CLIENT = "k3J9x2Qw"


@pytest.fixture(scope="session")
def shared_state(source: Path) -> Any:
    """Import the emitted engine, to use it in the process of the tests."""
    sys.path.insert(0, str(source))
    return importlib.import_module(f"{ANSWERS['package_name']}.state.shared")


@pytest.fixture(scope="module")
def state(shared_state: Any) -> Any:
    return importlib.import_module(shared_state.__package__.removesuffix(".shared"))


@pytest.fixture(autouse=True)
def fast(shared_state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for anything."""
    monkeypatch.setattr(shared_state.redis_log, "BLOCK_MILLISECONDS", 10)
    monkeypatch.setattr(shared_state.redis_log, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(shared_state.redis_stream, "FURTHEST_SECONDS", 0.02)
    monkeypatch.setattr(shared_state.redis_stream, "ANY_SECONDS", 0.1)
    monkeypatch.setattr(shared_state.redis_stream, "ELECTION_STEP", 0.01)


@pytest.fixture
def server(memory: Path) -> Iterator[RedisServer]:
    with running(memory) as server:
        yield server


@pytest.fixture
def url(server: RedisServer) -> str:
    return server.url


@pytest.fixture
def key(url: str) -> str:
    """Return the name of the stream."""
    return f"{url.rpartition('=')[2]}:log:game"


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    """Return a client of redis-py, to watch and disturb the server."""
    with cast(Any, Redis).from_url(url.partition("?")[0]) as client:
        yield client


class Follower:
    """A session that only notes the calls of its log."""

    def __init__(self) -> None:
        self.epochs: list[str] = []
        self.loaded: list[Any] = []

    def snapshot(self) -> bytes:
        return json.dumps({"loaded": len(self.loaded)}).encode()

    def begin_epoch(self, epoch: str) -> None:
        self.epochs.append(epoch)

    def reload(self, snapshot: Any, epoch: str) -> None:
        self.loaded.append(snapshot)
        self.epochs.append(epoch)


class Logs:
    """Sessions of as many processes, as a log sees them, and logs without a session."""

    def __init__(self, shared_state: Any, game_class: Any, url: str) -> None:
        self._shared, self._game_class, self._url = shared_state, game_class, url

    @asynccontextmanager
    async def opened(self, count: int) -> AsyncIterator[list[Any]]:
        """Give sessions, which end with the block."""
        sessions = list[Any]()
        try:
            for _ in range(count):
                machine = self._shared.OperationMachine({"game": self._game_class()})
                log = self._shared.RedisLog(self._url, "game")
                session = await self._shared.Session.open(machine, log=log, capture="submit")
                sessions.append(session)
            yield sessions
        finally:
            for session in sessions:
                await session.close()

    @asynccontextmanager
    async def following(self, **options: Any) -> AsyncIterator[tuple[Any, Follower]]:
        """Give a log without a session, which reads only when the test does."""
        log, follower = self._shared.RedisLog(self._url, "game", **options), Follower()
        await log.open(follower)
        try:
            while not log.is_current:
                await log.read()
            yield log, follower
        finally:
            await log.close(None)

    def entry(self, number: int, do: Any = None) -> Any:
        add = [{"op": "increment", "path": ["game", "score"], "value": 1}]
        return self._shared.Entry(f"{CLIENT}:{number}", do or add)


@pytest.fixture
def logs(shared_state: Any, state: Any, url: str) -> Logs:
    class Game(state.State):
        score: int = 0

    return Logs(shared_state, Game, url)


def score_of(session: Any) -> int:
    return int(json.loads(session.view())["game"]["score"])


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - it waits for other tasks and the server
        await asyncio.sleep(0.002)


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 20))


@pytest.mark.parametrize("name", ["", "a:b", "a b"])
def test_the_name_of_a_log_is_one_word(name: str, shared_state: Any) -> None:
    with pytest.raises(ValueError, match="is not the name of a log"):
        shared_state.RedisLog("redis://localhost:6379/0", name)


def test_a_refusal_is_the_same_everywhere(logs: Logs, shared_state: Any) -> None:
    async def story() -> None:
        async with logs.opened(2) as (first, second):
            do = [{"op": "test", "path": ["game", "score"], "expect": 5}]
            refusal = await first.submit(logs.entry(1, do))
            assert isinstance(refusal, shared_state.Refusal)
            assert refusal.code == "conflict"
            await until(lambda: second.settled(f"{CLIENT}:1"))
            assert first.snapshot() == second.snapshot()

    run(story)


def test_time_never_runs_backwards_although_clocks_differ(logs: Logs) -> None:
    async def story() -> None:
        async with (
            logs.following(clock=lambda: 7.0) as (early, _),
            logs.following(clock=lambda: 5.0) as (late, _),
        ):
            late.append(logs.entry(1))
            [read] = await early.read()
            assert read.at == 5_000
            assert late.stamp(read, 4_000) is read
            assert late.stamp(read, 7_000).at == 7_000

    run(story)


def test_a_process_beyond_the_trimmed_range_loads_a_snapshot(
    logs: Logs, shared_state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with logs.opened(1) as (session,), logs.following() as (slow, follower):
            monkeypatch.setattr(shared_state.redis_log, "SNAPSHOT_ENTRIES", 2)
            for number in range(1, 10):
                await session.submit(logs.entry(number))
            assert len(follower.loaded) == 1
            while slow._place != session._log._place:
                await slow._advance()
            assert len(follower.loaded) == 2
            assert follower.loaded[-1]["seq"] > 4

    run(story)


@pytest.mark.parametrize("found", [None, b"", b"garbage", b"7-0 \xff\n{}", b"\xff\xfe\n"])
@pytest.mark.parametrize("entries", [0, 5])
def test_a_snapshot_that_is_missing_or_of_another_program_is_written_again(
    found: bytes | None,
    entries: int,
    logs: Logs,
    shared_state: Any,
    key: str,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both by processes that are idle, and by those that apply entries."""
    seconds = 60 if entries else 0
    monkeypatch.setattr(shared_state.redis_log, "SNAPSHOT_CHECK_SECONDS", seconds)
    monkeypatch.setattr(shared_state.redis_log, "SNAPSHOT_ENTRIES", 4)

    async def story() -> None:
        async with logs.opened(1) as (first,):
            await first.submit(logs.entry(1))
            [snapshot] = client.keys(f"{key}:snapshot:*")
            client.delete(snapshot)
            if found is not None:
                client.set(snapshot, found)
            for number in range(2, 2 + entries):
                await first.submit(logs.entry(number))
            await until(lambda: client.get(snapshot) not in (None, found))
            await until(lambda: f"{snapshot.decode()} was missing" in caplog.text)
            async with logs.opened(1) as (second,):
                assert score_of(second) == score_of(first) == entries + 1

    run(story)


@pytest.mark.parametrize("found", [b"garbage", b"7-0 \xff\n{}", b"\xff\xfe\n"])
def test_a_process_does_not_start_from_what_another_program_has_written(
    found: bytes,
    logs: Logs,
    state: Any,
    shared_state: Any,
    key: str,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_state.redis_log, "SNAPSHOT_CHECK_SECONDS", 60)

    async def story() -> None:
        async with logs.opened(1) as (first,):
            await first.submit(logs.entry(1))
            [snapshot] = client.keys(f"{key}:snapshot:*")
            client.set(snapshot, found)
            with pytest.raises(state.StoreUnavailableError, match=r"not a snapshot: .*noeviction"):
                async with logs.opened(1):
                    pass
            assert client.get(snapshot) == found

    run(story)


def test_a_process_that_has_fallen_behind_does_not_write_a_snapshot_again(
    logs: Logs, key: str, client: Any
) -> None:
    async def story() -> None:
        async with logs.opened(1) as (session,), logs.following() as (slow, _):
            for number in (1, 2, 3):
                await session.submit(logs.entry(number))
            [snapshot] = client.keys(f"{key}:snapshot:*")
            client.delete(snapshot)
            client.xtrim(key, minid=str(session._log._place), approximate=False)
            await slow._keep_snapshot(slow._reader)
            # No process could go on from it.
            assert not client.exists(snapshot, f"{key}:lease")

    run(story)


@pytest.mark.parametrize(
    "fields",
    [{"entries": "garbage"}, {"entries": '[{"id": 1}]'}, {"entries": "[]", "other": "x"}],
)
def test_an_element_of_another_program_is_left_out(
    fields: dict[Any, Any], logs: Logs, key: str, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with logs.opened(2) as both:
            client.xadd(key, fields, id=f"{both[0]._log._place[0]}-*")
            await both[0].submit(logs.entry(1))
            await until(lambda: both[0].position == both[1].position)
            assert score_of(both[0]) == score_of(both[1]) == 1
            assert both[0].snapshot() == both[1].snapshot()

    run(story)
    assert caplog.text.count("which another program has written") == 2


def test_entries_that_the_server_took_and_lost_are_appended_again(
    logs: Logs, server: RedisServer, client: Any
) -> None:
    async def story() -> None:
        async with logs.following() as (log, _):
            log.append(logs.entry(1))
            await until(lambda: client.xlen(log._key) == 2)
            server.kill()
            server.start()
            [read] = await log.read()
            assert read.number == 1

    run(story)


def test_after_flushall_a_new_epoch_begins(logs: Logs, shared_state: Any, client: Any) -> None:
    async def story() -> None:
        async with logs.opened(2) as (first, second):
            await first.submit(logs.entry(1))
            await until(lambda: first.position == second.position)
            former = first.position
            client.flushall()
            assert isinstance(await second.submit(logs.entry(2)), shared_state.Outcome)
            await until(lambda: first.position == second.position)
            assert (score_of(first), score_of(second)) == (2, 2)
            assert first.position.epoch != former.epoch

    run(story)


def test_a_stream_restored_from_a_backup_is_not_continued(
    logs: Logs, shared_state: Any, key: str, client: Any
) -> None:
    async def story() -> None:
        async with logs.opened(1) as (session,):
            await session.submit(logs.entry(1))
            backup = client.dump(key)
            await session.submit(logs.entry(2))
            await session.submit(logs.entry(3))
            former = session.position
            client.restore(key, 0, backup, replace=True)
            assert isinstance(await session.submit(logs.entry(4)), shared_state.Outcome)
            assert score_of(session) == 4
            assert session.position.epoch != former.epoch

    run(story)


def test_a_process_that_has_read_more_goes_before(
    logs: Logs, shared_state: Any, key: str, client: Any
) -> None:
    async def story() -> None:
        async with logs.following() as (log, _):
            further = f"{log._place.epoch:016}-{10:016}-another"
            client.zadd(f"{key}:candidates", {further: 0})
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await log._stream.may_begin(log._reader, log._place)
            assert loop.time() - began >= shared_state.redis_stream.ANY_SECONDS

    run(story)


def test_a_process_that_begins_during_the_election_ends_it(
    logs: Logs, shared_state: Any, key: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state.redis_stream, "FURTHEST_SECONDS", 0)

    async def story() -> None:
        async with logs.following() as (log, _):
            places = [log._place, shared_state.redis_stream.Place(log._place.epoch + 1, 0)]

            async def find_last(reader: object) -> Any:
                # The transaction that begins an epoch deletes them.
                client.delete(f"{key}:candidates")
                return places.pop(0)

            monkeypatch.setattr(log._stream, "find_last", find_last)
            assert not await log._stream.may_begin(log._reader, log._place)

    run(story)


def test_another_server_takes_no_entry_of_the_epoch(logs: Logs, key: str, client: Any) -> None:
    async def story() -> None:
        async with logs.following() as (log, follower):
            # As if the server had been another one.
            log._run_id = "another"
            log.append(logs.entry(1))
            await until(lambda: log._appends_fail)
            assert client.xlen(key) == 1
            assert not log._is_elsewhere
            log._reader.run_id = "another"
            await until(lambda: log._is_elsewhere)
            while not (read := await log.read()):
                pass
            assert [each.number for each in read] == [1]
            assert len(follower.epochs) == 2

    run(story)


def test_an_error_of_the_server_names_it(logs: Logs, state: Any, client: Any) -> None:
    """Without a full stop, because the message goes on elsewhere."""

    async def story() -> None:
        client.config_set("requirepass", "secret")
        with pytest.raises(state.StoreUnavailableError, match=r"redis://\S+: .*required$"):
            async with logs.opened(1):
                pass

    run(story)
