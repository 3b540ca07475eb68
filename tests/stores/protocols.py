"""The operations to record, kill and fail: every way in which a change reaches the disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crashlab.children import Children

LARGE = "x" * 20_000


@dataclass(frozen=True)
class Protocol:
    """A kind of store, the program that changes it, and its value before and after.

    Attributes:
        kind: The kind of the store.
        program: The program and its arguments, besides the URL.
        old: The value before.
        new: The value after.
        before: The programs that created the value before.
    """

    kind: str
    program: tuple[str, ...]
    old: Any
    new: Any
    before: tuple[tuple[str, ...], ...] = (("save", "0"), ("save", "1"))

    def prepare(self, children: Children, root: Path) -> Path:
        """Make the folder in which the protocol begins."""
        root.mkdir()
        for program, *arguments in self.before:
            children.run(program, self.url(root), *arguments)
        return root

    def url(self, root: Path) -> str:
        return f"{self.kind}:{root / 'state'}"

    def command(self, children: Children, root: Path, fault: str = "") -> list[str]:
        program, *arguments = self.program
        return children.command(program, self.url(root), *arguments, fault=fault)

    def find(self, state: Any, root: Path) -> Any:
        """Open the store as it was left, and return its value; it must work again."""
        with state.open_store(self.url(root)) as store:
            record = store.load("count")
            version = record.version if record else 0
            saved = store.save("count", 9, expected_version=version)
            assert saved.version > version
            assert store.load("count").value == 9
        return record and record.value

    def allows(self, found: Any, *, returned: bool) -> bool:
        return found == self.new or (not returned and found == self.old)


_LEFT = (("save", "0"), ("save_and_leave", "1"))
_CHANGES: dict[str, tuple[Any, ...]] = {
    "the first save": (("change", "save", "2"), None, 2, ()),
    "a later save": (("change", "save", "2"), 1, 2),
    "a save of 20 KB": (("change", "save", json.dumps(LARGE)), 1, LARGE),
    "an update": (("change", "update"), 1, 2),
    "a delete": (("change", "delete"), 1, None),
}
PROTOCOLS = {
    f"{kind}: {name}": Protocol(kind, *change)
    for kind in ("file", "sqlite")
    for name, change in _CHANGES.items()
} | {
    "sqlite: a save after a kill": Protocol("sqlite", ("change", "save", "2"), 1, 2, _LEFT),
    "sqlite: closing": Protocol("sqlite", ("close",), 1, 1, _LEFT),
}
