"""A rendered project works: its tests, types, documentation and packages, on each Python."""

import functools
import getpass
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from answers import asked, everything, label, nothing
from crashlab.disks import Mount, unmount
from support import (
    UV,
    Environment,
    ProjectEnvironment,
    interpreters,
    making,
    render,
    render_once,
    run,
    using_mypy,
)

# The files in state/ are the same in every type; they are tried where most depends on them.
NO_STATE = {"state_stores": [], "include_typed_state": False}
CHOSEN = [
    everything(
        "cli_tool",
        repository_owner="ada",
        author_name="Ada",
        author_email="ada@example.org",
        state_stores=[],
    ),
    everything("library", license="Apache-2.0"),
    everything("mcp_server", **NO_STATE),
    everything("web_service", state_stores=["redis"], include_typed_state=False),
    everything("web_service", state_stores=["redis"], include_react_hook=False),
    everything("daemon", **NO_STATE),
    everything("state_server", state_stores=["json", "sqlite"]),
    asked({**everything("cli_tool"), "include_persistence_helpers": False}),
    asked(
        {
            **everything("library", state_stores=["json"]),
            "include_api_utilities": False,
            "include_docs": False,
        }
    ),
    everything("mcp_server", **NO_STATE, include_example=False),
    everything("web_service", **NO_STATE, include_example=False),
    everything("web_service", state_stores=["json"], include_example=False),
    everything("daemon", **NO_STATE, include_example=False),
    asked({**everything("daemon"), "include_persistence_helpers": False}),
    asked({**everything("daemon", **NO_STATE), "include_api_utilities": False}),
    everything("state_server", state_stores=["json"], include_example=False),
    nothing("library", include_persistence_helpers=True, state_stores=["json"]),
    nothing("library", include_persistence_helpers=True, state_stores=["sqlite"]),
    nothing("web_service", include_persistence_helpers=True, state_stores=["redis"]),
    nothing(
        "web_service",
        include_persistence_helpers=True,
        include_typed_state=True,
        include_live_state=True,
    ),
    nothing("cli_tool", license="Proprietary"),
    nothing("library"),
    nothing("mcp_server"),
    nothing("web_service"),
    nothing("daemon"),
    nothing("state_server", state_stores=["json"]),
]
# The first one without typed state, which depends neither on the user nor on the tools.
FIRST = {**CHOSEN[0], "include_typed_state": False}
WHOLE = CHOSEN[:7]  # the features of these include those of the others
LIBRARY = WHOLE[1]
BARE = [answers for answers in CHOSEN if label(answers).endswith("-nothing")]
chosen = pytest.mark.parametrize("answers", CHOSEN, ids=label)


@pytest.fixture
def project(answers: dict[str, Any], shared: Path) -> Path:
    """A project as it was rendered. Several tests share it, so none of them changes it."""
    return render_once(shared, **answers)


@pytest.fixture
def installed(project: Path, environment: ProjectEnvironment) -> Environment:
    return environment.install_once(project)


# The modules that projects share, and the tests that reach their branches.
MODULES = ("errors", "persistence", "responses", "validation")
SHARED = {f"utils/{module}.py": f"utils/test_{module}.py" for module in MODULES} | {
    "state": "state"
}


# Whether the tests reach a branch must not depend on chance: the oldest dependencies and other
# Pythons run them in any order.
IN_ORDER = ("-p", "no:randomly", "-p", "no:cacheprovider")


def skipping(tests: Iterable[str]) -> list[str]:
    return [f"--ignore=tests/{each}" for each in tests]


# The server stands on the state, and its tests are skipped only where both are the same.
WITH_SERVER = SHARED | {"server": "server", "state/typed": "state/typed"}
NEEDED = {"server": ("server", "state")}
# Typed state is tried where there is every store, which is in the library, and where there is none.
WITHOUT_STORES = CHOSEN[0]


@functools.cache
def content(project: Path, module: str) -> dict[Path, bytes]:
    """Return the files of a module, its tests, and those of the modules that it needs."""
    needed = NEEDED.get(module, (module,))
    parts = [f"src/sample/{each}" for each in needed]
    parts += [f"tests/{WITH_SERVER[each]}" for each in needed]
    paths = [path for part in parts for path in (project / part, *(project / part).rglob("*.py"))]
    return {path.relative_to(project): path.read_bytes() for path in paths if path.is_file()}


def run_elsewhere(answers: dict[str, Any], shared: Path) -> dict[str, str]:
    """Return those modules that are the same, with the same tests, in a project that runs them.

    That is the library or one of the projects before this one.
    """
    if answers == LIBRARY:
        return {}
    project = render_once(shared, **answers)
    others = [LIBRARY, *CHOSEN[: CHOSEN.index(answers)]]
    found = {
        module: tests
        for module, tests in WITH_SERVER.items()
        if (project / "src/sample" / module).exists()
        and content(project, module)
        in (content(render_once(shared, **other), module) for other in others)
    }
    if answers == WITHOUT_STORES:
        del found["state/typed"]
    return found


@chosen
def test_the_tests_pass_and_reach_every_branch(
    project: Path, answers: dict[str, Any], installed: Environment, shared: Path, tmp_path: Path
) -> None:
    home, configuration = tmp_path / "home", tmp_path / "pyproject.toml"
    home.mkdir()
    elsewhere = run_elsewhere(answers, shared)
    section = "[tool.coverage.run]\n"
    omitted = [f"*/{module}" if module.endswith(".py") else f"*/{module}/*" for module in elsewhere]
    settings = (project / "pyproject.toml").read_text()
    configuration.write_text(settings.replace(section, f"{section}omit = {omitted}\n"))
    arguments = ["--cov", f"--cov-config={configuration}", "--cov-fail-under=100", *IN_ORDER]
    arguments += skipping(elsewhere.values())
    own = {"HOME": str(home), "COVERAGE_FILE": str(tmp_path / "coverage")}
    installed.run_module("pytest", *arguments, cwd=project, env=own)
    assert list(home.iterdir()) == [], "the emitted tests wrote to the user's home"


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("answers", [LIBRARY], ids=label)
def test_the_tests_of_a_module_reach_all_of_its_branches(
    project: Path, module: str, installed: Environment, tmp_path: Path
) -> None:
    reach = (f"--cov=sample.utils.{module}", "--cov-fail-under=100", *IN_ORDER)
    own = {"COVERAGE_FILE": str(tmp_path / "coverage")}
    installed.run_module("pytest", *reach, f"tests/utils/test_{module}.py", cwd=project, env=own)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_works_when_copied_alone(module: str, tmp_path: Path) -> None:
    project = render(tmp_path / "sample", project_type="library")
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(project / f"src/sample/utils/{module}.py", alone)
    program = f"import sys; sys.path.insert(0, {str(alone)!r}); import {module}"
    run(sys.executable, "-I", "-S", "-c", program, cwd=tmp_path)


@chosen
def test_strict_mypy_finds_no_error_on_any_platform(
    project: Path, answers: dict[str, Any], installed: Environment, shared: Path
) -> None:
    # Each in one Python, for want of time: the oldest one, and the newest.
    platforms = {"linux": "3.11", "win32": "3.11", "darwin": "3.14"}
    for platform in platforms if answers in WHOLE else ["linux"]:
        options = ["--platform", platform, "--python-version", platforms[platform]]
        with using_mypy(shared / f"mypy-{platform}", project) as own:
            installed.run_module("mypy", *options, cwd=project, env=own)


def pyright_report(environment: ProjectEnvironment, shared: Path) -> list[dict[str, Any]]:
    """Return pyright's findings in all projects: one process reads the dependencies once."""
    report = shared / "pyright.json"
    with making(report) as missing:
        if missing:
            projects = [render_once(shared, **answers) for answers in CHOSEN]
            # Pyright ignores absolute paths here.
            files = [str(path.relative_to(shared)) for path in _distinct_files(shared)]
            settings = {
                "include": files,
                "typeCheckingMode": "strict",
                # The methods of StatefulObject are protected by name and public by contract.
                "reportPrivateUsage": False,
                "executionEnvironments": [
                    {"root": str(path), "extraPaths": [f"{path}/src"]} for path in projects
                ],
            }
            (shared / "pyrightconfig.json").write_text(json.dumps(settings))
            pyright = Path(sys.executable).with_name("pyright")
            python = environment.tool("python")
            command = (pyright, "--outputjson", "--pythonpath", python, "--project", shared)
            found = json.loads(run(*command, cwd=shared, check=False).stdout)
            assert found["summary"]["filesAnalyzed"] == len(files), found["summary"]
            report.write_text(json.dumps(found["generalDiagnostics"]))
    return json.loads(report.read_text())  # type: ignore[no-any-return]


def _distinct_files(shared: Path) -> list[Path]:
    """Return every Python file, but of equal files in equal surroundings only one."""
    files: list[Path] = []
    for answers in CHOSEN:
        project = render_once(shared, **answers)
        same = run_elsewhere(answers, shared)
        same.pop("state/typed", None)  # what it imports may have other types
        modules = [project / "src/sample" / module for module in same]
        again = [*modules, *(project / "tests" / tests for tests in same.values())]
        found = sorted([*project.glob("src/**/*.py"), *project.glob("tests/**/*.py")])
        files += [path for path in found if not any(map(path.is_relative_to, again))]
    return files


@chosen
def test_strict_pyright_finds_no_error(
    project: Path, environment: ProjectEnvironment, shared: Path
) -> None:
    report = pyright_report(environment, shared)
    found = [each for each in report if Path(each["file"]).is_relative_to(project)]
    assert not found, json.dumps(found, indent=2)


@pytest.mark.parametrize(
    ("builder", "answers"),
    [("mkdocs", each) for each in CHOSEN if each["include_docs"]]
    + [("zensical", each) for each in WHOLE],
    ids=lambda value: value if isinstance(value, str) else label(value),
)
def test_the_documentation_builds_without_a_warning(
    project: Path, environment: ProjectEnvironment, builder: str, tmp_path: Path
) -> None:
    project = shutil.copytree(project, tmp_path / "sample")
    environment.run(builder, "build", "--strict", cwd=project)
    home = (project / "site/index.html").read_text()
    for page in ("persist-application-state", "use-input-validation", "learn-from-the-example"):
        assert (f"how-to/{page}" in home) is (project / f"user-docs/how-to/{page}.md").exists()
    pages = [path.stem for path in (project / "user-docs/reference/api").glob("*.md")]
    api = [(project / f"site/reference/api/{page}/index.html").read_text() for page in pages]
    assert "Parameters:" in "".join(api), "docstrings are not rendered"


@pytest.mark.parametrize("answers", [*WHOLE, *BARE], ids=label)
def test_the_packages_build_and_run_in_an_empty_environment(
    project: Path, answers: dict[str, Any], tmp_path: Path
) -> None:
    packages = tmp_path / "dist"
    run(UV, "build", "--quiet", "--python", sys.executable, "--out-dir", packages, cwd=project)
    (wheel,) = packages.glob("*.whl")
    (archive,) = packages.glob("*.tar.gz")
    for package in (wheel, archive):
        environment = Environment(tmp_path / package.suffix.removeprefix("."))
        environment.install(package, cwd=tmp_path)
        if answers["project_type"] == "library":
            program = "import sample; print('sample', sample.__version__)"
            shown = environment.run("python", "-c", program, cwd=tmp_path)
        else:
            shown = environment.run("sample", "--version", cwd=tmp_path)
        assert shown == "sample 0.1.0\n"


def own_tests(answers: dict[str, Any]) -> list[str]:
    """Leave out the tests of the modules, which differ little, except in the library."""
    return [] if answers == LIBRARY else skipping(SHARED.values())


# The tests of this Python run above, and with the oldest dependencies in any order.
PYTHONS = interpreters()
OTHERS = [path for path in PYTHONS if path != Path(sys.executable)]


# The modules have more to fear from another Python than the programs, which try only the newest.
@pytest.mark.parametrize(
    ("python", "answers"),
    [(python, LIBRARY) for python in OTHERS or PYTHONS]
    + [(python, answers) for python in OTHERS[-1:] for answers in WHOLE if answers != LIBRARY],
    ids=lambda value: str(value) if isinstance(value, Path) else label(value),
)
def test_the_tests_pass_on_every_other_python(
    answers: dict[str, Any], python: Path, tmp_path: Path, shared: Path
) -> None:
    project = render(tmp_path / "sample", **answers)
    folder = shared / f"environment-{PYTHONS.index(python)}"
    installed = ProjectEnvironment(folder, python, "test").install_project(project)
    installed.run_module("pytest", "-p", "no:cacheprovider", *own_tests(answers), cwd=project)


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.mark.skipif(os.geteuid() != 0, reason="then every other test is one by an ordinary user")
def test_the_tests_pass_as_an_ordinary_user() -> None:
    """In folders and with a Python that such a user can enter: root's often are closed."""
    candidates = [Path("/usr/bin/python3"), *interpreters()]
    question = "import sys; sys.exit(sys.version_info < (3, 11))"
    python = next(
        path
        for path in candidates
        if run(*NOBODY, path, "-c", question, cwd=Path("/"), check=False).returncode == 0
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        project = render(folder / "sample", **FIRST)
        environment = Environment(folder / "environment", python)
        environment.install("--editable", ".", "--group", "test", cwd=project)
        run("chown", "--recursive", "65534:65534", project, cwd=folder)
        run(*NOBODY, environment.tool("pytest"), "-q", cwd=project, env={"HOME": str(project)})


@pytest.mark.parametrize("answers", WHOLE, ids=label)
def test_the_tests_pass_with_the_oldest_allowed_dependencies(
    answers: dict[str, Any], tmp_path: Path, shared: Path
) -> None:
    project = render(tmp_path / "sample", **answers)
    # Each gets its own packages and no others, but in the same folder, and so one at a time: most
    # are those of the one before, whose byte code and types Python and mypy then know.
    with using_mypy(shared / "mypy-oldest", project) as own:
        environment = Environment(shared / "oldest")
        own = {**own, "UV_PROJECT_ENVIRONMENT": str(environment.folder)}
        sync = (UV, "sync", "--quiet", "--resolution", "lowest-direct")
        run(*sync, "--no-default-groups", "--group", "test", cwd=project, env=own)
        environment.install("--no-deps", "pytest-randomly", cwd=project)
        environment.run("pytest", *own_tests(answers), cwd=project)
        run(*sync, cwd=project, env=own)
        environment.run("ruff", "check", cwd=project)
        environment.run("ruff", "format", "--check", cwd=project)
        environment.run("mkdocs", "build", "--strict", cwd=project)
        environment.run("mypy", cwd=project, env=own)


def test_plain_pip_is_enough(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", **FIRST)
    run(sys.executable, "-m", "venv", ".venv", cwd=project)
    pip = project / ".venv/bin/pip"
    run(pip, "install", "--quiet", "--upgrade", "pip", cwd=project)
    run(pip, "install", "--quiet", "--editable", ".", "--group", "test", cwd=project)
    # With the same packages, all tests run above.
    run(project / ".venv/bin/pytest", "--quiet", *skipping(SHARED.values()), cwd=project)
    assert "import" in run(project / ".venv/bin/sample", "--help", cwd=project).stdout


@pytest.mark.needs("mount")
def test_the_tests_pass_where_another_run_removes_the_same_folders(
    environment: ProjectEnvironment, mount: Mount, shared: Path, tmp_path: Path
) -> None:
    """As the tests of two projects do that run at once."""
    project = render_once(shared, **LIBRARY)
    folder = tmp_path / f"pytest-of-{getpass.getuser()}"
    busy = folder / "garbage-of-another-run/busy"
    busy.mkdir(parents=True)
    mount("-t", "tmpfs", "tmpfs", at=busy)  # so that it cannot be removed
    python = environment.install_once(project).tool("python")
    command = (python, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_registry.py")
    own = {"PYTEST_DEBUG_TEMPROOT": str(tmp_path)}
    result = run(*command, cwd=project, env=own, check=False)
    (renamed,) = folder.glob("garbage-*/busy")  # pytest tried to remove it
    unmount(renamed)
    assert result.returncode == 0, result.stdout + result.stderr
