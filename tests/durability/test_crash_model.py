"""The model allows exactly the outcomes that a real disk does: by traces written by hand."""

from pathlib import Path

import pytest
from crashlab.crash_states import File, Tree, crash_states, read_tree, write_tree
from crashlab.tracing import Operation, parse

pytestmark = pytest.mark.needs("Linux")

EMPTY: Tree = {".": None}
OLD: Tree = {".": None, "state": File(b"old")}


def contents(before: Tree, *operations: Operation, path: str = "state") -> set[bytes | None]:
    """Return the possible contents of a file after a crash when all operations have returned."""
    found = set()
    for returned, tree in crash_states(before, operations):
        node = tree.get(path)
        if returned:
            found.add(node.data if isinstance(node, File) else None)
    return found


CREATE = ("create", "state", 0o644)
WRITE = ("write", "state", 0, b"ABCD")


def test_a_write_that_is_not_pinned_is_there_in_any_part_or_not_at_all() -> None:
    parts = {b"", bytes(4), b"AB", b"\0\0CD", b"ABCD"}
    assert contents(EMPTY, CREATE, ("fsync", "."), WRITE) == parts


def test_fsync_of_a_file_pins_its_content_and_not_its_entry() -> None:
    assert contents(EMPTY, CREATE, WRITE, ("fsync", "state")) == {None, b"ABCD"}


def test_fsync_of_the_folder_too_pins_the_file() -> None:
    assert contents(EMPTY, CREATE, WRITE, ("fsync", "state"), ("fsync", ".")) == {b"ABCD"}


def test_fsync_pins_earlier_writes_only() -> None:
    later = ("write", "state", 4, b"EF")
    parts = {b"ABCD", b"ABCD\0\0", b"ABCDE", b"ABCD\0F", b"ABCDEF"}
    assert contents(EMPTY, CREATE, WRITE, ("fsync", "state"), ("fsync", "."), later) == parts


def test_a_write_in_place_mixes_old_and_new() -> None:
    assert contents(OLD, ("write", "state", 0, b"NEW")) == {b"old", b"Nld", b"oEW", b"NEW"}


def test_an_existing_file_is_opened_and_not_created_anew() -> None:
    assert contents(OLD, CREATE, ("truncate", "state", 0)) == {b"old", b""}


def test_a_rename_is_all_or_nothing_and_pinned_by_its_folder() -> None:
    renamed = [("create", "new", 0o644), ("write", "new", 0, b"n"), ("fsync", "new")]
    renamed.append(("rename", "new", "state"))
    assert contents(OLD, *renamed) == {b"old", b"n"}
    assert contents(OLD, *renamed, ("fsync", ".")) == {b"n"}


def test_changes_of_one_folder_are_kept_in_order() -> None:
    linked = [("link", "state", "kept"), ("unlink", "state")]
    assert {frozenset(tree) for _, tree in crash_states(OLD, linked)} == {
        frozenset({".", "state"}),
        frozenset({".", "state", "kept"}),
        frozenset({".", "kept"}),
    }


def test_a_folder_that_its_parent_has_not_pinned_takes_its_files_along() -> None:
    made = [("mkdir", "a"), ("create", "a/state", 0o644), ("fsync", "a")]
    assert contents(EMPTY, *made, path="a/state") == {None, b""}
    assert contents(EMPTY, *made, ("fsync", "."), path="a/state") == {b""}


def test_a_mode_is_pinned_with_the_content() -> None:
    def modes(*operations: Operation) -> set[int]:
        states = crash_states(OLD, operations)
        return {
            node.mode for done, tree in states if done and isinstance(node := tree["state"], File)
        }

    assert modes(("chmod", "state", 0o600)) == {0o644, 0o600}
    assert modes(("chmod", "state", 0o600), ("fsync", "state")) == {0o600}


def test_a_crash_before_the_end_is_distinguished_from_one_after_it() -> None:
    states = crash_states(OLD, [("unlink", "state"), ("fsync", ".")])
    assert [(returned, "state" in tree) for returned, tree in states] == [
        (False, True),
        (False, False),
        (True, False),
    ]


@pytest.mark.parametrize(
    "operation", [("rename", "state", "a/state"), ("fallocate", "state"), ("swap", "a", "b")]
)
def test_a_call_that_is_not_modelled_is_refused(operation: Operation) -> None:
    with pytest.raises(ValueError, match="not modelled"):
        list(crash_states({**OLD, "a": None}, [operation]))


def hexadecimal(line: str) -> str:
    """Spell the strings and paths of a line as strace does with -xx."""
    for text in ("/d/state", "/d/new", "/d", "/else", "abcdef", "new"):
        escaped = "".join(f"\\x{ord(letter):02x}" for letter in text)
        for left, right in ('""', "<>"):
            line = line.replace(f"{left}{text}{right}", f"{left}{escaped}{right}")
    return line


def test_a_trace_is_read_as_strace_writes_it() -> None:
    trace = """
        7 openat(AT_FDCWD</else>, "/d/new", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0666) = 3</d/new>
        7 ioctl(3</d/new>, TCGETS, 0x7fff9d3399d0) = -1 ENOTTY (Inappropriate ioctl for device)
        7 write(3</d/new>, "abcdef", 6) = 4
        7 write(3</d/new>, "abcdef", 2) = 2
        7 pwrite64(3</d/new>, "abcdef", 6, 100) = 6
        7 fchmod(3</d/new>, 0640) = 0
        7 ftruncate(3</d/new>, 106) = 0
        7 fsync(3</d/new>) = 0
        7 close(3</d/new>) = 0
        7 unlink("/d/state") = -1 ENOENT (No such file or directory)
        7 write(1</else>, "abcdef", 6) = 6
        7 renameat2(AT_FDCWD</d>, "new", AT_FDCWD</d>, "/d/state", 0) = 0
        7 openat(AT_FDCWD</d>, "/d", O_RDONLY|O_CLOEXEC) = 3</d>
        7 fdatasync(3</d>) = 0
    """
    lines = [hexadecimal(line) for line in trace.strip().splitlines()]
    assert parse([line.strip() for line in lines], Path("/d")) == [
        ("create", "new", 0o644),
        ("write", "new", 0, b"abcd"),
        ("write", "new", 4, b"ab"),
        ("write", "new", 100, b"abcdef"),
        ("chmod", "new", 0o640),
        ("truncate", "new", 106),
        ("fsync", "new"),
        ("rename", "new", "state"),
        ("fsync", "."),
    ]


@pytest.mark.parametrize(
    "line", ["fallocate(3</d/state>, 0, 0, 9) = 0", "fsync(3</d/state> <unfinished ...>"]
)
def test_a_trace_that_cannot_be_understood_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"not modelled|not a finished"):
        parse([hexadecimal(line)], Path("/d"))


def test_a_tree_is_written_as_it_was_read(tmp_path: Path) -> None:
    tree: Tree = {**OLD, "a": None, "a/b": None, "a/b/private": File(b"p", 0o600)}
    write_tree(tree, tmp_path / "written")
    assert read_tree(tmp_path / "written") == tree
