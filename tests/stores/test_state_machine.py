"""After any operations, in any order, a store equals a dict with versions."""

import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from stores.conftest import FILES, STORES, UrlOf

TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
# Some are prefixes of others, and some have characters that are special in one of the stores.
KEYS = st.sampled_from(
    ["a", "a:b", "a*", "a?", "[a]", "\\a", "a\0b", "é", "\U0001f600", "channel:a", "%", "_", "A"]
) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
PREFIXES = st.just("") | KEYS

SHORT, LONG = 0.02, 1000.0


class Clock:
    """A clock that is turned forward."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def opening(kind: str, url: str, state: Any, clock: Clock) -> Callable[[], Any]:
    """Return a function that opens a store again; on a Redis server time passes by itself."""
    path = url.partition(":")[2]
    memory = state.MemoryStore(clock=clock)
    return {
        "memory": lambda: memory,  # it ends with the object
        "file": lambda: state.JsonFileStore(path, clock=clock),
        "sqlite": lambda: state.SqliteStore(path, clock=clock),
        "redis": lambda: state.RedisStore(url),
    }[kind]


@dataclass
class Held:
    """The model's entry for a key."""

    text: str
    version: int
    expires_at: float | None = None


@dataclass
class Watching:
    """A subscription, the changes that it must get, and those that it got."""

    prefix: str
    subscription: Any
    changed: Counter[str] = field(default_factory=Counter[str])
    recorded: dict[str, list[int | None]] = field(default_factory=lambda: defaultdict(list))


def text_of(value: Any) -> str:
    """Return a text that is the same for equal values only: 1, 1.0 and True are three."""
    return json.dumps(value, sort_keys=True)


class Machine(RuleBasedStateMachine):
    """A store beside its model. A subclass names the store."""

    kind = ""
    state: Any = None
    urls: Iterator[str]

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.open = opening(self.kind, next(self.urls), self.state, self.clock)
        self.store = self.open()
        self.model: dict[str, Held] = {}
        self.last = 0
        self.watching: list[Watching] = []

    def teardown(self) -> None:
        try:
            for each in self.watching:
                self.follow_to_the_end(each)
        finally:
            self.store.close()

    def now(self) -> float:
        return time.time() if self.kind == "redis" else self.clock()

    def held(self, key: str) -> Held | None:
        found = self.model.get(key)
        return None if found and found.expires_at and found.expires_at <= self.now() else found

    def take_over(self, key: str, record: Any, ttl: float | None) -> None:
        """Record a save in the model."""
        assert record.version > self.last
        self.last = record.version
        expires_at = None if ttl is None else self.now() + ttl
        self.model[key] = Held(text_of(record.value), record.version, expires_at)
        self.note_change(key)

    def note_change(self, key: str) -> None:
        for each in self.watching:
            each.changed[key] += key.startswith(each.prefix)

    @rule(key=KEYS, value=VALUES, ttl=st.none() | st.just(LONG))
    def save(self, key: str, value: Any, ttl: float | None) -> None:
        record = self.store.save(key, value, ttl=ttl)
        assert text_of(record.value) == text_of(value)
        self.take_over(key, record, ttl)

    @rule(key=KEYS, value=VALUES, how=st.sampled_from(["right", "none", "wrong"]))
    def save_if_unchanged(self, key: str, value: Any, how: str) -> None:
        held = self.held(key)
        found = held.version if held else 0
        expected = {"right": found, "none": 0, "wrong": max(1, found - 1)}[how]
        if expected == found:
            self.take_over(key, self.store.save(key, value, expected_version=expected), None)
            return
        with pytest.raises(self.state.ConflictError) as raised:
            self.store.save(key, value, expected_version=expected)
        assert (raised.value.key, raised.value.found) == (key, found)

    @rule(key=KEYS, value=VALUES)
    def save_what_expires_at_once(self, key: str, value: Any) -> None:
        self.take_over(key, self.store.save(key, value, ttl=SHORT), SHORT)
        self.clock.now += 2 * SHORT
        if self.kind == "redis":
            time.sleep(2 * SHORT)

    @precondition(lambda self: self.kind != "redis")
    @rule(seconds=st.sampled_from([LONG / 3 + 1, LONG + 1]))  # never to the microsecond
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(key=KEYS, value=VALUES)
    def update(self, key: str, value: Any) -> None:
        held, seen = self.held(key), list[str]()

        def change(found: Any) -> Any:
            seen.append(text_of(found))
            return [value, found]

        record = self.store.update(key, change)
        assert seen == [held.text if held else "null"]
        ttl = held.expires_at - self.now() if held and held.expires_at else None
        self.take_over(key, record, ttl)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        there = self.held(key) is not None
        assert self.store.delete(key) is there
        if there:
            del self.model[key]
            self.note_change(key)

    @rule(key=KEYS)
    def load(self, key: str) -> None:
        held, record = self.held(key), self.store.load(key)
        if held is None:
            assert record is None
            return
        assert (text_of(record.value), record.version) == (held.text, held.version)
        if held.expires_at is None:
            assert record.expires_in is None
        else:
            assert record.expires_in == pytest.approx(held.expires_at - self.now(), abs=30)

    @rule(prefix=PREFIXES)
    def list(self, prefix: str) -> None:
        keys = [key for key in self.model if self.held(key) and key.startswith(prefix)]
        assert self.store.keys(prefix) == sorted(keys)

    @rule(key=KEYS, fault=st.sampled_from([object(), {1: 2}, [float("nan")], b"x", {"a": {1}}]))
    def save_what_is_no_json(self, key: str, fault: Any) -> None:
        with pytest.raises(TypeError):
            self.store.save(key, fault)

    @initialize()
    def watch_everything(self) -> None:
        self.watch("")

    @precondition(lambda self: len(self.watching) < 3)
    @rule(prefix=PREFIXES)
    def watch(self, prefix: str) -> None:
        each = Watching(prefix, None)

        def record_change(key: str, record: Any) -> None:
            each.recorded[key].append(record and record.version)

        each.subscription = self.store.watch(record_change, prefix)
        self.watching.append(each)

    @precondition(lambda self: len(self.watching) > 1)
    @rule()
    def stop_watching(self) -> None:
        self.follow_to_the_end(self.watching.pop())

    @precondition(lambda self: self.kind != "memory")
    @rule()
    def reopen(self) -> None:
        for each in self.watching:
            self.follow_to_the_end(each)
        self.store.close()
        self.store, self.watching = self.open(), []
        self.watch("")

    def follow_to_the_end(self, each: Watching) -> None:
        """Wait until every expected change has arrived, and check that none came twice."""
        keys = [key for key, times in each.changed.items() if times]
        end = time.monotonic() + 20
        while missing := [key for key in keys if not self.has_arrived(each, key)]:
            assert time.monotonic() < end, (missing, self.model, each.recorded)
            time.sleep(0.005)
        each.subscription.close()
        for key, recorded in each.recorded.items():
            versions = [version for version in recorded if version is not None]
            assert versions == sorted({*versions}), (key, recorded)
            assert len(recorded) <= each.changed[key], (key, recorded)

    def has_arrived(self, each: Watching, key: str) -> bool:
        held, recorded = self.model.get(key), each.recorded[key]
        # A value that expired before its notification is published as a deletion.
        latest = {held.version} | ({None} if held.expires_at else set()) if held else {None}
        return bool(recorded) and recorded[-1] in latest


@pytest.mark.parametrize("kind", STORES)
def test_a_store_equals_its_model_after_any_operations(
    kind: str, state: Any, url_of: UrlOf, memory: Path
) -> None:
    def urls() -> Iterator[str]:
        for number in itertools.count():
            yield f"{kind}:{memory / str(number)}" if kind in FILES else url_of(kind)

    few = settings(
        max_examples=30,
        stateful_step_count=30,
        deadline=None,
        database=None,
        # A failure may wait for a change that never comes: shrinking it would take hours.
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    members = {"kind": kind, "state": state, "urls": urls()}
    run_state_machine_as_test(type("ThisMachine", (Machine,), members), settings=few)
