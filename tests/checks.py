"""Rules for every file of every emitted project; each finding is one sentence."""

import ast
import functools
import json
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import yaml
from answers import SERVICES
from support import files_of, questions, render

FEATURES = [name for name in questions() if name.startswith("include_")]
# Words about a feature, besides the names of its files and exports.
# Tools' own ignore lists may name anything.
LEAK_PATTERNS = {
    "include_api_utilities": (
        r"normalize_input|InputFormat|(?<!http\.)(?-i:\bResponse\.)|responses\.py|errors\.py|validation\.py"
        r"|AppError|_adapter"
    ),
    "include_container": (
        r"Dockerfile|docker (build|compose|run --[di])|compose\.yaml|ecosystem: docker"
    ),
    "include_example": r"registry|ServerDefinition|learn-from",
    "include_persistence_helpers": (
        r"persist(?!-credentials)|StatefulObject|_state\b|state.file|remember"
    ),
    "include_live_state": (
        r"\blive[-_ ]state(?!ment)|live-protocol|(?<!health)/live\b|data-live|chat\.(py|html|edits)"
    ),
    "include_docs": r"mkdocs|user-docs|make (docs|serve)|test_guides",
    "include_agents_md": r"AGENTS|agent\b",
    "include_github_actions": r"\.github/|workflow|trusted publish|dependabot",
    "include_pre_commit": r"pre-commit",
    "include_react_hook": r"dashboard|frontend|node_modules|\bReact\b(?![ -]to)|--dev(?![\w-])",
    "include_typed_state": (
        r"state/typed|\bhydrat|\bdrain\(|cloudpickle|declare-versioned|migrate-state|react-to-state"
    ),
}
# The same for the stores, and for the files that come with any of them.
STORE_LEAK_PATTERNS = {
    "json": r"JsonFileStore|json_file|json_format|[\"'`]file:",
    "redis": r"redis|StatePersistenceService|state/sessions|state_api",
    "sqlite": r"SqliteStore|stores/sqlite|sqlite:|state\.db",
}
ANY_STORE = r"BackingStore|open_store|\bstores?\b.*\bkeys?\b|(?<!local)/state/|orjson"
TYPE_LEAK_PATTERNS = {
    "cli_tool": r"cli\.py|digest\.py",
    "daemon": r"systemd|SIGHUP|control\.(py|json)|commands\.py|daemon\.py|work_queue|NOTIFY_SOCKET",
    "library": r"format_size|\bsizes\.py|test_sizes",
    "mcp_server": r"mcpServers|mcp_adapter|(?<!server/)\bserver\.py|transports\.py|days_between",
    "state_server": r"server/|\bdomains?/",
    "web_service": r"fastapi|to_http_response|http_adapter|app\.py|problems\.py|ProblemAPI",
}
# Commands and their look.
WITH_COMMANDS = ("cli_tool", "daemon", "state_server")
COMMANDS = r"typer|CommandGroup"
# A state server and live state have it.
ENGINE = r"state/shared|EditJournal"
NOT_IN_A_STATE_SERVER = rf"{LEAK_PATTERNS['include_example']}|fastapi|mcpServers|digest\.py"
EXAMPLE_DOMAINS = {
    name: rf"domains[/.]{name}|domains import {name}|send {name}\." for name in ("tally", "tracks")
}
# A URL of a store that was not chosen gets an error that names the store.
NAMES_STORES = ("state/stores/__init__.py", "tests/state/stores/test_open_store.py")
# The dashboard has a registry of its own.
NAMES_A_REGISTRY = "frontend/"
# The modules work in any framework, and their guides show the usual ones.
NAMES_FRAMEWORKS = ("user-docs/how-to/", "user-docs/reference/python-patterns")
MAY_NAME_ANYTHING = {".gitignore", ".copier-answers.yml", "LICENSE", "CHANGELOG.md"}
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")
QUOTED_PATH = re.compile(r"`((?:src|tests|user-docs|\.github)/[\w./-]+)`")


def find_faults(project: Path, answers: Mapping[str, Any]) -> list[str]:
    """Return every fault that a new owner of this project would have to correct."""
    faults: list[str] = []
    for path in sorted(path for path in project.rglob("*") if path.is_file()):
        name = path.relative_to(project).as_posix()
        if name.startswith(".git/"):
            continue
        text = path.read_text(encoding="utf-8")
        faults += (f"{name}: {fault}" for fault in _find_faults_in_text(name, text))
        if path.suffix == ".md":
            faults += (f"{name}: {fault}" for fault in _find_dead_paths(project, path, text))
        if name not in MAY_NAME_ANYTHING:
            faults += (f"{name}: {fault}" for fault in _find_leaks(name, text, answers))
    return faults


# Hundreds of projects have the same files.
@functools.cache
def _find_faults_in_text(name: str, text: str) -> list[str]:
    checks = (_find_blank_faults, _find_leftovers, _find_syntax_faults)
    return [fault for check in checks for fault in check(PurePath(name), text)]


@functools.cache
def _first_match(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text, re.IGNORECASE)
    return found and found[0]


def _find_blank_faults(path: PurePath, text: str) -> Iterator[str]:
    if not text.strip():
        yield "is empty"
    if text.startswith("\n"):
        yield "begins with a blank line"
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield "does not end with exactly one line break"
    if re.search(r"[ \t]$", text, re.MULTILINE):
        yield "has white space at the end of a line"
    doubled = r"\n\n\n\n" if path.suffix == ".py" else r"\n\n\n"
    prose = re.sub(r"^```py(thon)?\n.*?^```$", "code", text, flags=re.DOTALL | re.MULTILINE)
    if path.name != "LICENSE" and re.search(doubled, prose):
        yield "has doubled blank lines"
    if path.suffix == ".md" and re.search(r"^#+ .*\n(?!\n)", prose, re.MULTILINE):
        yield "has no blank line after a heading"


def _find_leftovers(path: PurePath, text: str) -> Iterator[str]:
    without_actions = re.sub(r"\$\{\{ .*? \}\}", "", text) if ".github" in path.parts else text
    # In JavaScript, braces are doubled in types.
    pattern = r"\{%|%\}" if path.suffix == ".js" else r"\{\{|\{%|%\}|\{#"
    if found := re.search(pattern, without_actions):
        yield f"has leftover Jinja {found[0]!r}"
    if (
        found := re.search(r"<>|\(\)(?=[.,\s]*$)|, ,|\[\]\(", text)
        if path.suffix == ".md"
        else None
    ):
        yield f"has stray punctuation {found[0]!r}"


class _Loader(yaml.SafeLoader):
    """YAML as MkDocs reads it, with names of Python objects."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda _, name, __: name)


def load_yaml(text: str) -> Any:
    """Parse YAML, MkDocs' configuration included."""
    return yaml.load(text, _Loader)  # noqa: S506 - derived from SafeLoader


def _find_syntax_faults(path: PurePath, text: str) -> Iterator[str]:
    parsers: dict[str, Any] = {
        ".py": ast.parse,
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".yml": load_yaml,
        ".yaml": load_yaml,
    }
    try:
        parsers.get(path.suffix, str)(text)
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        yield f"does not parse: {error}"


def _find_dead_paths(project: Path, page: Path, text: str) -> Iterator[str]:
    for link in LINK.findall(text):
        if not (page.parent / link).exists():
            yield f"links to {link}, which does not exist"
    for quoted in QUOTED_PATH.findall(text):
        if not (project / quoted).exists():
            yield f"names {quoted}, which does not exist"


def _find_leaks(name: str, text: str, answers: Mapping[str, Any]) -> Iterator[str]:
    # Not asked means off for these, and on for all others.
    is_state_server = answers["project_type"] == "state_server"
    absent = {"include_example", "include_live_state", "include_react_hook"}
    if not is_state_server:
        absent.add("include_typed_state")
    if answers["project_type"] not in SERVICES:
        absent.add("include_container")
    off = [name for name in FEATURES if not answers.get(name, name not in absent)]
    own = ["include_example"] if name.startswith(NAMES_A_REGISTRY) else []
    patterns = [LEAK_PATTERNS[each] for each in off if each in LEAK_PATTERNS and each not in own]
    stores = answers.get("state_stores", [])
    if not name.endswith(NAMES_STORES):
        patterns += [p for store, p in STORE_LEAK_PATTERNS.items() if store not in stores]
    if not (stores or is_state_server or answers.get("include_typed_state")):
        patterns.append(ANY_STORE)
    patterns += _patterns_without_live_state(answers)
    if is_state_server:
        patterns.append(EXAMPLE_DOMAINS["tally" if answers.get("include_example") else "tracks"])
    if not name.startswith(NAMES_FRAMEWORKS):
        others = [p for kind, p in TYPE_LEAK_PATTERNS.items() if answers["project_type"] != kind]
        patterns += [NOT_IN_A_STATE_SERVER] if is_state_server else others
        patterns += [] if answers["project_type"] in WITH_COMMANDS else [COMMANDS]
    if answers["project_type"] == "modules_only":
        return  # nothing but the chosen modules is there
    patterns += map(pattern_of_feature, off)
    for pattern in patterns:
        if found := _first_match(pattern, text):
            yield f"mentions {found!r}, which was not chosen"


def _patterns_without_live_state(answers: Mapping[str, Any]) -> Iterator[str]:
    """Yield patterns for everything that live state shares with other features."""
    if not answers.get("include_live_state"):
        if not answers.get("include_react_hook"):
            yield r"\bnpm\b"
        if "redis" not in answers.get("state_stores", []):
            yield "websocket"
        if answers["project_type"] != "state_server":
            yield ENGINE


@functools.cache
def pattern_of_feature(feature: str) -> str:
    """Return a pattern for the files and the exported names that a project lacks without it."""
    names = _names_in_library() - _names_in_library(feature)
    # One look at the character before them all: one for each name takes five times as long.
    return rf"(?<![\w/.-])(?:{'|'.join(map(re.escape, names))})(?!\w)" if names else "$^"


@functools.cache
def _names_in_library(*without: str) -> set[str]:
    answers: dict[str, Any] = dict.fromkeys(FEATURES, True) | dict.fromkeys(without, False)
    answers |= {"project_type": "library", "package_name": "sample"}
    answers |= {"state_stores": [*STORE_LEAK_PATTERNS]}
    with tempfile.TemporaryDirectory() as folder:
        return _names_of(render(Path(folder) / "sample", **answers))


def _names_of(project: Path) -> set[str]:
    """Return the names of its files, and the exported names that are not ordinary words."""
    names = {Path(path).name for path in files_of(project)}
    for path in project.glob("src/**/__init__.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names |= {alias.name for alias in node.names if _is_telling(alias.name)}
    return names


def _is_telling(name: str) -> bool:
    return "_" in name or re.search(r"[a-z][A-Z]", name) is not None
