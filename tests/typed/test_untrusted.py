"""Hydrating any JSON runs no code, sets nothing undeclared, and ends soon."""

import os
import sys
from pathlib import Path

import pytest
from support import REPOSITORY, run


@pytest.mark.parametrize("kind", ["arbitrary", "mutated"])
def test_foreign_payloads_are_hydrated_or_refused_without_side_effects(
    kind: str, source: Path
) -> None:
    path = os.pathsep.join([str(source), str(REPOSITORY / "tests")])
    run(sys.executable, "-m", "typed.fuzzing", kind, cwd=source, env={"PYTHONPATH": path})
