"""The results of a benchmark, as a table for the terminal and for `results.md`."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("results.md")

_RIVALS = (
    "atomicwrites",
    "tinydb",
    "jsonpickle",
    "diskcache",
    "pydantic",
    "msgspec",
    "rapidfuzz",
    "orjson",
    "redis",
    "sqlitedict",
    "attrs",
    "cattrs",
    "traitlets",
)


@dataclass(frozen=True)
class Verdict:
    """A measured value and the target it must not exceed."""

    what: str
    value: float
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        value, limit = (f"{each:.2f}{self.unit}" for each in (self.value, self.limit))
        return f"{self.what}: {value} (target: at most {limit})"


@dataclass(frozen=True)
class Bars:
    """A plot of few values, with the target they must not exceed."""

    title: str
    unit: str
    values: Mapping[str, float]
    limit: float


@dataclass(frozen=True)
class Panels:
    """A plot of many values in panels, in which some rivals stand out; `unit` says why."""

    title: str
    unit: str
    values: Mapping[str, Mapping[str, float]]
    outstanding: Set[str]


@dataclass(frozen=True)
class Spans:
    """A plot of seconds, from the smallest case to the largest; `unit` says why some stand out."""

    title: str
    unit: str
    values: Mapping[str, Mapping[str, float]]
    outstanding: Set[str]


@dataclass(frozen=True)
class Result:
    """All results of one benchmark."""

    name: str
    title: str
    introduction: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]
    rounds: Mapping[str, int]
    verdicts: Sequence[Verdict]
    plot: Bars | Panels | Spans
    notes: Sequence[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return it as Markdown, which a terminal shows well enough."""
        parts = [
            f"## {self.title}",
            self.introduction,
            "\n".join(_table(("", *self.columns), self.rows)),
            "\n".join(f"- {note}" for note in self.notes),
            "\n".join(f"- {verdict}" for verdict in self.verdicts),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def milliseconds(seconds: float) -> str:
    """Return three significant digits, in milliseconds."""
    return _three_digits(seconds * 1e3)


def microseconds(seconds: float) -> str:
    """Return three significant digits, in microseconds."""
    return _three_digits(seconds * 1e6)


def duration(seconds: float) -> str:
    """Return three significant digits, in a suitable unit."""
    for unit in ("s", "ms", "µs"):
        if seconds >= 1:
            return f"{_three_digits(seconds)} {unit}"
        seconds *= 1e3
    return f"{_three_digits(seconds)} ns"


def write_results(results: Sequence[Result], folder: Path) -> None:
    """Write all results, with the conditions under which they hold."""
    text = "\n".join(("# Benchmarks\n", _conditions(results, folder), *map(str, results)))
    RESULTS.write_text(text, encoding="utf-8")


def file_system(folder: Path) -> str:
    """Return the type of the file system, if the system gives it."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return "unknown"
    mounts = {Path(fields[1]): fields[2] for fields in map(str.split, lines)}
    place = folder.resolve()
    return next(mounts[path] for path in (place, *place.parents) if path in mounts)


def _conditions(results: Sequence[Result], folder: Path) -> str:
    release = ".".join(platform.release().split(".")[:2])
    rounds = (f"{what} {count}" for result in results for what, count in result.rounds.items())
    versions = (f"{name} {version(name)}" for name in _RIVALS)
    return f"""\
Measured by `make bench`. A time depends on the machine; the ratios were taken within one run, in
which all rivals took turns. Each is the median over the rounds, so that a ratio may differ a little
from that of the two times beside it. A target is a limit that was set before the measurement: a
figure above its target is slower than we want it.

- Python {platform.python_version()}, Copier {version("copier")}, {platform.system()} {release}, \
{os.cpu_count()} cores
- file system: {file_system(folder)}
- load average over the run: {os.getloadavg()[1]:.1f}
- rounds: {", ".join(rounds)}
- {", ".join(versions)}
"""


def _three_digits(value: float) -> str:
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"


def _table(header: Sequence[str], rows: Mapping[str, Sequence[str]]) -> Iterator[str]:
    lines = [header, *((name, *cells) for name, cells in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield f"| {' | '.join(cells)} |"
