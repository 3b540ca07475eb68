"""Answers are refused with a way out, or rendered right into every format."""

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from answers import NOT_ASKED, PROJECT_TYPES
from checks import load_yaml
from support import REPOSITORY, files_of, questions, render

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
    ("repository_owner", "-ada", "ada-lovelace"),
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


@pytest.mark.parametrize("description", DESCRIPTIONS)
@pytest.mark.parametrize("project_type", [t for t in PROJECT_TYPES if t != "modules_only"])
def test_any_one_line_description_is_rendered_right(
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
        ast.parse(path.read_text())
    unescaped = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", (project / "README.md").read_text())
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        unescaped = unescaped.replace(entity, character)
    assert unescaped.splitlines()[2] == re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", description)


def test_answers_to_questions_that_are_not_asked_change_nothing(tmp_path: Path) -> None:
    plain = files_of(render(tmp_path / "plain" / "sample", project_type="library"))
    more = render(tmp_path / "more" / "sample", project_type="library", layout="flat")
    ignored = {path: data for path, data in files_of(more).items() if path != ".copier-answers.yml"}
    assert ignored == {path: plain[path] for path in ignored}


def test_every_question_says_what_it_is_for_and_has_a_default() -> None:
    for name, question in questions().items():
        assert "default" in question, name
        assert question.get("when") is False or question.get("ask") is False or question["help"]


def test_every_path_in_a_pattern_is_escaped() -> None:
    configuration = (REPOSITORY / "copier.yml").read_text()
    # `x | fileglob` binds only what is before it: a name, a call, or a group in parentheses.
    for pattern in re.findall(r".*\| fileglob", configuration):
        assert "as_pattern(" in pattern, pattern


def test_the_template_asks_nobody_for_trust() -> None:
    configuration = load_yaml((REPOSITORY / "copier.yml").read_text())
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & configuration.keys()


def test_what_is_asked_of_whom_is_what_the_tests_assume(tmp_path: Path) -> None:
    for project_type in PROJECT_TYPES:
        project = render(tmp_path / project_type, project_type=project_type)
        answers = load_yaml((project / ".copier-answers.yml").read_text())
        asked = {name for name, spec in questions().items() if spec.get("help")}
        assert asked - answers.keys() == NOT_ASKED[project_type]
