"""`copier copy` and `copier update` of the default project, beside four templates of others.

Whole processes are timed, since users wait for those. The other templates are stand-ins, made
from recorded facts (see `peers/`). Templates are local folders, so that no download counts;
updates need a git repository, so there all have one.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from support import commit_all, copy_template, files_of, git, run

from benchmarks import peers
from benchmarks.report import Bars, Result, Verdict
from benchmarks.timing import Rival, Timings, take_turns

LIMIT = 1.0

_OURS = "default project"
_CHANGED = "template/src/{{package_name}}/utils/persistence.py.jinja"
_CHANGE = "\n# A line of the second version.\n"

# A template, a file in it that an update changes, and the options of a first copy.
_Template = tuple[Path, Path, tuple[str | Path, ...]]


def measure(folder: Path, quick: bool) -> Result:
    copier = _isolated_copier(folder)
    templates = _templates(folder)
    copies = _copies(folder, templates, copier, rounds=3 if quick else 15)
    updates = _updates(folder, templates, copier, rounds=2 if quick else 9)
    files = {name: len(files_of(folder / f"copy {name}")) for name in templates}
    ratios = {
        "copier copy": _ratio_to_slowest(copies, dict.fromkeys(files, 1)),
        "copier copy, per file": _ratio_to_slowest(copies, files),
        "copier update": _ratio_to_slowest(updates, dict.fromkeys(files, 1)),
    }
    return Result(
        name="copy",
        title="Copying and updating a project",
        introduction=(
            "Seconds from start to end, for the default project and for four templates of others: "
            "stand-ins with as many questions, paths and files of the same sizes. The targets "
            "compare with the slowest of the four."
        ),
        columns=("files", "`copier copy`", "milliseconds per file", "`copier update`"),
        rows={
            name: (
                f"{count}",
                f"{copies.median(name):.2f}",
                f"{1000 * copies.median(name) / count:.1f}",
                f"{updates.median(name):.2f}",
            )
            for name, count in files.items()
        },
        rounds={"copier copy": copies.rounds, "copier update": updates.rounds},
        notes=[
            (
                "The stand-ins took 0.89 to 1.03 of the CPU time of the templates themselves when "
                "they were recorded: extensions, which only some have, are left out."
            ),
        ],
        verdicts=[Verdict(action, ratio, LIMIT) for action, ratio in ratios.items()],
        plot=Bars(
            title="Copying and updating the default project",
            unit="times as long as with the slowest of four other templates",
            values=ratios,
            limit=LIMIT,
        ),
    )


def _ratio_to_slowest(times: Timings, shares: Mapping[str, int]) -> float:
    """Return the ratio of our time to that of the slowest other template, each for one share."""
    return min(
        times.ratio(_OURS, name) * shares[name] / shares[_OURS]
        for name in times.seconds
        if name != _OURS
    )


def _isolated_copier(folder: Path) -> Callable[..., None]:
    """Return a function that runs Copier as a process, without the settings of its user."""
    settings = folder / "settings.yml"
    settings.write_text("{}\n")
    environment = {
        "COPIER_SETTINGS_PATH": str(settings),
        "GIT_CONFIG_NOSYSTEM": "1",
        # Otherwise each run might compile Copier again.
        "PYTHONDONTWRITEBYTECODE": "",
    }

    def copier(*arguments: str | Path) -> None:
        command = (sys.executable, "-m", "copier", *arguments)
        run(*command, cwd=folder, env=environment)

    return copier


def _templates(folder: Path) -> dict[str, _Template]:
    ours = copy_template(folder / "ours")
    templates: dict[str, _Template] = {_OURS: (ours, ours / _CHANGED, ())}
    for name in peers.names():
        peer = peers.make(name, folder)
        options = ("--data-file", peer.answers)
        templates[name] = (peer.template, _file_without_jinja(peer.template), options)
    return templates


def _file_without_jinja(template: Path) -> Path:
    return min(
        path
        for path in template.glob("template/**/*")
        if path.is_file() and path.suffix != ".jinja" and "{" not in f"{path.relative_to(template)}"
    )


def _copies(
    folder: Path, templates: dict[str, _Template], copier: Callable[..., None], rounds: int
) -> Timings:
    def rival(name: str) -> Rival:
        template, _, options = templates[name]
        destination = folder / f"copy {name}"
        return Rival(
            run=lambda: copier("copy", "--defaults", "--quiet", *options, template, destination),
            prepare=lambda: shutil.rmtree(destination, ignore_errors=True),
        )

    return take_turns({name: rival(name) for name in templates}, rounds)


def _updates(
    folder: Path, templates: dict[str, _Template], copier: Callable[..., None], rounds: int
) -> Timings:
    def rival(name: str) -> Rival:
        template, changed, options = templates[name]
        project = folder / f"update {name}"
        commit_all(template, "First version")
        git(template, "tag", "v1")
        copier("copy", "--defaults", "--quiet", *options, template, project)
        commit_all(project, "Start")
        with changed.open("a") as file:
            file.write(_CHANGE)
        commit_all(template, "Second version")
        git(template, "tag", "v2")

        def back_to_the_first_version() -> None:
            git(project, "reset", "--quiet", "--hard")
            git(project, "clean", "--quiet", "-d", "--force")

        return Rival(
            run=lambda: copier("update", "--defaults", "--quiet", project),
            prepare=back_to_the_first_version,
        )

    timings = take_turns({name: rival(name) for name in templates}, rounds)
    for name in templates:
        arrived = git(folder / f"update {name}", "diff")
        assert _CHANGE.strip() in arrived, f"the update of {name} brought no change"
    return timings
