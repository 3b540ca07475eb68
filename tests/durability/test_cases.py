"""Every kind of damage to a state file, and programs of each kind that keep their state in one.

The emitted tests show some of them.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

DAMAGED = {
    "empty": b"",
    "torn": b'{"content": ',
    "null": b"null",
    "list": b'["content"]',
    "zeros": b"\0" * 64,
    "no text": b"\xff\xfe{",
    "too deep": b"[" * 50_000,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_corrupt_file_is_set_aside_and_the_object_starts_fresh(
    persistence: Any, tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(data)
    assert not hasattr(persistence.StatefulObject(path), "content")
    [kept] = tmp_path.glob("state.json.corrupt-*")
    assert kept.read_bytes() == data
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("shared", [True, False])
def test_threads_lose_no_update_with_one_object_or_one_each(
    persistence: Any, tmp_path: Path, shared: bool
) -> None:
    class Counter(persistence.StatefulObject):  # type: ignore[misc]
        count = 0

        def increment(self) -> None:
            for _ in range(5):
                with self._transaction():
                    self.count += 1

    async def count(counters: list[Any]) -> None:
        await asyncio.gather(*(asyncio.to_thread(counter.increment) for counter in counters))

    path = tmp_path / "state.json"
    asyncio.run(count([Counter(path)] * 4 if shared else [Counter(path) for _ in range(4)]))
    assert Counter(path).count == 20


def test_a_daemon_resumes_after_the_last_finished_job(persistence: Any, tmp_path: Path) -> None:
    class Counter(persistence.StatefulObject):  # type: ignore[misc]
        count = 0

    def run_daemon(jobs: list[str]) -> None:
        daemon = Counter(tmp_path / "state.json")
        for job in jobs[daemon.count :]:
            done.append(int(job))
            daemon.count += 1
            daemon._save_state()

    done: list[int] = []
    with contextlib.suppress(ValueError):
        run_daemon(["1", "2", "crash", "4"])
    run_daemon(["1", "2", "3", "4"])
    assert done == [1, 2, 3, 4]


def test_an_mcp_server_keeps_the_drafts_of_concurrent_calls(
    persistence: Any, tmp_path: Path
) -> None:
    class Drafts(persistence.StatefulObject):  # type: ignore[misc]
        content: dict[str, str] | None = None

        def write(self, name: str) -> None:
            with self._transaction():
                self.content = {**(self.content or {}), name: "text"}

    async def call_tools(server: Drafts) -> None:
        await asyncio.gather(*(asyncio.to_thread(server.write, name) for name in "abcdef"))

    path = tmp_path / "state.json"
    asyncio.run(call_tools(Drafts(path)))
    assert sorted(Drafts(path).content or {}) == list("abcdef")
