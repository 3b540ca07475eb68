"""Every way in which a file of the JSON store may be torn, and StoredObject on every store.

The emitted tests show some of them.
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stores.conftest import STORES, UrlOf

READABLE = """\
{
  "checksum": "crc32:d20cc7b5",
  "format": 1,
  "records": {
    "settings": {
      "version": 1767225600000000,
      "saved_at": "2026-01-01T00:00:00+00:00",
      "value": {
        "theme": "dark",
        "note": "two\\nlines, ä"
      }
    },
    "session": {
      "version": 1767225600000002,
      "saved_at": "2026-01-01T00:00:00+00:00",
      "expires_at": "2026-01-01T01:00:00+00:00",
      "value": 340282366920938463463374607431768211456
    },
    "old": {
      "version": 1767225600000006,
      "saved_at": "2026-01-01T00:00:00+00:00",
      "deleted": true
    }
  }
}
"""


TORN = {
    "empty": b"",
    "half": READABLE.encode()[:200],
    "zeros": bytes(len(READABLE)),
    "no text": b'{"format": 1, "records": {"key": {"value": "\xff"}}}',
    "too large a number": b'{"format": 1, "records": {"key": {"value": 1e999}}}',
    "no key": b'{"format": 1, "records": {"": {"value": 1}}}',
    "not a number": b'{"format": 1, "records": {"key": {"value": NaN}}}',
    "another program's": b'{"name": "Ada"}',
    "a list": b"[]",
    "no value": b'{"format": 1, "records": {"key": {"version": 1}}}',
    "a record that is none": b'{"format": 1, "records": {"key": 1}}',
    "no format": b'{"format": 0, "records": {}}',
    "too high a version": b'{"format": 1, "records": {"key": {"value": 1, "version": %d}}}' % 2**64,
    "a version that is none": b'{"format": 1, "records": {"key": {"value": 1, "version": "1"}}}',
    "a time that is none": b'{"format": 1, "records": {"key": {"value": 1, "saved_at": "now"}}}',
}


def write(state: Any, path: Path, *values: Any) -> Path:
    """Save values in turn, and return the path of the generation before the last."""
    with state.JsonFileStore(path) as store:
        for value in values:
            store.save("key", value)
    return path.with_name(f"{path.name}.previous")


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
def test_the_previous_generation_is_used_and_the_torn_file_is_kept(
    state: Any, tmp_path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"
    previous = write(state, path, "first", "second")
    first = previous.read_bytes()
    path.write_bytes(torn)
    with state.JsonFileStore(path) as store:
        assert store.load("key").value == store.load("key").value == "first"
        [entry] = caplog.records
        assert entry.levelname == "ERROR"
        assert f"{path} cannot be read" in entry.message
        assert "Its previous generation state.json.previous is used" in entry.message
        assert path.read_bytes() == torn
        store.save("key", "third")
    [corrupt] = path.parent.glob("state.json.corrupt-*")
    assert corrupt.read_bytes() == torn
    assert previous.read_bytes() == first
    caplog.clear()
    with state.JsonFileStore(path) as store:
        assert store.load("key").value == "third"
    assert caplog.text == ""


V0 = {"name": "Ada Lovelace"}
V1 = {"__version__": 1, "values": {"first": "Ada", "last": "Lovelace"}}


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize(("version", "old"), [(0, V0), (1, V1)])
def test_an_older_state_is_migrated_and_kept(
    state: Any, url_of: UrlOf, kind: str, version: int, old: dict[str, Any]
) -> None:
    class Person(state.StoredObject):
        _state_version = 2

        def _migrate_state(self, values: dict[str, Any], from_version: int) -> dict[str, Any]:
            if from_version < 1:
                values["first"], values["last"] = values.pop("name").split()
            return {"names": [values["first"], values["last"]]}

    key = f"person {version}"
    with state.open_store(url_of(kind)) as store:
        store.save(key, old)
        person = Person(store, key)
        assert store.keys(key) == [key]
        with person._transaction():
            person.names.append("Byron")
        person._save_state()
        assert Person(store, key).names == ["Ada", "Lovelace", "Byron"]
        [kept] = store.keys(f"{key}.v{version}-")
        assert store.load(kept).value == old
        assert len(store.keys(key)) == 2


@pytest.mark.parametrize("kind", STORES)
def test_a_transaction_with_a_late_conflict_is_rolled_back(
    state: Any, url_of: UrlOf, kind: str
) -> None:
    class Box(state.StoredObject):
        content = "old"

    def change_too_late() -> None:
        with box._transaction():
            box.content, box.extra = "ours", "new"
            theirs = Box(store, "box")
            theirs.content = "theirs"
            theirs._save_state()

    with state.open_store(url_of(kind)) as store:
        box: Any = Box(store, "box")
        box._save_state()
        with pytest.raises(state.ConflictError, match=r"'box' has version .*, expected version"):
            change_too_late()
        assert (box.content, hasattr(box, "extra")) == ("old", False)
        assert Box(store, "box").content == "theirs"


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("is_shared", [True, False])
def test_threads_lose_no_update_with_one_object_or_one_each(
    state: Any, url_of: UrlOf, kind: str, is_shared: bool
) -> None:
    class Counter(state.StoredObject):
        count = 0

        def increment(self) -> None:
            for _ in range(5):
                while True:
                    with contextlib.suppress(state.ConflictError):
                        with self._transaction():
                            self.count += 1
                        break

    key = f"counter {is_shared}"
    with state.open_store(url_of(kind)) as store, ThreadPoolExecutor(4) as pool:
        one: Any = Counter(store, key)
        counters = [one] * 4 if is_shared else [Counter(store, key) for _ in range(4)]
        assert [*pool.map(Counter.increment, counters)] == [None] * 4
        assert Counter(store, key).count == 20
