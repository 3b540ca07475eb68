"""Write the parts of the README that follow from the template: the questions and the tree.

Each part stands between two comments, `<!-- NAME: written by make readme -->` and
`<!-- NAME: end -->`. With `--check`, nothing is written, and a stale part is an error.
"""

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
from support import REPOSITORY, questions, render

README = REPOSITORY / "README.md"
# The origins of a computed default, the first of which that is used counts.
COPIERS_OWN = {
    "user_name": "Copier's `user_name`",
    "user_email": "Copier's `user_email`",
    "github_user": "Copier's `github_user`",
    "_copier_conf": "found in the folder",
}


def table_of_questions() -> str:
    """Return a row for each question that is asked."""
    rows = ["| question | default | asks |", "|---|---|---|"]
    for name, question in questions().items():
        if question.get("help") and question.get("ask", True):
            words = jinja2.Template(question["help"]).render(project_type="cli_tool")
            choices = ", ".join(f"`{choice}`" for choice in _choices(question))
            asks = f"{words} {choices}".strip()
            rows.append(f"| `{name}` | {_default(question['default'])} | {asks} |")
    return "\n".join(rows)


def _choices(question: dict[str, Any]) -> list[str]:
    choices = question.get("choices", [])
    return [*choices.values()] if isinstance(choices, dict) else choices


def _default(default: object) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    if "{" not in str(default):
        return f"`{default}`"
    used = set(re.findall(r"\w+", str(default)))
    for variable, words in COPIERS_OWN.items():
        if variable in used:
            return words
    others = [f"`{name}`" for name in questions() if name in used]
    return f"from {', '.join(others)}" if others else "the folder's name"


def tree() -> str:
    """Return the files of a default project, as a tree."""
    with tempfile.TemporaryDirectory() as folder:
        project = render(Path(folder) / "weather-station")
        lines = [f"{project.name}/", *_branches(project)]
    return "\n".join(["```text", *lines, "```"])


def _branches(folder: Path, indent: str = "") -> Iterator[str]:
    entries = sorted(folder.iterdir(), key=lambda entry: (not entry.is_dir(), entry.name))
    for entry in entries:
        last = entry == entries[-1]
        yield f"{indent}{'└' if last else '├'}── {entry.name}{'/' if entry.is_dir() else ''}"
        if entry.is_dir():
            yield from _branches(entry, f"{indent}{' ' if last else '│'}   ")


PARTS: dict[str, Callable[[], str]] = {"questions": table_of_questions, "tree": tree}


def written(text: str) -> str:
    """Return the README with its parts as they should be."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name}: written by make readme -->", f"<!-- {name}: end -->"
        part = f"{begin}\n\n{make()}\n\n{end}"
        pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
        text, count = re.subn(pattern, lambda _, part=part: part, text, flags=re.DOTALL)  # type: ignore[misc]
        assert count == 1, f"the README must have {begin!r} and {end!r} once"
    return text


def main() -> None:
    text = README.read_text()
    fresh = written(text)
    if fresh != text and "--check" in sys.argv[1:]:
        sys.exit("README.md does not match the template: run `make readme` and commit the result.")
    README.write_text(fresh)


if __name__ == "__main__":
    main()
