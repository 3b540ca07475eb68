"""Record the facts of a template in `<name>.yml`, which has its answers already.

    python -m benchmarks.peers.record NAME FOLDER

FOLDER has the template in the version that `<name>.yml` names. Its extensions must be installed:
they run, so read them first.
"""

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from copier import run_copy
from copier._main import Worker
from copier._tools import scantree


def main() -> None:
    name, folder = sys.argv[1:]
    record = Path(__file__).with_name(f"{name}.yml")
    facts = yaml.safe_load(record.read_text())
    with tempfile.TemporaryDirectory() as destination:
        worker = run_copy(
            folder, destination, data=facts["answers"], defaults=True, quiet=True, unsafe=True
        )
        facts["questions"] = [
            " ".join(_question_kind(question, name in facts["answers"]))
            for name, question in worker.template.questions_data.items()
        ]
        facts["files"] = sorted(_files(worker))
    record.write_text(yaml.dump(facts, sort_keys=False, width=100))


def _question_kind(question: dict[str, Any], given: bool) -> Iterator[str]:
    if given:
        yield "given"
    if question.get("when") is False:
        yield "computed"
    if question.get("choices"):
        yield f"choices={len(question['choices'])}"
    for key in ("when", "default", "validator"):
        if "{" in str(question.get(key, "")):
            yield key


def _files(worker: Worker) -> Iterator[str]:
    """Return a line for each file: the form of its path, its size, and its tags."""
    root = worker.template_copy_root
    numbers: Counter[Path] = Counter()
    forms: dict[Path, str] = {root: ""}
    for entry in scantree(str(root), not worker.template.preserve_symlinks):
        path = Path(entry.path)
        numbers[path.parent] += 1
        kind = _part_kind(worker, path.name)
        form = "a" if kind == "a" else f"{kind}{numbers[path.parent]}"
        forms[path] = f"{forms[path.parent]}/{form}".lstrip("/")
        if path.is_dir():
            continue
        content = path.read_bytes() if path.is_file() else b""  # a link may lead nowhere
        tags = "-"
        if path.name.endswith(worker.template.templates_suffix):
            blocks = re.findall(rb"{%-? *(?:if|for)", content)
            tags = f"{content.count(b'{{')}+{len(blocks)}"
        yield f"{forms[path]} {len(content)} {tags}"


def _part_kind(worker: Worker, part: str) -> str:
    """Return the kind: plain, variable, condition that holds or not, or file of answers."""
    if "answers_file" in part:
        return "a"
    if "{%" in part:
        return "c" if worker._render_string(part.removesuffix(".jinja")) else "n"
    return "v" if "{{" in part else "p"


if __name__ == "__main__":
    main()
