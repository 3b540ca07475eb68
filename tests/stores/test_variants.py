"""Variants of the promises of a store, on each of them.

The emitted tests try them in memory, and on the stores that a user adds.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stores.conftest import FILES, STORES, UrlOf, wait_for
from stores.redis_server import RedisServer

on_each_store = pytest.mark.parametrize("kind", STORES)


def add_one(value: int | None) -> int:
    return (value or 0) + 1


@on_each_store
def test_changing_a_value_afterwards_changes_nothing_stored(
    kind: str, state: Any, url_of: UrlOf
) -> None:
    records: list[Any] = []
    with (
        state.open_store(url_of(kind)) as store,
        store.watch(lambda key, record: records.append(record)),
    ):
        value = {"tags": ["new"]}
        saved = store.save("value", value)
        wait_for(lambda: records == [saved])
        for record in (saved, store.load("value"), records[0]):
            record.value["tags"].append("changed")
        value["tags"].append("changed")
        assert store.load("value").value == {"tags": ["new"]}


@on_each_store
@pytest.mark.parametrize("key", ["", "caf\udce9"])
def test_an_empty_key_and_a_lone_surrogate_are_refused(
    kind: str, key: str, state: Any, url_of: UrlOf
) -> None:
    with state.open_store(url_of(kind)) as store:
        calls: list[Callable[[], object]] = [
            lambda: store.load(key),
            lambda: store.save(key, 1),
            lambda: store.update(key, add_one),
            lambda: store.delete(key),
        ]
        for call in calls:
            with pytest.raises(ValueError, match="key"):
                call()
        assert store.keys() == []


WRONG: dict[str, Callable[[Any], object]] = {
    "key is 7": lambda store: store.save(7, 1),
    "key is None": lambda store: store.load(None),
    "key is b'a'": lambda store: store.delete(b"a"),
    "key is 1.5": lambda store: store.update(1.5, add_one),
    "prefix is None": lambda store: store.keys(None),
    "prefix is 7": lambda store: store.watch(print, 7),
    "ttl is '5'": lambda store: store.save("a", 1, ttl="5"),
    "ttl is True": lambda store: store.save("a", 1, ttl=True),
    "expected_version is '0'": lambda store: store.save("a", 1, expected_version="0"),
    "expected_version is 0.5": lambda store: store.save("a", 1, expected_version=0.5),
}


@on_each_store
@pytest.mark.parametrize("message", WRONG)
def test_an_argument_of_the_wrong_type_is_one_clear_error(
    kind: str, message: str, state: Any, url_of: UrlOf
) -> None:
    with state.open_store(url_of(kind)) as store:
        with pytest.raises(TypeError, match=message):
            WRONG[message](store)
        with pytest.raises(ValueError, match="prefix"):
            store.keys("caf\udce9")
        assert store.keys() == []


@on_each_store
def test_an_update_of_a_value_that_expires_meanwhile_starts_without_one(
    kind: str, state: Any, url_of: UrlOf
) -> None:
    values: list[int | None] = []

    def slow(value: int | None) -> int:
        values.append(value)
        if len(values) == 1:
            time.sleep(0.12)
        return add_one(value)

    with state.open_store(url_of(kind)) as store:
        store.save("session", 7, ttl=0.1)
        updated = store.update("session", slow)
        assert values == [7, None]
        assert (updated.value, updated.expires_in) == (1, None)


CHANGES: dict[str, Callable[[Any, Any], object]] = {
    "save": lambda store, same: store.save("n", 5),
    "delete and save": lambda store, same: (store.delete("n"), store.save("n", 1)),
    "update": lambda store, same: store.update("n", add_one),
    "save of another object": lambda store, same: same.save("n", 5),
}


@on_each_store
@pytest.mark.parametrize("change", CHANGES)
def test_a_function_that_changes_its_own_key_is_refused(
    kind: str, change: str, state: Any, url_of: UrlOf
) -> None:
    url = url_of(kind)
    with state.open_store(url) as store, contextlib.ExitStack() as stack:
        # The records of a store in memory exist only in the object.
        same = store if kind == "memory" else stack.enter_context(state.open_store(url))

        def function(value: int) -> int:
            CHANGES[change](store, same)
            return value

        store.save("n", 1)
        with pytest.raises(RuntimeError, match=r"function of update\('n', …\) changes"):
            store.update("n", function)
        store.save("n", 1)
        assert store.update("n", lambda n: store.save("other", n + 1).value).value == 2
        assert store.save("n", 3).value == 3


@on_each_store
def test_threads_lose_no_update(kind: str, state: Any, url_of: UrlOf) -> None:
    with state.open_store(url_of(kind)) as store, ThreadPoolExecutor(8) as threads:

        def visit(_: int) -> Any:
            return store.update("visits", add_one).value

        assert sorted(threads.map(visit, range(8 * 10))) == list(range(1, 81))
        assert store.load("visits").value == 80


@pytest.mark.parametrize("kind", FILES)
def test_a_path_begins_at_home_or_in_the_folder_at_the_start_and_folders_are_made(
    kind: str, state: Any, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = {"file": state.JsonFileStore, "sqlite": state.SqliteStore}[kind]
    monkeypatch.setenv("HOME", str(memory))
    monkeypatch.setenv("USERPROFILE", str(memory))
    with contextlib.chdir(memory):
        store = make("deep/er/state")
    store.save("key", "here")
    store.close()
    with make("~/deep/er/state") as store:
        assert store.load("key").value == "here"
    assert (memory / "deep/er/state").exists()


@on_each_store
def test_an_object_starts_where_the_last_one_stopped(kind: str, state: Any, url_of: UrlOf) -> None:
    class Box(state.StoredObject):
        content: Any = None

    def saved(content: Any) -> Any:
        box: Any = Box(store, "box")
        box.content = content
        box._save_state()
        return box

    with state.open_store(url_of(kind)) as store:
        box = saved({"a": [1, "ä"]})
        assert store.load("box").value == {"content": {"a": [1, "ä"]}}
        assert Box(store, "box").content == box.content
        saved("new")
        box._load_state()
        assert box.content == "new"


@on_each_store
def test_an_asynchronous_store_has_its_operations_and_does_not_block_the_loop(
    kind: str, state: Any, url_of: UrlOf
) -> None:
    entered, opened = threading.Event(), threading.Event()

    def enter(_: object) -> str:
        entered.set()
        assert opened.wait(10), "the event loop is blocked"
        return "passed"

    async def main(store: Any) -> None:
        store_of_loop = state.AsyncStore(store)
        assert store_of_loop.capabilities == store.capabilities
        change = asyncio.create_task(store_of_loop.update("slow", enter))
        await asyncio.to_thread(entered.wait)
        opened.set()
        assert (await change).value == "passed"
        record = await store_of_loop.save("a", [1], ttl=100)
        assert await store_of_loop.load("a") == record
        with pytest.raises(state.ConflictError):
            await store_of_loop.save("a", [2], expected_version=record.version + 1)
        assert (await store_of_loop.update("a", lambda value: [*value, 2])).value == [1, 2]
        await store_of_loop.save("b", None)
        assert await store_of_loop.keys("a") == ["a"]
        assert await store_of_loop.delete("a")
        assert await store_of_loop.load("a") is None

    with state.open_store(url_of(kind)) as store:
        asyncio.run(main(store))


def service_of(state: Any, store: Any) -> Any:
    return state.StatePersistenceService(store, scope=("acme", "ada"))


@on_each_store
def test_a_session_is_loaded_as_it_was_saved_until_it_is_deleted(
    kind: str, state: Any, url_of: UrlOf
) -> None:
    async def main() -> None:
        service = service_of(state, store)
        assert await service.load() is None
        assert await service.save({"page": 7, "names": ["ä"]})
        assert await service.load() == {"page": 7, "names": ["ä"]}
        assert await state.sessions.load_state(store, "acme", "ada") == {"page": 7, "names": ["ä"]}
        assert await service.delete()
        assert not await service.delete()
        assert await service.load() is None

    with state.open_store(url_of(kind)) as store:
        asyncio.run(main())


@on_each_store
def test_an_earlier_timestamp_never_overwrites_a_later_one(
    kind: str, state: Any, url_of: UrlOf, caplog: pytest.LogCaptureFixture
) -> None:
    async def save(session: dict[str, int]) -> Any:
        return await state.sessions.save_state(store, "acme", "ada", session)

    async def main() -> None:
        now = int(time.time() * 1000)
        assert await save({"timestamp": now, "page": 1})
        assert not await save({"timestamp": now - 1, "page": 2})
        assert not await service_of(state, store).save({"timestamp": now - 60_000})
        assert store.load("acme:ada").value == {"timestamp": now, "page": 1}
        assert await save({"timestamp": now, "page": 3})
        assert await save({"timestamp": now + 1, "page": 4})
        assert await save({"page": 5})
        assert await save({"timestamp": now - 60_000})

    with state.open_store(url_of(kind)) as store:
        asyncio.run(main())
    assert caplog.messages == ["Session 'acme:ada' not saved: a later one is stored"] * 2


@on_each_store
def test_a_function_is_called_with_the_session_and_not_when_it_is_deleted(
    kind: str, state: Any, url_of: UrlOf
) -> None:
    async def next_of(queue: Any) -> Any:
        return await asyncio.wait_for(queue.get(), 10)

    async def main() -> None:
        service, received = service_of(state, store), asyncio.Queue[Any]()
        deleted = asyncio.Queue[Any]()
        await state.sessions.subscribe_to_state(store, "acme", "ada", deleted.put)
        await service.subscribe(received.put)
        await service.subscribe(received.put_nowait)
        other = {"page": "of another user"}
        await state.sessions.save_state(store, "acme", "ada2", other)
        assert await service.save({"page": 1, "loading": True})
        for _ in range(2):
            assert await next_of(received) == {"page": 1, "loading": False}
        assert await next_of(deleted) == {"page": 1, "loading": False}
        await service.delete()
        assert await next_of(deleted) is None
        assert received.empty()
        await service.unsubscribe()
        await service.unsubscribe()
        assert await service.save({"page": 2})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(received.get(), 0.05)

    with state.open_store(url_of(kind)) as store:
        asyncio.run(main())


def test_a_value_of_another_program_is_a_warning_of_the_session_service(
    state: Any, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.url
    server.ask("SET", f"{url.rpartition('=')[2]}:state:acme:ada", "Ada")
    with state.open_store(url) as store:
        assert asyncio.run(service_of(state, store).load()) is None
        assert not asyncio.run(service_of(state, store).save({"page": 1}))
    assert [message.partition(": ")[0] for message in caplog.messages] == [
        "Session 'acme:ada' not loaded",
        "Session 'acme:ada' not saved",
    ]


def test_a_session_service_works_under_one_event_loop_after_another(state: Any) -> None:
    class Slow(state.MemoryStore):
        def load(self, key: str) -> Any:
            time.sleep(0.02)
            return super().load(key)

    service = service_of(state, Slow())

    async def visit() -> list[bool]:
        # The second save waits for the first one, and the load for both.
        first = asyncio.create_task(service.save({"page": 1}))
        await asyncio.sleep(0.11)
        second = asyncio.create_task(service.save({"page": 2}))
        await asyncio.sleep(0)
        assert await service.load() == {"page": 2}
        return [await first, await second]

    loop = asyncio.new_event_loop()
    abandoned = loop.create_task(service.save({"page": 0}))
    loop.run_until_complete(asyncio.sleep(0))
    for _ in range(2):
        assert asyncio.run(visit()) == [True, True]
    assert loop.run_until_complete(abandoned)
    loop.close()
