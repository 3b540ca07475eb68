"""The repository describes the template, and itself, correctly."""

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from answers import everything
from checks import load_yaml
from code_lines import count_code_lines
from support import REPOSITORY, render, run

from scripts.quick import find_tests

README = (REPOSITORY / "README.md").read_text()


# Templates of pages are checked when they are rendered.
OUR_PAGES = [path.name for path in REPOSITORY.glob("*.md")]
OUR_PAGES += ["benchmarks/results.md", "docs/first-project.md"]


def test_readme_and_first_page_have_the_same_table_of_classes(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", **everything("web_service"))
    table = re.compile(r"^\| to keep \|.+?\n\n", re.MULTILINE | re.DOTALL)
    page = (project / "user-docs/index.md").read_text()
    assert table.findall(README) == table.findall(page) != []


@pytest.mark.parametrize("page", OUR_PAGES)
def test_links_in_our_own_pages_are_valid(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    for link in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text):
        assert ((REPOSITORY / page).parent / link).exists(), link


def workflows(project: Path) -> dict[str, Any]:
    return {
        path.name: load_yaml(path.read_text())
        for path in sorted((project / ".github/workflows").glob("*.yml"))
    }


PERMISSIONS = {
    "publish": {"id-token": "write"},
    "site": {"id-token": "write", "pages": "write"},
}


def test_every_workflow_gives_itself_no_more_rights_than_it_needs(tmp_path: Path) -> None:
    emitted = workflows(render(tmp_path / "sample"))
    assert emitted.keys() == {"ci.yml", "release.yml"}
    for name, workflow in [*workflows(REPOSITORY).items(), *emitted.items()]:
        assert workflow["permissions"] == {"contents": "read"}, name
        for job_name, job in workflow["jobs"].items():
            # Only the jobs that publish may prove their identity.
            assert job.get("permissions") == PERMISSIONS.get(job_name), job_name
            for step in job["steps"]:
                used = step.get("uses", "actions/x@v1")
                assert re.search(r"^actions/[\w-]+@v\d+$|@[0-9a-f]{40}$", used), used


def test_the_site_is_published_after_the_tests_and_only_where_pages_are_on(tmp_path: Path) -> None:
    jobs = workflows(render(tmp_path / "open"))["ci.yml"]["jobs"]
    condition = "github.ref == 'refs/heads/main' && github.event.repository.has_pages"
    (upload,) = (step for step in jobs["check"]["steps"] if "pages" in step.get("uses", ""))
    assert upload["if"] == jobs["site"]["if"] == condition
    assert jobs["site"]["needs"] == ["check", "test"]
    # Pages are public, those of a private repository too.
    closed = render(tmp_path / "closed", license="Proprietary")
    assert "site" not in workflows(closed)["ci.yml"]["jobs"]


def test_the_emitted_workflows_pin_the_same_actions_as_ours(tmp_path: Path) -> None:
    """Dependabot keeps ours up to date, and cannot read templates."""
    uses = re.compile(r"uses: ([\w/-]+)@(.+)")
    ours = dict(uses.findall((REPOSITORY / ".github/workflows/ci.yml").read_text()))
    for path in (render(tmp_path / "sample") / ".github/workflows").iterdir():
        for action, pin in uses.findall(path.read_text()):
            assert ours.get(action, pin) == pin, (path.name, action)


def test_the_commands_of_the_readme_are_those_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?m)(?:`|^)make ([a-z]+)", README)) <= targets


def test_the_version_of_copier_is_stated_once() -> None:
    needed = load_yaml((REPOSITORY / "copier.yml").read_text())["_min_copier_version"]
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]
    assert f"copier>={needed.removesuffix('.0')}" in groups["dev"]


# With the guide of each.
UTILITIES = {
    "errors": "improve-error-messages",
    "persistence": "persist-application-state",
    "responses": "standardize-responses",
    "validation": "use-input-validation",
}


def test_the_utilities_together_stay_within_their_limit_of_lines(tmp_path: Path) -> None:
    utils = render(tmp_path / "sample", project_type="library") / "src/sample/utils"
    # Lines of code, without docstrings, comments and blank lines.
    lines = {name: count_code_lines((utils / f"{name}.py").read_text()) for name in UTILITIES}
    assert sum(lines.values()) <= 1475, lines


# For a whole package, without the packages that have a limit of their own: a file is split where
# a concept ends, not where a limit does. The server includes its example and its test tools.
LIMITS = {"state": 2250, "state/typed": 4150, "state/shared": 2050, "server": 4120, "live": 2100}


@pytest.mark.parametrize("package", LIMITS)
def test_a_package_stays_within_its_limit_of_lines(tmp_path: Path, package: str) -> None:
    answers = everything("web_service" if package == "live" else "state_server")
    folder = render(tmp_path / "sample", **answers) / "src/sample"
    others = [folder / each for each in LIMITS if each.startswith(f"{package}/")]
    modules = [
        path
        for path in (folder / package).rglob("*.py")
        if not any(path.is_relative_to(other) for other in others)
    ]
    lines = {path.relative_to(folder): count_code_lines(path.read_text()) for path in modules}
    assert sum(lines.values()) <= LIMITS[package], lines


def test_the_modules_need_no_other_package(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", project_type="library")
    program = f"import sys; sys.path.insert(0, {str(project / 'src')!r}); import sample.utils"
    run(sys.executable, "-I", "-S", "-c", program, cwd=tmp_path)


@pytest.mark.parametrize("kind", ["cli_tool", "daemon", "library", "mcp_server", "web_service"])
def test_the_line_counts_of_the_guide_are_correct(kind: str, tmp_path: Path) -> None:
    project = render(tmp_path / "sample", project_type=kind)
    guide = (project / "user-docs/how-to/learn-from-the-example.md").read_text()
    by_hand = re.search(
        r"```python\n(import contextlib.*?class HandWritten.*?)```", guide, re.DOTALL
    )
    assert by_hand is not None
    modules = [
        count_code_lines((project / f"src/sample/utils/{name}.py").read_text())
        for name in UTILITIES
    ]
    counts = {
        "by hand": count_code_lines(by_hand[1]),
        "registry.py": count_code_lines((project / "src/sample/registry.py").read_text()),
        "the four modules": round(sum(modules), -2),
    }
    for version, lines in counts.items():
        assert re.search(rf"^\| `?{version}.*\| (about )?{lines} \|$", guide, re.MULTILINE), counts


@pytest.mark.parametrize("module", UTILITIES)
def test_the_length_that_a_guide_gives_for_its_module_is_about_right(
    module: str, tmp_path: Path
) -> None:
    project = render(tmp_path / "sample", project_type="library")
    guide = (project / f"user-docs/how-to/{UTILITIES[module]}.md").read_text()
    documented = re.search(r"the module, [^|]*?\|? ?about (\d+)", guide)
    assert documented is not None
    lines = count_code_lines((project / f"src/sample/utils/{module}.py").read_text())
    assert abs(int(documented[1]) - lines) < 0.1 * lines


def test_every_exported_name_has_its_place_in_the_pages_of_the_api(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", **everything("library"))
    pages = (project / "user-docs/reference/api").glob("*.md")
    documented = set(re.findall(r"sample\.(?:\w+\.)*(\w+)", "".join(map(Path.read_text, pages))))
    exported = {
        name
        for package in ("", "utils", "state")
        for name in literal(project / "src/sample" / package / "__init__.py", "__all__")
    }
    assert exported - documented == {"AnyResponse", "__version__"}


def literal(module: Path, name: str) -> list[str]:
    """Return the value of a constant, without importing the module."""
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            value: list[str] = ast.literal_eval(node.value)
            return value
    raise LookupError(name)


# The first lists the commands. The others are not for contributors, or name their command.
NOT_IN_THE_TABLE = {"help", "pyodide", "run"}


@pytest.mark.parametrize("kind", ["cli_tool", "web_service"])
def test_the_commands_without_make_are_those_of_the_makefile(kind: str, tmp_path: Path) -> None:
    project = render(tmp_path / "sample", **everything(kind))
    makefile = (project / "Makefile").read_text()
    recipes = re.sub(r"\$\(or \$\(TESTS\),(.+?)\)", r"\1", makefile)
    recipes = re.sub(r"\$\(NPM(_CHECK)?\)", "npm --prefix frontend", recipes)
    recipes = recipes.replace('@changes="$$(', "")
    table = (project / "CONTRIBUTING.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `make (\w+)`.*\|(.*)\|$", table))
    assert rows.keys() == {*re.findall(r"(?m)^(\w+):.*##", makefile)} - NOT_IN_THE_TABLE
    for command in re.findall(r"`(.+?)`", "".join(rows.values())):
        assert f"\t{command}" in recipes, command


def test_the_quick_check_runs_the_tests_of_a_changed_template(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", project_type="library", state_stores=["json"])
    expected = {
        "template/src/{{package_name}}/utils/errors.py.jinja": ["tests/utils/test_errors.py"],
        "template/src/{{package_name}}/state/stores/json_file.py.jinja": [
            "tests/state/stores/test_json_file.py"
        ],
        "template/src/{{package_name}}/registry.py.jinja": ["tests/test_registry.py"],
        "template/tests/utils/test_errors.py.jinja": ["tests/utils/test_errors.py"],
        "template/user-docs/index.md.jinja": ["tests/test_guides.py"],
        "template/README.md.jinja": ["tests/test_guides.py"],
        "includes/use/library.jinja": ["tests/test_guides.py"],
        "template/src/{{package_name}}/cli.py.jinja": [],  # a library does not have it
        "tests/test_rendering.py": [],
    }
    for path, tests in expected.items():
        assert [*find_tests([path], project)] == tests, path
