"""`copier copy` and `copier update` of the default project, against a template of ten files.

Whole processes are timed, since users wait for those. The ten plain files are the floor:
Copier's own time to start, to read a template and to write a few files. Templates are local,
so that no download counts; both updates need a git repository, so both have one.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from support import commit_all, copy_template, files_of, git, run

from benchmarks.report import Bars, Result, Verdict
from benchmarks.timing import Rival, Timings, take_turns

LIMIT = 1.35

_ANSWERS = "{{ _copier_conf.answers_file }}"
_CHANGE = "\n# A line of the second version.\n"


def measure(folder: Path, quick: bool) -> Result:
    copier = _isolated_copier(folder)
    project, copies = _copies(folder, copier, rounds=3 if quick else 15)
    updates = _updates(folder, copier, rounds=2 if quick else 11)
    timings = {"copier copy": copies, "copier update": updates}
    ratios = {action: times.ratio("ours", "floor") for action, times in timings.items()}
    return Result(
        name="copy",
        title="Copying and updating a project",
        introduction=(
            f"Seconds from start to end, for the default project ({len(files_of(project))} files) "
            "and for a template of ten plain files."
        ),
        columns=("ten plain files", "default project", "ratio"),
        rows={
            f"`{action}`": (
                f"{times.median('floor'):.2f}",
                f"{times.median('ours'):.2f}",
                f"{ratios[action]:.2f}",
            )
            for action, times in timings.items()
        },
        rounds={action: times.rounds for action, times in timings.items()},
        verdicts=[Verdict(action, ratio, LIMIT) for action, ratio in ratios.items()],
        plot=Bars(
            title="Copying and updating the default project",
            unit="times as long as with a template of ten plain files",
            values=ratios,
            limit=LIMIT,
        ),
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


def _copies(folder: Path, copier: Callable[..., None], rounds: int) -> tuple[Path, Timings]:
    templates = {
        "floor": _ten_plain_files(folder / "copy-floor-template"),
        "ours": copy_template(folder / "copy-ours-template"),
    }

    def rival(name: str) -> Rival:
        destination = folder / f"copy-{name}"
        return Rival(
            run=lambda: copier("copy", "--defaults", "--quiet", templates[name], destination),
            prepare=lambda: shutil.rmtree(destination, ignore_errors=True),
        )

    timings = take_turns({name: rival(name) for name in templates}, rounds)
    assert len(files_of(folder / "copy-floor")) == 10
    return folder / "copy-ours", timings


def _updates(folder: Path, copier: Callable[..., None], rounds: int) -> Timings:
    floor = _ten_plain_files(folder / "update-floor-template")
    (floor / "template" / f"{_ANSWERS}.jinja").write_text("{{ _copier_answers|to_nice_yaml }}")
    ours = copy_template(folder / "update-ours-template")
    changed = {
        "floor": "template/file-0.py",
        "ours": "template/src/{{package_name}}/utils/persistence.py.jinja",
    }

    def rival(name: str, template: Path) -> Rival:
        project = folder / f"update-{name}"
        commit_all(template, "First version")
        git(template, "tag", "v1")
        copier("copy", "--defaults", "--quiet", template, project)
        commit_all(project, "Start")
        with (template / changed[name]).open("a") as file:
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

    timings = take_turns({"floor": rival("floor", floor), "ours": rival("ours", ours)}, rounds)
    for name in changed:
        arrived = git(folder / f"update-{name}", "diff")
        assert _CHANGE.strip() in arrived, f"the update of {name} brought no change"
    return timings


def _ten_plain_files(template: Path) -> Path:
    (template / "template").mkdir(parents=True)
    (template / "copier.yml").write_text("_subdirectory: template\n")
    for number in range(10):
        lines = (f"value_{line} = {number * line}\n" for line in range(50))
        (template / "template" / f"file-{number}.py").write_text("".join(lines))
    return template
