"""Check what has changed, in less than a minute: our own modules, and one rendered project.

`make quick KIND=daemon TESTS=tests/test_daemon.py` renders a daemon with everything into
`.quick/` and runs the tests in that file of it. By default the tests are those of the templates
that differ from the branch main. Delete `.quick/` after a change of dependencies.
"""

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from answers import PROJECT_TYPES, everything
from support import REPOSITORY, ProjectEnvironment, git, render

FOLDER = REPOSITORY / ".quick"


def main(kind: str, *tests: str) -> None:
    if kind not in PROJECT_TYPES:
        sys.exit(f"KIND={kind} is not a type of project: use one of {', '.join(PROJECT_TYPES)}")
    started, changed = time.monotonic(), [*changed_files()]
    own = [path for path in changed if re.match(r"(tests|scripts|benchmarks)/.*\.py$", path)]
    passed = [*check_own(own)]
    project = FOLDER / kind / "sample"
    shutil.rmtree(project, ignore_errors=True)
    render(project, **everything(kind, package_name="sample"))
    passed += check_project(project, tests or sorted({*find_tests(changed, project)}))
    if not all(passed):
        sys.exit(f"{passed.count(False)} of {len(passed)} steps failed.")
    print(f"All is well, after {time.monotonic() - started:.0f} s.")


def changed_files() -> Iterator[str]:
    """Yield the files that are new or differ from the branch main."""
    base = git(REPOSITORY, "merge-base", "HEAD", "main").strip()
    yield from git(REPOSITORY, "diff", "--name-only", "--diff-filter=d", base).splitlines()
    yield from git(REPOSITORY, "ls-files", "--others", "--exclude-standard").splitlines()


def find_tests(changed: Iterable[str], project: Path) -> Iterator[str]:
    """Yield the emitted tests that belong to changed templates and that the project has."""
    for path in changed:
        name = path.removesuffix(".jinja")
        pages = r"^(template/user-docs/|template/README\.md|includes/use/).*"
        name = re.sub(pages, "template/tests/test_guides.py", name)
        name = re.sub(r"^template/src/[^/]+/(.*/)?(\w+\.py)$", r"template/tests/\1test_\2", name)
        name = name.removeprefix("template/")
        if re.fullmatch(r"tests/(.*/)?test_\w+\.py", name) and (project / name).exists():
            yield name


def check_own(modules: list[str]) -> Iterator[bool]:
    if modules:
        yield show(sys.executable, "-m", "ruff", "check", "--fix", *modules)
        yield show(sys.executable, "-m", "ruff", "format", *modules)
        yield show(sys.executable, "-m", "mypy", *modules)


def check_project(project: Path, tests: Collection[str]) -> Iterator[bool]:
    environment = ProjectEnvironment(FOLDER / "environment").install_once(project)
    python = environment.tool("python")
    yield show(python, "-m", "ruff", "format", "--diff", cwd=project)
    yield show(python, "-m", "ruff", "check", cwd=project)
    yield show(python, "-m", "mypy", f"--cache-dir={FOLDER / 'mypy'}", cwd=project)
    if tests:
        yield show(python, "-m", "pytest", "-q", *tests, cwd=project)


def show(*command: str | Path, cwd: Path = REPOSITORY) -> bool:
    """Run a command in the sight of the user, and return whether it succeeds."""
    print("$", shlex.join(map(str, command)), flush=True)
    return subprocess.run(command, cwd=cwd, check=False).returncode == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
