"""States can be declared with every feature of classes, on every supported version of Python."""

from pathlib import Path

import pytest
from support import Environment, interpreters, run

COMMON = """
from __future__ import annotations

import abc
import copy
import pickle
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from shaped.state import JsonCodec, State, Transient, computed, effect, field, fields_of

T = TypeVar("T")
seen = []


def check(original):
    cls, codec = type(original), JsonCodec()
    assert cls.hydrate(original.drain()) == original
    assert cls.hydrate(codec.decode(codec.encode(cls, original.drain()))) == original
    assert copy.deepcopy(original) == copy.copy(original) == original
    assert pickle.loads(pickle.dumps(original)) == original


class Tree(State):
    children: list[Tree] = field(default_factory=list)
    parent_names: dict[str, Later] = field(default_factory=dict)
    later: Later | None = None


@dataclass
class Later:
    deeper: Later | None = None
    names: tuple[str, ...] = ()


check(Tree(children=[Tree(), Tree(later=Later(Later(), ("a",)))], parent_names={"a": Later()}))


class Slotted(State):
    __slots__ = ("x", "__dict__")
    x: int
    limit: ClassVar[int] = 3


class Narrow(Slotted):
    __slots__ = ()
    y: str = "a"


check(Slotted(x=1))
check(Narrow(x=2))
assert [*fields_of(Slotted)] == ["x"]
assert [*fields_of(Narrow)] == ["x", "y"]


class Shape(State, abc.ABC):
    name: str = ""

    @abc.abstractmethod
    def area(self) -> float: ...


class Square(Shape):
    side: float

    def area(self) -> float:
        return self.side**2


check(Square(side=1.5))
for make in (Shape, lambda: Shape.hydrate({"__version__": 1, "values": {}})):
    try:
        make()
    except TypeError:
        pass
    else:
        raise AssertionError("abstract")


class Named(State):
    name: str

    def __post_init__(self):
        super().__post_init__()
        seen.append("Named")


class Dated(State):
    year: int = 2026

    def __post_init__(self):
        super().__post_init__()
        seen.append("Dated")


class Both(Named, Dated):
    name: str = "both"
    _hidden: int = 1
    passing: Transient[int | None] = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        seen.append("__init__")

    @computed
    def title(self) -> str:
        return f"{self.name} {self.year}"

    @effect
    def show(self) -> None:
        seen.append(self.title)


both = Both(_hidden=2)
assert seen == ["__init__", "Dated", "Named", "both 2026"], seen
seen.clear()
both.year = 2027
Both.hydrate(both.drain())
assert seen == ["both 2027", "Dated", "Named", "both 2027"], seen
assert fields_of(Named)["name"].required
check(both)


class Pair(State, Generic[T]):
    one: T
    others: list[T] = field(default_factory=list)


class Numbers(Pair[int]):
    pass


check(Numbers(one=1, others=[2]))
check(Pair(one="a"))
for wrong in (lambda: Numbers(one="a"), lambda: Numbers(one=1, others=["a"])):
    try:
        wrong()
    except TypeError as error:
        assert "expected int" in str(error) or "expected list[int]" in str(error), error
    else:
        raise AssertionError("not checked")


def inside_a_function():
    class Part(State):
        number: int

    class Whole(State):
        parts: list[Part]

    whole = Whole(parts=[Part(number=1)])
    assert Whole.hydrate(whole.drain()) == whole


inside_a_function()
"""

# PEP 695.
NEWER = """
from shaped.state import State, field

type Names = list[str]


class Box[T](State):
    item: T
    names: Names = field(default_factory=list)


class Crate[K, V: (int, str)](State):
    content: dict[str, V] = field(default_factory=dict)
    key: K | None = None


class Numbers(Box[int]):
    pass


for made in (Box(item="a", names=["b"]), Numbers(item=1), Crate(content={"a": 1}, key="k")):
    assert type(made).hydrate(made.drain()) == made
for wrong in (lambda: Numbers(item="a"), lambda: Box(item=1, names=[2])):
    try:
        wrong()
    except TypeError:
        pass
    else:
        raise AssertionError("not checked")
"""


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: path.parents[1].name)
def test_states_support_every_feature_of_classes(
    python: Path, source: Path, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "environment", python)
    environment.install("orjson", cwd=tmp_path)
    path = {"PYTHONPATH": str(source)}
    program = tmp_path / "program.py"
    program.write_text(COMMON)
    environment.run("python", "-W", "error", program, cwd=tmp_path, env=path)
    question = "import sys; print(sys.version_info >= (3, 12))"
    if run(python, "-c", question, cwd=tmp_path).stdout.strip() == "True":
        program.write_text(NEWER)
        environment.run("python", "-W", "error", program, cwd=tmp_path, env=path)
