"""Templates of other authors, as facts from which stand-ins are made.

Each `<name>.yml` lists the questions and files of a template, without a word of either, as
`record.py` has found them. A stand-in has as many questions of the same kinds, and a path of the
same form and a file of the same size for each file. So a measurement needs no network, and
none of the extensions that run code of their authors.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_CONDITIONS = {"c": "q0", "n": "not q0"}
_WORDS = "words of about this length fill the lines of a file that is rendered\n"


@dataclass(frozen=True)
class Peer:
    """A stand-in for a template, and a file of answers to its questions."""

    template: Path
    answers: Path


def names() -> list[str]:
    """Return the names of the recorded templates."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yml"))


def make(name: str, folder: Path) -> Peer:
    """Write the stand-in for a template to a new folder."""
    facts = yaml.safe_load(Path(__file__).with_name(f"{name}.yml").read_text())
    peer = Peer(folder / name, folder / f"{name}-answers.yml")
    questions = {f"q{number}": kind.split() for number, kind in enumerate(facts["questions"])}
    given = [question for question, kind in questions.items() if "given" in kind]
    peer.answers.write_text(yaml.dump(dict.fromkeys(given, "yes")))
    for line in facts["files"]:
        path, size, tags = line.split()
        _write(peer.template / "template", path.split("/"), int(size), tags)
    configuration = {name: _question(name, kind) for name, kind in questions.items()}
    text = yaml.dump({"_subdirectory": "template", **configuration}, sort_keys=False)
    (peer.template / "copier.yml").write_text(text)
    return peer


def _question(name: str, kind: list[str]) -> dict[str, Any]:
    """Return a question from its words: "given", "choices=3", and the keys that have Jinja."""
    question: dict[str, Any] = {"type": "str", "help": _WORDS.strip(), "default": "yes"}
    for word in kind:
        key, _, count = word.partition("=")
        if key == "choices":
            question[key] = ["yes", *(f"choice {number}" for number in range(1, int(count)))]
        elif key == "computed":
            question["when"] = False
        elif key == "when":
            question[key] = "{{ q0 == 'yes' }}"
        elif key == "default":
            question[key] = "{{ q0 | lower | replace(' ', '-') }}"
        elif key == "validator":
            question[key] = f"{{% if not {name}.strip() %}}Invalid {name}{{% endif %}}"
    return question


def _write(folder: Path, parts: list[str], size: int, tags: str) -> None:
    rendered = tags != "-"
    path = folder.joinpath(*map(_name, parts))
    path.parent.mkdir(parents=True, exist_ok=True)
    if parts[-1] == "a":
        path = path.with_name("{{ _copier_conf.answers_file }}")
        text = "{{ _copier_answers | to_nice_yaml }}"
    elif rendered:
        text = _text(size, *map(int, tags.split("+")))
    else:
        text = _WORDS * (size // len(_WORDS)) + "." * (size % len(_WORDS))
    path.with_name(path.name + ".jinja" * rendered).write_text(text)


def _name(part: str) -> str:
    kind, rest = part[0], part[1:]
    if kind in _CONDITIONS:
        return f"{{% if {_CONDITIONS[kind]} %}}name{rest}{{% endif %}}"
    return f"{{{{ q0 }}}}{rest}" if kind == "v" else f"name{rest}"


def _text(size: int, expressions: int, blocks: int) -> str:
    """Return a template of this size, with its tags between equal parts of text."""
    tags = ["{{ q0 }}"] * expressions + ["{% if q0 %}yes{% endif %}"] * blocks
    room = max(0, size - sum(map(len, tags))) // (len(tags) + 1)
    words = (_WORDS * (room // len(_WORDS) + 1))[:room]
    return "".join(words + tag for tag in tags) + words
