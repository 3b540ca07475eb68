"""Every state that a crash can leave on the disk, from the system calls of one save.

Crashing for real samples a few states. Here the calls are recorded once, with strace, and all
the states they can lead to are enumerated, in a model a little harsher than ext4 and xfs:

- The entries of a folder (create, mkdir, link, symlink, rename, unlink) change one after the
  other, each at once: a crash keeps the first so many. fsync of the folder pins those so far.
  Folders are independent: fsync of one pins nothing in its parent.
- A file's content and mode are independent of its entry. A write may be there whole, in its
  first or its second half, as zeros of its length, or not at all; a change of mode or length
  is there or not, in any order. fsync of the file pins all of them so far, and not
  its entry.

Owners and times are left out. A call that the model does not know is refused, not ignored.

Where many writes are not pinned, as in a database, there are too many states. Then the tried ones
are those in which one write differs from all others or is the last, and some at random.
"""

import math
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from pathlib import Path, PurePath

from crashlab.tracing import Operation


@dataclass(frozen=True)
class File:
    data: bytes = b""
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    target: str


Tree = dict[str, File | Link | None]
"""The contents of a folder by relative path; None is a folder, and "." is the folder itself."""


def crash_states(
    before: Tree, operations: Sequence[Operation], most: float = math.inf
) -> Iterator[tuple[bool, Tree]]:
    """Yield each state once, and whether all of the operations had returned by then.

    A file that may have more than `most` contents at a moment has about so many of them.
    """
    disk, seen = _Disk(before, most), set()
    for done in range(len(operations) + 1):
        if done:
            disk.do(operations[done - 1])
        for tree in disk.states():
            state = done == len(operations), frozenset(tree.items())
            if state not in seen:
                seen.add(state)
                yield state[0], tree


class _Disk:
    """The operations on a disk so far, and how many of them it must keep."""

    def __init__(self, before: Tree, most: float) -> None:
        self._most = most
        self._nodes = list(before.values())
        self._old = {path: number for number, path in enumerate(before)}
        self._names: dict[str, int | None] = {**self._old}
        self._entries: list[tuple[str, dict[str, int | None]]] = []
        self._changes: dict[int, list[Operation]] = defaultdict(list)
        self._pinned: Counter[str | int] = Counter()  # changes of a folder, or of a node

    def do(self, operation: Operation) -> None:
        match operation:
            case ("write" | "truncate" | "chmod" as kind, path, *values):
                self._changes[self._node(path)].append((kind, *values))
            case ("fsync", path) if self._nodes[self._node(path)] is None:
                self._pinned[path] = sum(folder == path for folder, _ in self._entries)
            case ("fsync", path):
                self._pinned[self._node(path)] = len(self._changes[self._node(path)])
            case ("create", path, _) if self._names.get(path) is not None:
                pass  # it is opened
            case _:
                self._change_folder(operation)

    def _change_folder(self, operation: Operation) -> None:
        match operation:
            case ("create", path, mode):
                self._enter(path, {path: self._new(File(mode=mode))})
            case ("mkdir", path):
                self._enter(path, {path: self._new(None)})
            case ("symlink", path, target):
                self._enter(path, {path: self._new(Link(target))})
            case ("link", source, target):
                self._enter(target, {target: self._node(source)})
            case ("rename", source, target) if _folder(source) == _folder(target):
                assert self._nodes[self._node(source)] is not None, "not modelled: a folder moves"
                self._enter(target, {source: None, target: self._node(source)})
            case ("unlink" | "rmdir", path):
                self._enter(path, {path: None})
            case _:
                raise ValueError(f"not modelled: {operation}")

    def states(self) -> Iterator[Tree]:
        folders = Counter(folder for folder, _ in self._entries)
        contents = [list(self._contents(number)) for number in range(len(self._nodes))]
        for kept in product(*(range(self._pinned[f], n + 1) for f, n in folders.items())):
            names = self._names_after(dict(zip(folders, kept, strict=True)))
            for nodes in product(*contents):
                yield {path: nodes[number] for path, number in names.items()}

    def _names_after(self, kept: dict[str, int]) -> dict[str, int]:
        """Return the entries that can be reached when each folder has kept so many changes."""
        names: dict[str, int | None] = {**self._old}
        for folder, change in self._entries:
            if kept[folder]:
                kept[folder] -= 1
                names |= change
        there = {path: number for path, number in names.items() if number is not None}
        return {p: n for p, n in there.items() if all(str(q) in there for q in PurePath(p).parents)}

    def _contents(self, number: int) -> set[File | Link | None]:
        changes, pinned = self._changes[number], self._pinned[number]
        choices = [[change] for change in changes[:pinned]] + [*map(_outcomes, changes[pinned:])]
        chosen = _choose(choices, self._most)
        return {reduce(_changed, changes, self._nodes[number]) for changes in chosen}

    def _node(self, path: str) -> int:
        number = self._names[path]
        assert number is not None, f"{path} is not there"
        return number

    def _new(self, node: File | Link | None) -> int:
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _enter(self, path: str, change: dict[str, int | None]) -> None:
        self._entries.append((_folder(path), change))
        self._names |= change


def _folder(path: str) -> str:
    return str(PurePath(path).parent)


def _choose(choices: list[list[Operation]], most: float) -> Iterator[Sequence[Operation]]:
    """Yield ways to choose one of each, of which the first is the least and the last the most."""
    if math.prod(map(len, choices)) <= most:
        yield from product(*choices)
        return
    least, whole = [each[0] for each in choices], [each[-1] for each in choices]
    for number, each in enumerate(choices):
        for one in each:
            for before, after in ((least, least), (whole, whole), (whole, least)):
                yield [*before[:number], one, *after[number + 1 :]]
    chance = random.Random(0)  # noqa: S311 - the same states in every run
    for _ in range(int(most)):
        yield [*map(chance.choice, choices)]


def _outcomes(change: Operation) -> list[Operation]:
    """Return the possible outcomes of a change that is not pinned."""
    match change:
        case ("write", offset, data):
            half, end = len(data) // 2, offset + len(data)
            first, second = ("write", offset, data[:half]), ("write", offset + half, data[half:])
            return [("lost",), ("write", end, b""), first, second, change]
        case _:
            return [("lost",), change]


def _changed(node: File | Link | None, change: Operation) -> File | Link | None:
    assert isinstance(node, File)
    match change:
        case ("write", offset, data):
            old = node.data.ljust(offset, b"\0")
            return replace(node, data=old[:offset] + data + old[offset + len(data) :])
        case ("truncate", size):
            return replace(node, data=node.data[:size].ljust(size, b"\0"))
        case ("chmod", mode):
            return replace(node, mode=mode)
        case _:
            return node


def read_tree(root: Path) -> Tree:
    """Return the contents of a folder."""
    tree: Tree = {".": None}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            tree[name] = Link(os.readlink(path))
        elif path.is_dir():
            tree[name] = None
        else:
            tree[name] = File(path.read_bytes(), path.stat().st_mode & 0o7777)
    return tree


def write_tree(tree: Tree, root: Path) -> None:
    """Make a folder with this in it."""
    for name, node in sorted(tree.items()):
        path = root / name
        if node is None:
            path.mkdir(parents=True)
        elif isinstance(node, Link):
            path.symlink_to(node.target)
        else:
            path.write_bytes(node.data)
            path.chmod(node.mode)
