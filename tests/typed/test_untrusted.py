"""Hydrating any JSON runs no code, sets nothing undeclared, and ends soon."""

import os
import sys
from pathlib import Path

import pytest
from support import REPOSITORY, run


@pytest.mark.parametrize("kind", ["arbitrary", "mutated"])
def test_payloads_of_others_are_hydrated_or_refused_and_nothing_else(
    kind: str, source: Path
) -> None:
    path = os.pathsep.join([str(source), str(REPOSITORY / "tests")])
    run(sys.executable, "-m", "typed.fuzzing", kind, cwd=source, env={"PYTHONPATH": path})
