"""A bad answer is refused with a way out; a good one is rendered correctly in every format."""

import ast
import functools
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from answers import HOOK_NEEDS, LIVE_NEEDS, NOT_ASKED, PROJECT_TYPES
from checks import load_yaml
from jinja2 import Template
from support import REPOSITORY, files_of, questions, render

pytestmark = pytest.mark.in_memory
BAD_ANSWERS = [
    ("project_name", "", "weather-station"),
    ("project_name", "-station", "weather-station"),
    ("project_name", "weather station", "weather-station"),
    ("project_name", 'the "station"', "weather-station"),
    ("project_name", "station\n", "weather-station"),
    ("project_name", "Ünïcode", "weather-station"),
    ("project_name", "n" * 37, "at most 36"),
    ("project_name", "typer", "typer-app"),
    ("package_name", "", "weather_station"),
    ("package_name", "class", "class_app"),
    ("package_name", "json", "json_app"),
    ("package_name", "typer", "typer_app"),
    ("package_name", "tests", "tests_app"),
    ("package_name", "Ünïcode", "weather_station"),
    ("package_name", "2nd", "weather_station"),
    ("package_name", "with-dash", "weather_station"),
    ("package_name", "station\n", "weather_station"),
    ("package_name", "n" * 37, "at most 36"),
    ("project_description", "", "one-line"),
    ("project_description", " \t", "one-line"),
    ("project_description", "two\nlines", "one-line"),
    ("project_description", "bell\a", "one-line"),
    ("project_description", "d" * 301, "in 300"),
    ("author_name", "Ada\nLovelace", "Ada Lovelace"),
    ("author_name", "Ada <ada@example.org>", "angle brackets"),
    ("author_email", "ada", "ada@example.org"),
    ("author_email", "ada@example.org\n", "ada@example.org"),
    ("author_email", 'a"b@example.org', "ada@example.org"),
    ("repository_owner", "ada lovelace", "ada-lovelace"),
    ("author_email", "a\\b@example.org", "ada@example.org"),
    ("author_email", "ada@exa_mple.org", "ada@example.org"),
    ("author_email", "ada@\u200bexample.org", "ada@example.org"),
    ("author_email", "ada@bücher\u00a0.example", "ada@example.org"),
    ("repository_owner", "-ada", "ada-lovelace"),
    ("repository_owner", "ada/lovelace", "ada-lovelace"),
    ("include_docs", "nope", "true or false"),
    ("include_example", "ja", "true or false"),
    ("include_persistence_helpers", "2.5 of them", "true or false"),
    ("license", "WTFPL", "license"),
    ("python_version", "3.10", "python_version"),
    ("project_type", "spaceship", "project_type"),
]


@pytest.mark.parametrize(("question", "answer", "way_out"), BAD_ANSWERS)
def test_a_bad_answer_is_refused_with_a_way_out_and_nothing_is_written(
    question: str, answer: Any, way_out: str, tmp_path: Path
) -> None:
    destination = tmp_path / "sample"
    with pytest.raises((ValueError, TypeError)) as refusal:
        render(destination, **{question: answer})
    assert way_out in str(refusal.value)
    if question not in ("license", "python_version", "project_type") and len(answer) < 300:
        assert json.dumps(answer, ensure_ascii=False) in str(refusal.value)
    assert not destination.exists()


@pytest.mark.parametrize(
    "address",
    ["o'brien@example.org", "ada@bücher.example", "ада@почта.рф", "ada@उदाहरण.परीक्षा", "a`b@x.org"],
)
def test_every_valid_address_is_accepted_and_rendered_right(address: str, tmp_path: Path) -> None:
    project = render(tmp_path / "sample", author_email=address)
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert metadata["authors"] == [{"email": address}]
    assert f"<{address}>" in (project / "SECURITY.md").read_text()


@pytest.mark.parametrize("owner", ["ada_acme", "ada--lovelace", "ada-", "3m"])
def test_every_owner_that_exists_on_github_is_accepted(owner: str, tmp_path: Path) -> None:
    readme = (render(tmp_path / "sample", repository_owner=owner) / "pyproject.toml").read_text()
    assert f"https://github.com/{owner}/sample" in readme


@pytest.mark.parametrize(
    ("answer", "included"),
    [("yes", True), (" True ", True), ("1", True), ("off", False), ("", False)],
)
def test_yes_and_no_may_be_words(answer: str, included: bool, tmp_path: Path) -> None:
    project = render(tmp_path / "sample", include_docs=answer)
    assert (project / "user-docs").exists() == included


@pytest.mark.parametrize(
    ("folder", "project", "package"),
    [
        ("weather-station", "weather-station", "weather_station"),
        ("Weather.Station", "Weather.Station", "weather_station"),
        ("with space", "my-project", "my_project"),
        ("Ünïcode", "my-project", "my_project"),
        ("json", "json", "json_app"),
        ("class", "class", "class_app"),
        ("tests", "tests", "tests_app"),
        ("typer", "typer-app", "typer_app"),
        ("3d", "3d", "app_3d"),
        ("-", "my-project", "my_project"),
        ("n" * 60, "my-project", "my_project"),
    ],
)
def test_the_names_come_from_the_folder_where_they_can(
    folder: str, project: str, package: str, tmp_path: Path
) -> None:
    answers = load_yaml((render(tmp_path / folder) / ".copier-answers.yml").read_text())
    assert (answers["project_name"], answers["package_name"]) == (project, package)


DESCRIPTIONS = [
    """It's "quoted", C:\\new\\table and 100 % #1""",
    "{{ braces }} {% raw %} {# comment #} ${shell} %(percent)s {: .class }",
    "*stars* _lines_ `ticks` [link](missing.md) <b>tag</b> & | pipe ~tilde~ $math$",
    "Ünïcode, 天气 and 🌦 \\U0001F326",
    "- [ ] a list, key: value, trailing backslash \\",
    "# A heading?",
    "1. A numbered item",
    "d" * 300,
]


@functools.cache  # most files do not depend on the description
def expect_python(source: str) -> None:
    ast.parse(source)


@pytest.mark.parametrize("description", DESCRIPTIONS)
@pytest.mark.parametrize("project_type", [t for t in PROJECT_TYPES if t != "modules_only"])
def test_any_one_line_description_is_rendered_correctly(
    project_type: str, description: str, tmp_path: Path
) -> None:
    project = render(
        tmp_path / "sample",
        project_type=project_type,
        project_description=description,
        author_name='Ada "Countess" O\'Lovelace \\',
    )
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert metadata["description"] == description
    assert metadata["authors"] == [{"name": 'Ada "Countess" O\'Lovelace \\'}]
    assert load_yaml((project / "mkdocs.yml").read_text())["site_description"] == description
    for path in project.rglob("*.py"):
        expect_python(path.read_text())
    unescaped = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", (project / "README.md").read_text())
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        unescaped = unescaped.replace(entity, character)
    assert unescaped.splitlines()[2] == re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", description)


def test_answers_to_questions_that_are_not_asked_change_nothing(tmp_path: Path) -> None:
    plain = files_of(render(tmp_path / "plain" / "sample", project_type="library"))
    more = render(tmp_path / "more" / "sample", project_type="library", layout="flat")
    ignored = {path: data for path, data in files_of(more).items() if path != ".copier-answers.yml"}
    assert ignored == {path: plain[path] for path in ignored}


def test_live_state_brings_the_typed_state_that_it_is_made_of(tmp_path: Path) -> None:
    live = render(tmp_path / "live", project_type="web_service", include_live_state="yes")
    answers = load_yaml((live / ".copier-answers.yml").read_text())
    assert answers["include_live_state"]
    assert answers["include_typed_state"]
    plain = render(tmp_path / "sample", project_type="web_service", include_live_state="no")
    assert "include_typed_state: false" in (plain / ".copier-answers.yml").read_text()


def test_every_question_says_what_it_is_for_and_has_a_default() -> None:
    for name, question in questions().items():
        assert "default" in question, name
        assert question.get("when") is False or question.get("ask") is False or question["help"]


@pytest.mark.parametrize("project_type", ["cli_tool", "modules_only"])
def test_every_prompt_fits_in_80_columns(project_type: str) -> None:
    answers = {"project_type": project_type, "package_name": "n" * 36}
    for name, question in questions().items():
        for line in (question.get("help", ""), *question.get("choices", ())):
            shown = Template(line).render(answers)
            assert len(shown) <= 74, f"{name}: {shown}"  # between a symbol and (y/N)


def test_the_way_out_is_in_the_part_of_a_message_that_the_prompt_shows() -> None:
    for name, question in questions().items():
        for message in re.findall(r"(?:Try|Answer) .+", question.get("validator", "")):
            shown = re.sub(r"{{[^}]+}}", "n" * 36, message)[:100]
            assert re.match(r"(Try|Answer) [^:]+[:(]", shown), f"{name}: {message}"


def test_every_path_in_a_pattern_is_escaped() -> None:
    configuration = (REPOSITORY / "copier.yml").read_text()
    # `x | fileglob` binds only what is before it: a name, a call, or a group in parentheses.
    for pattern in re.findall(r".*\| fileglob", configuration):
        assert "as_pattern(" in pattern, pattern


def test_the_template_needs_no_trust() -> None:
    configuration = load_yaml((REPOSITORY / "copier.yml").read_text())
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & configuration.keys()


def test_the_tests_assume_the_questions_that_are_asked(tmp_path: Path) -> None:
    for project_type in PROJECT_TYPES:
        project = render(tmp_path / project_type, project_type=project_type)
        answers = load_yaml((project / ".copier-answers.yml").read_text())
        asked = {name for name, spec in questions().items() if spec.get("help")}
        # No default store is the one that the dashboard needs, and typed state is off.
        more = {"include_react_hook", "include_live_state"}
        assert asked - answers.keys() == NOT_ASKED[project_type] | more
    kind, store = HOOK_NEEDS
    project = render(tmp_path / "sample", project_type=kind, state_stores=[store])
    assert "include_react_hook: false" in (project / ".copier-answers.yml").read_text()
    kind, feature = LIVE_NEEDS
    typed: dict[str, Any] = {feature: True}
    project = render(tmp_path / "live", project_type=kind, **typed)
    assert "include_live_state: false" in (project / ".copier-answers.yml").read_text()
