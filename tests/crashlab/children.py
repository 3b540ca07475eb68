"""Start child programs: each a process of its own, that may be traced, killed or cut off."""

import functools
import py_compile
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


@functools.cache
def programs() -> str:
    """Compile the programs once, not in each child, and return the path of their byte code."""
    path = py_compile.compile(str(Path(__file__).with_name("child_programs.py")), doraise=True)
    assert path
    return path


class Children:
    """The child processes of one test, which do not outlive it.

    Args:
        subject: The emitted code that they load, as `child_programs` names it.
    """

    def __init__(self, subject: Path | str) -> None:
        self._subject = subject
        self._running: list[subprocess.Popen[str]] = []

    def command(self, program: str, *arguments: object, fault: str = "") -> list[str]:
        """Return a command line: isolated and writing no byte code, so that traces are alike."""
        return [sys.executable, "-ISB", programs(), str(self._subject), fault, program] + [
            str(argument) for argument in arguments
        ]

    def start(
        self,
        program: str,
        *arguments: object,
        fault: str = "",
        tracer: Sequence[str] = (),
        stderr: int | None = None,
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*tracer, *self.command(program, *arguments, fault=fault)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            umask=0o022,
        )
        self._running.append(process)
        return process

    def run(self, program: str, *arguments: object, **options: Any) -> str:
        """Return the answer of a child, which must end well within a time that suits them all."""
        process = self.start(program, *arguments, **options)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, f"{program} ended with {process.returncode}"
        return said.strip()

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
