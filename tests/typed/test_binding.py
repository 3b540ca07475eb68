"""A binding keeps its promises on every store: the emitted tests try most of them on one."""

import sys
from pathlib import Path

from support import render, run

# The fixture of the emitted tests; without it, pytest would use those of the conftest here.
ONE_STORE = '''@pytest.fixture
def store() -> Iterator[BackingStore]:
    """Return an empty store."""
    with MemoryStore() as store:
        yield store


'''


STORES = ["json", "sqlite", "redis"]


def test_the_emitted_tests_of_bindings_pass_on_every_store(tmp_path: Path) -> None:
    project = tmp_path / "project"
    render(project, project_type="library", include_typed_state=True, state_stores=STORES)
    tests = project / "tests/state/typed/test_binding.py"
    text = tests.read_text()
    assert ONE_STORE in text
    tests.write_text(text.replace(ONE_STORE, ""))
    # In place of the configuration of the project, whose plugins need not be here.
    (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-v", "--import-mode=importlib", str(tests)]
    lines = run(*command, cwd=project, env={"PYTHONPATH": "src"}).stdout.splitlines()
    passed = [sum(f"[{store}] PASSED" in line for line in lines) for store in ["memory", *STORES]]
    assert passed[0] > 30
    assert len({*passed}) == 1
