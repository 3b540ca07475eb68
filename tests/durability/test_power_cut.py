"""An acknowledged save survives a power cut, on a real file system.

A file system in an image is shut down at once, without writing its log, and mounted again.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.disks import Disk

pytestmark = pytest.mark.needs("Linux", "root", "mount")

ROUNDS = 12


def count_in(persistence: Any, path: Path) -> int | None:
    """Start from a file; return None if it is corrupt."""
    count: int | None = getattr(persistence.StatefulObject(path), "count", None)
    names = [other.name for other in path.parent.glob("*") if "corrupt" in other.name]
    assert not names
    return count


def test_a_save_that_has_returned_survives(
    disk: Disk, children: Children, persistence: Any
) -> None:
    path = disk.folder / "state.json"
    for count in range(1, ROUNDS + 1):
        children.run("save_and_cut", path, count, disk.folder)
        disk.restart()
        assert count_in(persistence, path) == count


def test_a_first_save_into_new_folders_survives(
    disk: Disk, children: Children, persistence: Any
) -> None:
    for count in range(1, ROUNDS + 1):
        path = disk.folder / str(count) / "deep" / "state.json"
        children.run("save_and_cut", path, count, disk.folder)
        disk.restart()
        assert count_in(persistence, path) == count


def test_a_cut_between_saves_leaves_the_last_one_or_the_one_in_progress(
    disk: Disk, children: Children, persistence: Any
) -> None:
    path = disk.folder / "state.json"
    for _ in range(ROUNDS):
        writer = children.start("save_for_ever", path, stderr=subprocess.DEVNULL)
        saved, last = disk.cut_and_restart_under(writer)
        assert saved <= (count_in(persistence, path) or 0) <= last + 1
        assert not [*path.parent.glob(".*.tmp")]


@pytest.mark.parametrize("fault", ["no_fsync_of_the_folder", "no_fsync"])
def test_without_fsync_a_save_that_has_returned_is_lost(
    fault: str, disk: Disk, children: Children, persistence: Any
) -> None:
    path = disk.folder / "state.json"

    def lost(count: int) -> bool:
        children.run("save_and_cut", path, count, disk.folder)
        disk.restart()
        children.run("save_and_cut", path, count + 1, disk.folder, fault=fault)
        disk.restart()
        return count_in(persistence, path) == count

    assert any(map(lost, range(1, ROUNDS, 2)))


def test_without_fsync_of_the_file_a_first_save_is_empty(disk: Disk, children: Children) -> None:
    def empty(number: int) -> bool:
        path = disk.folder / f"{number}.json"
        children.run("save_and_cut", path, 1, disk.folder, fault="no_fsync_of_the_file")
        disk.restart()
        return path.exists() and not path.read_bytes().strip(b"\0")

    assert any(map(empty, range(ROUNDS)))
