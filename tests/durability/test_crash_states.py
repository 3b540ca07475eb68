"""Whatever a crash leaves, the next start finds the old state or the new one, and nothing lost.

Each protocol is run once and recorded; the emitted code then starts from every state that the
recorded calls can leave on the disk. The same is done with mistakes planted, to be caught.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from durability.children import Children
from durability.crash_states import crash_states, read_tree, write_tree
from durability.protocols import PROTOCOLS
from durability.tracing import marked, parse, trace

pytestmark = pytest.mark.needs("Linux", "strace")


def violations(
    name: str, children: Children, persistence: Any, tmp_path: Path, plant: str = ""
) -> Iterator[str]:
    """Record a protocol and yield what is wrong with the states it may crash into."""
    protocol = PROTOCOLS[name]
    root = protocol.prepare(tmp_path / "recorded")
    before = read_tree(root)
    lines = trace(protocol.command(children, root, plant), tmp_path / "strace")
    operations = parse(lines[marked(lines)], root)
    assert operations
    for number, (returned, tree) in enumerate(crash_states(before, operations)):
        write_tree(tree, tmp_path / str(number))
        found = protocol.start(persistence, tmp_path / str(number))
        if not protocol.allows(found, returned=returned):
            yield f"{'after' if returned else 'before'} it returned: {found} from {str(tree)[:500]}"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_crash_state_is_the_old_state_or_the_new_one(
    name: str, children: Children, persistence: Any, tmp_path: Path
) -> None:
    wrong = [*violations(name, children, persistence, tmp_path)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        ("no_fsync_of_the_file", "a save over an existing file"),
        ("no_fsync_of_the_file", "the first save"),
        ("no_fsync_of_the_folder", "a save over an existing file"),
        ("no_fsync_of_the_folder", "the first save"),
        ("no_fsync_of_the_folder", "clearing"),
        ("no_fsync_of_the_parents", "a save into a new folder"),
        ("written_in_place", "a save over an existing file"),
        ("written_in_place", "a save of 300 KB"),
        ("renamed_before_written", "a save over an existing file"),
        ("mode_set_after_fsync", "a save over an existing file"),
        ("old_version_kept_too_late", "a save that migrates"),
        ("corrupt_file_deleted", "setting a corrupt file aside"),
    ],
)
def test_a_planted_mistake_is_caught(
    plant: str, name: str, children: Children, persistence: Any, tmp_path: Path
) -> None:
    assert [*violations(name, children, persistence, tmp_path, plant)]
