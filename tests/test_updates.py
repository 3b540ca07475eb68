"""An update brings new files and fixes, and loses no edit."""

import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answers import PROJECT_TYPES, asked, everything, nothing
from checks import find_faults, load_yaml
from copier import Settings, run_update
from jinja2 import StrictUndefined, meta
from jinja2.sandbox import SandboxedEnvironment
from support import (
    REPOSITORY,
    commit_all,
    copy_state,
    copy_template,
    files_of,
    git,
    released_template,
    render,
    run,
)

pytestmark = pytest.mark.in_memory
CONFLICT = re.compile(r"^(<<<<<<<|>>>>>>>)", re.MULTILINE)


@pytest.fixture
def template(tmp_path: Path, shared: Path) -> Path:
    """The template as a repository of its own, released once as it is now."""
    return released_template(shared, tmp_path / "template")


def release(template: Path, tag: str) -> None:
    commit_all(template, f"Release {tag}")
    git(template, "tag", tag)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new))


def start(template: Path, destination: Path, **answers: Any) -> Path:
    project = render(destination, template, **answers)
    commit_all(project, "Start")
    return project


def update(project: Path, **answers: Any) -> None:
    """Update as `copier update --defaults` does, and hold that nothing conflicts."""
    run_update(
        project, data=answers, settings=Settings(), defaults=True, overwrite=True, quiet=True
    )
    for path, data in files_of(project).items():
        assert not path.endswith(".rej"), path
        assert not CONFLICT.search(data.decode()), f"conflict in {path}"


def module(template: Path, name: str) -> Path:
    return template / "template/src/{{package_name}}" / name


def test_an_update_brings_a_fix_and_keeps_every_edit(template: Path, tmp_path: Path) -> None:
    project = start(template, tmp_path / "sample")
    own = {
        "src/sample/cli.py": (
            '"""Show all servers',
            '"""Show every server',
        ),
        "src/sample/utils/persistence.py": (
            "logger = logging.getLogger(__name__)\n",
            'logger = logging.getLogger("sample.state")\n',
        ),
        "pyproject.toml": (
            "below this one.\n]\n\n# https",
            'below this one.\n    "httpx>=0.28",\n]\n\n# https',
        ),
        "README.md": ("# sample\n", "# sample\n\nMine.\n"),
        "mkdocs.yml": (
            "an update does not change them. See CONTRIBUTING.\n",
            "an update does not change them. See CONTRIBUTING.\n  - Mine: mine.md\n",
        ),
        "tests/test_cli.py": ("SEARCH = ", "# Mine.\nSEARCH = "),
    }
    (project / "user-docs/mine.md").write_text("# Mine\n")
    for path, (old, new) in own.items():
        edit(project / path, old, new)
    commit_all(project, "Edit")

    edit(
        module(template, "utils/persistence.py.jinja"),
        "    if not os.path.isdir(folder):\n",
        "    # Fixed.\n    if not os.path.isdir(folder):\n",
    )
    edit(template / "template/pyproject.toml.jinja", '    "rich>=14.3",\n', '    "rich>=15",\n')
    edit(template / "template/pyproject.toml.jinja", '    "pytest>=8.4",\n', '    "pytest>=9",\n')
    edit(
        template / "template/mkdocs.yml.jinja",
        "      - Python patterns: reference/python-patterns.md\n",
        ("      - Python patterns: reference/python-patterns.md\n      - Start: index.md\n"),
    )
    edit(template / "template/README.md.jinja", "## Licence\n", "## License\n")
    edit(
        template / "template/tests/test_cli.py.jinja", "def test_help_is_given", "def test_help_is"
    )
    release(template, "v1.1.0")
    update(project)

    for path, (_, new) in own.items():
        assert new.strip("\n") in (project / path).read_text() or path == "pyproject.toml", path
    assert '"httpx>=0.28"' in (project / "pyproject.toml").read_text()
    assert "# Fixed." in (project / "src/sample/utils/persistence.py").read_text()
    pyproject = (project / "pyproject.toml").read_text()
    assert '"rich>=15"' in pyproject
    assert '"pytest>=9"' in pyproject
    assert "- Start: index.md" in (project / "mkdocs.yml").read_text()
    assert "## License" in (project / "README.md").read_text()
    assert "def test_help_is(" in (project / "tests/test_cli.py").read_text()
    answers = load_yaml((project / ".copier-answers.yml").read_text())
    assert answers["_commit"] == "v1.1.0"


@pytest.mark.parametrize(
    ("make", "project_type"),
    [(everything, each) for each in PROJECT_TYPES]
    + [(nothing, each) for each in ("cli_tool", "modules_only")],
)
def test_an_untouched_project_becomes_equal_to_a_fresh_copy(
    make: Callable[..., dict[str, Any]], project_type: str, template: Path, tmp_path: Path
) -> None:
    answers = make(project_type, package_name="sample")
    project = start(template, tmp_path / "old" / "sample", **answers)
    for path in sorted((template / "template").rglob("*")):
        # A comment at the end of every Python file, a new file, and a deleted one.
        if path.is_file() and ".py" in path.suffixes and "include" not in path.read_text()[:12]:
            path.write_text(path.read_text() + "# Newer.\n")
    (template / "template/NEWS.md").write_text("# News\n")
    (template / "template/SECURITY.md.jinja").unlink()
    release(template, "v1.1.0")
    update(project)
    fresh = render(tmp_path / "fresh" / "sample", template, **answers)
    assert files_of(project) == files_of(fresh)


# The features of each type, in an order in which each can be added to those before it.
FEATURES = [
    (
        "cli_tool",
        ["docs", "agents_md", "github_actions", "pre_commit", "api_utilities"],
    ),
    ("cli_tool", ["persistence_helpers", "api_utilities", "example"]),
    ("library", ["persistence_helpers", "docs", "typed_state"]),
    ("mcp_server", ["api_utilities", "persistence_helpers", "example"]),
    ("web_service", ["persistence_helpers", "api_utilities", "container"]),
    ("web_service", ["react_hook", "container"]),
    ("daemon", ["container", "api_utilities", "persistence_helpers"]),
    ("state_server", ["api_utilities", "docs", "example"]),
    ("modules_only", ["persistence_helpers", "docs", "typed_state", "api_utilities"]),
]


@pytest.mark.parametrize(("project_type", "features"), FEATURES)
def test_features_can_be_added_one_by_one_and_removed_again(
    project_type: str, features: list[str], template: Path, tmp_path: Path
) -> None:
    names = [f"include_{feature}" for feature in features]
    stores = ["redis"] if "react_hook" in features else []
    answers = everything(project_type, package_name="sample", state_stores=stores)
    answers |= {"include_typed_state": False, "include_example": False}
    answers |= dict.fromkeys(names, False)
    project = start(template, tmp_path / "own" / "sample", **asked(answers))
    before = files_of(project)
    for name in names:
        answers[name] = True
        update(project, **{name: True})
        fresh = render(tmp_path / name / "sample", template, **asked(answers))
        assert files_of(project) == files_of(fresh)
        commit_all(project, f"Add {name}")
    update(project, **dict.fromkeys(reversed(names), False))
    assert files_of(project) == before
    assert find_faults(project, asked(answers | dict.fromkeys(names, False))) == []


@pytest.mark.parametrize("project_type", ["library", "web_service", "modules_only"])
def test_stores_can_be_added_later_and_removed_again(
    project_type: str, template: Path, tmp_path: Path
) -> None:
    off: dict[str, Any] = {"include_typed_state": False, "state_stores": []}
    without = everything(project_type, package_name="sample", **off)
    project = start(template, tmp_path / "own" / "sample", **without)
    for stores in (["sqlite"], ["json", "redis"], []):
        update(project, state_stores=stores)
        answers: dict[str, Any] = {**without, "state_stores": stores}
        fresh = render(tmp_path / "-".join(["fresh", *stores]) / "sample", template, **answers)
        assert files_of(project) == files_of(fresh)
        assert find_faults(project, answers) == []
        commit_all(project, "Change the stores")


def test_a_feature_added_later_leaves_own_dependencies_and_pages_alone(
    template: Path, tmp_path: Path
) -> None:
    project = start(template, tmp_path / "sample", include_persistence_helpers=False)
    mark = "    # Your own: an update keeps all lines below this one.\n"
    pyproject = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(pyproject.replace(mark, mark + '    "anyio>=4",\n', 1))
    mark = "  # Add your pages below this line: an update does not change them. See CONTRIBUTING.\n"
    edit(project / "mkdocs.yml", mark, f"{mark}  - Mine: index.md\n")
    commit_all(project, "Edit")
    update(project, include_persistence_helpers=True, include_example=True)
    assert '"anyio>=4"' in (project / "pyproject.toml").read_text()
    assert '"platformdirs>=' in (project / "pyproject.toml").read_text()
    navigation = (project / "mkdocs.yml").read_text()
    assert "- Mine: index.md" in navigation
    assert "how-to/persist-application-state.md" in navigation


def test_an_example_does_not_overwrite_the_program_wherever_it_lies(
    template: Path, tmp_path: Path
) -> None:
    project = start(template, tmp_path / "[x] (y)?", include_persistence_helpers=False)
    update(project, include_persistence_helpers=True)
    assert not (project / "src" / "my_project" / "registry.py").exists()


def test_an_update_offers_a_feature_that_is_newer_than_the_project(tmp_path: Path) -> None:
    """The older template is this one without AGENTS.md: without its question, file and block."""
    older = copy_template(tmp_path / "template")
    configuration = (older / "copier.yml").read_text()
    for part in (
        r"include_agents_md:\n(  .*\n)+\n",
        r"has_agents_md:\n(  .*\n)+",
        r"  - \|\n    \{% if has_agents_md (.*\n)+?    \{%- endif %\}\n",
    ):
        configuration, count = re.subn(part, "", configuration)
        assert count == 1, part
    (older / "copier.yml").write_text(configuration)
    (older / "template/AGENTS.md.jinja").unlink()
    commit_all(older)
    git(older, "tag", "v1.0.0")
    projects = [
        start(older, tmp_path / project_type / "sample", project_type=project_type)
        for project_type in ("cli_tool", "modules_only")
    ]
    copy_template(older)
    release(older, "v1.1.0")
    for project in projects:
        update(project)
        assert (project / "AGENTS.md").exists() is (project / "pyproject.toml").exists()


def test_deleted_files_stay_deleted(template: Path, tmp_path: Path) -> None:
    project = start(template, tmp_path / "sample", repository_owner="ada")
    (project / "SECURITY.md").unlink()
    shutil.rmtree(project / ".github")
    commit_all(project, "Delete")
    edit(template / "template/SECURITY.md.jinja", "# Security\n", "# Security policy\n")
    release(template, "v1.1.0")
    update(project)
    assert not (project / "SECURITY.md").exists()
    assert not (project / ".github").exists()


def test_a_project_with_uncommitted_changes_is_refused(template: Path, tmp_path: Path) -> None:
    project = start(template, tmp_path / "sample")
    (project / "README.md").write_text("Changed.\n")
    with pytest.raises(Exception, match="dirty"):
        update(project)
    assert (project / "README.md").read_text() == "Changed.\n"


def test_an_update_keeps_the_year_of_the_licence(template: Path, tmp_path: Path) -> None:
    project = start(template, tmp_path / "sample", copyright_year="2021")
    update(project)
    assert "2021" in (project / "LICENSE").read_text()


TAGS = run("git", "tag", "--list", "v*", cwd=REPOSITORY).stdout.split()
# States of before the first release: of each, the project types that its newest features concern.
EARLIER = [
    ("b3f74ba", "cli_tool"),
    ("b3f74ba", "modules_only"),
    ("c05b4f6", "cli_tool"),
    ("c05b4f6", "library"),
    ("cdacd3c", "modules_only"),
    ("15536ee", "daemon"),
    ("15536ee", "mcp_server"),
    ("fe889cd", "web_service"),
    ("7b14a6d", "daemon"),
    ("7b14a6d", "modules_only"),
]
STATES = [(tag, each) for tag in TAGS for each in PROJECT_TYPES] + EARLIER
STATES += [("HEAD", each) for each in ("cli_tool", "modules_only")]


@pytest.mark.parametrize(("state", "project_type"), STATES)
def test_an_untouched_project_of_every_earlier_state_becomes_a_fresh_copy(
    state: str, project_type: str, tmp_path: Path
) -> None:
    template = copy_state(state, tmp_path / "template")
    commit_all(template, "That one")
    git(template, "tag", "v0.0.1")
    project = start(template, tmp_path / "sample", project_type=project_type)
    for part in ("includes", "template"):
        shutil.rmtree(template / part, ignore_errors=True)
    copy_template(template)
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--allow-empty", "--message", "This one")
    git(template, "tag", "v0.0.2")
    update(project)
    # An older project does not have the answers to newer questions, so its defaults count.
    stored = load_yaml((project / ".copier-answers.yml").read_text())
    answers = {name: answer for name, answer in stored.items() if not name.startswith("_")}
    fresh = render(tmp_path / "fresh" / "sample", template, **answers)
    assert files_of(project) == files_of(fresh)


def test_each_list_of_files_is_rendered_for_a_template_that_lacks_any_of_its_names() -> None:
    """An update renders the lists of this template with the names of the older one."""
    environment = SandboxedEnvironment(undefined=StrictUndefined)
    # Every state of the template has these.
    always = {"package_name": "sample", "package_path": "sample", "project_type": "cli_tool"}
    for block in load_yaml((REPOSITORY / "copier.yml").read_text())["_exclude"]:
        names = sorted(meta.find_undeclared_variables(environment.parse(block)) - always.keys())
        for values in itertools.product((None, True, False), repeat=len(names)):
            pairs = zip(names, values, strict=True)
            known = {name: value for name, value in pairs if value is not None}
            environment.from_string(block).render(always | known)


def test_a_conflict_keeps_both_sides_and_the_documented_command_finds_it(
    template: Path, tmp_path: Path
) -> None:
    project = start(template, tmp_path / "sample")
    edit(project / "README.md", "## Licence\n", "## Mine\n")
    commit_all(project, "Edit")
    edit(template / "template/README.md.jinja", "## Licence\n", "## Theirs\n")
    release(template, "v1.1.0")
    run_update(project, settings=Settings(), defaults=True, overwrite=True, quiet=True)
    text = (project / "README.md").read_text()
    assert "## Mine" in text
    assert "## Theirs" in text
    checked = run("git", "diff", "--check", cwd=project, check=False)
    assert checked.returncode != 0
    assert "README.md" in checked.stdout
