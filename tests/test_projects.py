"""What comes out works: its tests, types, documentation and packages, on each Python."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from answers import asked, everything, label, nothing
from support import UV, Environment, Workshop, commit_all, interpreters, render, run

# What is in state/ is the same in every type; it is tried where there is more for it to do.
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
    everything("daemon", **NO_STATE),
    asked({**everything("cli_tool"), "include_persistence_helpers": False}),
    asked(
        {
            **everything("library", state_stores=["json"]),
            "include_api_utilities": False,
            "include_docs": False,
        }
    ),
    everything("mcp_server", **NO_STATE, include_example=False),
    everything(
        "web_service", state_stores=["redis"], include_typed_state=False, include_example=False
    ),
    everything("daemon", **NO_STATE, include_example=False),
    asked({**everything("daemon"), "include_persistence_helpers": False}),
    asked({**everything("daemon", **NO_STATE), "include_api_utilities": False}),
    nothing("library", include_persistence_helpers=True, state_stores=["json"]),
    nothing("library", include_persistence_helpers=True, state_stores=["sqlite"]),
    nothing("web_service", include_persistence_helpers=True, state_stores=["redis"]),
    nothing("cli_tool", license="Proprietary"),
    nothing("library"),
    nothing("mcp_server"),
    nothing("web_service"),
    nothing("daemon"),
]
chosen = pytest.mark.parametrize("answers", CHOSEN, ids=label)


@pytest.fixture
def project(answers: dict[str, Any], tmp_path: Path, workshop: Workshop) -> Path:
    rendered = render(tmp_path / "sample", **answers)
    workshop.adopt(rendered)
    return rendered


@chosen
def test_the_tests_pass_and_reach_every_branch(
    project: Path, workshop: Workshop, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    arguments = ("--cov", "--cov-fail-under=100", "-p", "no:cacheprovider", "-n", "2")
    workshop.run("pytest", *arguments, cwd=project, env={"HOME": str(home)})
    assert list(home.iterdir()) == [], "the emitted tests wrote to the user's home"


MODULES = ("errors", "persistence", "responses", "validation")


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("answers", [everything("library")], ids=label)
def test_a_module_is_reached_whole_by_its_own_tests(
    project: Path, module: str, workshop: Workshop
) -> None:
    reach = (f"--cov=sample.utils.{module}", "--cov-fail-under=100", "-p", "no:cacheprovider")
    workshop.run("pytest", *reach, f"tests/utils/test_{module}.py", cwd=project)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_works_when_copied_alone(module: str, tmp_path: Path) -> None:
    project = render(tmp_path / "sample", project_type="library")
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(project / f"src/sample/utils/{module}.py", alone)
    program = f"import sys; sys.path.insert(0, {str(alone)!r}); import {module}"
    run(sys.executable, "-I", "-S", "-c", program, cwd=tmp_path)


@chosen
def test_mypy_is_strict_and_content_on_every_platform(
    project: Path, answers: dict[str, Any], workshop: Workshop
) -> None:
    whole = answers in CHOSEN[:5]  # the others have nothing that these have not
    for platform in ("linux", "win32", "darwin") if whole else ("linux",):
        # What is known of the dependencies is the same for every project.
        cache = {"MYPY_CACHE_DIR": str(workshop.folder / f"mypy-{platform}")}
        workshop.run("mypy", "--platform", platform, cwd=project, env=cache)


@chosen
def test_pyright_is_strict_and_content(project: Path, workshop: Workshop) -> None:
    # The methods of StatefulObject are protected by name and public by contract.
    (project / "pyrightconfig.json").write_text(
        '{"include": ["src", "tests"], "typeCheckingMode": "strict", "reportPrivateUsage": false}'
    )
    pyright = Path(sys.executable).with_name("pyright")
    run(pyright, "--pythonpath", workshop.tool("python"), cwd=project)


@pytest.mark.parametrize("builder", ["mkdocs", "zensical"])
@pytest.mark.parametrize("answers", [a for a in CHOSEN if a["include_docs"]], ids=label)
def test_the_documentation_builds_without_a_warning(
    project: Path, workshop: Workshop, builder: str
) -> None:
    workshop.run(builder, "build", "--strict", cwd=project)
    home = (project / "site/index.html").read_text()
    for page in ("persist-application-state", "use-input-validation", "learn-from-the-example"):
        assert (f"how-to/{page}" in home) is (project / f"user-docs/how-to/{page}.md").exists()
    api = (project / "site/reference/api/index.html").read_text()
    assert "Parameters:" in api, "docstrings are not rendered"


@chosen
def test_the_packages_build_and_run_in_an_empty_environment(
    project: Path, answers: dict[str, Any], tmp_path: Path
) -> None:
    run(UV, "build", "--quiet", "--python", sys.executable, cwd=project)
    (wheel,) = (project / "dist").glob("*.whl")
    (archive,) = (project / "dist").glob("*.tar.gz")
    for package in (wheel, archive):
        environment = Environment(tmp_path / package.suffix.removeprefix("."))
        environment.install(package, cwd=tmp_path)
        if answers["project_type"] == "library":
            program = "import sample; print('sample', sample.__version__)"
            shown = environment.run("python", "-c", program, cwd=tmp_path)
        else:
            shown = environment.run("sample", "--version", cwd=tmp_path)
        assert shown == "sample 0.1.0\n"


# This one runs every other test: it is tried here only where there is no other.
OTHERS = [path for path in interpreters() if path != Path(sys.executable)] or interpreters()


@pytest.mark.parametrize("python", OTHERS, ids=str)
@pytest.mark.parametrize("answers", CHOSEN[:5], ids=label)
def test_it_works_on_every_other_python_there_is(
    answers: dict[str, Any], python: Path, tmp_path: Path
) -> None:
    project = render(tmp_path / "sample", **answers)
    environment = Environment(tmp_path / "environment", python)
    environment.install("--editable", ".", "--group", "test", cwd=project)
    environment.run("pytest", "-p", "no:cacheprovider", cwd=project)


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
        project = render(folder / "sample", **CHOSEN[0])
        environment = Environment(folder / "environment", python)
        environment.install("--editable", ".", "--group", "test", cwd=project)
        run("chown", "--recursive", "65534:65534", project, cwd=folder)
        run(*NOBODY, environment.tool("pytest"), "-q", cwd=project, env={"HOME": str(project)})


@pytest.mark.parametrize("answers", CHOSEN[:5], ids=label)
def test_the_oldest_dependencies_that_are_allowed_are_enough(
    answers: dict[str, Any], tmp_path: Path
) -> None:
    project = render(tmp_path / "sample", **answers)
    oldest = ("--resolution", "lowest-direct")
    run(UV, "sync", "--quiet", *oldest, "--python", sys.executable, cwd=project)
    for command in (
        ("pytest", "--cov", "--cov-fail-under=100"),
        ("mypy",),
        ("ruff", "check"),
        ("ruff", "format", "--check"),
        ("mkdocs", "build", "--strict"),
    ):
        run(UV, "run", "--quiet", *oldest, *command, cwd=project)


def test_what_its_owner_is_told_to_do_first_works(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", **CHOSEN[0])
    commit_all(project, "Start")
    path = {"PATH": f"{UV.parent}:/usr/local/bin:/usr/bin:/bin", "UV_PYTHON": sys.executable}
    run("make", "check", "test", "build", cwd=project, env=path)
    run(UV, "run", "pre-commit", "run", "--all-files", cwd=project, env=path)
    assert run("git", "status", "--porcelain", cwd=project).stdout in ("", "?? uv.lock\n")


def test_plain_pip_is_enough(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", **CHOSEN[0])
    run(sys.executable, "-m", "venv", ".venv", cwd=project)
    pip = project / ".venv/bin/pip"
    run(pip, "install", "--quiet", "--upgrade", "pip", cwd=project)
    run(pip, "install", "--quiet", "--editable", ".", "--group", "test", cwd=project)
    run(project / ".venv/bin/pytest", "--quiet", cwd=project)
    assert "import" in run(project / ".venv/bin/sample", "--help", cwd=project).stdout
