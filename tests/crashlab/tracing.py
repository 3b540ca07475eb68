"""Use strace to read the system calls of a child, to fail one of them, or to kill at it."""

import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

UMASK = 0o022

Operation = tuple[Any, ...]
"""A name, paths and values, as in ("write", "state.json", 0, b"{}") or ("fsync", ".")."""

_TRACED = "trace=%file,%desc,getppid"
_ONLY_LOOKING = {"getppid", "ioctl", "lseek", "lstat", "mmap", "newfstatat", "readlink", "stat"}


def trace(command: Sequence[str], log: Path) -> list[str]:
    """Run a command and return its calls that concern files, in full."""
    strace = ["strace", "-f", "--seccomp-bpf", "-xx", "-y", "-s", "2000000", "-e", _TRACED, "-o"]
    subprocess.run([*strace, log, *command], check=True, capture_output=True, umask=UMASK)
    return log.read_text().splitlines()


def marked(lines: Sequence[str]) -> slice:
    """Return where the part between the first and the last getppid is."""
    first, *_, last = (number for number, line in enumerate(lines) if " getppid(" in line)
    return slice(first + 1, last)


def calls(command: Sequence[str], log: Path) -> Iterator[tuple[str, int]]:
    """Yield each marked call that may change something, by name and number of its kind."""
    lines, counts, written = trace(command, log), Counter[str](), set[str]()
    part = marked(lines)
    for number, line in enumerate(lines[: part.stop]):
        call, _, arguments = line.split(maxsplit=1)[1].partition("(")
        file = arguments.partition(">")[0]
        counts[call] += 1
        if call == "write":
            written.add(file)
        # A close that has nothing to write, or an unlock, has nothing to fail at.
        idle = call in _ONLY_LOOKING or "LOCK_UN" in line or "F_UNLCK" in line
        idle |= call == "close" and file not in written
        if number >= part.start and not idle:
            yield call, counts[call]


def injecting(call: str, when: int, fault: str, log: Path, *, alone: bool = False) -> list[str]:
    """Return the start of a command line, so that the call named meets the fault.

    `alone` leaves other calls out of the log, which is much faster.
    """
    # With --seccomp-bpf, signals would not be delivered.
    faster = ["--seccomp-bpf"] if alone and fault.startswith("error") else []
    traced = f"trace={call},getppid" if alone else _TRACED
    injected = f"inject={call}:{fault}:when={when}"
    return ["strace", "-f", *faster, "-y", "-o", str(log), "-e", traced, "-e", injected]


def wait_for(call: str, log: Path) -> None:
    """Wait until a traced process has entered a call."""
    end = time.monotonic() + 30
    while not log.exists() or f" {call}" not in log.read_text():
        assert time.monotonic() < end, f"no {call} in 30 seconds"
        time.sleep(0.01)


def parse(lines: Iterable[str], root: Path) -> list[Operation]:
    """Return the calls that change a folder's contents, from strace's output with -xx and -y."""
    operations: list[Operation] = []
    positions: Counter[str] = Counter()
    for line in lines:
        call, arguments, result = _split(line)
        named = arguments[0] if call in ("write", "pwrite64") else line
        if result < 0 or encode(os.fsencode(root.resolve())) not in named:
            continue
        match call.removesuffix("64"):
            case "open" | "openat" | "creat":
                positions[str(result)] = 0
                operations += _opened(call, line, arguments, root)
            case "write" | "pwrite":
                file, data = arguments[0].partition("<")[0], _decode(arguments[1])[:result]
                offset = int(arguments[3]) if call == "pwrite64" else positions[file]
                operations.append(("write", *_paths(arguments[:1], root), offset, data))
                positions[file] = offset + result
            case "lseek":
                positions[arguments[0].partition("<")[0]] = result
            case "symlink" | "symlinkat":
                target = os.fsdecode(_decode(arguments[0]))
                operations.append(("symlink", *_paths(arguments[1:], root), target))
            case name if name in _OF_PATHS:
                operations.append((_OF_PATHS[name], *_paths(arguments, root)))
            case name if name in _WITH_NUMBER:
                kind, base = _WITH_NUMBER[name]
                operations.append((kind, *_paths(arguments, root), int(arguments[-1], base)))
            case name if _HARMLESS.fullmatch(name):
                pass
            case _:
                raise ValueError(f"not modelled: {line[:200]}")
    return operations


def _opened(call: str, line: str, arguments: list[str], root: Path) -> Iterator[Operation]:
    if "O_CREAT" in line or call == "creat":
        yield ("create", *_paths(arguments, root), int(arguments[-1], 8) & ~UMASK)
    if "O_TRUNC" in line or call == "creat":
        yield ("truncate", *_paths(arguments, root), 0)


# Calls by their operation: those with paths alone, and those with a number in some base.
_OF_PATHS = {
    "fdatasync": "fsync",
    "fsync": "fsync",
    "link": "link",
    "linkat": "link",
    "mkdir": "mkdir",
    "mkdirat": "mkdir",
    "rename": "rename",
    "renameat": "rename",
    "renameat2": "rename",
    "rmdir": "rmdir",
    "unlink": "unlink",
    "unlinkat": "unlink",
}
_WITH_NUMBER = {
    "chmod": ("chmod", 8),
    "fchmod": ("chmod", 8),
    "fchmodat": ("chmod", 8),
    "ftruncate": ("truncate", 10),
    "truncate": ("truncate", 10),
}
_HARMLESS = re.compile(
    r"\w*(access|chown|readlink|stat|utime|xattr)\w*"
    r"|chdir|close|fcntl|flock|getcwd|getdents|ioctl|pread|read"
)


def _split(line: str) -> tuple[str, list[str], int]:
    match = re.match(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)", line)
    if not match:
        raise ValueError(f"not a finished system call: {line[:200]}")
    return match[1], match[2].split(", "), int(match[3])


def _paths(arguments: Iterable[str], root: Path) -> Iterator[str]:
    """Return each path named, or that of the open file; a name follows its folder."""
    base, names = "/", []
    for argument in arguments:
        if match := re.match(r"\w+<(.*)>", argument):
            base = os.fsdecode(_decode(match[1]))
        elif argument.startswith('"'):
            names.append(os.path.join(base, os.fsdecode(_decode(argument))))
    for name in names or [base]:
        yield os.path.relpath(name, root.resolve())


def encode(data: bytes) -> str:
    """Return bytes as strace shows them."""
    return "".join(f"\\x{byte:02x}" for byte in data)


def _decode(text: str) -> bytes:
    return bytes.fromhex(text.strip('"').replace("\\x", ""))
