"""The tutorial of the first project works, from the copy to the tag of a release."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support import REPOSITORY, UV, released_template, run

TUTORIAL = (REPOSITORY / "docs/first-project.md").read_text()
BLOCK = re.compile(r"(?ms)^```(sh|text)\n(.*?)^```$")
REMOTE = "https://github.com/ada-lovelace/weather-station.git"


def test_each_block_of_the_tutorial_works_and_prints_its_output(
    shared: Path, tmp_path: Path
) -> None:
    template = released_template(shared, tmp_path / "template")
    run("git", "init", "--quiet", "--bare", tmp_path / "remote.git", cwd=tmp_path)
    # Copier is installed here, and the repository on GitHub is a folder.
    replaced = {
        "uvx copier": f"{sys.executable} -m copier",
        "<url>": str(template),
        REMOTE: str(tmp_path / "remote.git"),
    }
    home = tmp_path / "home"
    home.mkdir()
    # Byte code lies in the project, as for a reader: git must ignore it.
    own = ("XDG_", "VIRTUAL", "PYTHONPYCACHEPREFIX")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(own)}
    environment |= {
        "HOME": str(home),
        "PATH": f"{UV.parent}:{os.environ['PATH']}",
        "UV_CACHE_DIR": run(UV, "cache", "dir", cwd=tmp_path).stdout.strip(),
        "UV_PYTHON": sys.executable,
    }
    folder, printed = tmp_path, ""
    for kind, block in BLOCK.findall(TUTORIAL):
        if kind == "text":
            assert block in printed
            continue
        for shown, real in replaced.items():
            block = block.replace(shown, real)
        done = subprocess.run(
            ["bash", "-c", block],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed = done.stdout
        assert (done.returncode == 0) is ("githbu" not in block), printed
        folder = tmp_path / "weather-station"
    run(UV, "run", "pre-commit", "run", "--all-files", cwd=folder, env=environment)
    assert run("git", "status", "--porcelain", cwd=folder).stdout == ""
    added = ("git", "diff", "--name-only", "--diff-filter=A", "HEAD~1", "HEAD")
    assert run(*added, cwd=folder).stdout.split() == ["uv.lock"]
    tags = run("git", "tag", cwd=tmp_path / "remote.git").stdout
    assert tags == "v0.1.0\n"
