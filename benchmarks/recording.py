"""Writes to a state while nothing records them, in a transaction, and with a history.

The floor is a copy of the same library, from whose source the places where a change may be
recorded are cut out.
"""

# mypy: disable-error-code=no-untyped-call, allow-subclassing-any

import ast
import importlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.importing import importable_library
from benchmarks.report import Panels, Result, Verdict, duration
from benchmarks.timing import Rival, Timings, loop, take_turns

_WITHOUT = "without the places"
_OUTSIDE = "nothing records"
_INSIDE = "in a transaction"
_RENDERED = "in a transaction, as operations"
_HISTORY = "with a history"

_LONELY = "field of a state that nothing observes"
_NESTED = "field of a nested state"
_APPEND = "append"
_KEY = "key of a dict"
_MEMBER = "member of a set"

_STATEMENTS = {
    _LONELY: "lonely.count = 1_000; lonely.count = 2_000",
    _NESTED: "leaf.count = 1_000; leaf.count = 2_000",
    _APPEND: "items.append(1_000); items.append(2_000)",
    _KEY: "table['a'] = 1_000; table['a'] = 2_000",
    _MEMBER: "members.add(1_000); members.discard(1_000)",
}
_LIMITS = {_LONELY: 2.0, _NESTED: 1.25, _APPEND: 1.25, _KEY: 1.25, _MEMBER: 1.25}

# How many pairs of writes a transaction has.
_TOGETHER = 50

_DELETE = "delete a key"
_ROLL_BACK = "delete a key, and roll back"

_PACKAGE = "recording"
_COPY = "unrecorded"
_SIZES = (100, 50_000)
_SMALL, _LARGE = (f"{size:,} nodes" for size in _SIZES)


def measure(folder: Path, quick: bool) -> Result:
    library = importable_library(folder / "library", _PACKAGE, include_typed_state=True)
    shutil.copytree(library / _PACKAGE, library / _COPY)
    for path in (library / _COPY / "state/typed").glob("_*.py"):
        tree = _Cut().visit(ast.parse(path.read_text(encoding="utf-8")))
        path.write_text(ast.unparse(tree), encoding="utf-8")
    sys.path.insert(0, str(library))
    emitted, cut = (importlib.import_module(f"{each}.state") for each in (_PACKAGE, _COPY))
    rounds = 5 if quick else 101
    timings = {case: _time_writes(emitted, cut, case, rounds) for case in _STATEMENTS}
    sizes = _time_sizes(emitted, rounds)
    names = [*next(iter(timings.values())).seconds]
    deleting = {case: sizes.pop(case).median(_LARGE) for case in (_DELETE, _ROLL_BACK)}
    return Result(
        name="transaction",
        title="Transactions and history",
        introduction=(
            "The time for two writes, and in brackets the ratio to the same library without "
            "any place where a change may be recorded."
        ),
        columns=(*timings,),
        rows={
            name: tuple(
                f"{duration(times.median(name))} ({times.ratio(name, _WITHOUT):.2f})"
                for times in timings.values()
            )
            for name in names
        },
        rounds={f"transaction: {case}": times.rounds for case, times in timings.items()},
        verdicts=[
            *_verdicts(timings),
            *(
                Verdict(f"{case}, {_LARGE} against {_SMALL}", times.ratio(_LARGE, _SMALL), 1.5)
                for case, times in sizes.items()
            ),
            Verdict(f"{_DELETE} of {_LARGE}", deleting[_DELETE] * 1000, 2.0, " ms"),
        ],
        plot=Panels(
            title="Transactions and history",
            unit="times as long as without any place where a change may be recorded",
            values={
                case: {name: times.ratio(name, _WITHOUT) for name in names}
                for case, times in timings.items()
            },
            outstanding={_OUTSIDE},
        ),
        notes=[
            f"A transaction with one change, in a dict of {_SMALL} and of {_LARGE}: "
            + ", ".join(
                f"{case} {duration(times.median(_SMALL))} and {duration(times.median(_LARGE))}"
                for case, times in sizes.items()
            )
            + ".",
            f"In the middle of {_LARGE}: "
            + ", ".join(f"{case} {duration(seconds)}" for case, seconds in deleting.items())
            + ".",
        ],
    )


def _verdicts(timings: Mapping[str, Timings]) -> Iterator[Verdict]:
    for case, times in timings.items():
        yield Verdict(f"{case}, {_OUTSIDE}", times.ratio(_OUTSIDE, _WITHOUT), 1.05)
        yield Verdict(f"{case}, {_INSIDE}", times.ratio(_INSIDE, _OUTSIDE), _LIMITS[case])


class _Cut(ast.NodeTransformer):
    """Cuts out the code that runs only while a journal is active."""

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        test = node.test.values[0] if isinstance(node.test, ast.BoolOp) else node.test
        if isinstance(test, ast.Compare) and "journal" in ast.unparse(test.left):
            is_absent = isinstance(test.ops[0], ast.Is)
            return (node.body if is_absent else node.orelse) or ast.Pass()
        return node


def _time_writes(emitted: Any, cut: Any, case: str, rounds: int) -> Timings:
    rivals = {
        _WITHOUT: _writing(_make(cut), case),
        _OUTSIDE: _writing(_make(emitted), case),
        _INSIDE: _writing(_make(emitted), case, "with transaction(): "),
        _RENDERED: _writing(_make(emitted), case, "with transaction(states): "),
        _HISTORY: _writing_with_history(emitted, _make(emitted), case),
    }
    return take_turns(rivals, rounds)


def _make(emitted: Any) -> dict[str, Any]:
    class Leaf(emitted.State):
        count: int = 0

    class Document(emitted.State):
        leaf: Leaf = emitted.field(default_factory=Leaf)
        items: list[int] = emitted.field(default_factory=list)
        table: dict[str, int] = emitted.field(default_factory=dict)
        members: set[int] = emitted.field(default_factory=set)

    document, lonely = Document(), Leaf()
    parts = {name: getattr(document, name) for name in ("leaf", "items", "table", "members")}
    states = {"document": document, "lonely": lonely}
    return {**states, **parts, "states": states, "transaction": emitted.transaction}


def _writing(names: dict[str, Any], case: str, block: str = "") -> Rival:
    writes = "; ".join([_STATEMENTS[case]] * _TOGETHER)
    rival = loop(f"{block}{writes}", **names)
    return replace(rival, prepare=names["items"].clear, times=_TOGETHER * rival.times)


def _writing_with_history(emitted: Any, names: dict[str, Any], case: str) -> Rival:
    writes = _writing(names, case)

    def run() -> None:
        history = emitted.History(names["lonely" if case == _LONELY else "document"])
        writes.run()
        assert history.can_undo

    return replace(writes, run=run)


class _FailedError(Exception):
    pass


def _time_sizes(emitted: Any, rounds: int) -> dict[str, Timings]:
    class Node(emitted.State):
        count: int = 0

    class Graph(emitted.State):
        nodes: dict[str, Node]

    payload = {"__version__": 1, "values": {"count": 0}}
    graphs = {
        name: Graph.hydrate(
            {"__version__": 1, "values": {"nodes": {f"n{key}": payload for key in range(size)}}}
        )
        for name, size in zip((_SMALL, _LARGE), _SIZES, strict=True)
    }

    def rival(graph: Any, change: Callable[[Any, str], object], *, fails: bool) -> Rival:
        nodes: Any = graph.nodes
        size, middle = len(nodes), [*nodes][len(nodes) // 2]

        def prepare() -> None:
            nonlocal middle
            nodes.pop("new", None)
            if len(nodes) < size:
                nodes[middle] = Node()
                middle = [*nodes][size // 2]

        def run() -> None:
            with suppress(_FailedError), emitted.transaction({"graph": graph}):
                change(nodes, middle)
                if fails:
                    raise _FailedError

        return Rival(run, prepare)

    def count(nodes: Any, key: str) -> None:
        nodes[key].count += 1

    def add(nodes: Any, _: str) -> None:
        nodes["new"] = Node(count=1)

    cases: dict[str, tuple[Callable[[Any, str], object], bool]] = {
        "set": (count, False),
        "add": (add, False),
        "add, and roll back": (add, True),
        _DELETE: (lambda nodes, key: nodes.pop(key), False),
        _ROLL_BACK: (lambda nodes, key: nodes.pop(key), True),
    }
    return {
        case: take_turns(
            {name: rival(graph, change, fails=fails) for name, graph in graphs.items()}, rounds
        )
        for case, (change, fails) in cases.items()
    }
