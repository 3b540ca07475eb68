"""What the proofs share: the emitted module, its children, and file systems to break."""

import contextlib
import functools
import importlib.util
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support import render

from durability.children import Children


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*components): what the test cannot do without")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for component in mark.args:
            if not _present(component):
                lacking(component)


def lacking(component: str) -> NoReturn:
    """Skip the test; where everything is said to be present, as in CI, fail it."""
    if os.environ.get("HOLDFAST_REQUIRE_ALL"):
        pytest.fail(f"HOLDFAST_REQUIRE_ALL is set, and this is missing: {component}")
    pytest.skip(f"needs {component}")


@functools.cache
def _present(component: str) -> bool:
    """Try it where being installed is not enough: containers forbid tracing and mounting."""
    match component:
        case "Linux":
            return sys.platform == "linux"
        case "root":
            return os.geteuid() == 0
        case "strace":
            return _works("strace", "-f", "--seccomp-bpf", "-o", os.devnull, "true")
        case "mount":
            with tempfile.TemporaryDirectory() as folder:
                return _works("mount", "-t", "tmpfs", "tmpfs", folder) and _works("umount", folder)
        case _:
            return shutil.which(component) is not None


def _works(*command: str) -> bool:
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


@pytest.fixture(scope="session")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a project and return its persistence module."""
    project = tmp_path_factory.mktemp("emitted") / "project"
    render(project, project_type="library", package_name="proved")
    return project / "src" / "proved" / "utils" / "persistence.py"


@pytest.fixture(scope="session")
def persistence(module: Path) -> Any:
    """Load the emitted module, to read what the children have written."""
    spec = importlib.util.spec_from_file_location("emitted_persistence", module)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def children(module: Path) -> Iterator[Children]:
    family = Children(module)
    yield family
    family.end()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Return a folder that an ordinary user can reach: pytest's own are for the owner only."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)  # noqa: S103 - any user must enter
        yield Path(folder)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for what has nothing to do with a disk, and should not wait for one."""
    shared = Path("/dev/shm")  # noqa: S108 - only for private folders in it
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


Mount = Callable[..., Path]


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


def unmount(point: Path, *, lazily: bool = False) -> None:
    """Unmount, patiently: whoever lists mounted file systems keeps one busy for a moment."""
    for _ in range(50):
        # Not is_mount(), which fails where the power is off.
        if f" {point} " not in Path("/proc/self/mounts").read_text():
            return
        if _works("umount", str(point)):
            return
        time.sleep(0.1)
    subprocess.run(["umount", *(["--lazy"] if lazily else []), point], check=True)


class Disk:
    """A file system in an image file, whose power can be cut."""

    def __init__(self, kind: str, image: Path, mount: Mount) -> None:
        self._mount = functools.partial(mount, "-t", kind, "-o", "loop", image)
        self.folder = self._mount()

    def cut(self) -> None:
        """Let nothing more reach the disk: FS_IOC_SHUTDOWN with NOLOGFLUSH."""
        import fcntl  # not on Windows, where all of this is skipped

        descriptor = os.open(self.folder, os.O_RDONLY)
        fcntl.ioctl(descriptor, 0x8004587D, struct.pack("I", 2))
        os.close(descriptor)

    def restart(self) -> None:
        unmount(self.folder)
        self._mount(at=self.folder)


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, mount: Mount) -> Disk:
    kind: str = request.param
    image = tmp_path / f"{kind}.img"
    with image.open("wb") as file:
        file.truncate(300 << 20)  # xfs takes no less; the file is sparse
    if not _works(f"mkfs.{kind}", "-q", str(image)):
        lacking(f"mkfs.{kind}")
    try:
        return Disk(kind, image, mount)
    except subprocess.CalledProcessError as error:
        lacking(f"a loop mount of {kind}: {error.stderr.decode().strip()}")
