"""Fixtures and hooks that several modules of tests share."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from crashlab.components import is_present, lacking, works
from crashlab.disks import Disk, Mount, unmount
from stores.redis_server import find_program
from support import ProjectEnvironment

# Emitted tests start the Redis server on the PATH. Without any server they are
# skipped, and the tests that demand every branch fail.
with contextlib.suppress(FileNotFoundError):
    os.environ["PATH"] += os.pathsep + str(Path(find_program()).parent)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*components): what the test cannot do without")
    config.addinivalue_line("markers", "in_memory: its files need no disk")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of whole projects first: they take longest, and short ones fill the end."""
    items.sort(key=lambda item: item.path.stem != "test_projects")


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
