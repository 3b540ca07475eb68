"""The parts of the machine that a proof needs: programs, and the rights to trace and to mount."""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from typing import NoReturn

import pytest


def lacking(component: str) -> NoReturn:
    """Skip the test; where everything must be present, as in CI, fail it."""
    if os.environ.get("HOLDFAST_REQUIRE_ALL"):
        pytest.fail(f"HOLDFAST_REQUIRE_ALL is set, and this is missing: {component}")
    pytest.skip(f"needs {component}")


@functools.cache
def is_present(component: str) -> bool:
    """Try it: an installed program is not enough, as containers forbid tracing and mounting."""
    match component:
        case "Linux":
            return sys.platform == "linux"
        case "root":
            return os.geteuid() == 0
        case "strace":
            return works("strace", "-f", "--seccomp-bpf", "-o", os.devnull, "true")
        case "mount":
            with tempfile.TemporaryDirectory() as folder:
                return works("mount", "-t", "tmpfs", "tmpfs", folder) and works("umount", folder)
        case _:
            return shutil.which(component) is not None


def works(*command: str) -> bool:
    """Return whether a command ends well."""
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False
