"""The hook and its dashboard as their developers use them: types, tests, the guide, packages."""

import re
import shutil
import tarfile
import zipfile
from pathlib import Path

from frontend.release import Release

BLOCK = re.compile(r"^```tsx?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def copy_frontend(release: Release, destination: Path) -> Path:
    """Copy the frontend, with a link to the packages that it has installed."""
    folder = destination / "frontend"
    without = shutil.ignore_patterns("node_modules", "coverage")
    shutil.copytree(release.frontend, folder, ignore=without)
    (folder / "node_modules").symlink_to(release.frontend / "node_modules")
    return folder


def test_its_types_are_right_and_its_tests_reach_its_lines_and_branches(release: Release) -> None:
    release.npm("run", "check")
    release.npm("test")


def test_the_code_of_the_guide_compiles(release: Release, tmp_path: Path) -> None:
    frontend = copy_frontend(release, tmp_path)
    guide = release.project / "user-docs/how-to/keep-a-dashboards-state.md"
    blocks = BLOCK.findall(guide.read_text())
    assert len(blocks) >= 4
    for number, block in enumerate(blocks):
        (frontend / f"src/guide-{number}.tsx").write_text(block)
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
