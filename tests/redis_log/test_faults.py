"""Faults under load: two workers, and 20 clients with 8 entries in flight each."""

import asyncio
import shutil
import signal
from pathlib import Path

from stores.proxy import Proxy
from stores.redis_server import HOST, RedisServer, running

from redis_log.conftest import PERSISTENCE, Start
from redis_log.driver import CLIENTS, Cluster

# Entries of each client in one part of a run.
PART = 25


def run_half(cluster: Cluster) -> int:
    """Begin a part, and return the number of answers in the middle of it."""
    before = len(cluster.acknowledged)
    cluster.begin(PART)
    return before + CLIENTS * PART // 2


def test_a_worker_is_killed(start: Start) -> None:
    async def story() -> None:
        async with start() as (_, cluster):
            half = run_half(cluster)
            await cluster.until(lambda: len(cluster.acknowledged) > half)
            epoch = (await cluster.workers["second"].state())["epoch"]
            await cluster.workers["first"].kill()
            cluster.move_clients("first", "second")
            del cluster.workers["first"]
            await cluster.finish()
            await cluster.add_worker("third")
            found = await cluster.check()
            assert len(found["state"]["applied"]) == CLIENTS * PART
            assert found["epoch"] == epoch

    asyncio.run(story())


def test_a_stopped_worker_wakes_after_an_epoch_has_changed(start: Start) -> None:
    async def story() -> None:
        async with start("none") as (server, cluster):
            half = run_half(cluster)
            await cluster.until(lambda: len(cluster.acknowledged) > half)
            former = (await cluster.workers["second"].state())["epoch"]
            cluster.workers["first"].signal(signal.SIGSTOP)
            # It may have acknowledged more than the other has read.
            cluster.move_clients("first", "second")
            server.kill()
            server.start()
            await cluster.finish()
            cluster.workers["first"].signal(signal.SIGCONT)
            found = await cluster.check(lambda name: cluster.acknowledged[name] == former)
            assert found["epoch"] != former
            cluster.begin(2, "first")
            await cluster.finish()
            await cluster.check(lambda name: cluster.acknowledged[name] == former)

    asyncio.run(story())


def test_flushall_on_a_living_server(start: Start) -> None:
    async def story() -> None:
        async with start() as (server, cluster):
            half = run_half(cluster)
            await cluster.until(lambda: len(cluster.acknowledged) > half)
            server.ask("FLUSHALL")
            await cluster.finish()
            cluster.begin(5)
            await cluster.finish()
            found = await cluster.check()
            assert len(found["state"]["applied"]) == CLIENTS * (PART + 5)

    asyncio.run(story())


def test_the_stream_is_restored_from_an_old_backup(start: Start, tmp_path: Path) -> None:
    async def story() -> None:
        async with start() as (server, cluster):
            cluster.begin(5)
            await cluster.finish()
            shutil.copytree(tmp_path / "redis", tmp_path / "backup")
            former = (await cluster.check())["epoch"]
            half = run_half(cluster)
            await cluster.until(lambda: len(cluster.acknowledged) > half)
            server.kill()
            shutil.rmtree(tmp_path / "redis")
            shutil.copytree(tmp_path / "backup", tmp_path / "redis")
            server.start()
            await cluster.finish()
            found = await cluster.check()
            assert found["epoch"] != former
            assert len(found["state"]["applied"]) == CLIENTS * (PART + 5)
            # A later worker finds the new epoch, not the restored one.
            await cluster.add_worker("third")
            assert (await cluster.check())["epoch"] == found["epoch"]

    asyncio.run(story())


def test_a_worker_is_stopped_beyond_the_trimmed_range(start: Start) -> None:
    async def story() -> None:
        async with start("none") as (server, cluster):
            await cluster.add_worker("short", "SNAPSHOT_ENTRIES=50")
            stopped = cluster.workers["first"]
            stopped.signal(signal.SIGSTOP)
            cluster.begin(PART, "short")
            await cluster.finish()
            [name] = server.ask("KEYS", "*:snapshot:*").split()[2:]
            stream = name.decode().partition(":snapshot")[0]
            first = server.ask("XRANGE", stream, "-", "+", "COUNT", "1").split()[3]
            assert int(first.partition(b"-")[2]) > 1
            stopped.signal(signal.SIGCONT)
            found = await cluster.check()
            assert found["seq"] == CLIENTS * PART

    asyncio.run(story())


def test_another_server_takes_over(start: Start, tmp_path: Path) -> None:
    async def story() -> None:
        folder = tmp_path / "replica"
        folder.mkdir()
        async with start() as (primary, cluster):
            with running(folder, *PERSISTENCE["always"]) as replica, Proxy(primary.port) as proxy:
                replica.ask("REPLICAOF", HOST, primary.port)
                url = f"redis://{HOST}:{proxy.port}/0?namespace=failover"
                for name in ("third", "fourth"):
                    await cluster.add_worker(name, url=url)
                for name in ("first", "second"):
                    await cluster.workers.pop(name).kill()
                half = run_half(cluster)
                await cluster.until(lambda: len(cluster.acknowledged) > half)
                former = (await cluster.workers["third"].state())["epoch"]
                fail_over(primary, replica, proxy)
                await cluster.finish()
                found = await cluster.check()
                assert found["epoch"] != former
                assert len(found["state"]["applied"]) == CLIENTS * PART

    asyncio.run(story())


def fail_over(primary: RedisServer, replica: RedisServer, proxy: Proxy) -> None:
    """Promote the replica, as Sentinel does; the former primary lives, and only reads."""
    replica.ask("REPLICAOF", "NO", "ONE")
    proxy.turn_to(replica.port)
    primary.ask("REPLICAOF", HOST, replica.port)


def test_a_silent_network_is_noticed_and_nothing_is_lost(start: Start) -> None:
    async def story() -> None:
        async with start() as (server, cluster):
            with Proxy(server.port) as proxy:
                url = f"redis://{HOST}:{proxy.port}/0?namespace=silent"
                await cluster.add_worker("third", "ANSWER_SECONDS=0.5", url=url)
                for name in ("first", "second"):
                    await cluster.workers.pop(name).kill()
                half = run_half(cluster)
                await cluster.until(lambda: len(cluster.acknowledged) > half)
                proxy.go_silent()
                await cluster.finish()
                found = await cluster.check()
                assert len(found["state"]["applied"]) == CLIENTS * PART

    asyncio.run(story())
