"""Type checkers know the fields of a state: correct use passes, and each mistake is found."""

from pathlib import Path

import pytest
from type_checkers import Checker, expect_errors, mypy, pyright

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


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_correct_use_passes_and_each_mistake_is_found(
    checker: Checker, source: Path, tmp_path: Path
) -> None:
    expect_errors(checker, source, tmp_path, RIGHT, WRONG)
