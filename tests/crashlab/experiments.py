"""Interrupt a protocol at every point, and collect the states that are not allowed."""

import math
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from crashlab.children import Children
from crashlab.crash_states import Tree, crash_states, read_tree
from crashlab.tracing import UMASK, calls, encode, injecting, marked, parse, trace


class Interruptible(Protocol):
    """A way in which a state reaches the disk."""

    def prepare(self, children: Children, root: Path, /) -> Path:
        """Make the folder in which it begins."""
        ...

    def command(self, children: Children, root: Path, fault: str, /) -> list[str]:
        """Return the command line of the child process that executes it."""
        ...

    def find(self, emitted: Any, root: Path, /) -> Any:
        """Start the emitted code in a folder as it was left."""
        ...

    def allows(self, found: Any, /, *, returned: bool) -> bool:
        """Return whether this may be found after it was interrupted, or had returned."""
        ...


@dataclass(frozen=True)
class Failure:
    """The result of a protocol in which one call has failed."""

    call: str
    answer: list[str]
    found: Any
    litter: list[Path]
    complaint: str


@dataclass(frozen=True)
class Experiment:
    """A protocol, where it runs, and the fault injected into the emitted code, if any.

    Attributes:
        protocol: The operation to interrupt.
        children: Starts its processes.
        emitted: The emitted code, which reads the state that is left.
        folder: Where the states are.
        log: Where a tracer writes.
        fault: The name of a fault in `child_programs`.
    """

    protocol: Interruptible
    children: Children
    emitted: Any
    folder: Path
    log: Path
    fault: str = ""

    def command(self, root: Path) -> list[str]:
        return self.protocol.command(self.children, root, self.fault)

    def kill_at_each_call(self, ignored: Collection[str] = ()) -> Iterator[str]:
        """Kill the protocol at each of its calls and yield the states that are not allowed."""
        for call, when, root in self._each_call():
            if call in ignored:
                continue
            killed = self._run(root, injecting(call, when, "signal=KILL", self.log, alone=True))
            assert killed.returncode == -signal.SIGKILL
            assert self.log.read_text().count(" getppid(") == 1, "killed outside of the protocol"
            found = self.protocol.find(self.emitted, root)
            if not self.protocol.allows(found, returned=False):
                yield f"{found} after a kill at {call}"

    def fail_each_call(self, error: str) -> Iterator[Failure]:
        """Fail each call of the protocol and yield the results."""
        for call, when, root in self._each_call():
            run = self._run(root, injecting(call, when, f"error={error}", self.log, alone=True))
            assert self.log.read_text().count("(INJECTED)") == 1
            litter = [*root.rglob("*.tmp")]
            found = self.protocol.find(self.emitted, root)
            yield Failure(f"{call} number {when}", run.stdout.split(), found, litter, run.stderr)

    def crash_states(
        self, invisible: str = "", most: float = math.inf
    ) -> Iterator[tuple[bool, Tree]]:
        """Record the protocol; yield each state that a crash may leave.

        Args:
            invisible: A file that does not survive a crash.
            most: About how many contents of a file to try at each moment.
        """
        root = self.protocol.prepare(self.children, self.folder / "recorded")
        before = {path: node for path, node in read_tree(root).items() if path != invisible}
        lines = trace(self.command(root), self.log)
        lines = lines[marked(lines)]
        if invisible:
            name = encode(b"/" + invisible.encode())
            lines = [line for line in lines if name not in line]
        operations = parse(lines, root)
        assert operations
        yield from crash_states(before, operations, most)

    def _each_call(self) -> Iterator[tuple[str, int, Path]]:
        """Yield each call of the protocol, with a folder in which it can begin."""
        start = self.protocol.prepare(self.children, self.folder / "start")
        recorded = self._copy(start, "recorded")
        for number, (call, when) in enumerate(calls(self.command(recorded), self.log)):
            yield call, when, self._copy(start, str(number))

    def _copy(self, start: Path, name: str) -> Path:
        return Path(shutil.copytree(start, self.folder / name, symlinks=True))

    def _run(self, root: Path, tracer: list[str]) -> subprocess.CompletedProcess[str]:
        command = [*tracer, *self.command(root)]
        return subprocess.run(command, capture_output=True, check=False, umask=UMASK, text=True)


Experiments = Callable[..., Experiment]
"""Makes an experiment from the name of a protocol, and that of a fault."""
