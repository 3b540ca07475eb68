"""Each cell of the table of promises, tried: a promise is kept, and its absence is real.

Longer proofs have modules of their own: crashes (`test_crash_states.py`),
cuts of power (`test_power_cut.py`), kills (`test_kills.py`), many processes (`test_hammer.py`).
"""

import dataclasses
import functools
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.disks import Disk

from stores.conftest import FILES, STORES, RecordedChanges, UrlOf, wait_for
from stores.proxy import Proxy
from stores.redis_server import HOST, running

TABLE = {
    "memory": {"ttl"},
    "file": {"across_processes", "survives_process_crash", "survives_power_cut", "ttl"},
    "sqlite": {"across_processes", "survives_process_crash", "survives_power_cut", "ttl"},
    "redis": {"across_processes", "across_machines", "survives_process_crash", "ttl"},
}
"""The promises of each store; the number is the delay of its notifications."""


@dataclass
class Trial:
    """A store of a kind, with the fixtures for its test."""

    kind: str
    url: str
    state: Any
    children: Children

    def open(self, **options: Any) -> Any:
        if not options:
            return self.state.open_store(self.url)
        path = self.url.partition(":")[2]
        if self.kind == "memory":
            return self.state.MemoryStore(**options)
        return {"file": self.state.JsonFileStore, "sqlite": self.state.SqliteStore}[self.kind](
            path, **options
        )

    def value_elsewhere(self) -> Any:
        """Return the value that another process finds."""
        return json.loads(self.children.run("load", self.url))


def across_processes(trial: Trial) -> bool:
    """Whether each of two processes finds, and is notified of, the other's saves."""
    recorded = RecordedChanges()
    with trial.open() as store, store.watch(recorded):
        store.save("count", 1)
        if trial.value_elsewhere() != 1:
            return False
        trial.children.run("save", trial.url, "2")
        wait_for(lambda: recorded.latest("count") == 2)
        return bool(store.load("count").value == 2)


def across_machines(trial: Trial) -> bool:
    """Whether the store is reached by its address alone, over separate networks."""
    if trial.kind != "redis":
        # It is a path on this machine, or nothing that another process could reach.
        return False
    port = int(trial.url.split(":")[2].split("/")[0])
    address = f"{HOST}:{port}"
    recorded = RecordedChanges()
    with Proxy(port) as one, Proxy(port) as other:
        urls = [trial.url.replace(address, f"{HOST}:{proxy.port}") for proxy in (one, other)]
        with trial.state.open_store(urls[0]) as here, here.watch(recorded):
            here.save("count", 1)
            assert json.loads(trial.children.run("load", urls[1])) == 1
            trial.children.run("save", urls[1], "2")
            wait_for(lambda: recorded.latest("count") == 2)
            # Cut off from one, the other goes on.
            one.cut()
            trial.children.run("save", urls[1], "3")
            one.mend()
            wait_for(lambda: recorded.latest("count") == 3)
    return not recorded.repeated()


def survives_process_crash(trial: Trial) -> bool:
    """Whether a saved value is there after the process was killed."""
    counting = trial.children.start("update_for_ever", trial.url)
    assert counting.stdout
    for _ in range(20):
        counting.stdout.readline()
    os.kill(counting.pid, signal.SIGKILL)
    said = [20, *map(int, counting.stdout)][-1]
    found = trial.value_elsewhere()
    if found is None:
        return False
    assert said <= found <= said + 1
    return True


def ttl(trial: Trial) -> bool:
    """Whether a value is there until its time has come, and no longer."""
    now = time.time()
    short, clocks = (3.0, {}) if trial.kind == "redis" else (60.0, {"clock": lambda: now})
    with trial.open(**clocks) as store:
        saved = store.save("short", 1, ttl=short)
        store.save("long", 2, ttl=1000 * short)
        store.save("kept", 3)
        assert saved.expires_in == pytest.approx(short)
        assert 0 < store.load("short").expires_in <= short
        store.update("short", lambda value: value + 1)  # it lives no longer for that
        if trial.kind == "redis":
            time.sleep(short + 0.1)
        else:
            now += short + 0.1
        assert store.load("short") is None
        assert store.keys() == ["kept", "long"]
        store.save("short", 4, expected_version=0)
        assert store.load("short").expires_in is None
        return True


PROOFS: dict[str, Callable[[Trial], bool]] = {
    proof.__name__: proof
    for proof in (across_processes, across_machines, survives_process_crash, ttl)
}


@pytest.fixture(params=STORES)
def trial(request: pytest.FixtureRequest, url_of: UrlOf, state: Any, children: Children) -> Trial:
    return Trial(request.param, url_of(request.param), state, children)


@pytest.mark.parametrize("promise", PROOFS)
def test_a_store_keeps_exactly_the_promises_that_it_declares(promise: str, trial: Trial) -> None:
    with trial.open() as store:
        declared = getattr(store.capabilities, promise)
    assert declared is (promise in TABLE[trial.kind])
    assert PROOFS[promise](trial) is declared


def has_arrived(recorded: RecordedChanges, value: int) -> bool:
    return bool(recorded.latest("key") == value)


def test_watchers_are_notified_within_the_promised_delay(trial: Trial) -> None:
    """Ten times as late is late; the rest allows for a busy machine."""
    with trial.open() as store, trial.open() as another:
        latency: float = store.capabilities.watch_latency
        writer = store if trial.kind == "memory" else another
        recorded = RecordedChanges()
        with store.watch(recorded):
            late: list[float] = []
            for number in range(10):
                writer.save("key", number)
                saved = time.monotonic()
                wait_for(functools.partial(has_arrived, recorded, number))
                late.append(time.monotonic() - saved)
    # Most of them, at least: a process may be delayed at any moment.
    assert sorted(late)[7] <= 10 * latency + 0.5


@pytest.mark.needs("Linux", "root", "mount")
@pytest.mark.parametrize("kind", FILES)
def test_a_durable_store_survives_a_power_cut(
    kind: str, disk: Disk, children: Children, state: Any
) -> None:
    assert "survives_power_cut" in TABLE[kind]
    url = f"{kind}:{disk.folder / 'state'}"
    for value in range(3):
        children.run("save_and_cut", url, value, disk.folder)
        disk.restart()
        with state.open_store(url) as store:
            assert store.capabilities.survives_power_cut
            assert store.load("count").value == value


def test_a_store_that_is_not_durable_loses_its_data_with_the_memory(
    memory: Path, state: Any, children: Children
) -> None:
    """Unless the server is configured otherwise, as `test_power_cut.py` does."""
    with state.open_store("memory:") as store:
        assert not store.capabilities.survives_power_cut
    with running(memory) as server:
        url = server.url
        children.run("save", url, 1)
        server.kill()
        server.start()
        with state.open_store(url) as store:
            assert not store.capabilities.survives_power_cut
            assert store.load("count") is None


def test_every_promise_has_a_proof(state: Any) -> None:
    promises = {field.name for field in dataclasses.fields(state.Capabilities)}
    assert promises == {*PROOFS, "survives_power_cut", "watch_latency"}


@pytest.mark.parametrize("kind", STORES)
def test_only_redis_limits_the_size_of_a_value_by_default(
    kind: str, state: Any, url_of: UrlOf
) -> None:
    limit = 1024 * 1024
    with state.open_store(url_of(kind)) as store:
        store.save("key", "x" * (limit - 2))  # and the quotation marks
        if kind != "redis":
            assert store.save("key", "x" * 10 * limit).version
            return
        with pytest.raises(state.StateTooLargeError):
            store.save("key", "x" * (limit - 1))
        assert len(store.load("key").value) == limit - 2
