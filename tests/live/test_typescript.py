"""TypeScript knows `live.js`, and a module that uses it can add the types of its states."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import run

USE = Path(__file__).parent / "js/types.ts"


@pytest.fixture
def compile_files(
    live_static: Path, npm: dict[str, str], npm_package: Callable[[str], Path], tmp_path: Path
) -> Callable[..., None]:
    """Return a function that lets TypeScript check files, with its strict options by default."""
    compiler = npm_package("typescript") / "bin/tsc"

    def compile_files(*files: Path, **options: Any) -> None:
        known = {"lib": ["ESNext", "DOM", "DOM.Iterable"], "types": []}
        paths = {"/live/*": [f"{live_static}/*"]}
        options |= {"target": "ESNext", "module": "ESNext", "noEmit": True, "paths": paths, **known}
        settings = {"compilerOptions": options, "files": [str(file) for file in files]}
        (tmp_path / "tsconfig.json").write_text(json.dumps(settings))
        run("node", compiler, "--project", tmp_path, cwd=tmp_path, env=npm)

    return compile_files


def test_correct_use_passes_and_each_mistake_is_found(
    compile_files: Callable[..., None],
) -> None:
    compile_files(USE, strict=True, moduleResolution="bundler")


def test_the_guide_adds_the_types_of_the_states(
    live_project: Path, compile_files: Callable[..., None], tmp_path: Path
) -> None:
    guide = (live_project / "user-docs/how-to/local-state-and-binding.md").read_text()
    (settings,) = re.findall(r"(?ms)^```json\n(.*?)^```$", guide)
    (folder,) = json.loads(settings)["compilerOptions"]["paths"]["/live/*"]
    assert (live_project / folder.replace("*", "live.d.ts")).is_file()
    (declared,) = re.findall(r"(?ms)^```ts\n(.*?)^```$", guide)
    states, use = tmp_path / "states.d.ts", tmp_path / "use.ts"
    states.write_text(declared)
    use.write_text(
        'import { local, shared } from "/live/live.js";\n'
        "shared.board.votes += 1;\n"
        "// @ts-expect-error\n"
        'local.ui.dark = "yes";\n'
    )
    compile_files(states, use, strict=True, moduleResolution="bundler")


def test_the_modules_agree_with_each_other(
    live_static: Path, compile_files: Callable[..., None]
) -> None:
    modules = sorted(live_static.glob("*.js"))
    compile_files(*modules, checkJs=True, strict=False, moduleResolution="bundler")
