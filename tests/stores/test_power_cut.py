"""An acknowledged save survives a power cut, on a real file system.

A file system in an image is shut down at once, without writing its log, and mounted again.
"""

import os
import subprocess
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.disks import Disk

from stores.conftest import FILES
from stores.redis_server import running

pytestmark = pytest.mark.needs("Linux", "root", "mount")

ROUNDS = 6


def value_in(state: Any, url: str) -> Any:
    """Open a store again and return its value."""
    with state.open_store(url) as store:
        record = store.load("count")
        return record and record.value


@pytest.mark.parametrize("kind", FILES)
def test_a_save_that_has_returned_survives(
    kind: str, disk: Disk, children: Children, state: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("one", "one", "one", "two/deep", "three"):
        for value in range(2):
            url = f"{kind}:{disk.folder / folder / 'state'}"
            children.run("save_and_cut", url, value, disk.folder)
            disk.restart()
            assert value_in(state, url) == value
    assert not caplog.messages


@pytest.mark.parametrize("kind", FILES)
def test_a_cut_between_updates_leaves_the_last_one_or_the_one_in_progress(
    kind: str, disk: Disk, children: Children, state: Any, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{kind}:{disk.folder / 'state'}"
    for _ in range(ROUNDS):
        updater = children.start("update_for_ever", url, stderr=subprocess.DEVNULL)
        saved, last = disk.cut_and_restart_under(updater)
        assert saved <= value_in(state, url) <= last + 1
    assert not caplog.messages


@pytest.mark.parametrize("kind", FILES)
def test_without_fsync_a_save_that_has_returned_is_lost(
    kind: str, disk: Disk, children: Children, state: Any
) -> None:
    url = f"{kind}:{disk.folder / 'state'}"

    def lost(value: int) -> bool:
        children.run("save_and_cut", url, value, disk.folder)
        disk.restart()
        children.run("save_and_cut", url, value + 1, disk.folder, fault="no_fsync")
        disk.restart()
        return bool(value_in(state, url) == value)

    assert any(map(lost, range(1, 2 * ROUNDS, 2)))


def test_a_redis_server_that_flushes_always_keeps_a_save_that_has_returned(
    disk: Disk, state: Any
) -> None:
    with running(disk.folder, "--appendonly", "yes", "--appendfsync", "always") as server:
        url = server.url
        os.sync()  # its folder; it need not be durable before the first save
        for value in range(ROUNDS):
            with state.open_store(url) as store:
                store.save("count", value)
                disk.cut()
            server.kill()
            disk.restart()
            server.start()
            assert value_in(state, url) == value
