"""Changes at the worst moment of another one: by a store, a watcher, an editor or a server.

The emitted tests show one of each.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from stores.conftest import RecordedChanges, wait_for
from stores.redis_server import RedisServer, running


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    """Return a client of redis-py, to watch and disturb the server."""
    with cast(Any, Redis).from_url(server.url.partition("?")[0]) as client:
        yield client


def value_in(state: Any, path: Path) -> Any:
    with state.JsonFileStore(path) as store:
        return store.load("key").value


def test_an_edit_never_has_the_version_of_a_save_at_the_same_time(
    state: Any, tmp_path: Path
) -> None:
    path, now = tmp_path / "state.json", 1_767_225_600.0
    with state.JsonFileStore(path, clock=lambda: now) as store:
        store.save("key", "dark")
        before = path.read_bytes()
        saved = store.save("key", "black")
        path.write_bytes(before.replace(b'"dark"', b'"light"'))
        os.utime(path, (now, now))
        edited = store.load("key")
        assert edited.value == "light"
        assert edited.version != saved.version


def test_another_store_may_open_the_file_during_a_save(
    state: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link, found = tmp_path / "state.json", os.link, list[Any]()

    def link_slowly(source: Path, target: Path) -> None:
        link(source, target)
        found.append(value_in(state, path))

    with state.JsonFileStore(path) as store:
        store.save("key", "first")
        monkeypatch.setattr(os, "link", link_slowly)
        store.save("key", "second")
    assert found == ["first"]
    assert value_in(state, path) == "second"


def test_a_conflict_leaves_no_transaction_of_sqlite_open(state: Any, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with (
        state.SqliteStore(path) as store,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        store.save("key", "first")
        with pytest.raises(state.ConflictError):
            store.save("key", "second", expected_version=0)
        other.execute("UPDATE state SET value = '3'")
        assert store.load("key").value == 3


def test_a_value_on_redis_and_its_time_to_live_change_together(
    state: Any, server: RedisServer, client: Any
) -> None:
    def save() -> None:
        for number in range(100):
            store.save("a", number, ttl=100 if number % 2 else None)

    url = server.url
    name = f"{url.rpartition('=')[2]}:state:a"
    with state.RedisStore(url) as store:
        store.save("a", 0)
        saving = threading.Thread(target=save)
        saving.start()
        while saving.is_alive():
            commands = client.pipeline(transaction=True)
            commands.hget(name, "value")
            commands.pttl(name)
            value, left = commands.execute()
            assert (int(value) % 2 == 1) is (left > 0)


def test_the_latest_value_arrives_once_however_often_the_connection_is_lost(
    state: Any, server: RedisServer, client: Any
) -> None:
    def save() -> None:
        for number in range(1000):
            store.save(f"key {number % 7}", number)

    def find_listeners() -> list[Any]:
        return [one for one in client.client_list(_type="pubsub") if one["name"] == name]

    url, recorded = server.url, RecordedChanges()
    name = url.rpartition("=")[2]
    watched = state.RedisStore(f"{url}&client_name={name}")
    with state.RedisStore(url) as store, watched:
        watched.watch(recorded)
        saving = threading.Thread(target=save)
        saving.start()
        while saving.is_alive():
            wait_for(lambda: find_listeners() or not saving.is_alive())
            for listener in find_listeners():
                client.client_kill_filter(_id=listener["id"])
        keys = [f"key {number}" for number in range(7)]
        wait_for(lambda: {*map(recorded.latest, keys)} == {*range(993, 1000)})
    assert not recorded.repeated()


def test_two_watchers_that_begin_together_never_share_a_value(state: Any, memory: Path) -> None:
    found: list[Any] = []

    def change(key: str, record: Any) -> None:
        record.value.append("changed by a watcher")
        found.append(record)

    with running(memory) as server, state.RedisStore(server.url) as store:
        server.kill()
        with store.watch(change), store.watch(change):
            server.start()
            store.save("a", ["saved"])
            wait_for(lambda: len(found) == 2)
    assert [record.value for record in found] == [["saved", "changed by a watcher"]] * 2


def test_a_server_that_is_emptied_while_connected_is_used_again(state: Any, memory: Path) -> None:
    recorded = RecordedChanges()
    with running(memory) as server, state.RedisStore(server.url) as store:
        before = store.save("a", 1)
        store.watch(recorded)
        server.ask("FLUSHALL")
        assert store.load("a") is None
        after = store.save("a", 2, expected_version=0)
        assert after.version > before.version
        wait_for(lambda: recorded.latest("a") == 2)
