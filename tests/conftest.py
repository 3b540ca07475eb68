"""Fixtures and hooks that several modules of tests share."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crashlab.components import is_present, lacking, works
from crashlab.disks import Disk, Mount, unmount
from stores.redis_server import find_program
from support import ProjectEnvironment
from xdist.scheduler import LoadScopeScheduling

# Emitted tests start the Redis server on the PATH. Without any server they are
# skipped, and the tests that demand every branch fail.
with contextlib.suppress(FileNotFoundError):
    os.environ["PATH"] += os.pathsep + str(Path(find_program()).parent)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*components): what the test cannot do without")
    config.addinivalue_line("markers", "in_memory: its files need no disk")


# Files with tests that share only files: any process may run any of them. The tests of another file
# share what a process has started or imported, so they stay together.
SPREAD = ("test_projects", "test_updates", "test_negatives", "test_rendering", "test_questions")
# Tests in there of which only one at a time can go on.
TOGETHER = (
    "test_strict_mypy_finds_no_error_on_any_platform",
    "test_strict_pyright_finds_no_error",
    "test_the_tests_pass_with_the_oldest_allowed_dependencies",
)
# Parts of the names of the longest tests, which start first, so that short ones fill the end. Those
# that mostly wait are among those that compute.
FIRST = (
    "frontend/test_browser",
    "test_demo",
    "oldest_allowed_dependencies",
    "live/test_browser_chat",
    "on_every_other_python",
    "engine/test_state_server",
    "test_tutorial",
    "test_containers",
    "frontend/test_hook",
    "reach_every_branch",
    "services/",
    "plain_pip",
    "strict_pyright",
    "packages_build",
    "ordinary_user",
    "live/",
    "test_projects",
    "engine/",
    "test_modules_only",
    "stores/",
    "test_updates",
    "test_negatives",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process the next file, or the next test of a file whose tests are spread."""
    scheduling: Any = LoadScopeScheduling(config, log)
    scheduling._split_scope = _unit_of
    return scheduling


def _unit_of(test: str) -> str:
    file, _, name = test.partition("::")
    if Path(file).stem not in SPREAD:
        return file
    function = name.partition("[")[0]
    return function if function in TOGETHER else test


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((n for n, part in enumerate(FIRST) if part in item.nodeid), len(FIRST))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for component in mark.args:
            if not is_present(component):
                lacking(component)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def compile_once(shared: Path) -> None:
    """Let the processes of tests keep byte code, whatever the setting of this machine is.

    Most start a new one for programs with many modules. The byte code lies in a folder of this run,
    so that projects stay as they were rendered.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(shared / "bytecode")


@pytest.fixture(scope="session")
def environment(shared: Path) -> ProjectEnvironment:
    """One environment with every dependency of any emitted project."""
    return ProjectEnvironment(shared / "environment")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Return a folder that an ordinary user can reach: pytest's own are for the owner only."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)  # noqa: S103 - any user must enter
        yield Path(folder)


@pytest.fixture
def memory() -> Iterator[Path]:
    """Return a folder in memory, for tests that should not wait for a disk."""
    in_memory = Path("/dev/shm")  # noqa: S108 - only for private folders in it
    enough = in_memory.is_dir() and shutil.disk_usage(in_memory).free > 1 << 30
    with tempfile.TemporaryDirectory(dir=in_memory if enough else None) as folder:
        yield Path(folder)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for the test: in memory where its mark says so, and Copier's in it."""
    if not request.node.get_closest_marker("in_memory"):
        return request.getfixturevalue("tmp_path")  # type: ignore[no-any-return]
    memory: Path = request.getfixturevalue("memory")
    monkeypatch.setattr(tempfile, "tempdir", str(memory))
    return memory


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Return a function that mounts with these arguments, on a new folder or on one given."""
    with contextlib.ExitStack() as stack:

        def mount_with(*arguments: str | Path, at: Path | None = None) -> Path:
            point = at or Path(tempfile.mkdtemp(dir=tmp_path))
            subprocess.run(["mount", *arguments, point], check=True, capture_output=True)
            stack.callback(unmount, point, lazily=True)
            return point

        yield mount_with


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, mount: Mount) -> Disk:
    kind: str = request.param
    image = tmp_path / f"{kind}.img"
    with image.open("wb") as file:
        file.truncate(300 << 20)  # xfs takes no less; the file is sparse
    if not works(f"mkfs.{kind}", "-q", str(image)):
        lacking(f"mkfs.{kind}")
    try:
        return Disk(kind, image, mount)
    except subprocess.CalledProcessError as error:
        lacking(f"a loop mount of {kind}: {error.stderr.decode().strip()}")
