"""Teams with an existing project can add the modules, and their own files do not change."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from answers import everything
from copier import Settings, run_update
from support import (
    Environment,
    ProjectEnvironment,
    commit_all,
    copy_template,
    files_of,
    git,
    released_template,
    render,
    run,
)

pytestmark = pytest.mark.in_memory
ADDED = {
    ".copier-answers.yml",
    "{package}/utils/__init__.py",
    "{package}/utils/errors.py",
    "{package}/utils/persistence.py",
    "{package}/utils/responses.py",
    "{package}/utils/ruff.toml",
    "{package}/utils/validation.py",
    "tests/utils/__init__.py",
    "tests/utils/conftest.py",
    "tests/utils/ruff.toml",
    "tests/utils/test_errors.py",
    "tests/utils/test_guides.py",
    "tests/utils/test_persistence.py",
    "tests/utils/test_responses.py",
    "tests/utils/test_validation.py",
    "user-docs/how-to/improve-error-messages.md",
    "user-docs/how-to/persist-application-state.md",
    "user-docs/how-to/ruff.toml",
    "user-docs/how-to/standardize-responses.md",
    "user-docs/how-to/use-input-validation.md",
    "user-docs/reference/python-patterns.md",
    "user-docs/reference/ruff.toml",
}


def added(package: str) -> set[str]:
    return {path.format(package=package) for path in ADDED}


def make_package(project: Path, package: str) -> Path:
    (project / package).mkdir(parents=True)
    (project / package / "__init__.py").write_text('"""Theirs."""\n')
    (project / "README.md").write_text("Theirs.\n")
    (project / "pyproject.toml").write_text("# Theirs.\n")
    return project


# A path is not a pattern: `[1]` matches only "1", where the path has three characters.
PLACES = ("project", "[x] * (y)?", "[!a-z]")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("package", ["src/theirs", "theirs"])
def test_the_layout_is_detected_and_no_other_file_is_changed(
    package: str, place: str, tmp_path: Path
) -> None:
    project = make_package(tmp_path / place, package)
    before = files_of(project)
    render(project, project_type="modules_only", package_name="theirs")
    after = files_of(project)
    assert after.keys() - before.keys() == added(package)
    assert before == {path: after[path] for path in before}


@pytest.mark.parametrize("place", PLACES)
def test_their_modules_are_found_wherever_the_project_lies(place: str, tmp_path: Path) -> None:
    project = make_package(tmp_path / place, "src/theirs")
    theirs = project / "src/theirs/utils/__init__.py"
    theirs.parent.mkdir()
    theirs.write_text("ANSWER = 42\n")
    (project / "src/theirs/state.py").touch()
    answers: dict[str, Any] = {"package_name": "theirs", "modules_package": "theirs"}
    answers["project_type"] = "modules_only"
    with pytest.raises(ValueError, match=r"Keep src/theirs/state\.py"):
        render(project, **answers, state_stores=["json"])
    render(project, **answers)
    assert theirs.read_text() == "ANSWER = 42\n"
    theirs.parent.with_suffix(".py").touch()
    with pytest.raises(ValueError, match=r"would hide src/theirs/utils\.py"):
        render(project, **answers)


def test_a_template_in_a_folder_that_looks_like_a_pattern_gives_the_flat_layout(
    tmp_path: Path,
) -> None:
    template = copy_template(tmp_path / "holdfast[1] * (copy)?")
    project = make_package(tmp_path / "project", "theirs")
    before = files_of(project)
    render(project, template, project_type="modules_only", package_name="theirs")
    assert files_of(project).keys() - before.keys() == added("theirs")


@pytest.mark.parametrize("answers", [{}, {"state_stores": ["json"]}, everything("modules_only")])
def test_every_place_gets_the_same_modules_and_tests(
    answers: dict[str, Any], tmp_path: Path
) -> None:
    answers = {**answers, "project_type": "modules_only", "package_name": "theirs"}
    places = [(layout, kit) for kit in ("", ".kit") for layout in ("src", "flat")]
    by_place = []
    for layout, kit in places:
        project = make_package(tmp_path / f"{layout}{kit}", "p")
        render(project, **answers, layout=layout, modules_package=f"theirs{kit}")
        files = {
            path.removeprefix("src/").replace("/kit/", "/"): re.sub(rb"[./]kit\b", b"", text)
            for path, text in files_of(project).items()
            # The first files of the package and its tests, and those that find other folders.
            if not path.endswith(("/kit/__init__.py", "utils/conftest.py", "test_guides.py"))
        }
        del files[".copier-answers.yml"]
        by_place.append(files)
    first = by_place[0]
    for place, files in zip(places, by_place, strict=True):
        assert files == first, place


THEIRS = [
    "src/theirs/utils.py",
    "src/theirs/utils/__init__.py",
    "src/theirs/utils/text.py",
    "src/theirs/utils.cpython-311-x86_64-linux-gnu.so",
    "src/theirs/state.py",
    "src/theirs/state/__init__.py",
    "tests/utils/__init__.py",
    "tests/state/test_lamp.py",
    "utils.py",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("theirs", THEIRS)
def test_where_a_name_is_taken_the_modules_get_a_package_of_their_own(
    theirs: str, place: str, tmp_path: Path
) -> None:
    project = make_package(tmp_path / place, "src/theirs")
    (project / theirs).parent.mkdir(parents=True, exist_ok=True)
    (project / theirs).write_text("ANSWER = 42\n")
    before = files_of(project)
    answers: dict[str, Any] = {"package_name": "theirs", "state_stores": ["sqlite"]}
    render(project, project_type="modules_only", include_typed_state=True, **answers)
    after = files_of(project)
    assert {path: after[path] for path in before} == before
    ours = ("src/theirs/kit/", "tests/kit/", "user-docs/", ".copier-answers.yml")
    assert [path for path in after.keys() - before.keys() if not path.startswith(ours)] == []
    assert {"src/theirs/kit/__init__.py", "src/theirs/kit/state/stores/sqlite.py"} <= after.keys()


def test_a_package_that_gets_the_modules_keeps_its_first_file(tmp_path: Path) -> None:
    project = make_package(tmp_path / "project", "theirs")
    for path in ("theirs/kit/__init__.py", "tests/kit/__init__.py", "tests/kit/utils/__init__.py"):
        (project / path).parent.mkdir(parents=True)
        (project / path).write_text("ANSWER = 42\n")
    before = files_of(project)
    answers: dict[str, Any] = {"package_name": "theirs", "modules_package": "theirs.kit"}
    render(project, project_type="modules_only", **answers)
    after = files_of(project)
    assert {path: after[path] for path in before} == before
    assert "theirs/kit/utils/errors.py" in after


REFUSED = [
    ("theirs", r"Try theirs\.kit: theirs/utils/ would hide theirs/utils\.py"),
    ("theirs.lamp", r"Try another name: theirs/lamp/ would hide theirs/lamp\.py"),
    ("other", r"Try theirs\.kit: \"other\" must be theirs or a package directly in it"),
    ("theirs_too.kit", "directly in it"),
    ("theirs.a.b", "directly in it"),
    ("theirs.kit\n", "directly in it"),
    ("theirs.class", "must not end with utils, state or a Python keyword"),
    ("theirs.state", "must not end with utils, state or a Python keyword"),
    (f"theirs.{'k' * 30}", "at most 36"),
]


@pytest.mark.parametrize(("modules_package", "message"), REFUSED)
def test_a_package_that_cannot_get_the_modules_is_refused_with_a_way_out(
    modules_package: str, message: str, tmp_path: Path
) -> None:
    project = make_package(tmp_path / "project", "theirs")
    (project / "theirs/utils.py").write_text("ANSWER = 42\n")
    (project / "theirs/lamp.py").write_text("ANSWER = 42\n")
    before = files_of(project)
    answers: dict[str, Any] = {"package_name": "theirs", "modules_package": modules_package}
    with pytest.raises(ValueError, match=message):
        render(project, project_type="modules_only", **answers)
    assert files_of(project) == before


def test_a_project_of_before_this_question_keeps_its_modules_where_they_are(
    tmp_path: Path, shared: Path
) -> None:
    template = released_template(shared, tmp_path / "template")
    project = make_package(tmp_path / "project", "theirs")
    commit_all(project)
    render(project, template, project_type="modules_only", package_name="theirs")
    answers = project / ".copier-answers.yml"
    stored = answers.read_text()
    answers.write_text(stored.replace("modules_package: theirs\n", ""))
    assert answers.read_text() != stored
    commit_all(project)
    before = files_of(project)
    run_update(project, settings=Settings(), defaults=True, overwrite=True, quiet=True)
    assert files_of(project) == {**before, answers.name: stored.encode()}


def test_an_existing_utils_package_keeps_its_init_file(tmp_path: Path, shared: Path) -> None:
    template = released_template(shared, tmp_path / "template")
    project = make_package(tmp_path / "project", "src/theirs")
    theirs = project / "src/theirs/utils/__init__.py"
    theirs.parent.mkdir()
    theirs.write_text("ANSWER = 42\n")
    commit_all(project)
    answers: dict[str, Any] = {"package_name": "theirs", "modules_package": "theirs"}
    render(project, template, project_type="modules_only", **answers)
    commit_all(project)
    for switch in (False, True):
        run_update(
            project,
            data={"include_persistence_helpers": switch},
            settings=Settings(),
            defaults=True,
            overwrite=True,
            quiet=True,
        )
        assert (project / "src/theirs/utils/persistence.py").exists() is switch
        assert theirs.read_text() == "ANSWER = 42\n"
        commit_all(project)


@pytest.mark.parametrize("theirs", ["state.py", "state/__init__.py"])
def test_a_module_that_the_stores_would_hide_is_refused(theirs: str, tmp_path: Path) -> None:
    project = make_package(tmp_path / "project", "src/theirs")
    (project / "src/theirs" / theirs).parent.mkdir(exist_ok=True)
    (project / "src/theirs" / theirs).write_text("ANSWER = 42\n")
    before = files_of(project)
    answers: dict[str, Any] = {"package_name": "theirs", "modules_package": "theirs"}
    with pytest.raises(ValueError, match=r"Keep src/theirs/state.*choose another modules_package"):
        render(project, project_type="modules_only", state_stores=["json"], **answers)
    assert files_of(project) == before
    # Without stores there is nothing to hide it.
    render(project, project_type="modules_only", **answers)


def test_the_first_words_after_copying_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_package(tmp_path / "project", "theirs")

    def copy(**answers: Any) -> str:
        answers |= {"project_type": "modules_only", "package_name": "theirs"}
        render(project, quiet=False, **answers)
        return capsys.readouterr().err

    output = copy()
    assert "python -m pytest tests/utils\n" in output
    assert "need only Python 3.11 or newer" in output
    assert "orjson" not in output
    output = copy(state_stores=["redis"])
    assert "python -m pytest tests/utils tests/state\n" in output
    assert re.search(r"Add to your dependencies:\s+orjson>=\S+ redis>=\S+\n", output)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real packages, as their authors published them.

    tomli keeps its package in src/, flit_core at the top, and packaging has a module utils.py.
    """
    folder = tmp_path_factory.mktemp("sources")
    environment = Environment(folder / "environment")
    environment.install("pip", "flit_core", cwd=folder)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-binary", ":all:")
    packages = ("tomli", "flit_core", "packaging")
    environment.run("python", "-m", "pip", "download", *options, *packages, cwd=folder)
    for archive in folder.glob("*.tar.gz"):
        run("tar", "--extract", "--file", archive, cwd=folder)
    return folder


def unpack(sources: Path, package: str, destination: Path) -> Path:
    (source,) = (path for path in sources.glob(f"{package}-*") if path.is_dir())
    shutil.copytree(source, destination)
    commit_all(destination, "As published")
    return destination


@pytest.mark.parametrize(
    ("package", "path", "stores"),
    [("tomli", "src/tomli", []), ("flit_core", "flit_core", ["sqlite"])],
)
def test_a_published_package_takes_the_modules_and_updates_them(
    package: str,
    path: str,
    stores: list[str],
    sources: Path,
    tmp_path: Path,
    shared: Path,
    environment: ProjectEnvironment,
) -> None:
    template = released_template(shared, tmp_path / "template")
    project = unpack(sources, package, tmp_path / package)
    before = files_of(project)

    answers: dict[str, Any] = {"package_name": package, "state_stores": stores}
    answers["include_typed_state"] = bool(stores)
    render(project, template, project_type="modules_only", **answers)
    after = files_of(project)
    new = after.keys() - before.keys()
    guides = ("choose-a", "declare-versioned", "migrate-state", "react-to-state", "undo-and-redo")
    with_stores = (f"{path}/state/", "tests/state/", *(f"user-docs/how-to/{g}" for g in guides))
    assert {name for name in new if not name.startswith(with_stores)} == added(path)
    assert (f"{path}/state/stores/sqlite.py" in new) is bool(stores)
    assert (f"{path}/state/typed/state.py" in new) is bool(stores)
    assert {name: after[name] for name in before} == before
    where = {"PYTHONPATH": str((project / path).parent)}
    folders = ["tests/utils", *(["tests/state"] if stores else [])]
    tests = (*folders, "-p", "no:cacheprovider")
    environment.run_module("pytest", *tests, cwd=project, env=where)
    commit_all(project, "Add modules")

    module = template / "template/src/{{package_name}}/utils/persistence.py.jinja"
    module.write_text(module.read_text() + "\n# Newer.\n")
    commit_all(template)
    git(template, "tag", "v1.1.0")
    run_update(project, settings=Settings(), defaults=True, overwrite=True, quiet=True)
    changed = git(project, "status", "--porcelain").split("\n")
    assert sorted(filter(None, changed)) == [
        " M .copier-answers.yml",
        f" M {path}/utils/persistence.py",
    ]


def test_a_published_package_with_a_module_utils_keeps_it(
    sources: Path, tmp_path: Path, environment: ProjectEnvironment
) -> None:
    project = unpack(sources, "packaging", tmp_path / "packaging")
    render(project, project_type="modules_only", package_name="packaging")
    assert git(project, "diff", "--name-only") == ""
    program = "import packaging.utils as a, packaging.kit.utils as b; print(a.__file__, b.__file__)"
    where = {"PYTHONPATH": str(project / "src")}
    found = environment.run("python", "-c", program, cwd=project, env=where).split()
    package = project / "src/packaging"
    assert found == [str(package / "utils.py"), str(package / "kit/utils/__init__.py")]
    # Its options switch off plugins of pytest that our tests need.
    tests = ("tests/kit", "-o", "addopts=", "-p", "no:cacheprovider")
    environment.run_module("pytest", *tests, cwd=project, env=where)


def test_the_checks_of_a_project_with_other_rules_stay_green(
    tmp_path: Path, environment: ProjectEnvironment
) -> None:
    """The project has short lines, many rules, and tests with the names of ours."""
    project = make_package(tmp_path / "project", "theirs")
    (project / "pyproject.toml").write_text(
        '[tool.ruff]\nline-length = 88\nlint.select = ["B", "D", "E", "F", "I", "N", "RUF", "UP"]\n'
        'lint.pydocstyle.convention = "numpy"\nlint.isort.lines-after-imports = 2\n'
        '[tool.mypy]\nfiles = ["theirs", "tests"]\nmypy_path = "."\n'
        '[tool.pyright]\ninclude = ["theirs", "tests"]\ntypeCheckingMode = "strict"\n'
    )
    (project / "tests").mkdir()
    for name in ("test_errors.py", "test_base.py", "test_values.py"):
        (project / "tests" / name).write_text(
            '"""Theirs."""\n\nimport theirs\n\n\n'
            'def test_it() -> None:\n    """Try it."""\n    assert theirs.__doc__\n'
        )
    render(project, **everything("modules_only"), package_name="theirs")
    environment.run("ruff", "check", "--no-cache", cwd=project)
    environment.run("ruff", "format", "--no-cache", "--check", cwd=project)
    environment.run("mypy", "--cache-dir", tmp_path / "cache", cwd=project)
    pyright = Path(sys.executable).with_name("pyright")
    run(pyright, "--pythonpath", environment.tool("python"), cwd=project)
    where = {"PYTHONPATH": str(project)}
    # It collects our tests too, beside which those of the same names are found.
    theirs = ("tests", "-p", "no:cacheprovider", "-m", "not template")
    assert "3 passed" in environment.run_module("pytest", *theirs, cwd=project, env=where)
