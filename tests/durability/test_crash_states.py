"""After any crash, the next start finds the old state or the new one, and nothing is lost.

Each protocol is run once and recorded; the emitted code then starts from every state that the
recorded calls can leave on the disk. Planted mistakes must be caught in the same way.
"""

from collections.abc import Iterator

import pytest
from crashlab.crash_states import write_tree
from crashlab.experiments import Experiment, Experiments

from durability.protocols import PROTOCOLS

pytestmark = pytest.mark.needs("Linux", "strace")


def violations(experiment: Experiment) -> Iterator[str]:
    """Yield the states that a protocol may crash into and must not."""
    for number, (returned, tree) in enumerate(experiment.crash_states()):
        root = experiment.folder / str(number)
        write_tree(tree, root)
        found = experiment.protocol.find(experiment.emitted, root)
        if not experiment.protocol.allows(found, returned=returned):
            yield f"{'after' if returned else 'before'} it returned: {found} from {str(tree)[:500]}"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_crash_state_is_the_old_state_or_the_new_one(
    name: str, experiment: Experiments
) -> None:
    wrong = [*violations(experiment(name))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("fault", "name"),
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
def test_a_planted_mistake_is_caught(fault: str, name: str, experiment: Experiments) -> None:
    assert [*violations(experiment(name, fault))]
