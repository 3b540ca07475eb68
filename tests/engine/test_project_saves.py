"""A save of a project that is killed at any moment leaves the old version or the new one, whole."""

import compileall
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.experiments import Experiment, Experiments

from engine.conftest import PACKAGE

# More than a page of a database.
TEXT = "x" * 6_000
# A kill at one of these has the same result as a kill at the next call of another kind.
CHANGE_NOTHING = {"chmod", "chown", "close", "fcntl", "flock", "getdents64", "getxattr", "openat"}
CHANGE_NOTHING |= {"pread64", "read", "removexattr"}


@dataclass(frozen=True)
class Found:
    """The project in a store: its versions with their numbers in the content, and its draft."""

    name: str
    versions: dict[int, int]
    draft: int | None


OLD = Found("Song 3", {3: 3, 2: 2}, 0)
NEW = Found("Song 4", {4: 4, 3: 3}, None)
# The kill came before the draft was deleted. The draft is older than the project, which is
# opened in its place.
NEW_BESIDE_DRAFT = Found("Song 4", {4: 4, 3: 3}, 4)


@dataclass(frozen=True)
class ProjectSave:
    """The fourth save of a project, of which two versions are kept, with a draft."""

    kind: str
    seen: list[Found] = field(default_factory=list)

    def url(self, root: Path) -> str:
        return f"{self.kind}:{root / 'state'}"

    def prepare(self, children: Children, root: Path) -> Path:
        """Make the folder in which it begins."""
        root.mkdir()
        children.run("prepare", self.url(root), TEXT)
        return root

    def command(self, children: Children, root: Path, fault: str = "") -> list[str]:
        return children.command("save", self.url(root), TEXT, fault=fault)

    def find(self, open_store: Callable[[str], Any], root: Path) -> Any:
        """Return the project as it was left; the next save must work, and leave no litter."""
        module = importlib.import_module(f"{PACKAGE}.server.project_store")
        with open_store(self.url(root)) as store:
            projects = module.ProjectStore(store, kept=2)
            found = _find(projects)
            [listed] = projects.list_all()
            assert (listed.name, listed.version) == (found.name, max(found.versions))
            saved = projects.save("p_1", "Next", listed.version, module.Content({}, {}))
            assert saved.version == listed.version + 1
            assert len(store.keys()) == 3  # the project and two versions
        return found

    def allows(self, found: Found, *, returned: bool) -> bool:
        self.seen.append(found)
        return found == NEW or (not returned and found in (OLD, NEW_BESIDE_DRAFT))


def _find(projects: Any) -> Found:
    current, newest = projects.read("p_1", None), projects.read("p_1", "newer")
    views = {
        each.version: projects.read_version("p_1", each.version).content.view
        for each in projects.versions("p_1")
    }
    assert all(view["text"] == TEXT for view in (current.content.view, *views.values()))
    assert views[current.version] == current.content.view
    has_draft = projects.list_all()[0].draft is not None
    draft = newest.content.view["number"] if has_draft else None
    return Found(current.name, {number: view["number"] for number, view in views.items()}, draft)


@pytest.fixture
def experiment(
    engine_source: Path, state: Any, memory: Path, tmp_path: Path
) -> Iterator[Experiments]:
    spec = importlib.util.find_spec("orjson")
    assert spec
    assert spec.origin
    libraries = Path(spec.origin).parents[1]
    compileall.compile_dir(engine_source, quiet=1)  # children read byte code, and write none
    children = Children(f"projects:{PACKAGE}:{engine_source}{os.pathsep}{libraries}")

    def make(kind: str, fault: str = "") -> Experiment:
        log = tmp_path / "strace"
        return Experiment(ProjectSave(kind), children, state.open_store, memory, log, fault)

    yield make
    children.end()


@pytest.mark.needs("Linux", "strace")
@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_a_kill_at_each_call_leaves_the_old_version_or_the_new_one(
    kind: str, experiment: Experiments
) -> None:
    killed = experiment(kind)
    wrong = [*killed.kill_at_each_call(ignored=CHANGE_NOTHING)]
    assert not wrong, "\n".join(wrong)
    # The kills were before the save, in it, and after it.
    protocol: Any = killed.protocol
    assert all(found in protocol.seen for found in (OLD, NEW_BESIDE_DRAFT, NEW))


@pytest.mark.needs("Linux", "strace")
def test_a_content_that_is_stored_too_late_is_missed(experiment: Experiments) -> None:
    with pytest.raises(LookupError, match="was deleted"):
        list(experiment("sqlite", "content_saved_last").kill_at_each_call(CHANGE_NOTHING))
