"""A server that dies, starves or cannot be reached: clear errors, then a full recovery."""

import asyncio
import contextlib
import importlib
import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children

from stores.conftest import RecordedChanges, wait_for
from stores.proxy import Proxy
from stores.redis_server import HOST, RedisServer, running

SOON = 1.0
"""The timeout of stores here, in seconds."""


def add_one(count: int | None) -> int:
    return (count or 0) + 1


@pytest.fixture
def own_server(memory: Path) -> Iterator[RedisServer]:
    """Run a server for one test, which keeps acknowledged saves."""
    with running(memory, "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def urls(server: RedisServer, proxy: Proxy) -> tuple[str, str]:
    """Return the URL of a namespace, and its URL through a network that can be cut."""
    url = server.url
    return url, url.replace(f"{HOST}:{server.port}", f"{HOST}:{proxy.port}")


WRONG_SERVER = [
    b"-READONLY You can't write against a read only replica.",
    b"-LOADING Redis is loading the dataset in memory",
    b"-MASTERDOWN Link with MASTER is down",
    b"-NOREPLICAS Not enough good replicas to write.",
    b"-CLUSTERDOWN The cluster is down",
    b"-TRYAGAIN Multiple keys request during rehashing of slot",
    b"-MOVED 3999 127.0.0.1:1",
    b"-ERR Error running script (call to f_a): @user_script:9: -READONLY You can't write",
]
OTHER_REFUSALS = [
    b"-NOAUTH Authentication required.",
    b"-NOPERM User default has no permissions to run the 'evalsha' command",
    b"-OOM command not allowed when used memory > 'maxmemory'.",
    b"-MISCONF Redis is configured to save RDB snapshots",
    b"-ERR max number of clients reached",
]


@pytest.mark.parametrize("answer", WRONG_SERVER + OTHER_REFUSALS)
def test_a_connection_whose_server_refuses_a_command_is_not_used_again(
    state: Any, proxy: Proxy, urls: tuple[str, str], answer: bytes
) -> None:
    with state.RedisStore(urls[1]) as store:
        store.save("a", 1)
        proxy.answer(answer)
        if answer in OTHER_REFUSALS:
            with pytest.raises(state.StoreUnavailableError):
                store.save("a", 2)
        assert store.update("a", add_one).value == 2
        assert store.keys() == ["a"]


def test_a_member_of_a_cluster_is_named_as_such(
    state: Any, proxy: Proxy, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = importlib.import_module(f"{state.__name__}.stores._redis_client")
    monkeypatch.setattr(client, "_disconnect", lambda client: None)
    with state.RedisStore(urls[1]) as store:
        store.save("a", 1)
        proxy.answer(b"-MOVED 3999 127.0.0.1:1")
        with pytest.raises(state.StoreUnavailableError, match=r"member of a cluster.*3999"):
            store.save("a", 2)


class Load:
    """Threads that count in a store again and again, through all of its faults.

    Args:
        state: The package.
        store: The store, which they share.
    """

    THREADS = 8

    def __init__(self, state: Any, store: Any) -> None:
        self._state, self._store = state, store
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged = 0
        self.failed = 0
        self.errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(self.THREADS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self) -> None:
        """Wait until further saves are acknowledged."""
        before = self.acknowledged
        wait_for(lambda: self.acknowledged > before + 50)

    @contextlib.contextmanager
    def fails(self) -> Iterator[None]:
        """Wait, after the body, until threads have failed."""
        before = self.failed
        yield
        wait_for(lambda: self.failed >= before + self.THREADS // 2)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._store.update("count", add_one)
            except self._state.StoreUnavailableError:
                with self._lock:
                    self.failed += 1
                self._ended.wait(0.01)
            except Exception as error:
                self.errors.append(error)
                return
            else:
                with self._lock:
                    self.acknowledged += 1


def test_a_server_killed_under_load_loses_nothing_it_has_acknowledged(
    own_server: RedisServer, state: Any
) -> None:
    recorded = RecordedChanges()
    with state.RedisStore(own_server.url, timeout=SOON) as store, store.watch(recorded):
        with Load(state, store) as load:
            for _ in range(4):
                load.goes_on()
                with load.fails():
                    own_server.kill()
                own_server.start()
            load.goes_on()
        assert not load.errors
        count = store.load("count").value
        assert load.acknowledged <= count <= load.acknowledged + load.failed
        wait_for(lambda: recorded.latest("count") == count)
        store.save("other", 1)
        wait_for(lambda: recorded.latest("other") == 1)
    assert not recorded.repeated()


def test_a_network_cut_under_load_loses_nothing_that_was_acknowledged(
    proxy: Proxy, urls: tuple[str, str], state: Any
) -> None:
    recorded = RecordedChanges()
    with state.RedisStore(urls[1], timeout=SOON) as store, store.watch(recorded):
        with Load(state, store) as load:
            for how in (proxy.cut, proxy.go_silent, proxy.cut):
                load.goes_on()
                with load.fails():
                    how()
                proxy.mend()
            load.goes_on()
        assert not load.errors
        with state.RedisStore(urls[0]) as another:
            count = another.load("count").value
        assert load.acknowledged <= count <= load.acknowledged + load.failed
        wait_for(lambda: recorded.latest("count") == count)
    assert not recorded.repeated()


@pytest.mark.parametrize("how", ["cut", "silent"])
def test_a_watcher_gets_missed_changes_after_a_reconnection(
    how: str, proxy: Proxy, urls: tuple[str, str], state: Any
) -> None:
    recorded = RecordedChanges()
    with (
        state.RedisStore(urls[0]) as here,
        state.RedisStore(urls[1], timeout=SOON) as there,
        there.watch(recorded, "a"),
    ):
        for key in ("a1", "a2", "a3"):
            here.save(key, "before")
        wait_for(lambda: recorded.latest("a3") == "before")
        proxy.cut() if how == "cut" else proxy.go_silent()
        for number in range(50):
            here.save("a1", number)
        here.delete("a2")
        here.save("a4", "new")
        here.save("b", "not watched")
        with pytest.raises(state.StoreUnavailableError, match=HOST):
            there.load("a1")
        proxy.mend()
        assert there.load("a1").value == 49
        wait_for(
            lambda: (
                recorded.latest("a1") == 49
                and recorded.gone("a2")
                and recorded.latest("a4") == "new"
            )
        )
        assert recorded.latest("a3") == "before"
        before = len(recorded)
        here.save("a3", "after")
        wait_for(lambda: recorded.latest("a3") == "after")
        assert len(recorded) == before + 1
        assert recorded.latest("b") is None
    assert not recorded.repeated()


def test_watching_begins_once_a_missing_server_is_back(
    own_server: RedisServer, state: Any, caplog: pytest.LogCaptureFixture
) -> None:
    recorded, url = RecordedChanges(), own_server.url
    with state.RedisStore(url) as store:
        store.save("kept", 1)
    own_server.kill()
    with state.RedisStore(url, timeout=SOON) as store, store.watch(recorded):
        with pytest.raises(state.StoreUnavailableError):
            store.load("kept")
        own_server.start()
        store.save("new", 2)
        wait_for(lambda: recorded.latest("kept") == 1 and recorded.latest("new") == 2)
    assert "watching begins" in caplog.text
    assert not recorded.repeated()


@pytest.mark.parametrize("stale", ["yes", "no"])
def test_after_a_failover_the_first_save_reaches_the_new_server(
    stale: str, memory: Path, state: Any
) -> None:
    recorded = RecordedChanges()
    (memory / "old").mkdir()
    (memory / "new").mkdir()
    with (
        running(memory / "old", "--replica-serve-stale-data", stale) as old,
        running(memory / "new") as new,
        Proxy(old.port) as proxy,
    ):
        url = f"redis://{HOST}:{proxy.port}/0"
        with state.RedisStore(url) as store, store.watch(recorded):
            store.save("count", 1)
            wait_for(lambda: recorded.latest("count") == 1)
            proxy.turn_to(new.port)
            old.ask("REPLICAOF", HOST, 1)
            assert store.update("count", add_one).value == 1  # the new server is empty
            assert store.keys() == ["count"]
            store.save("count", 3)
            wait_for(lambda: recorded.latest("count") == 3)
        assert b"count" in new.ask("KEYS", "*count")
    assert not recorded.repeated()


def test_a_store_goes_on_with_a_server_that_has_lost_its_data(memory: Path, state: Any) -> None:
    recorded = RecordedChanges()
    with running(memory) as server, state.RedisStore(server.url) as store, store.watch(recorded):
        before = store.save("count", 1)
        wait_for(lambda: recorded.latest("count") == 1)
        server.kill()
        server.start()
        with contextlib.suppress(state.StoreUnavailableError):
            store.load("count")  # through the connection that has broken
        assert store.load("count") is None
        with pytest.raises(state.ConflictError):
            store.save("count", 2, expected_version=before.version)
        after = store.save("count", 2)
        assert after.version > before.version
        wait_for(lambda: recorded.latest("count") == 2)
    assert not recorded.repeated()


def fill(store: Any, large: str) -> None:
    for number in range(1000):
        store.save(f"large {number}", large)


def test_a_server_without_free_memory_refuses_and_keeps_its_data(
    own_server: RedisServer, state: Any
) -> None:
    recorded, large = RecordedChanges(), "x" * 100_000
    with state.RedisStore(own_server.url) as store, store.watch(recorded):
        kept = store.save("kept", "before")
        info = own_server.ask("INFO", "memory").decode()
        used = int(info.partition("used_memory:")[2].split()[0])
        own_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        own_server.ask("CONFIG", "SET", "maxmemory", used + 3_000_000)
        with pytest.raises(state.StoreUnavailableError, match="memory"):
            fill(store, large)
        there = store.keys()
        assert len(there) > 3
        # Even small ones, which may have had room just after the connection ended.
        own_server.ask("CONFIG", "SET", "maxmemory", used)
        changes: list[Callable[[], object]] = [
            lambda: store.save("kept", large),
            lambda: store.save("new", large),
            lambda: store.update("kept", lambda value: value + "!"),
        ]
        for change in changes:
            with pytest.raises(state.StoreUnavailableError, match="memory"):
                change()
        assert store.load("kept") == kept
        assert store.keys() == there
        assert all(store.load(key).value == large for key in there if key != "kept")
        for key in there[1:]:
            assert store.delete(key)
        own_server.ask("CONFIG", "SET", "maxmemory", used + 3_000_000)
        store.save("kept", "after")
        wait_for(lambda: recorded.latest("kept") == "after" and all(map(recorded.gone, there[1:])))
    assert recorded.latest("new") is None
    assert not recorded.repeated()


def test_a_stopped_subscriber_is_cut_off_and_catches_up(
    own_server: RedisServer, children: Children, state: Any
) -> None:
    recorded, url = RecordedChanges(), own_server.url
    limit = "pubsub 1000000 1000000 1"
    own_server.ask("CONFIG", "SET", "client-output-buffer-limit", limit)
    with state.RedisStore(url) as store, store.watch(recorded, "a"):
        watcher = children.start("watch", url, "a")
        assert watcher.stdout
        assert watcher.stdout.readline() == "watching\n"
        store.save("a", "first")
        assert '"first"' in watcher.stdout.readline()
        clients = own_server.count_clients()
        os.kill(watcher.pid, signal.SIGSTOP)
        numbers = itertools.count()
        # Until the server cuts the subscriber off; the others must not notice.
        wait_for(
            lambda: (
                store.save("a", f"{next(numbers)} " + "x" * 500_000)
                and own_server.count_clients() < clients
            )
        )
        store.save("a", "last")
        wait_for(lambda: recorded.latest("a") == "last")
        os.kill(watcher.pid, signal.SIGCONT)
        assert any('"last"' in line for line in watcher.stdout)
    assert not recorded.repeated()


def test_a_session_service_goes_on_without_a_server_and_recovers(
    own_server: RedisServer, state: Any, caplog: pytest.LogCaptureFixture
) -> None:
    recorded: list[Any] = []

    async def visit(store: Any) -> None:
        service = state.StatePersistenceService(store, scope=("acme", "ada"))
        await service.subscribe(recorded.append)
        assert await service.save({"page": 1})
        own_server.kill()
        assert not await service.save({"page": 2})
        assert await service.load() is None
        assert not await service.delete()
        own_server.start()
        assert await service.save({"page": 3})
        assert await service.load() == {"page": 3}
        end = time.monotonic() + 30
        while {"page": 3} not in recorded:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        await service.unsubscribe()

    with state.RedisStore(own_server.url, timeout=SOON) as store:
        asyncio.run(visit(store))
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert recorded.count({"page": 3}) == 1
