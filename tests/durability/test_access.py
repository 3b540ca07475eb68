"""A save never lets anyone read the file who could not read it before."""

import os
import stat
import struct
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.components import lacking

pytestmark = pytest.mark.needs("Linux", "root")

SAVER, SECRET_GROUP, NAMED_USER = 65534, 4242, 1234
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def acl(*, user: int, group: int, mask: int, others: int = 0, saver: int | None = None) -> bytes:
    """Return an ACL that gives a named user, and the group of the saver, rights of their own."""
    rights = [(1, 6, -1), (2, user, NAMED_USER), (4, group, -1), (16, mask, -1), (32, others, -1)]
    if saver is not None:
        rights.insert(3, (8, saver, SAVER))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in rights)


def set_acl(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        lacking(f"a file system with ACLs at {path}: {error}")


@pytest.fixture
def path(persistence: Any, public_folder: Path) -> Path:
    """Return a state file of the saver, for a group to which the saver does not belong."""
    path = public_folder / "state.json"
    persistence.StatefulObject(path)._save_state()
    os.chown(path, SAVER, SECRET_GROUP)
    path.chmod(0o640)
    return path


@pytest.mark.parametrize(
    ("before", "after"), [(0o640, 0o600), (0o660, 0o600), (0o604, 0o600), (0o664, 0o644)]
)
def test_a_group_that_is_lost_takes_its_rights_along(
    before: int, after: int, children: Children, path: Path
) -> None:
    path.chmod(before)
    assert children.run("as_user", "save", path) == "done"
    found = path.stat()
    assert (found.st_uid, found.st_gid) == (SAVER, SAVER)
    assert stat.S_IMODE(found.st_mode) == after


def test_what_root_saves_stays_with_its_owner_and_group(persistence: Any, path: Path) -> None:
    persistence.StatefulObject(path)._save_state()
    found = path.stat()
    assert (found.st_uid, found.st_gid) == (SAVER, SECRET_GROUP)
    assert stat.S_IMODE(found.st_mode) == 0o640


def test_a_group_of_the_folder_is_not_taken_over(persistence: Any, path: Path) -> None:
    os.chown(path.parent, -1, 5555)
    path.parent.chmod(0o2777)
    persistence.StatefulObject(path)._save_state()
    assert path.stat().st_gid == SECRET_GROUP


def test_the_named_users_of_an_acl_stay_and_nobody_joins_them(
    children: Children, persistence: Any, path: Path
) -> None:
    before = acl(user=4, group=0, mask=4)
    set_acl(path, ACCESS, before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # the mask, not the group
    persistence.StatefulObject(path)._save_state()
    assert os.getxattr(path, ACCESS) == before
    set_acl(path, ACCESS, acl(user=4, group=6, mask=6))
    assert children.run("as_user", "save", path) == "done"
    assert path.stat().st_gid == SAVER
    assert os.getxattr(path, ACCESS) == acl(user=4, group=0, mask=6)


def test_a_group_that_an_acl_excludes_gains_nothing_as_the_new_owner(
    children: Children, path: Path
) -> None:
    set_acl(path, ACCESS, acl(user=4, group=6, saver=0, mask=6, others=4))
    assert children.run("as_user", "save", path) == "done"
    assert path.stat().st_gid == SAVER
    assert os.getxattr(path, ACCESS) == acl(user=4, group=0, saver=0, mask=6)


def test_a_default_acl_of_the_folder_gives_nobody_an_older_file(
    children: Children, path: Path
) -> None:
    set_acl(path.parent, DEFAULT, acl(user=6, group=6, mask=6, others=4))
    assert children.run("as_user", "save", path) == "done"
    assert ACCESS not in os.listxattr(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
