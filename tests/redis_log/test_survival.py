"""Each cell of the table: which acknowledged entries survive the end of which processes.

A power cut takes everything from a server that it has not flushed: with `always` nothing, with
`everysec` the last second, which is cut from the end of its file here.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from redis_log.conftest import Start
from redis_log.driver import CLIENTS, Cluster

PART = 15
# Entries of each client before those that a power cut may take.
FLUSHED = 5


async def begin(cluster: Cluster) -> Any:
    """Let entries be flushed, then keep more in flight; return the state before those."""
    cluster.begin(FLUSHED)
    await cluster.finish()
    found = await cluster.check()
    cluster.begin(PART)
    # Those of the first new client too: one without an answer would be sent again after the end.
    first, half = f"client-{CLIENTS:03}:1", CLIENTS * (FLUSHED + PART // 2)
    await cluster.until(lambda: first in cluster.acknowledged and len(cluster.acknowledged) > half)
    return found


async def kill_workers(cluster: Cluster) -> None:
    for name in [*cluster.workers]:
        await cluster.workers.pop(name).kill()


async def restart_workers(cluster: Cluster) -> None:
    for name in ("third", "fourth"):
        await cluster.add_worker(name)
    for client in cluster.clients.values():
        client.connect(cluster.workers["third"])


def cut_tail(folder: Path) -> None:
    """Take the end of the append-only file away: everything after the flushed entries."""
    [file] = folder.glob("appendonlydir/*.incr.aof")
    data = file.read_bytes()
    # The first client of the second part is the one after those of the first.
    cut = data.index(f"client-{CLIENTS:03}".encode())
    file.write_bytes(data[: data.rindex(b"*", 0, data.rindex(b"XADD", 0, cut))])


@pytest.mark.parametrize("persistence", ["always", "everysec", "none"])
def test_the_process_of_a_worker_is_killed(start: Start, persistence: str) -> None:
    async def story() -> None:
        async with start(persistence) as (_, cluster):
            before = await begin(cluster)
            await cluster.workers["first"].kill()
            cluster.move_clients("first", "second")
            del cluster.workers["first"]
            await cluster.finish()
            assert (await cluster.check())["epoch"] == before["epoch"]

    asyncio.run(story())


@pytest.mark.parametrize("persistence", ["always", "everysec", "none"])
def test_the_server_is_killed(start: Start, persistence: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with start(persistence) as (server, cluster):
            before = await begin(cluster)
            server.kill()
            if persistence == "everysec":
                cut_tail(tmp_path / "redis")
            server.start()
            await cluster.finish()
            found = await cluster.check()
            assert found["epoch"] != before["epoch"]
            assert len(found["state"]["applied"]) == CLIENTS * (FLUSHED + PART)

    asyncio.run(story())


@pytest.mark.parametrize("persistence", ["always", "everysec", "none"])
def test_everything_is_killed(start: Start, persistence: str, tmp_path: Path) -> None:
    def may_be_lost(cluster: Cluster, name: str, former: str) -> bool:
        if cluster.acknowledged[name] != former or persistence == "always":
            return False
        return persistence == "none" or int(name[7:10]) >= CLIENTS

    async def story() -> None:
        async with start(persistence) as (server, cluster):
            former = (await begin(cluster))["epoch"]
            await kill_workers(cluster)
            server.kill()
            if persistence == "everysec":
                cut_tail(tmp_path / "redis")
            server.start()
            await restart_workers(cluster)
            await cluster.finish()
            found = await cluster.check(lambda name: may_be_lost(cluster, name, former))
            assert found["epoch"] > former
            applied = found["state"]["applied"]
            is_kept = [f"client-{number:03}:1" in applied for number in (0, CLIENTS)]
            assert (
                is_kept
                == {
                    "always": [True, True],
                    "everysec": [True, False],
                    "none": [False, False],
                }[persistence]
            )

    asyncio.run(story())


def test_the_server_flushes_an_entry_before_it_is_acknowledged(
    start: Start, tmp_path: Path
) -> None:
    """With `always`, a power cut takes nothing: the file has it when the client hears of it."""

    async def story() -> None:
        async with start() as (_, cluster):
            cluster.begin(1)
            await cluster.until(lambda: cluster.acknowledged)
            [file] = (tmp_path / "redis").glob("appendonlydir/*.incr.aof")
            assert next(iter(cluster.acknowledged)).encode() in file.read_bytes()
            await cluster.finish()

    asyncio.run(story())


def test_own_changes_of_a_worker_survive_the_server(start: Start) -> None:
    async def story() -> None:
        async with start("none") as (server, cluster):
            cluster.workers["first"].tell("own 200")
            server.kill()
            cluster.workers["second"].tell("own 200")
            await asyncio.sleep(0.2)
            server.start()
            while len((await cluster.agree())["state"]["applied"]) < 400:
                pass

    asyncio.run(story())
