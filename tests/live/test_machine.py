"""The machine of live states under random entries: a replica without types follows it."""

import asyncio
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# The states, in a module of their own, whose package the tests render.
STATES = """
from typing import Annotated, Any

from shown.live import Counter, ServerOnly, replace
from shown.state import Keep, State, field


class Part(State):
    count: Counter = 0
    text: str = ""
    hidden: ServerOnly[int] = 0


class Circle(State):
    radius: Counter = 1


class Square(State):
    side: int = 1


class Document(State):
    parts: Annotated[list[Part], Keep(4)] = field(default_factory=list[Part])
    by_name: dict[str, Part] = field(default_factory=dict[str, Part])
    by_number: dict[int, Counter] = field(default_factory=dict[int, int])
    tags: set[int] = field(default_factory=set[int])
    shapes: list[Circle | Square] = field(default_factory=list[Circle | Square])
    anything: Any = None
    score: Counter = 0
    ratio: float = 0.0


def write(document: Document, choice: int) -> None:
    match choice:
        case 0:
            document.score += 1
        case 1:
            replace(document, "score", 4)
        case 2:
            document.parts.append(Part(count=1))
            document.parts.append(Part())
        case 3 if document.parts:
            document.parts[0].hidden += 1
        case 4:
            document.parts.reverse()
        case 5:
            document.tags ^= {1, 2, 3}
        case 6:
            document.by_number[choice] = document.score
        case 7 if document.shapes:
            document.shapes.pop()
        case _:
            document.by_name = dict(document.by_name)
"""
ENTRIES = 300
LIMIT = 4_000
REFUSALS = {
    "conflict",
    "forbidden",
    "invalid_operation",
    "invalid_value",
    "not_found",
    "state_too_large",
    "unknown_path",
}


@pytest.fixture
def states(live_module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module with the states."""
    package = live_module.__name__.partition(".")[0]
    module = ModuleType("machine_states")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(STATES.replace("shown", package), vars(module))  # noqa: S102 - our own
    return module


class Replica:
    """The states as plain JSON, changed by operations alone."""

    def __init__(self, view: bytes) -> None:
        self.states = json.loads(view)

    def apply(self, operation: dict[str, Any]) -> None:
        """Apply an operation as a browser does."""
        name, *path = operation["path"]
        value = json.loads(json.dumps(operation.get("value")))
        if operation["op"] in ("append", "remove"):
            self._change_members(operation["op"], self._follow([name, *path]), value, path)
            return
        holder = self._follow([name, *path[:-1]])
        key: Any = path[-1] if isinstance(holder, list) else str(path[-1])
        match operation["op"]:
            case "delete":
                del holder[key]
            case "increment":
                before = holder[key] if isinstance(holder, list) else holder.get(key, 0)
                holder[key] = before + value
            case "insert" if isinstance(holder, list):
                assert key <= len(holder)
                holder.insert(key, value)
            case _:
                holder[key] = value

    def _change_members(self, op: str, members: list[Any], value: Any, path: list[Any]) -> None:
        if op == "remove":
            members.remove(value)
        else:
            members.append(value)
        if path == ["tags"]:  # marked as a set
            members.sort()

    def _follow(self, path: list[Any]) -> Any:
        found: Any = self.states
        for step in path:
            found = found[step if isinstance(found, list) else str(step)]
            if isinstance(found, dict) and "__type__" in found:
                found = found["value"]
        return found


def random_operation(chance: random.Random) -> dict[str, Any]:
    """Return an operation that may fit the document."""

    def part() -> dict[str, Any]:
        members = {"count": chance.randrange(9), "text": chance.choice("abc")}
        return {name: value for name, value in members.items() if chance.random() < 0.5}

    index, number = chance.randrange(5), chance.randrange(-3, 9)
    name, shape = chance.choice("xyz"), chance.choice(["Circle", "Square"])
    key = chance.choice([1, "2", 3])
    anything = chance.choice([None, 1, [1, {"a": 2}], {"k": [3]}])
    choices: list[tuple[str, list[Any], Any]] = [
        ("append", ["parts"], part()),
        ("insert", ["parts", index], part()),
        ("delete", ["parts", index], None),
        ("set", ["parts", index], part()),
        ("set", ["parts"], [part() for _ in range(index)]),
        ("increment", ["parts", index, "count"], number),
        ("set", ["parts", index, "count"], number),
        ("set", ["by_name", name], part()),
        ("delete", ["by_name", name], None),
        ("set", ["by_name", name, "hidden"], 3),
        ("increment", ["by_number", key], 2),
        ("delete", ["by_number", key], None),
        ("append", ["tags"], number),
        ("remove", ["tags"], number),
        ("append", ["shapes"], {"__type__": shape, "value": {}}),
        ("increment", ["shapes", index, "radius"], 1),
        ("set", ["anything"], anything),
        ("append", ["anything"], number),
        ("set", ["anything", "k"], [{"x": number}]),
        ("remove", ["anything"], 1),
        ("increment", ["ratio"], 0.25),
        ("increment", ["score"], 1),
        ("set", ["score"], number),
    ]
    op, path, value = chance.choice(choices)
    operation = {"op": op, "path": ["document", *path]}
    return operation if op == "delete" else {**operation, "value": value}


async def play(seed: int, shared: Any, states: Any, make: Callable[[Any], Any]) -> int:
    """Make random entries and writes of the server, and return how many were applied."""
    chance, document = random.Random(seed), states.Document()  # noqa: S311 - it is a test
    machine = make({"document": document})
    session = await shared.Session.open(machine, capture="submit", safe_integers=True)
    replica, feed = Replica(session.view()), session.feed(session.position)
    for number in range(1, ENTRIES + 1):
        if chance.random() < 0.2:
            try:
                states.write(document, chance.randrange(9))
            except ValueError as error:
                assert "are allowed" in str(error)  # noqa: PT017 - most writes raise nothing
        else:
            do = [random_operation(chance) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
            answer = await session.submit(shared.Entry(f"k3J9x2Qw:{number}", do))
            assert getattr(answer, "code", None) in {None, *REFUSALS}
        for message in feed.take():
            for operation in json.loads(message)["do"]:
                replica.apply(operation)
        if number % 20 == 0:
            await asyncio.sleep(0)  # others wake the feed
        view = json.loads(session.view())
        assert replica.states == view, f"seed {seed}, entry {number}"
        size, uncertain = machine._sizes.get("document", (0, LIMIT))
        counted = len(json.dumps(view["document"], separators=(",", ":")))
        assert abs(counted - size) <= uncertain + 100, f"seed {seed}, entry {number}"
    await session.close()
    applied: int = session.position.seq
    return applied


@pytest.mark.parametrize("seed", range(20))
def test_a_replica_without_types_follows_what_the_machine_sends(
    seed: int, live_modules: Any, states: ModuleType
) -> None:
    def make(named: Any) -> Any:
        return live_modules.machine.LiveMachine(named, LIMIT)

    assert asyncio.run(play(seed, live_modules.shared, states, make)) > ENTRIES / 4
