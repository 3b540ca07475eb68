"""The checks can fail: planted faults are caught, in emitted projects and by this suite."""

import contextlib
import os
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answers import asked, everything
from checks import find_faults
from support import (
    Environment,
    ProjectEnvironment,
    commit_all,
    render,
    render_once,
    using_mypy,
)

ANSWERS = everything("cli_tool", state_stores=[])


@pytest.fixture
def project(tmp_path: Path, shared: Path) -> Path:
    return shutil.copytree(render_once(shared, **ANSWERS), tmp_path / "sample")


def append(path: str, text: str) -> Callable[[Path], None]:
    def inject_fault(project: Path) -> None:
        with (project / path).open("a") as file:
            file.write(text)

    return inject_fault


def together(*faults: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a function that injects several faults, all of which one run must find."""

    def inject_faults(project: Path) -> None:
        for inject_fault in faults:
            inject_fault(project)

    return inject_faults


def each_of(*words: str) -> str:
    return "".join(f"(?=.*{re.escape(word)})" for word in words)


LOGGING = "\n\nimport logging\n\nlogging.getLogger(__name__).info(f'{__name__} is here')\n"
BRANCHES = "".join(f"    if x == {n}:\n        return {n + 1}\n" for n in range(10))
CAUGHT_BY_THE_PROJECT = {
    "an unused import": (append("src/sample/registry.py", "import shutil\n"), "ruff check", "F401"),
    "a bare exec": (append("src/sample/registry.py", 'exec("pass")\n'), "ruff check", "S102"),
    "a missing docstring": (
        append("src/sample/registry.py", "\n\ndef f() -> None: ...\n"),
        "ruff check",
        "D103",
    ),
    "an unformatted line": (
        append("src/sample/registry.py", "x = {  'a':1 }\n"),
        "ruff format --check",
        "would be reformatted",
    ),
    "a log message formatted too early": (
        append("src/sample/registry.py", LOGGING),
        "ruff check",
        "G004",
    ),
    "a time without a time zone": (
        append("src/sample/registry.py", "\n\nimport datetime\n\nX = datetime.datetime.now()\n"),
        "ruff check",
        "DTZ005",
    ),
    "a forgotten print": (
        append("src/sample/registry.py", "\n\nprint('here')\n"),
        "ruff check",
        "T201",
    ),
    "a function with eleven paths": (
        append("src/sample/registry.py", f"\n\ndef _f(x: int) -> int:\n{BRANCHES}    return 0\n"),
        "ruff check",
        "C901",
    ),
    "code that never runs, a variable that only one branch sets, and missing and wrong types": (
        together(
            append(
                "src/sample/registry.py",
                "\n\ndef _f(x: int) -> int:\n    if isinstance(x, str):\n"
                "        return 1\n    return x\n",
            ),
            append(
                "src/sample/registry.py",
                "\n\ndef _g(x: bool) -> int:\n    if x:\n        y = 1\n    return y\n",
            ),
            append("src/sample/registry.py", "\n\ndef h(x):\n    return x\n"),
            append("tests/test_cli.py", '\n\nX: int = "one"\n'),
        ),
        "mypy",
        each_of("[unreachable]", "[possibly-undefined]", "[no-untyped-def]", "[assignment]"),
    ),
    "a failing test": (
        append("tests/test_cli.py", "\n\ndef test_it() -> None:\n    assert 0\n"),
        "pytest tests/test_cli.py",
        "1 failed",
    ),
    "a wrong example in a docstring": (
        append(
            "src/sample/registry.py",
            '\n\ndef _f() -> None:\n    """Return.\n\n    >>> 1\n    2\n    """\n',
        ),
        "pytest src/sample/registry.py",
        "1 failed",
    ),
    "a test that hangs": (
        append(
            "tests/test_cli.py",
            "\n\nimport time\n\n\ndef test_it() -> None:\n    time.sleep(600)\n",
        ),
        # The project allows a minute, which would be long here.
        "pytest tests/test_cli.py -k test_it -o timeout=1",
        "Timeout",
    ),
    "an unregistered marker": (
        append(
            "tests/test_cli.py",
            "\n\n@pytest.mark.sloow\ndef test_it() -> None:\n    pass\n",
        ),
        "pytest tests/test_cli.py",
        "'sloow' not found in `markers`",
    ),
    "a warning": (
        append(
            "tests/test_cli.py",
            "\n\nimport warnings\n\n\n"
            "def test_it() -> None:\n    warnings.warn('x', stacklevel=1)\n",
        ),
        "pytest tests/test_cli.py",
        "1 failed",
    ),
    "a broken block in a guide": (
        append("user-docs/index.md", "\n```python\nassert 1 == 2\n```\n"),
        "pytest tests/test_guides.py",
        "1 failed",
    ),
    "a broken block in the README": (
        append("README.md", "\n```python\nassert 1 == 2\n```\n"),
        "pytest tests/test_guides.py",
        "1 failed",
    ),
    "a dead link in the documentation, and a page that nothing leads to": (
        together(
            append("user-docs/index.md", "\n[gone](gone.md)\n"),
            append("user-docs/lost.md", "# Lost\n"),
        ),
        "mkdocs build --strict",
        each_of("gone.md", "lost.md"),
    ),
    "an uncovered branch": (
        append("src/sample/registry.py", "\n\ndef _f(x: int) -> int:\n    return x if x else 1\n"),
        (
            "pytest tests/test_registry.py tests/test_cli.py --cov=sample.registry"
            " --cov-fail-under=100 -p no:randomly"
        ),
        # Of all statements, one is missed.
        r"registry\.py +\d+ +1 .*Required test coverage of 100% not reached",
    ),
}


@pytest.fixture
def installed(shared: Path, environment: ProjectEnvironment) -> Environment:
    """The project without faults, installed: where Python is, a copy of it is found before it."""
    return environment.install_once(render_once(shared, **ANSWERS))


@pytest.mark.parametrize("fault", CAUGHT_BY_THE_PROJECT)
def test_the_projects_own_checks_catch(
    fault: str, project: Path, environment: ProjectEnvironment, shared: Path, installed: Environment
) -> None:
    inject_fault, command, words = CAUGHT_BY_THE_PROJECT[fault]
    inject_fault(project)
    tool, *arguments = command.split()
    run = environment.run
    with contextlib.ExitStack() as stack:
        own: dict[str, str] = {}
        if tool == "pytest":  # the other tools read the project as it lies there
            run, own = installed.run_module, {"PYTHONPATH": str(project / "src")}
        elif tool == "mypy":
            own = stack.enter_context(using_mypy(shared / "mypy-linux", project))
        with pytest.raises(AssertionError, match=f"(?s)ended with.*{words}"):
            run(tool, *arguments, cwd=project, env=own)


def test_mypy_does_not_take_a_file_for_that_of_another_project(
    tmp_path: Path, environment: ProjectEnvironment
) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for project, value in ((right, "12"), (wrong, '""')):
        (project / "src").mkdir(parents=True)
        (project / "src/sample.py").write_text(f"count: int = {value}\n")
        os.utime(project / "src/sample.py", (0, 0))
    with using_mypy(tmp_path / "mypy", right) as own:
        environment.run("mypy", "src", cwd=right, env=own)
    found = pytest.raises(AssertionError, match="Incompatible types")
    with using_mypy(tmp_path / "mypy", wrong) as own, found:
        environment.run("mypy", "src", cwd=wrong, env=own)


def test_byte_code_is_not_taken_for_that_of_a_changed_module(
    tmp_path: Path, environment: ProjectEnvironment, shared: Path
) -> None:
    module = tmp_path / "sample.py"
    command = ("-c", "import sample; print(sample.__cached__, sample.count)")
    for count in range(3):
        module.write_text(f"count = {count}\n")
        os.utime(module, (count, count))
        kept, found = environment.run("python", *command, cwd=tmp_path).split()
        assert int(found) == count
        assert Path(kept).is_relative_to(shared)
        assert Path(kept).exists()
        assert [path.name for path in tmp_path.iterdir()] == [module.name]


def test_conflict_markers_are_caught_before_a_commit(
    project: Path, environment: ProjectEnvironment
) -> None:
    conflict = "<<<<<<< before updating\nMine.\n=======\nTheirs.\n>>>>>>> after updating\n"
    append("README.md", conflict)(project)
    commit_all(project)
    hook = ("run", "--all-files", "check-merge-conflict")
    with pytest.raises(AssertionError, match=r"(?s)ended with 1.*README\.md"):
        environment.run("pre-commit", *hook, cwd=project)


def test_a_hanging_test_fails_after_the_timeout(project: Path) -> None:
    configuration = tomllib.loads((project / "pyproject.toml").read_text())
    assert configuration["tool"]["pytest"]["ini_options"]["timeout"] == 60


def test_the_tests_of_the_project_run_without_those_of_the_template(
    project: Path, installed: Environment
) -> None:
    path = {"PYTHONPATH": str(project / "src")}
    (project / "user-docs/how-to/ours.md").write_text("# Ours\n\n```python\n```\n")

    def collect(marker: str) -> set[str]:
        options = ("-q", "--collect-only", "-m", marker)
        listed = installed.run_module("pytest", *options, cwd=project, env=path)
        return {
            line if "guides" in line else line.split("::")[0]
            for line in listed.splitlines()
            if "::" in line
        }

    of_template, own = collect("template"), collect("not template")
    assert {name for name in own if "utils" in name} == set()
    assert {"tests/test_cli.py", "tests/test_registry.py", "src/sample/registry.py"} <= own
    assert "tests/utils/test_errors.py" in of_template
    page = "tests/test_guides.py::test_the_python_blocks_of_a_page_run_in_order[{}]".format
    assert {page("README"), page("ours")} <= own
    assert {page("python-patterns"), page("use-input-validation")} <= of_template
    assert "src/sample/utils/errors.py" in of_template
    assert own & of_template == set()


CAUGHT_BY_US = {
    "leftover Jinja": (append("README.md", "{{ project_name }}\n"), "leftover Jinja"),
    "a leftover statement": (append("src/sample/cli.py", "# {% if x %}\n"), "leftover Jinja"),
    "an empty file": (append("tests/empty.py", ""), "is empty"),
    "a blank line too many": (append("CHANGELOG.md", "\n"), "one line break"),
    "doubled blank lines": (append("mkdocs.yml", "\n\n# x\n"), "doubled"),
    "white space at the end": (append("Makefile", "# x \n"), "white space"),
    "a dead link": (append("README.md", "[x](gone.md)\n"), "gone.md"),
    "a path that is not there": (append("AGENTS.md", "`src/sample/gone.py`\n"), "gone.py"),
    "broken TOML": (append("pyproject.toml", "= 1\n"), "does not parse"),
    "broken YAML": (append("mkdocs.yml", "a: [\n"), "does not parse"),
    "broken Python": (append("src/sample/cli.py", "def\n"), "does not parse"),
    "stray punctuation": (append("README.md", "Ada <>\n"), "stray punctuation"),
}


@pytest.mark.parametrize("fault", CAUGHT_BY_US)
def test_the_templates_checks_catch(fault: str, project: Path) -> None:
    inject_fault, expected = CAUGHT_BY_US[fault]
    inject_fault(project)
    assert any(expected in found for found in find_faults(project, ANSWERS))


def test_the_templates_checks_find_nothing_in_a_project_without_faults(project: Path) -> None:
    assert find_faults(project, ANSWERS) == []


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("include_api_utilities", "a normalize_input"),
        ("include_example", "a ServerDefinition"),
        ("include_persistence_helpers", "a StatefulObject"),
        ("include_docs", "see user-docs"),
        ("include_agents_md", "see AGENTS.md"),
        ("include_github_actions", "see .github/workflows"),
        ("include_pre_commit", "run pre-commit"),
        ("include_typed_state", "call hydrate"),
    ],
)
def test_the_templates_checks_catch_a_mention_of_an_unchosen_feature(
    feature: str, text: str, tmp_path: Path
) -> None:
    answers: dict[str, Any] = asked(everything("library") | {feature: False})
    project = render(tmp_path / "sample", **answers)
    append("README.md", f"{text}\n")(project)
    assert any("not chosen" in found for found in find_faults(project, answers))


@pytest.mark.parametrize(
    ("stores", "text"),
    [
        ([], "call open_store"),
        (["sqlite"], "a JsonFileStore"),
        (["json", "redis"], "a SqliteStore"),
        (["json"], "a Redis server"),
    ],
)
def test_the_templates_checks_catch_a_mention_of_an_unchosen_store(
    stores: list[str], text: str, tmp_path: Path
) -> None:
    answers = everything("library", state_stores=stores, include_typed_state=False)
    project = render(tmp_path / "sample", **answers)
    assert find_faults(project, answers) == []
    append("README.md", f"{text}\n")(project)
    assert any("not chosen" in found for found in find_faults(project, answers))
