"""File systems that a test mounts, fills and cuts off."""

import contextlib
import functools
import os
import random
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from crashlab.components import works

Mount = Callable[..., Path]


def unmount(point: Path, *, lazily: bool = False) -> None:
    """Unmount, patiently: a program that lists file systems keeps one busy for a moment."""
    for _ in range(50):
        # Not is_mount(), which fails where the power is off.
        if f" {point} " not in Path("/proc/self/mounts").read_text():
            return
        if works("umount", str(point)):
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

    def cut_and_restart_under(self, writer: subprocess.Popen[str]) -> tuple[int, int]:
        """Cut the power at a random moment under a process that prints each number it has saved.

        Returns:
            The last number that was printed before the cut, and the last that was printed at all.
            Unlike a real one, this cut does not stop the writer, and xfs may let an fsync that
            comes after it succeed: only the first of the two counts as acknowledged.
        """
        assert writer.stdout
        said = os.read(writer.stdout.fileno(), 100)
        time.sleep(random.uniform(0, 0.05))  # noqa: S311 - a delay, no secret
        os.set_blocking(writer.stdout.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            said += os.read(writer.stdout.fileno(), 1 << 16)
        os.set_blocking(writer.stdout.fileno(), True)
        self.cut()
        said_later, _ = writer.communicate(timeout=60)
        assert writer.returncode == 1  # by the error of the save that was cut
        saved = int(said.split()[-1])
        self.restart()
        return saved, max(saved, *map(int, said_later.split()), 0)
