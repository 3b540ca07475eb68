"""Every change of a state, which a failed block takes back and any other renders.

The emitted tests show one of each.
"""

import contextlib
import gc
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

EMITTED = "test_transactions"

Operations = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def end_recording(state: Any, emitted: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that nothing is recorded any more after a test, whatever other tests have recorded."""
    changes = import_module(f"{state.__name__}.typed._changes").CHANGES
    monkeypatch.setattr(changes, "journal", None)
    yield
    with emitted.Clip().batch():
        pass
    if changes.journal is not None:
        gc.collect()  # only where a test leaves garbage: it takes long
        with emitted.Clip().batch():
            pass
    assert changes.journal is None


@pytest.fixture
def track(state: Any, emitted: Any) -> Any:
    counter = state.Counter

    class Track(emitted.Track):
        gain: float = 0.0
        ratio: counter[float] = 0.0  # type: ignore[valid-type]
        scale: dict[float, int] = state.field(default_factory=lambda: {1.0: 1})
        counts: dict[str, counter[int]] = state.field(default_factory=dict)  # type: ignore[valid-type]
        flags: dict[int, int] = state.field(default_factory=lambda: {1: 1})
        ratios: set[float] = state.field(default_factory=lambda: {1.0})
        shown: state.Transient[bool] = False  # pyright: ignore[reportInvalidTypeForm]

    shared = emitted.Clip(start=5)
    clips = [emitted.Clip(start=1, tags=["x"]), shared]
    track = Track(clips=clips, by_name={"a": shared, "b": emitted.Clip()})
    track.on_change(emitted.notified.append)
    emitted.notified.clear()
    return track


def add_on_the_way(track: Any) -> Iterator[int]:
    """Yield a number, after another one was added."""
    track.beats.append(4)
    yield 5


def count_inexactly(track: Any) -> None:
    """Set a counter twice: no float is the second difference."""
    track.ratio = 1e16
    track.ratio = 1.5


def op(op: str, *path: str | int, **members: Any) -> dict[str, Any]:
    return {"op": op, "path": ["track", *path], **members}


FRESH = {"start": 8, "tags": []}
FIRST = {"start": 1, "tags": ["x"]}
SHARED = {"start": 5, "tags": []}
# Each with the operations that it is rendered to, and those that take it back.
CASES: dict[str, tuple[Callable[[Any], object], Operations, Operations]] = {
    "same value": (lambda t: setattr(t, "name", "".join([])), [], []),
    "negative zero": (
        lambda t: setattr(t, "gain", -0.0),
        [op("set", "gain", value=-0.0)],
        [op("set", "gain", value=0.0)],
    ),
    "transient field": (lambda t: setattr(t, "shown", True), [], []),
    "counter of a type that a sum does not have": (
        lambda t: setattr(t, "ratio", float("inf")),
        [op("set", "ratio", value={"__type__": "float", "value": "inf"})],
        [op("set", "ratio", value=0.0)],
    ),
    "counter of a difference that is not exact": (
        count_inexactly,
        [op("increment", "ratio", value=1e16), op("set", "ratio", value=1.5)],
        [op("set", "ratio", value=1e16), op("set", "ratio", value=0.0)],
    ),
    "counter of a new key": (
        lambda t: t.counts.update(a=2),
        [op("increment", "counts", "a", value=2)],
        [op("delete", "counts", "a")],
    ),
    "field of a state in a list": (
        lambda t: setattr(t.clips[0], "start", 8),
        [op("set", "clips", 0, "start", value=8)],
        [op("set", "clips", 0, "start", value=1)],
    ),
    "list of a state in two places": (
        lambda t: t.clips[1].tags.append("y"),
        [op("set", *path, "tags", value=["y"]) for path in (("clips", 1), ("by_name", "a"))],
        [op("set", *path, "tags", value=[]) for path in (("clips", 1), ("by_name", "a"))],
    ),
    "state": (
        lambda t: t.clips.__setitem__(0, type(t.clips[0])(start=8)),
        [op("set", "clips", 0, value=FRESH)],
        [op("set", "clips", 0, value=FIRST)],
    ),
    "extend": (
        lambda t: t.beats.extend([4, 5]),
        [op("append", "beats", value=4), op("append", "beats", value=5)],
        [op("delete", "beats", 4), op("delete", "beats", 3)],
    ),
    "delete": (
        lambda t: t.beats.pop(-2),
        [op("delete", "beats", 1)],
        [op("insert", "beats", 1, value=1)],
    ),
    "delete most": (
        lambda t: t.beats.__delitem__(slice(1, None)),
        [op("set", "beats", value=[3])],
        [op("set", "beats", value=[3, 1, 2])],
    ),
    "slice": (
        lambda t: t.beats.__setitem__(slice(0, 1), [7, 8]),
        [op("set", "beats", value=[7, 8, 1, 2])],
        [op("set", "beats", value=[3, 1, 2])],
    ),
    "empty slice": (lambda t: t.beats.__setitem__(slice(1, 1), []), [], []),
    "sort": (
        lambda t: t.beats.sort(),
        [op("set", "beats", value=[1, 2, 3])],
        [op("set", "beats", value=[3, 1, 2])],
    ),
    "clear": (
        lambda t: t.clips.clear(),
        [op("set", "clips", value=[])],
        [op("set", "clips", value=[FIRST, SHARED])],
    ),
    "append to a full list": (
        lambda t: t.last.append(4),
        [op("delete", "last", 0), op("append", "last", value=4)],
        [op("delete", "last", 2), op("insert", "last", 0, value=1)],
    ),
    "key": (
        lambda t: t.order.update({7: "z"}),
        [op("set", "order", 7, value="z")],
        [op("set", "order", 7, value="a")],
    ),
    "new key": (
        lambda t: t.order.update({-5: "z"}),
        [op("set", "order", "-5", value="z")],
        [op("delete", "order", "-5")],
    ),
    "equal key": (
        lambda t: t.scale.update({1: 2}),
        [op("set", "scale", "1.0", value=2)],
        [op("set", "scale", "1.0", value=1)],
    ),
    "key that is equal to a number": (
        lambda t: t.flags.update({True: 2}),
        [op("set", "flags", 1, value=2)],
        [op("set", "flags", 1, value=1)],
    ),
    "extend by a generator that changes the list": (
        lambda t: t.beats.extend(add_on_the_way(t)),
        [op("append", "beats", value=4), op("append", "beats", value=5)],
        [op("delete", "beats", 4), op("delete", "beats", 3)],
    ),
    "delete an equal key": (
        lambda t: t.scale.pop(1),
        [op("delete", "scale", "1.0")],
        [op("insert", "scale", "1.0", value=1, at=0)],
    ),
    "an equal member": (
        lambda t: t.ratios.discard(1),
        [op("remove", "ratios", value=1.0)],
        [op("append", "ratios", value=1.0)],
    ),
    "a state in one more place": (
        lambda t: t.by_name.update(c=t.clips[0]),
        [op("set", "by_name", "c", value=FIRST)],
        [op("delete", "by_name", "c")],
    ),
}


@pytest.mark.parametrize(("change", "operations", "inverses"), CASES.values(), ids=CASES.keys())
def test_a_change_is_taken_back_or_rendered(
    emitted: Any,
    track: Any,
    change: Callable[[Any], object],
    operations: Operations,
    inverses: Operations,
) -> None:
    emitted.test_a_change_is_taken_back_or_rendered(track, change, operations, inverses)


def test_a_batch_keeps_its_changes_around_a_block_that_fails(
    state: Any, emitted: Any, track: Any
) -> None:
    other = emitted.Track()
    emitted.notified.clear()
    with track.batch():
        other.name = "abc"
        with state.transaction():
            track.keys.add(1)
    assert sorted(map(str, emitted.notified)) == ["9", f"{state.Change((('keys',),))}"]
    emitted.notified.clear()
    with track.batch():
        track.name = "before"
        with contextlib.suppress(ValueError), state.transaction():
            track.name = "lost"
            raise ValueError
        track.beats.clear()
    assert (track.name, emitted.notified[0]) == ("before", state.Change((("name",), ("beats",))))


def test_an_object_made_in_a_block_that_fails_can_be_used_afterwards(
    state: Any, emitted: Any, track: Any
) -> None:
    made = list[Any]()
    with contextlib.suppress(ValueError), state.transaction():
        made.append(emitted.Track(name="made", clips=[emitted.Clip(tags=["a"])]))
        track.clips.append(made[0].clips[0])
        raise ValueError
    track.clips.append(made[0].clips[0])
    emitted.notified.clear()
    made[0].on_change(emitted.notified.append)
    made[0].clips[0].tags.append("b")
    assert state.Change((("clips", 0, "tags", 1),)) in emitted.notified
    assert state.Change((("clips", 2, "tags", 1),)) in emitted.notified


def test_leniency_is_taken_back(state: Any, emitted: Any, track: Any) -> None:
    before, beats = emitted.picture(track), track.beats
    with state.strict_mode(False), contextlib.suppress(ValueError), state.transaction():
        beats.append(emitted.WRONG)
        track.name = emitted.WRONG
        track.name = ""
        raise ValueError
    assert emitted.picture(track) == before
    assert not beats.lenient


def test_a_capture_sees_a_state_that_nothing_else_observes(state: Any, emitted: Any) -> None:
    clip, other = emitted.Clip(), emitted.Clip()
    states = {"clip": clip}
    recorder = emitted.Recorder(states)
    clip.start = 1
    emitted.replace_root(states, "clip", other)
    clip.start = 2
    other.start = 3
    first, second, third = (operations for operations, _ in recorder.blocks)
    assert [first[0], third[0]] == [
        {"op": "set", "path": ["clip", "start"], "value": number} for number in (1, 3)
    ]
    assert second == [{"op": "set", "path": ["clip"], "value": {"start": 0, "tags": []}}]


def test_a_capture_that_is_dropped_gets_nothing(state: Any, emitted: Any, track: Any) -> None:
    recorder = emitted.Recorder({"track": track})
    blocks = recorder.blocks
    track.name = "one"
    del recorder
    gc.collect()
    with track.batch():
        track.name = "two"
        with contextlib.suppress(ValueError), state.transaction():
            track.name = "lost"
            raise ValueError
    assert len(blocks) == 1
    assert track.name == "two"
