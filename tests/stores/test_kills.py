"""A process killed in the middle of a change leaves the old state or the new one, and no lock."""

import json
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.experiments import Experiments

from stores.conftest import FILES, SHARED, UrlOf

KILLS = 100
FORKS = 300

# Files that may stay in the folder: the data, and the locks.
LASTING = {
    "file": {"state", "state.previous", ".state.lock"},
    "sqlite": {"state", "state-wal", "state-shm", ".state.lock"},
    "redis": set[str](),
}
# A kill at one of these has the same result as a kill at the next call of another kind.
CHANGE_NOTHING = {"fcntl", "getdents64", "pread64"}


@pytest.mark.needs("Linux")
@pytest.mark.parametrize("kind", SHARED)
def test_random_kills_leave_the_last_count_or_the_one_in_progress(
    kind: str, children: Children, url_of: UrlOf, memory: Path
) -> None:
    said = children.run("kill_at_random", url_of(kind), KILLS, memory)
    rounds = [json.loads(line) for line in said.splitlines()]
    assert len(rounds) == KILLS
    assert not [each for each in rounds if each["found"] not in (each["said"], each["said"] + 1)]
    assert not [each for each in rounds if each["waited"] > 10]
    assert not [each for each in rounds if not {*each["left"]} <= LASTING[kind]]
    assert max(each["litter"] for each in rounds) <= len(LASTING[kind]) + 2
    # Otherwise the kills would all have missed the updates.
    assert rounds[-1]["last"] > 2 * KILLS


@pytest.mark.needs("Linux", "strace")
@pytest.mark.parametrize("name", ["file: an update", "sqlite: an update"])
def test_a_kill_at_each_call_leaves_the_old_state_or_the_new_one(
    name: str, experiment: Experiments, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = [*experiment(name).kill_at_each_call(ignored=CHANGE_NOTHING)]
    assert not wrong, "\n".join(wrong)
    assert not caplog.messages


@pytest.mark.parametrize("kind", SHARED)
def test_a_process_killed_inside_an_update_leaves_no_lock_and_no_change(
    kind: str, children: Children, url_of: UrlOf, state: Any
) -> None:
    url = url_of(kind)
    with state.open_store(url) as store:
        store.save("count", 1)
        holder = children.start("hold", url)
        assert holder.stdout
        assert holder.stdout.readline() == "inside\n"
        # No process waits for a slow callback, nor for one that died in its callback.
        assert store.update("count", lambda count: count + 1).value == 2
        holder.kill()
        holder.wait()
        assert store.update("count", lambda count: count + 1).value == 3


@pytest.mark.needs("Linux")
@pytest.mark.parametrize("kind", FILES)
def test_a_fork_beside_busy_threads_keeps_no_lock_and_waits_for_none(
    kind: str, children: Children, url_of: UrlOf
) -> None:
    said = children.run("fork_beside_threads", url_of(kind), FORKS)
    assert json.loads(said) == [FORKS, True]
