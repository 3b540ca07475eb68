"""The modules for browsers, one by one under Node, with a socket whose messages a test holds."""

import gzip
import re
from pathlib import Path

import pytest
from support import run

SUITES = sorted((Path(__file__).parent / "js").glob("*.test.mjs"))


@pytest.mark.parametrize("suite", SUITES, ids=[each.name.partition(".")[0] for each in SUITES])
def test_the_suite_passes(
    suite: Path, live_static: Path, npm: dict[str, str], tmp_path: Path
) -> None:
    run("node", "--test", suite, cwd=tmp_path, env={**npm, "LIVE_STATIC": str(live_static)})


def test_all_modules_together_are_small(live_static: Path) -> None:
    modules = b"".join(path.read_bytes() for path in sorted(live_static.glob("*.js")))
    assert len(gzip.compress(modules, 9)) <= 14 * 1024


def test_the_types_have_each_exported_name(live_static: Path) -> None:
    exported = re.compile(r"export (?:const|function) (\w+)")
    module = (live_static / "live.js").read_text()
    (again,) = re.findall(r"export \{([^}]+)\}", module)
    names = {*exported.findall(module), *again.replace(" ", "").split(",")}
    assert names == {*exported.findall((live_static / "live.d.ts").read_text())}
