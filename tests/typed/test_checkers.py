"""Type checkers know the fields of a state: correct use passes, and each mistake is found."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import REPOSITORY, run

RIGHT = """
from collections.abc import Mapping
from datetime import date
from typing import Any, Generic, TypeVar, assert_type

from shaped.state import (
    Binding,
    Change,
    Field,
    JsonCodec,
    MemoryStore,
    PickleCodec,
    State,
    Transient,
    computed,
    effect,
    field,
    fields_of,
    query,
    set_strict,
    strict_mode,
)

T = TypeVar("T")


class Author(State):
    name: str
    born: date | None = None


class Document(State):
    __version__ = 2
    __allow_newer__ = True
    __strict__ = True
    __codec__ = PickleCodec()

    title: str
    author: Author
    tags: list[str] = field(default_factory=list[str])
    zoom: float = 1.0
    pages: int = field(default=1)
    _cursor: int = 0
    hovered: Transient[str | None] = None

    def __post_init__(self) -> None:
        self._cursor = len(self.title)

    @classmethod
    def __migrate__(
        cls, start_version: int, target_version: int, values: dict[str, Any]
    ) -> dict[str, Any]:
        values["author"] = Author(name=values.pop("by")).drain()
        return values

    @classmethod
    def __resolve__(
        cls, base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]
    ) -> dict[str, Any]:
        return {**theirs, **mine}

    @computed
    def words(self) -> int:
        return len(self.title.split())

    @effect
    def show(self) -> None:
        print(self.title, self._cursor)

    @query
    def related(self) -> list[str]:
        return [*self.tags]

    @query(preserve=True)
    async def found(self) -> dict[str, int]:
        return {"pages": self.pages}


class Report(Document):
    year: int


class Box(State, Generic[T]):
    item: T


def tell(change: Change) -> None:
    for path in change.paths:
        assert_type(path, tuple[Any, ...])


async def use() -> None:
    document = Document(title="Draft", author=Author(name="Ann", born=date(2000, 1, 1)))
    assert_type(document.zoom, float)
    assert_type(document.hovered, str | None)
    document.zoom = 2
    document.hovered = "tags"
    document.tags.append("new")
    assert_type(document.words, int)
    assert_type(document.related, list[str])
    assert_type(await document.found, dict[str, int])
    document.show()
    del document.found
    with document.batch(), document.on_change(tell), strict_mode(False):
        document.title = "Report"
    payload = document.drain()
    assert_type(payload, dict[str, Any])
    assert_type(Document.hydrate(payload), Document)
    report = Report(title="Report", author=document.author, year=2026, tags=["a"])
    assert_type(Report.hydrate(report.drain()), Report)
    assert_type(Box(item=1).item, int)
    assert_type(fields_of(Document), Mapping[str, Field])
    assert_type(JsonCodec().encode(Document, payload), bytes)
    with Binding(Report, MemoryStore(), "report", create=lambda: report) as bound:
        assert_type(bound, Report)
    assert_type(Binding(Report, MemoryStore(), "report").state, Report)
    set_strict(False)
"""

# Both checkers must report each marked line, and no other.
WRONG = """
from typing import Any

from shaped.state import (
    Binding,
    Change,
    MemoryStore,
    State,
    Transient,
    computed,
    effect,
    field,
    query,
)


class Document(State):
    title: str
    tags: list[str] = field(default_factory=list[str])
    zoom: float = 1.0
    hovered: Transient[str | None] = None

    @computed
    def words(self) -> int:
        return len(self.title.split())

    @query
    def related(self) -> list[str]:
        return [*self.tags]

    @query(preserve=True)
    async def found(self) -> list[str]:
        return [*self.tags]


class Other(State):
    number: int = "one"  # wrong
    names: list[str] = field(default_factory=dict[str, str])  # wrong
    size: int = field(default="big")  # wrong
    hovered: Transient[int] = "no"  # wrong
    both: int = field(default=1, default_factory=int)  # wrong
    neither: int = field()  # wrong

    @effect  # wrong
    def show(self, more: int) -> None:
        print(self.number)

    @classmethod
    def __migrate__(cls, start_version: int, values: dict[str, Any]) -> int:  # wrong
        return 1


def tell(change: str) -> None:
    print(change)


def told(change: Change) -> None:
    print(change.path)  # wrong


async def use(document: Document) -> None:
    Document()  # wrong
    Document("Draft")  # wrong
    Document(title=1)  # wrong
    Document(title="Draft", titel="Draft")  # wrong
    Document(title="Draft", tags="new")  # wrong
    Document(title="Draft", hovered=1)  # wrong
    document.title = 1  # wrong
    document.zoom = "large"  # wrong
    document.titel = "Draft"  # wrong
    document.tags.append(1)  # wrong
    document.tags = ["a", 1]  # wrong
    document.hovered = 1  # wrong
    document.words()  # wrong
    document.words.upper()  # wrong
    await document.related  # wrong
    document.found.append("a")  # wrong
    document.words = 3  # wrong
    document.related = ["a"]  # wrong
    document.on_change(tell)  # wrong
    Document.hydrate("payload")  # wrong
    Document.hydrate(document.drain()).author  # wrong
    Document.hydrate(document.drain()).title = None  # wrong
    Binding(Document, MemoryStore(), "key").state.author  # wrong
    Binding(dict, MemoryStore(), "key")  # wrong
    Binding(Document, "memory:", "key")  # wrong
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with both programs."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "right.py").write_text(RIGHT)
    (folder / "wrong.py").write_text(WRONG)
    return folder


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


def lines(program: str, numbers: set[int]) -> list[str]:
    """Return lines of a program, for a failure that says which."""
    return [program.splitlines()[number - 1].strip() for number in sorted(numbers)]


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_correct_use_passes_and_each_mistake_is_found(
    checker: Callable[[Path, Path], dict[str, set[int]]], source: Path, programs: Path
) -> None:
    found = checker(source, programs)
    assert lines(RIGHT, found["right.py"]) == []
    numbered = enumerate(WRONG.splitlines(), 1)
    marked = {number for number, line in numbered if line.endswith("# wrong")}
    assert lines(WRONG, marked - found["wrong.py"]) == []
    assert lines(WRONG, found["wrong.py"] - marked) == []
