"""What several modules of tests share."""

import contextlib
import os
from pathlib import Path

import pytest
from stores.redis_server import find_program
from support import Workshop

# Emitted tests start the server that is on the PATH. Where there is none at all, they are
# skipped, and the tests that ask for every branch fail.
with contextlib.suppress(FileNotFoundError):
    os.environ["PATH"] += os.pathsep + str(Path(find_program()).parent)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """One environment with every dependency of any emitted project, for fast checks."""
    return Workshop(tmp_path_factory.mktemp("workshop"))
