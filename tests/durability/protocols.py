"""The operations to record, kill and fail: every way in which a state reaches the disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crashlab.children import Children

JUNK = b'{"count": 1'
OLD = b'{\n  "count": 1\n}\n'


@dataclass(frozen=True)
class Found:
    """The result of a start: the count, the file's mode, and the files kept beside it."""

    count: int
    mode: int | None = 0o640
    beside: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class Protocol:
    """A program, the file it opens, and the allowed results if it is interrupted or returns."""

    program: tuple[str, ...]
    new: Found
    old: tuple[Found, ...] = (Found(1),)
    before: bytes | None = OLD
    state: str = "state.json"
    link: str | None = None
    version: int = 0

    def prepare(self, children: Children, root: Path) -> Path:
        """Make the folder in which the protocol begins."""
        state = root / self.state
        root.mkdir()
        if self.before is not None:
            state.parent.mkdir(exist_ok=True)
            state.write_bytes(self.before)
            state.chmod(0o640)
        if self.link:
            (root / self.link).symlink_to(self.state)
        return root

    def command(self, children: Children, root: Path, fault: str = "") -> list[str]:
        program, *arguments = self.program
        return children.command(program, root / (self.link or self.state), *arguments, fault=fault)

    def find(self, persistence: Any, root: Path) -> Found:
        """Start the emitted code in a folder as it was left."""
        path, state = root / (self.link or self.state), root / self.state
        kind = type("State", (persistence.StatefulObject,), {"_state_version": self.version})
        count = getattr(kind(path), "count", 0)
        assert path.is_symlink() is bool(self.link)
        others = {state.name, f".{state.name}.lock"}
        beside = {p.read_bytes() for p in state.parent.glob("*") if p.name not in others}
        mode = state.stat().st_mode & 0o7777 if state.exists() else None
        return Found(count, mode, frozenset(beside))

    def allows(self, found: Found, *, returned: bool) -> bool:
        return found == self.new or (not returned and found in self.old)


_NOTHING = Found(0, mode=None)
_SAVED = Found(2)
_FIRST = Found(2, mode=0o644)

PROTOCOLS = {
    "a save over an existing file": Protocol(("save", "2"), _SAVED),
    "the first save": Protocol(("save", "2"), _FIRST, (_NOTHING,), before=None),
    "a save into a new folder": Protocol(
        ("save", "2"), _FIRST, (_NOTHING,), before=None, state="new/deep/state.json"
    ),
    "a save through a symbolic link": Protocol(
        ("save", "2"), _SAVED, state="real/state.json", link="state.json"
    ),
    "a save of 300 KB": Protocol(("save", "2", "300000"), _SAVED),
    "a transaction": Protocol(("transact",), _SAVED),
    "a save that migrates": Protocol(
        ("start_and_save", "2", "2"),
        Found(2, beside=frozenset({OLD})),
        (Found(1), Found(1, beside=frozenset({OLD}))),
        version=2,
    ),
    "clearing": Protocol(("clear",), _NOTHING),
    "clearing again": Protocol(("clear_again",), _NOTHING, (Found(1), _NOTHING)),
    "setting a corrupt file aside": Protocol(
        ("start_and_save", "2"),
        Found(2, mode=0o644, beside=frozenset({JUNK})),
        (Found(0, mode=None, beside=frozenset({JUNK})),),
        before=JUNK,
    ),
}
