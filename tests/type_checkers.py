"""Run type checkers on two programs: one is right, and in the other some lines are wrong."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from support import REPOSITORY, run

# Returns the lines of each program in which a checker finds errors.
Checker = Callable[[Path, Path], dict[str, set[int]]]


def expect_errors(checker: Checker, source: Path, folder: Path, right: str, wrong: str) -> None:
    """Check that a checker reports the lines that end with `# wrong`, and no other.

    Args:
        checker: The checker.
        source: Where the package lies that the programs import.
        folder: Where the programs may be written.
        right: The source of a program without errors.
        wrong: The source of a program with errors.
    """
    (folder / "right.py").write_text(right)
    (folder / "wrong.py").write_text(wrong)
    found = checker(source, folder)
    assert _lines(right, found["right.py"]) == []
    numbered = enumerate(wrong.splitlines(), 1)
    marked = {number for number, line in numbered if line.endswith("# wrong")}
    assert _lines(wrong, marked - found["wrong.py"]) == []
    assert _lines(wrong, found["wrong.py"] - marked) == []


def mypy(source: Path, programs: Path) -> dict[str, set[int]]:
    """Return the lines of each program in which mypy finds errors."""
    options = ("--strict", "--no-error-summary", "--output=json", "--cache-dir=cache")
    names = ("right.py", "wrong.py")
    path = {"MYPYPATH": str(source)}
    command = (sys.executable, "-m", "mypy", *options, *names)
    printed = run(*command, cwd=programs, env=path, check=False).stdout
    found: dict[str, set[int]] = {name: set() for name in names}
    for each in map(json.loads, printed.splitlines()):
        if each["severity"] == "error" and each["file"] in names:
            found[each["file"]].add(each["line"])
    return found


def pyright(source: Path, programs: Path) -> dict[str, set[int]]:
    """Return the lines of each program in which pyright finds errors."""
    options = {
        "include": ["right.py", "wrong.py"],
        "extraPaths": [str(source)],
        "typeCheckingMode": "strict",
        "venvPath": str(REPOSITORY),
        "venv": ".venv",
    }
    (programs / "pyrightconfig.json").write_text(json.dumps(options))
    command = (Path(sys.executable).with_name("pyright"), "--outputjson", "--project", programs)
    printed = run(*command, cwd=programs, check=False).stdout
    found: dict[str, set[int]] = {"right.py": set(), "wrong.py": set()}
    for each in json.loads(printed)["generalDiagnostics"]:
        if each["severity"] == "error":
            found[Path(each["file"]).name].add(each["range"]["start"]["line"] + 1)
    return found


def _lines(program: str, numbers: set[int]) -> list[str]:
    """Return lines of a program, for a failure that says which."""
    return [program.splitlines()[number - 1].strip() for number in sorted(numbers)]
