"""Render the template from the work tree, and run commands in the rendered projects."""

import atexit
import contextlib
import copy
import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

# Read once, when copier is imported: no user's git settings may change a result.
os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
# The repositories of tests live for seconds: git need not compress, tidy or sync them.
_GIT_SETTINGS = {"core.compression": "0", "core.fsync": "none", "gc.auto": "0"}
_GIT_SETTINGS |= {"maintenance.auto": "false"}
os.environ["GIT_CONFIG_COUNT"] = str(len(_GIT_SETTINGS))
for _number, (_key, _value) in enumerate(_GIT_SETTINGS.items()):
    os.environ[f"GIT_CONFIG_KEY_{_number}"] = _key
    os.environ[f"GIT_CONFIG_VALUE_{_number}"] = _value
os.environ.setdefault("GIT_AUTHOR_NAME", "Test")
os.environ.setdefault("GIT_AUTHOR_EMAIL", "test@example.org")
os.environ.setdefault("GIT_COMMITTER_NAME", "Test")
os.environ.setdefault("GIT_COMMITTER_EMAIL", "test@example.org")

import copier._template
import jinja2
import yaml
from copier import Settings, run_copy
from copier._jinja_ext import SandboxedEnvironment
from copier._main import Worker

# Hundreds of projects are rendered from the same templates: compile each template once, read each
# configuration once, and start no git for each file, which only repairs modes where git is
# configured to ignore them.
_compile: Any = SandboxedEnvironment.compile
_compiled: dict[tuple[object, ...], Any] = {}


def _compile_once(
    environment: SandboxedEnvironment, source: Any, name: Any = None, *more: Any
) -> Any:
    if (source, name) not in _compiled:
        _compiled[source, name] = _compile(environment, source, name, *more)
    elif isinstance(source, str):
        environment.preprocess(source)  # Copier's extension counts the names of a path there
    return _compiled[source, name]


_load_configuration: Any = copier._template.load_template_config
_configurations: dict[bytes, Any] = {}


def _load_configuration_once(path: Path) -> Any:
    content = path.read_bytes()
    if content not in _configurations:
        _configurations[content] = _load_configuration(path)
    return copy.deepcopy(_configurations[content])


_render_files: Any = Worker._render_template


def _render_with_one_context(worker: Worker) -> None:
    """Compute the context, which all files share, and each part of their paths once."""
    _ = worker.answers_relpath  # computed first: that changes its context
    context = worker._render_context()
    render_string = worker._render_string
    render_once = functools.cache(lambda string: render_string(string))

    def render_part(string: str, extra_context: dict[str, Any] | None = None) -> str:
        if extra_context or "yield" in string:  # which has an effect besides
            return render_string(string, extra_context)
        worker.jinja_env.preprocess("")  # as above
        return render_once(string)

    faster: dict[str, Any] = {"_render_context": lambda: dict(context)}
    faster["_render_string"] = render_part
    vars(worker).update(faster)
    try:
        _render_files(worker)
    finally:
        for name in faster:
            del vars(worker)[name]


_find_answers: Any = vars(Worker)["answers_relpath"].fget


def _find_answers_once(worker: Worker) -> Path:
    if "_answers_path" not in vars(worker):
        vars(worker)["_answers_path"] = _find_answers(worker)
    else:
        worker.jinja_env.preprocess("")  # as above
    return vars(worker)["_answers_path"]  # type: ignore[no-any-return]


_clone: Callable[[str, str, str], str] = vars(copier._template)["clone"]
_clones: dict[tuple[str, str], str] = {}


def _clone_once(url: str, ref: str, location: str) -> str:
    """Clone the same commits with the same tags once: an update asks five times for them.

    Copier only reads the clone. It deletes `location`, which stays empty.
    """
    if ref == "HEAD":  # with the changes that are not committed
        return _clone(url, ref, location)
    key = run("git", "show-ref", "--head", cwd=Path(url)).stdout, ref
    if key not in _clones:
        folder = tempfile.mkdtemp(dir=TEMPORARY)
        atexit.register(shutil.rmtree, folder)
        _clones[key] = _clone(url, ref, folder)
    return _clones[key]


for _owner, _name, _faster in (  # mypy forbids assignments
    (copier._template, "clone", _clone_once),
    (SandboxedEnvironment, "compile", _compile_once),
    (copier._template, "load_template_config", _load_configuration_once),
    (Worker, "_render_template", _render_with_one_context),
    (Worker, "answers_relpath", property(_find_answers_once)),
    (Worker, "_sync_git_index_executable_bit", lambda *_: None),
):
    setattr(_owner, _name, _faster)

REPOSITORY = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
TEMPORARY = tempfile.gettempdir()  # for a whole process: a test may have another one
TEMPLATE_PARTS = ("copier.yml", "includes", "template")


def module_source(name: str) -> str:
    """Return the source of a module of `utils`, as a package `sample` has it."""
    path = REPOSITORY / f"template/src/{{{{package_name}}}}/utils/{name}.py.jinja"
    environment = jinja2.Environment(  # noqa: S701 - it renders Python, no HTML
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(path.read_text()).render(
        package_name="sample", modules_import="sample"
    )


def import_module(name: str) -> Any:
    """Import a module of `utils/` without the other ones."""
    module = sys.modules[f"emitted_{name}"] = ModuleType(f"emitted_{name}")
    exec(compile(module_source(name), f"{name}.py", "exec"), vars(module))  # noqa: S102 - ours
    return module


@functools.cache
def questions() -> dict[str, dict[str, Any]]:
    """Return the questions of copier.yml by name, computed ones included."""
    configuration = yaml.safe_load((REPOSITORY / "copier.yml").read_text())
    return {name: spec for name, spec in configuration.items() if not name.startswith("_")}


def copy_template(destination: Path) -> Path:
    """Copy the files that Copier needs, without git: the work tree counts, not the last commit."""
    destination.mkdir(parents=True, exist_ok=True)
    for part in TEMPLATE_PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, destination / part, dirs_exist_ok=True)
        else:
            shutil.copy2(source, destination / part)
    return destination


@functools.cache
def _copy_of_this_template() -> Path:
    """Copy the template once for this process, which changes nothing in it."""
    folder = tempfile.mkdtemp(dir=TEMPORARY)
    atexit.register(shutil.rmtree, folder)
    return copy_template(Path(folder) / "template")


def render(
    destination: Path, template: Path = REPOSITORY, *, quiet: bool = True, **answers: Any
) -> Path:
    """Render a project with the defaults and these answers, without trusting the template.

    Copier accepts unknown answers in silence; a misspelt one fails here.
    """
    unknown = answers.keys() - questions().keys()
    assert not unknown, f"no such questions: {unknown}"
    if template == REPOSITORY:
        template = _copy_of_this_template()
    run_copy(
        str(template),
        destination,
        data=answers,
        settings=Settings(),
        defaults=True,
        overwrite=True,
        quiet=quiet,
    )
    return destination


def run(
    *command: str | Path, cwd: Path, env: dict[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command, with its output in the failure."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        text=True,
        capture_output=True,
        check=False,
    )
    if check and result.returncode != 0:
        shown = " ".join(str(part) for part in command)
        raise AssertionError(
            f"{shown} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
        )
    return result


def copy_state(state: str, destination: Path) -> Path:
    """Copy the template as it was in a commit, without the history."""
    archive = destination.with_name(f"{destination.name}.tar")
    run("git", "archive", f"--output={archive}", state, *TEMPLATE_PARTS, cwd=REPOSITORY)
    shutil.unpack_archive(archive, destination)
    return destination


def git(project: Path, *arguments: str) -> str:
    """Run git in a project and return its output."""
    return run("git", *arguments, cwd=project).stdout


def commit_all(project: Path, message: str = "Change") -> None:
    """Commit everything, making the repository if there is none."""
    if not (project / ".git").exists():
        git(project, "init", "--quiet", "--initial-branch=main")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", message)


def files_of(project: Path, ignored: Sequence[str] = (".git",)) -> dict[str, bytes]:
    """Return the content of every file of a project by its path."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in sorted(project.rglob("*"))
        if path.is_file() and path.relative_to(project).parts[0] not in ignored
    }


@contextlib.contextmanager
def making(folder: Path) -> Iterator[bool]:
    """Let one process of the run make a folder that all of them use.

    Yields:
        Whether this process must make it. The others wait until it is complete.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    complete = folder.with_name(f"{folder.name}.complete")
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not complete.exists()
        complete.touch()


@contextlib.contextmanager
def using_mypy(cache: Path, project: Path) -> Iterator[dict[str, str]]:
    """Give mypy a cache that all projects share, as most of its files are theirs too.

    Mypy takes a file for the cached one if its path in the project, its size and the second of
    its last change are the same. The files therefore get times from their content.

    Yields:
        The variables of its environment. One process at a time has the cache.
    """
    with making(cache):
        for path in (*project.glob("src/**/*.py"), *project.glob("tests/**/*.py")):
            seconds = 10**9 + zlib.crc32(path.read_bytes()) % 10**8
            os.utime(path, (seconds, seconds))
        yield {"MYPY_CACHE_DIR": str(cache)}


def render_once(shared: Path, **answers: Any) -> Path:
    """Render a project that every test of this run may read, and none may change."""
    key = hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:16]
    project = shared / "projects" / key / "sample"
    with making(project) as missing:
        if missing:
            render(project, **answers)
    return project


def released_template(shared: Path, destination: Path) -> Path:
    """Copy a repository of the template that was released once, as it is now, as v1.0.0."""
    released = shared / "released"
    with making(released) as missing:
        if missing:
            commit_all(copy_template(released), "First release")
            git(released, "tag", "v1.0.0")
            # Copier clones it in every update, and git one file sooner than hundreds.
            git(released, "repack", "-a", "-d", "--quiet")
    return shutil.copytree(released, destination)


class Environment:
    """A virtual environment, made and filled by uv."""

    def __init__(self, folder: Path, python: str | Path = sys.executable) -> None:
        self.folder = folder
        if not folder.exists():
            run(UV, "venv", "--quiet", "--python", python, folder, cwd=folder.parent)

    def tool(self, name: str) -> Path:
        """Return the path of a command that is installed here."""
        return self.folder / "bin" / name

    def install(self, *requirements: str | Path, cwd: Path) -> None:
        """Install requirements in the forms that uv's pip understands."""
        run(UV, "pip", "install", "--quiet", "--python", self.folder, *requirements, cwd=cwd)

    def run(
        self, name: str, *arguments: str | Path, cwd: Path, env: dict[str, str] | None = None
    ) -> str:
        """Run a command that is installed here and return its output."""
        return run(self.tool(name), *arguments, cwd=cwd, env=env).stdout

    def run_module(
        self, name: str, *arguments: str | Path, cwd: Path, env: dict[str, str] | None = None
    ) -> str:
        """Run a module as a program and return its output."""
        return self.run("python", "-m", name, *arguments, cwd=cwd, env=env)


class ProjectEnvironment(Environment):
    """An environment with everything that an emitted project may need, made once for a run.

    Args:
        folder: Where it is. All processes of the run use the same one.
        python: The interpreter.
        group: The dependency group of the emitted projects to install.
    """

    TOOLS = ("hatchling", "editables", "zensical", "pytest-randomly")

    def __init__(
        self, folder: Path, python: str | Path = sys.executable, group: str = "dev"
    ) -> None:
        with making(folder) as missing:
            super().__init__(folder, python)
            if missing:
                self._install_all(group)

    def _install_all(self, group: str) -> None:
        stores = [*questions()["state_stores"]["choices"].values()]
        for project_type in questions()["project_type"]["choices"].values():
            if project_type != "modules_only":
                project = self.folder.with_name(f"{self.folder.name}-projects") / project_type
                answers: dict[str, Any] = {"include_typed_state": True, "state_stores": stores}
                answers["include_live_state"] = True
                render(project, project_type=project_type, **answers)
                self.install("-r", "pyproject.toml", "--group", group, cwd=project)
        self.install(*self.TOOLS, cwd=self.folder)

    def install_project(self, project: Path) -> Environment:
        """Install a project from its folder, in an environment of its own on top of this one."""
        folder = project.with_name(f"{project.name}-environment")
        layer = Environment(folder, self.tool("python"))
        (packages,) = self.folder.glob("lib/*/site-packages")
        (own,) = folder.glob("lib/*/site-packages")
        # And with the files named *.pth in there, which make up editable installs.
        (own / "shared.pth").write_text(f"import site; site.addsitedir({str(packages)!r})\n")
        layer.install("--no-deps", "--no-build-isolation", "--editable", project, cwd=project)
        return layer

    def install_once(self, project: Path) -> Environment:
        """Install a project that is rendered once for a run."""
        folder = project.with_name(f"{project.name}-installed")
        with making(folder) as missing:
            if missing:
                self.install_project(project)
        return Environment(project.with_name(f"{project.name}-environment"))


def interpreters() -> list[Path]:
    """Return an interpreter for each Python version from 3.11 up on the machine."""
    names = ("python3.11", "python3.12", "python3.13", "python3.14")
    candidates = [Path(found) for name in names if (found := shutil.which(name))]
    candidates += sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    question = "import sys; print(*sys.version_info[:2])"
    by_version: dict[tuple[int, ...], Path] = {}
    for candidate in [Path(sys.executable), *candidates]:
        answer = run(candidate, "-c", question, cwd=REPOSITORY, check=False)
        if answer.returncode == 0:  # a version manager's stub may be there without an interpreter
            version = tuple(map(int, answer.stdout.split()))
            by_version.setdefault(version, candidate)
    return [path for version, path in sorted(by_version.items()) if version >= (3, 11)]
