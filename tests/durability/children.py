"""Start the actors: each a process of its own, that may be traced, killed or cut off."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ACTORS = Path(__file__).with_name("actors.py")


class Children:
    """The child processes of one test, which do not outlive it."""

    def __init__(self, module: Path | str, actors: Path = ACTORS) -> None:
        self._module = module
        self._actors = actors
        self._running: list[subprocess.Popen[str]] = []

    def command(self, actor: str, *arguments: object, plant: str = "") -> list[str]:
        """Return a command line: isolated and without byte code, so that traces are alike."""
        return [sys.executable, "-ISB", str(self._actors), str(self._module), plant, actor] + [
            str(argument) for argument in arguments
        ]

    def start(
        self,
        actor: str,
        *arguments: object,
        plant: str = "",
        tracer: Sequence[str] = (),
        stderr: int | None = None,
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*tracer, *self.command(actor, *arguments, plant=plant)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            umask=0o022,
        )
        self._running.append(process)
        return process

    def run(self, actor: str, *arguments: object, **options: Any) -> str:
        """Return what a child said; it must end well, and within a time that suits them all."""
        process = self.start(actor, *arguments, **options)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, f"{actor} ended with {process.returncode}"
        return said.strip()

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
