"""A slow watcher delays no other work, and no cycle of watching leaks."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from stores.conftest import STORES, RecordedChanges, UrlOf, wait_for
from stores.redis_server import RedisServer

CYCLES = 1000


@pytest.mark.parametrize("kind", STORES)
def test_a_slow_watcher_delays_no_other_and_gets_the_latest_change(
    kind: str, state: Any, url_of: UrlOf
) -> None:
    recorded, recorded_slowly, go_on = RecordedChanges(), RecordedChanges(), threading.Event()

    def record_slowly(key: str, record: Any) -> None:
        assert go_on.wait(60)
        recorded_slowly(key, record)

    with (
        state.open_store(url_of(kind)) as store,
        store.watch(record_slowly),
        store.watch(recorded),
    ):
        for number in range(300):
            store.save(f"key {number % 3}", number)
        wait_for(lambda: [recorded.latest(f"key {n}") for n in range(3)] == [297, 298, 299])
        assert not len(recorded_slowly)
        go_on.set()
        wait_for(lambda: [recorded_slowly.latest(f"key {n}") for n in range(3)] == [297, 298, 299])
        # The change that it was busy with, and the latest one of each key.
        assert len(recorded_slowly) <= 4
        assert not recorded.repeated()
        assert not recorded_slowly.repeated()


@pytest.mark.parametrize("kind", STORES)
def test_a_failing_watcher_gets_the_next_change(
    kind: str, state: Any, url_of: UrlOf, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = RecordedChanges()

    def fail_at_first(key: str, record: Any) -> None:
        recorded(key, record)
        if record.value == "first":
            raise RuntimeError("This one is at fault")

    with state.open_store(url_of(kind)) as store, store.watch(fail_at_first):
        store.save("key", "first")
        wait_for(lambda: recorded.latest("key") == "first")
        store.save("key", "second")
        wait_for(lambda: recorded.latest("key") == "second")
    assert "This one is at fault" in caplog.text


@pytest.mark.needs("Linux")
@pytest.mark.parametrize("kind", STORES)
def test_a_thousand_cycles_leave_no_thread_no_descriptor_and_no_file(
    kind: str, state: Any, url_of: UrlOf, memory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url, threads = url_of(kind), {*threading.enumerate()}

    def cycle(number: int) -> None:
        with state.open_store(url) as store:
            subscription = store.watch(lambda key, record: None)
            store.save("key", number)
            if number % 2:
                subscription.close()

    def count_descriptors() -> int:
        wait_for(lambda: {*threading.enumerate()} <= threads)
        return len(os.listdir("/proc/self/fd"))

    for number in range(2):  # the first save has no generation before it
        cycle(number)
    descriptors, files = count_descriptors(), {*os.listdir(memory)}
    for number in range(CYCLES):
        cycle(number)
    assert count_descriptors() <= descriptors
    assert {*os.listdir(memory)} <= files
    assert not caplog.messages


def test_a_closed_store_leaves_no_connection_at_the_server(server: RedisServer, state: Any) -> None:
    before, url = server.count_clients(), server.url
    for number in range(50):
        with state.open_store(url) as store, store.watch(lambda key, record: None):
            store.save("key", number)
    wait_for(lambda: server.count_clients() <= before)
