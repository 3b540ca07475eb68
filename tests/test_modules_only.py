"""Teams with a project already add the modules, and nothing of theirs changes."""

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
    render,
    run,
)

ADDED = {
    ".copier-answers.yml",
    "{package}/utils/__init__.py",
    "{package}/utils/errors.py",
    "{package}/utils/persistence.py",
    "{package}/utils/responses.py",
    "{package}/utils/validation.py",
    "tests/test_guides.py",
    "tests/utils/conftest.py",
    "tests/utils/test_errors.py",
    "tests/utils/test_persistence.py",
    "tests/utils/test_responses.py",
    "tests/utils/test_validation.py",
    "user-docs/how-to/improve-error-messages.md",
    "user-docs/how-to/persist-application-state.md",
    "user-docs/how-to/standardize-responses.md",
    "user-docs/how-to/use-input-validation.md",
    "user-docs/reference/python-patterns.md",
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
def test_the_layout_is_found_and_nothing_else_is_touched(
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
    answers: dict[str, Any] = {"project_type": "modules_only", "package_name": "theirs"}
    with pytest.raises(ValueError, match=r"Rename src/theirs/state\.py"):
        render(project, **answers, state_stores=["json"])
    render(project, **answers)
    assert theirs.read_text() == "ANSWER = 42\n"
    theirs.parent.with_suffix(".py").touch()
    with pytest.raises(ValueError, match=r"Rename src/theirs/utils\.py"):
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
def test_both_layouts_get_the_same_modules(answers: dict[str, Any], tmp_path: Path) -> None:
    answers = {**answers, "project_type": "modules_only", "package_name": "theirs"}
    by_layout = [
        files_of(render(make_package(tmp_path / layout, "p"), **{**answers, "layout": layout}))
        for layout in ("src", "flat")
    ]
    src, flat = (
        {path.removeprefix("src/"): text for path, text in each.items()} for each in by_layout
    )
    for each in (src, flat):
        del each[".copier-answers.yml"]
    assert flat == src


def test_a_utils_package_of_theirs_keeps_its_init_for_ever(tmp_path: Path) -> None:
    template = copy_template(tmp_path / "template")
    commit_all(template)
    git(template, "tag", "v1.0.0")
    project = make_package(tmp_path / "project", "src/theirs")
    theirs = project / "src/theirs/utils/__init__.py"
    theirs.parent.mkdir()
    theirs.write_text("ANSWER = 42\n")
    commit_all(project)
    render(project, template, project_type="modules_only", package_name="theirs")
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


def test_a_module_that_the_package_would_hide_is_refused(tmp_path: Path) -> None:
    project = make_package(tmp_path / "project", "src/theirs")
    (project / "src/theirs/utils.py").write_text("ANSWER = 42\n")
    before = files_of(project)
    with pytest.raises(ValueError, match=r"Rename src/theirs/utils\.py.*hides it"):
        render(project, project_type="modules_only", package_name="theirs")
    assert files_of(project) == before


@pytest.mark.parametrize("theirs", ["state.py", "state/__init__.py"])
def test_a_module_that_the_stores_would_hide_is_refused(theirs: str, tmp_path: Path) -> None:
    project = make_package(tmp_path / "project", "src/theirs")
    (project / "src/theirs" / theirs).parent.mkdir(exist_ok=True)
    (project / "src/theirs" / theirs).write_text("ANSWER = 42\n")
    before = files_of(project)
    answers: dict[str, Any] = {"package_name": "theirs", "state_stores": ["json"]}
    with pytest.raises(ValueError, match=r"Rename src/theirs/state.*copy again"):
        render(project, project_type="modules_only", **answers)
    assert files_of(project) == before
    # Without stores there is nothing to hide it.
    render(project, project_type="modules_only", package_name="theirs")


def test_the_first_words_after_copying_say_what_to_do(tmp_path: Path) -> None:
    project = make_package(tmp_path / "project", "theirs")
    copier = Path(sys.executable).with_name("copier")
    template = copy_template(tmp_path / "template")
    answers = ("-d", "project_type=modules_only", "-d", "package_name=theirs")
    told = run(copier, "copy", "--defaults", *answers, template, project, cwd=tmp_path).stderr
    assert "python -m pytest tests/utils tests/test_guides.py" in told
    assert "need only Python 3.11 or newer" in told
    assert "orjson" not in told
    more = ("--overwrite", "-d", "state_stores=[redis]", *answers)
    told = run(copier, "copy", "--defaults", *more, template, project, cwd=tmp_path).stderr
    assert "python -m pytest tests/utils tests/state tests/test_guides.py" in told
    assert re.search(r"Add to your dependencies:\s+orjson>=\S+ redis>=\S+\n", told)


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
    environment: ProjectEnvironment,
) -> None:
    template = copy_template(tmp_path / "template")
    commit_all(template)
    git(template, "tag", "v1.0.0")
    project = unpack(sources, package, tmp_path / package)
    before = files_of(project)

    answers: dict[str, Any] = {"package_name": package, "state_stores": stores}
    answers["include_typed_state"] = bool(stores)
    render(project, template, project_type="modules_only", **answers)
    after = files_of(project)
    new = after.keys() - before.keys()
    guides = ("choose-a-state-store", "declare-versioned", "migrate-state", "react-to-state")
    with_stores = (f"{path}/state/", "tests/state/", *(f"user-docs/how-to/{g}" for g in guides))
    assert {name for name in new if not name.startswith(with_stores)} == added(path)
    assert (f"{path}/state/stores/sqlite.py" in new) is bool(stores)
    assert (f"{path}/state/typed/state.py" in new) is bool(stores)
    assert {name: after[name] for name in before} == before
    where = {"PYTHONPATH": str((project / path).parent)}
    folders = ["tests/utils", *(["tests/state"] if stores else [])]
    tests = (*folders, "tests/test_guides.py", "-p", "no:cacheprovider")
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


def test_a_published_package_with_a_module_utils_is_refused_untouched(
    sources: Path, tmp_path: Path
) -> None:
    project = unpack(sources, "packaging", tmp_path / "packaging")
    with pytest.raises(ValueError, match=r"Rename src/packaging/utils\.py"):
        render(project, project_type="modules_only", package_name="packaging")
    assert git(project, "status", "--porcelain") == ""
