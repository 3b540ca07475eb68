"""Plain language in everything people read: emitted text, messages, guides and our own pages.

`PYTHONPATH=tests python -m test_language` prints the figures of every group of texts.
"""

import ast
import io
import re
import sys
import tempfile
import textwrap
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from answers import PROJECT_TYPES, everything, nothing
from support import REPOSITORY, files_of, render


class Measure(NamedTuple):
    """A habit of language, and how often it may occur in 1,000 words."""

    pattern: re.Pattern[str]
    most: float


# "There is no …" is common English, and "is None" is Python.
IS_NO = r"(?<![Tt]here )\b(is|are|was|were) (no|none)\b(?! (longer|more|less|fewer|better)\b)"
# The limits are the upper ends of what well-written projects of the field show.
MEASURES = {
    "what": Measure(re.compile(r"\bwhat(ever)?\b", re.IGNORECASE), 1.0),
    "is no/none": Measure(re.compile(IS_NO), 0.4),
    "who/nobody": Measure(re.compile(r"\b(who(ever|m)?|(no|some)body)\b", re.IGNORECASE), 0.3),
    "tell/told": Measure(re.compile(r"\b(tell(s|ing)?|told)\b", re.IGNORECASE), 0.3),
}
MUST = re.compile(r"\b(must|should|will)\b", re.IGNORECASE)

# Phrases that are wrong wherever they stand, with the way out.
PHRASES = {
    IS_NO: 'write "is not a …", or "does not …"',
    r"(?i)\b(whoever|nobody|somebody)\b": "name the person: the caller, the user, the owner",
    r"(?i)\b(tells?|told)\b": "write notify, report, show, state",
    r"(?<=[.:;!] )What(ever)? (?![^.?!]*\?)|^What(ever)? (?![^.?!]*\?)": (
        "begin with the noun that it stands for"
    ),
    r"\b(by|to|for|of|from|with|on|in) what\b": "write the noun",
    r"(?i)\bbehavior|\bcolor\b|\bfavor|\bhonor\b|\bneighbor|\bcenter\b|\bcatalog\b|\bcanceled\b": (
        "spell it the British way"
    ),
    r"(?i)\b(normal|recogn|organ|initial|serial|capital|standard|author|synchron|final|optim|summar)is"
    r"(e|es|ed|ing|ation|er)\b": "spell it with z, as the names in the code do",
}
# Found, and right: quoted names, and words of other programs.
ALLOWED = {
    r"tell\(\)",  # a method of files
}


class Text(NamedTuple):
    """A piece of prose, without the code in it."""

    where: str
    line: int
    words: str


def prose_of_markdown(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line of a page, without blocks of code, code in backticks and addresses."""
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith(("```", "~~~")):
            in_code = not in_code
        elif not in_code:
            yield number, _without_code(line)


def _without_code(line: str) -> str:
    line = re.sub(r"\{[%#].*?[%#]\}|\{\{.*?\}\}", " ", line)
    line = re.sub(r"``.+?``|`[^`]+`", " x ", line)
    return re.sub(r"\]\([^)]*\)|https?://\S+", "]", line)


def prose_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of docstrings and comments, without their examples."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not re.match(
            r"#(!|:?\s*(type:|noqa|pragma|fmt:|ruff:))", token.string
        ):
            yield token.start[0], _without_code(token.string.lstrip("#: "))
    for node in _docstrings(ast.parse(source)):
        fenced = example = False
        for number, line in enumerate(str(node.value).splitlines(), node.lineno):
            stripped = line.strip()
            if stripped.startswith("```"):
                fenced = not fenced
            example = stripped.startswith(">>>") or (example and bool(stripped))
            if not fenced and not example:
                yield number, _without_code(stripped)


def _docstrings(tree: ast.AST) -> list[ast.Constant]:
    """Return the strings that stand alone: docstrings, also those of attributes."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


def messages_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield the strings that read like sentences: three words or more, in no docstring."""
    tree = ast.parse(source)
    seen = {id(node) for node in _docstrings(tree)}
    for node in ast.walk(tree):  # outer nodes come first, so that parts of f-strings are seen
        if id(node) in seen:
            continue
        if isinstance(node, ast.JoinedStr):
            seen |= {id(part) for part in ast.walk(node)}
            parts = node.values
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts = [node]
        else:
            continue
        words = "".join(str(p.value) if isinstance(p, ast.Constant) else "x" for p in parts)
        if len(re.findall(r"[A-Za-z]{2,}", words)) >= 3 and " " in words.strip():
            yield node.lineno, _without_code(words)


TYPESCRIPT_COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'`])//[^\n]*", re.DOTALL)
TYPESCRIPT_STRING = re.compile(r'"[^"\n]*"|`[^`]*`')


def comments_of_typescript(source: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of comments."""
    for found in TYPESCRIPT_COMMENT.finditer(source):
        first = source.count("\n", 0, found.start()) + 1
        for number, line in enumerate(found[0].splitlines(), first):
            yield number, _without_code(line.strip("/* "))


def messages_of_typescript(source: str) -> Iterator[tuple[int, str]]:
    """Yield the strings that read like sentences: three words or more."""
    code = TYPESCRIPT_COMMENT.sub(lambda found: "\n" * found[0].count("\n"), source)
    for found in TYPESCRIPT_STRING.finditer(code):
        words = re.sub(r"\$\{[^}]*\}", "x", found[0].strip('"`'))
        if len(re.findall(r"[A-Za-z]{2,}", words)) >= 3 and " " in words:
            yield code.count("\n", 0, found.start()) + 1, _without_code(words)


def _group_of(path: str, package: str) -> str | None:
    if path.startswith("tests/"):
        return "emitted tests"
    if path.startswith(f"{package}state/typed/"):
        return "state/typed"
    if path.startswith(f"{package}state/"):
        return "state"
    if path.startswith(f"{package}utils/"):
        return "utils"
    return "programs" if path.startswith(package) else None


@cache
def groups() -> dict[str, list[Text]]:
    """Return the prose of every group: of each type of project, and of this repository."""
    found: dict[str, dict[tuple[str, str], Text]] = defaultdict(dict)
    with tempfile.TemporaryDirectory() as folder:
        for group, text in (*_emitted_prose(Path(folder)), *_our_prose()):
            # A text that several types of project share is counted once.
            found[group].setdefault((text.where, text.words), text)
    return {group: list(texts.values()) for group, texts in found.items()}


def _emitted_prose(folder: Path) -> Iterator[tuple[str, Text]]:
    read = set[tuple[str, bytes]]()
    for kind in PROJECT_TYPES:
        if kind == "modules_only":
            continue  # the same modules and guides
        for switch in (everything, nothing):
            answers = switch(kind, package_name="sample", project_name="sample")
            project = render(folder / f"{kind}-{switch.__name__}", **answers)
            for name, data in files_of(project).items():
                if (name, data) not in read:  # most projects have the same files
                    read.add((name, data))
                    yield from _prose_of_emitted_file(project / name, name)


def _prose_of_emitted_file(path: Path, name: str) -> Iterator[tuple[str, Text]]:
    if path.suffix == ".md":
        group = "guides" if name.startswith("user-docs/") else "project pages"
        yield from _in_group(group, name, prose_of_markdown(path.read_text()))
    elif path.suffix in (".js", ".ts", ".tsx"):
        source = path.read_text()
        yield from _in_group("frontend: comments", name, comments_of_typescript(source))
        if not name.startswith("frontend/tests/"):
            yield from _in_group("frontend: messages", name, messages_of_typescript(source))
    elif path.suffix == ".py" and (part := _group_of(name, "src/sample/")):
        source = path.read_text()
        yield from _in_group(f"{part}: docstrings and comments", name, prose_of_python(source))
        if part != "emitted tests":
            yield from _in_group(f"{part}: messages", name, messages_of_python(source))


def _our_prose() -> Iterator[tuple[str, Text]]:
    for path in sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")]):
        yield from _in_group("our pages", path.name, prose_of_markdown(path.read_text()))
    yield from _in_group("copier.yml", "copier.yml", _prose_of_questions())
    for folder in ("tests", "benchmarks", "scripts"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if path.name != Path(__file__).name:
                name = path.relative_to(REPOSITORY).as_posix()
                prose = prose_of_python(path.read_text())
                yield from _in_group("our tests and scripts: docstrings and comments", name, prose)


def _in_group(
    group: str, where: str, prose: Iterator[tuple[int, str]]
) -> Iterator[tuple[str, Text]]:
    for line, words in prose:
        yield group, Text(where, line, words)


def _prose_of_questions() -> Iterator[tuple[int, str]]:
    """Yield the lines of copier.yml that people read: all but expressions and lists of paths."""
    for number, line in enumerate((REPOSITORY / "copier.yml").read_text().splitlines(), 1):
        stripped = re.sub(r"^(help|default|when|validator):|['\"]", " ", line.strip())
        if not re.match(r"/|\{[{%]|[|!(]", stripped.strip()):
            yield number, _without_code(stripped)


def per_thousand(texts: list[Text], pattern: re.Pattern[str]) -> float:
    """Return how often a pattern occurs in 1,000 words."""
    return 1000 * sum(len(pattern.findall(text.words)) for text in texts) / count_words(texts)


def count_words(texts: list[Text]) -> int:
    """Count words: runs of letters, joined by an apostrophe or a hyphen."""
    return sum(len(re.findall(r"[A-Za-z]+(?:['-][A-Za-z]+)*", t.words)) for t in texts) or 1


def figures() -> str:
    """Return the table of figures per 1,000 words, a row for each group."""
    columns = {**{name: measure.pattern for name, measure in MEASURES.items()}, "must": MUST}
    lines = [f"{'per 1,000 words of':48}{'words':>8}" + "".join(f"{c:>12}" for c in columns)]
    for group, texts in sorted(groups().items()):
        row = "".join(f"{per_thousand(texts, pattern):12.1f}" for pattern in columns.values())
        lines.append(f"{group:48}{count_words(texts):8}{row}")
    return "\n".join(lines)


def phrases(group: str) -> list[str]:
    """Return where a group has a phrase to avoid, each with the way out."""
    found = []
    for text in groups()[group]:
        words = re.sub("|".join(ALLOWED), "", text.words)
        for pattern, way_out in PHRASES.items():
            if match := re.search(pattern, words):
                found.append(f"{text.where}:{text.line}: {match[0]!r}: {way_out}")
    return found


GROUPS = [
    *(
        f"{part}: {kind}"
        for part in ("utils", "state", "state/typed", "programs")
        for kind in ("docstrings and comments", "messages")
    ),
    "frontend: comments",
    "frontend: messages",
    "emitted tests: docstrings and comments",
    "our tests and scripts: docstrings and comments",
    "guides",
    "project pages",
    "our pages",
    "copier.yml",
]


def test_every_group_of_texts_keeps_the_limits() -> None:
    assert set(groups()) == set(GROUPS)
    over = [
        f"{group}: {name} {found:.1f} of at most {most}"
        for group in GROUPS
        for name, (pattern, most) in MEASURES.items()
        if (found := per_thousand(groups()[group], pattern)) > most
    ]
    assert not over, "\n".join([*over, figures()])


def test_no_text_has_a_phrase_to_avoid() -> None:
    found = [line for group in GROUPS for line in phrases(group)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "sentence",
    [
        "This is no name.",
        "Whoever calls it, waits.",
        "It tells the listener.",
        "It was saved. What is saved is kept.",
        "The behavior is normalised.",
    ],
)
def test_a_relapse_is_found(sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [Text("page.md", 1, line) for _, line in prose_of_markdown(sentence)]
    monkeypatch.setattr(sys.modules[__name__], "groups", lambda: {"guides": texts})
    assert phrases("guides")


def test_code_is_not_taken_for_prose() -> None:
    page = textwrap.dedent("""\
        Plain words and `is none`.

        ```python
        told = "What is no name"
        ```
    """)
    assert [words.split() for _, words in prose_of_markdown(page) if words] == [
        ["Plain", "words", "and", "x", "."]
    ]
    source = (
        '"""Say it.\n\n>>> tell(nobody)\nNone\n"""\n# A reason.\nx = f"a message for you: {x}"\n'
    )
    assert sorted(words for _, words in prose_of_python(source) if words) == [
        "A reason.",
        "Say it.",
    ]
    assert [words for _, words in messages_of_python(source)] == ["a message for you: x"]
    source = (
        '/** A reason. */\nconst told = "x"; // Say it.\nlog(`a message for you: ${me}`, "//x");\n'
    )
    assert [words for _, words in comments_of_typescript(source)] == ["A reason.", "Say it."]
    assert [words for _, words in messages_of_typescript(source)] == ["a message for you: x"]


if __name__ == "__main__":
    print(figures())
    for name in sys.argv[1:]:
        print(*phrases(name), sep="\n")
