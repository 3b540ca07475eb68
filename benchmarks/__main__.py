"""Run the benchmarks, all or by name; the exit status is 1 if a target is missed.

A quick run shows that everything works; its figures mean nothing. Only a full run of all of them
writes `results.md` and the plots. The temporary folder has to be on a real disk (set TMPDIR):
where memory serves as the disk, an fsync costs nothing. Needs a POSIX system.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import (
    binding,
    broadcasting,
    calling,
    copying,
    declaring,
    importing,
    ordering,
    plots,
    recording,
    replicating,
    report,
    responding,
    saving,
    serving,
    storing,
    suggesting,
)

BENCHMARKS = {
    "copy": copying.measure,
    "save": saving.measure,
    "store": storing.measure,
    "state": declaring.measure,
    "transaction": recording.measure,
    "serve": serving.measure,
    "order": ordering.measure,
    "broadcast": broadcasting.measure,
    "replicate": replicating.measure,
    "call": calling.measure,
    "respond": responding.measure,
    "suggest": suggesting.measure,
    "import": importing.measure,
    "bind": binding.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="|".join(BENCHMARKS), help="default: all")
    parser.add_argument("--quick", action="store_true", help="few rounds, and no failure")
    arguments = parser.parse_args()
    names = list(dict.fromkeys(arguments.names or BENCHMARKS))
    if unknown := set(names) - BENCHMARKS.keys():
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")

    results = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as temporary:
        for name in names:
            start = time.monotonic()
            folder = Path(temporary, name)
            folder.mkdir()
            results.append(BENCHMARKS[name](folder, arguments.quick))
            print(results[-1])
            print(f"({time.monotonic() - start:.0f} seconds)\n", file=sys.stderr)
        if set(names) == BENCHMARKS.keys() and not arguments.quick:
            report.write_results(results, Path(temporary))
            for result in results:
                plots.draw(result)
    missed = any(not verdict.met for result in results for verdict in result.verdicts)
    return int(missed and not arguments.quick)


if __name__ == "__main__":
    sys.exit(main())
