"""The demo shows its promises, and notices a broken one."""

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import REPOSITORY, UV, run

from scripts import pictures
from scripts.demo import StoppedError

STATE = "weather-station-state/registry.json"
MODULE = "weather-station/src/weather_station/utils/persistence.py"


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    folder: Path
    status: int
    said: str
    complained: str
    group: int


def start(folder: Path, *arguments: str) -> Ended:
    """Run Python as `make demo` does, with a home of its own and the package cache of this one."""
    home = folder.with_name(f"{folder.name}-home")
    home.mkdir(exist_ok=True)
    cache = run(UV, "cache", "dir", cwd=REPOSITORY).stdout.strip()
    environment = {"HOME": str(home), "PYTHONPATH": "tests", "UV_CACHE_DIR": cache}
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("XDG_")}, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        said, complained = process.communicate(timeout=300)
    assert list(home.iterdir()) == [], "something was left in the user's home"
    return Ended(folder, process.returncode, said, complained, process.pid)


def play(folder: Path) -> Ended:
    return start(folder, "-m", "scripts.demo", "--folder", str(folder))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return play(tmp_path_factory.mktemp("demo"))


def test_the_demo_shows_that_every_promise_is_kept(played: Ended) -> None:
    assert (played.status, played.complained) == (0, "")
    for promise in (
        "another process knows all three servers",
        "a typing error is corrected, by the one name that was meant",
        "a bad definition is refused, with the place where it is bad",
        "what could be imported is there, what could not be is named, with the reason",
        "it was killed with the new state written, and not yet in place",
        "registry.json is valid, and byte for byte as before",
        "the next run works, with what was known before the kill",
        "it has swept away what the kill had left",
        "every example of its guides do what they say",
        "everything acknowledged is there, the edit after the last save too",
        "undo goes back to the beginning, past the kill and the save",
    ):
        assert re.search(rf"^  held  .*{promise}$", played.said, re.MULTILINE), played.said
    assert re.search(r"^  \d+ passed$", played.said, re.MULTILINE)
    assert f"cd {played.folder}/weather-station\n" in played.said


def test_output_to_a_file_is_plain_lines(played: Ended) -> None:
    assert played.said.isascii()
    assert "\x1b" not in played.said
    assert not re.search(r"[ \r]$", played.said, re.MULTILINE)


def test_the_demo_leaves_a_complete_state_and_no_other_file(played: Ended) -> None:
    state = played.folder / STATE
    servers = json.loads(state.read_text())["servers"]
    assert sorted(servers) == ["docs", "gitea", "github", "gitlab", "lint"]
    assert servers["gitea"] == {"url": "https://gitea.example.org"}
    names = {path.name for path in state.parent.iterdir()}
    assert names == {"registry.json", ".registry.json.lock"}


def test_the_demo_leaves_no_process(played: Ended) -> None:
    with pytest.raises(ProcessLookupError):
        os.killpg(played.group, 0)


# The emitted tests have passed in the first run. The last two acts keep nothing but their project,
# which is removed as that of the first one is.
AGAIN = """
import sys
from scripts import demo

demo.Demo.test = lambda act: None
demo.ServerAct.play = demo.ChatAct.play = demo.Act._remove_the_last_one
sys.exit(demo.main())
"""


def test_the_demo_can_be_run_again(played: Ended) -> None:
    again = start(played.folder, "-c", AGAIN, "--folder", str(played.folder))
    assert (again.status, again.complained) == (0, "")
    assert {path.name for path in played.folder.iterdir() if path.is_dir()} == {
        "weather-station",
        "weather-station-state",
    }


@pytest.mark.parametrize(
    "made",
    ["weather-station/notes.txt", "weather-station/.git/HEAD", "weather-station"],
)
def test_a_project_that_the_demo_did_not_make_is_left_alone(made: str, tmp_path: Path) -> None:
    precious = tmp_path / made
    precious.parent.mkdir(exist_ok=True, parents=True)
    if ".git" in made:
        (tmp_path / "weather-station/.copier-answers.yml").write_text("_src_path: holdfast\n")
    precious.write_text("precious")
    ended = play(tmp_path)
    assert ended.status == 1
    assert "--folder" in ended.complained
    assert precious.read_text() == "precious"


SABOTAGE = {
    "in place": (
        "    fd = os.open(temporary,",
        "    Path(target).write_bytes(data)\n    fd = os.open(temporary,",
        "byte for byte as before",
    ),
    "without waiting for the disk": (
        "    os.fsync(descriptor)",
        "    pass",
        "killed with the new state written",
    ),
    "without sweeping": (
        "        sweep_temporaries(self._state_file.resolve())\n",
        "",
        "swept away",
    ),
}
KILL = (
    "import pathlib, sys, rich.console, scripts.demo\n"
    "demo = scripts.demo.Demo(pathlib.Path(sys.argv[1]), rich.console.Console())\n"
    "demo.use()\n"
    "demo.kill_in_the_middle_of_a_save()\n"
)


@pytest.fixture(params=SABOTAGE)
def broken_promise(request: pytest.FixtureRequest, played: Ended) -> Iterator[str]:
    right, wrong, promise = SABOTAGE[request.param]
    module = played.folder / MODULE
    source = module.read_text()
    assert source.count(right) == 1
    module.write_text(source.replace(right, wrong))
    yield promise
    module.write_text(source)


def test_the_demo_notices_a_module_that_saves_badly(played: Ended, broken_promise: str) -> None:
    ended = start(played.folder, "-c", KILL, str(played.folder))
    assert ended.status == 1
    assert re.search(rf"This did not hold: .*{broken_promise}", ended.complained), ended.complained


def test_the_picture_of_the_demo_is_up_to_date_and_self_contained(played: Ended) -> None:
    source = (REPOSITORY / "docs/images/demo.svg").read_text()
    shown = html.unescape(source).replace("\N{NO-BREAK SPACE}", " ")
    for line in re.findall(r"^(?:\d\. .+|  held  .+)$", played.said, re.MULTILINE):
        assert line.removeprefix("  held") in shown, f"run make pictures: it does not show {line!r}"
    addresses = set(re.findall(r"https?://(?!\w+\.example\.)[^\s\"<]+", shown))
    local = {"http://127.0.0.1:8000", "http://127.0.0.1:8001"}
    assert addresses == {"http://www.w3.org/2000/svg", *local}


def test_a_picture_of_other_files_than_those_of_now_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {name: pictures.hash_inputs(name) for name in pictures.SOURCES}
    monkeypatch.setattr(pictures, "INPUTS", tmp_path / "inputs.json")
    pictures.INPUTS.write_text(json.dumps(inputs))
    pictures.check_inputs()
    pictures.INPUTS.write_text(json.dumps({**inputs, "guide.png": "another"}))
    with pytest.raises(StoppedError, match=r"show: guide\.png\. Run `make pictures`"):
        pictures.check_inputs()
