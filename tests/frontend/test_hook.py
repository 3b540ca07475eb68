"""The hook and its dashboard as their developers use them: types, tests, the guide, packages."""

import json
import os
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import run

from frontend.release import Release

BLOCK = re.compile(r"^```tsx?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def link(file: str, name: str) -> None:
    """Give a file a second name, or copy it if npm or vitest may change it in place."""
    is_theirs = "/." in file.partition("/node_modules")[2]
    (shutil.copy2 if is_theirs else os.link)(file, name)


def make_without_uv(release: Release, folder: Path, *arguments: str, path: str = "") -> str:
    """Run make without the checks of Python, and return its output."""
    for name, program in (("uv", "true"), ("make", "make"), ("sh", "sh")):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(shutil.which(program) or program)
    variables = release.variables() if not path else {}
    variables["PATH"] = f"{folder}:{path or variables['PATH']}"
    return run("make", *arguments, cwd=release.project, env=variables).stdout


def test_its_types_are_right_and_its_tests_reach_its_lines_and_branches(
    release: Release, tmp_path: Path
) -> None:
    shown = make_without_uv(release, tmp_path, "check", "test")
    assert "tsc --noEmit" in shown
    assert "All files" in shown, "the coverage was not measured"
    assert "npm --prefix frontend" not in shown, "it was installed again"
    few = ("vitest", "run", "--coverage", "tests/ssr.test.tsx")
    with pytest.raises(AssertionError, match="does not meet global threshold"):
        release.npm("exec", "--", *few)


def test_make_reports_that_npm_is_not_there(release: Release, tmp_path: Path) -> None:
    shown = make_without_uv(release, tmp_path, "check", "test", path="/nowhere")
    assert shown.count("npm is not installed: frontend/ is not checked.") == 2


def test_make_installs_the_versions_of_the_lock_file(release: Release, tmp_path: Path) -> None:
    package, lock = (release.frontend / name for name in ("package.json", "package-lock.json"))
    project = tmp_path / "sample"
    (project / "frontend").mkdir(parents=True)
    shutil.copy(release.project / "Makefile", project)
    for command, file in (("install", package), ("ci", lock)):
        shutil.copy(file, project / "frontend")
        shown = run("make", "--dry-run", "build", cwd=project).stdout
        assert f"npm --prefix frontend {command}\n" in shown
    # It accepts the lock file that `npm install` has written.
    release.npm("ci", "--dry-run")


def test_it_works_with_react_18(release: Release, tmp_path: Path) -> None:
    frontend = release.copy_frontend(tmp_path)
    (frontend / "node_modules").unlink()
    # Only the packages that differ are installed anew.
    installed = release.frontend / "node_modules"
    shutil.copytree(installed, frontend / "node_modules", symlinks=True, copy_function=link)
    # The newest 18.3, for each package of the newest 19.
    package = frontend / "package.json"
    older = re.sub(r'(react(?:-dom)?"): "~19\.[\d.]+"', r'\1: "~18.3.0"', package.read_text())
    assert older.count("~18.3.0") == 4
    package.write_text(older)
    release.npm("install", cwd=frontend)
    for where, version in ((frontend, "18.3."), (release.frontend, "19.")):
        for name in ("react", "react-dom", "@types/react", "@types/react-dom"):
            found = json.loads((where / f"node_modules/{name}/package.json").read_text())
            assert found["version"].startswith(version), name
    release.npm("run", "check", cwd=frontend)
    # That each file of tests passes alone is proved with React 19; one environment costs half.
    release.npm("exec", "--", "vitest", "run", "--no-isolate", cwd=frontend)


def test_the_code_of_the_guide_compiles_and_its_names_exist(
    release: Release, tmp_path: Path
) -> None:
    frontend = release.copy_frontend(tmp_path)
    guide = release.project / "user-docs/how-to/keep-a-dashboards-state.md"
    blocks = BLOCK.findall(guide.read_text())
    assert len(blocks) >= 4
    for number, block in enumerate(blocks):
        (frontend / f"src/guide-{number}.tsx").write_text(block)
    rows = [line.split("|")[1:3] for line in guide.read_text().splitlines() if line[:3] == "| `"]
    names = re.findall(r"`(use\w+|\w+State\w*|[A-Z_]{5,})\b", str(rows))
    assert len(names) >= 20
    uses = ", ".join(f"state.{name}" for name in names)
    (frontend / "src/names.ts").write_text(
        f'import * as state from "./lib/state";\nexport const all = [{uses}];\n'
    )
    release.npm("run", "check", cwd=frontend)
    (frontend / "src/wrong.tsx").write_text(blocks[0].replace("scope:", "scopes:"))
    with pytest.raises(AssertionError, match=r"src/wrong\.tsx.*'scopes' does not exist"):
        release.npm("run", "check", cwd=frontend)


def test_the_packages_contain_the_dashboard_and_no_tools(release: Release) -> None:
    page = "sample/static/dashboard/index.html"
    with zipfile.ZipFile(release.package(".whl")) as opened:
        assert page in opened.namelist()
        assert not [name for name in opened.namelist() if "frontend" in name]
    with tarfile.open(release.package(".tar.gz")) as opened:
        names = [name.partition("/")[2] for name in opened.getnames()]
    assert {f"src/{page}", "frontend/package.json"} <= {*names}
    assert not [name for name in names if "node_modules" in name]
