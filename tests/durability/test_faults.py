"""A fault is reported and costs nothing: the old state stays, and saving works again."""

import errno
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from crashlab.children import Children
from crashlab.components import lacking
from crashlab.disks import Mount
from crashlab.experiments import Experiment, Experiments
from crashlab.tracing import injecting

from durability.protocols import PROTOCOLS

pytestmark = pytest.mark.needs("Linux")

OVER = "a save over an existing file"


def violations(name: str, error: str, experiment: Experiment) -> Iterator[str]:
    """Fail each call of a protocol and yield each answer that contradicts the file."""
    protocol = PROTOCOLS[name]
    for failure in experiment.fail_each_call(error):
        if failure.answer[-1] == "done" or "NotDurableError" in failure.answer:
            fits = failure.found == protocol.new
        elif "clear" in name:
            fits = protocol.allows(failure.found, returned=False)
        else:
            known = str(getattr(errno, error))
            fits = failure.answer[-1] == known and failure.found in protocol.old
        if failure.litter or not fits:
            yield str(failure)


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    ("name", "error"), [*((name, "EIO") for name in PROTOCOLS), (OVER, "EACCES"), (OVER, "ENOSPC")]
)
def test_whichever_call_fails_the_result_agrees_with_the_disk(
    name: str, error: str, experiment: Experiments
) -> None:
    wrong = [*violations(name, error, experiment(name))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.needs("strace")
def test_a_planted_mistake_is_caught(experiment: Experiments) -> None:
    assert [*violations(OVER, "EIO", experiment(OVER, "written_in_place"))]


def saved(persistence: Any, path: Path) -> Any:
    """Return an object whose state is in the file."""
    state = persistence.StatefulObject(path)
    state.count = 1
    state._save_state()
    return state


@contextmanager
def refused(error: int, path: Path) -> Iterator[None]:
    """Expect an OSError, with nothing changed and nothing left."""
    names, before = {*path.parent.iterdir()}, path.read_bytes()
    with pytest.raises(OSError, match=re.escape(os.strerror(error))) as raised:
        yield
    assert raised.value.errno == error
    assert {*path.parent.iterdir()} == names
    assert path.read_bytes() == before


def answers(
    children: Children, program: str, path: Path, fault: str, log: Path, *arguments: object
) -> list[str]:
    """Return the output of a program with a failing call, which the fault names first."""
    call, when, error = fault.split(":")
    tracer = injecting(call, int(when), f"error={error}", log)
    return children.run(program, path, *arguments, tracer=tracer).split()


@pytest.mark.needs("strace")
def test_a_save_into_a_folder_that_cannot_be_flushed_is_visible_and_not_durable(
    children: Children, persistence: Any, tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    saved(persistence, path)
    said = answers(children, "save", path, "fsync:2:EIO", tmp_path / "strace", 2)
    assert said == ["NotDurableError", str(errno.EIO)]
    assert persistence.StatefulObject(path).count == 2


@pytest.mark.needs("strace")
@pytest.mark.parametrize("error", ["EINVAL", "EOPNOTSUPP", "ENOSYS", "EBADF"])
def test_a_folder_that_no_system_call_can_flush_is_used(
    error: str, children: Children, persistence: Any, tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    saved(persistence, path)
    said = answers(children, "save", path, f"fsync:2:{error}", tmp_path / "strace", 2)
    assert said == ["done"]
    assert persistence.StatefulObject(path).count == 2


@pytest.mark.parametrize("action", ["save", "transact"])
def test_a_folder_that_the_user_may_not_read_is_used(
    action: str, children: Children, public_folder: Path
) -> None:
    public_folder.chmod(0o333)
    assert children.run("as_user", action, public_folder / "state.json") == "done"
    assert (public_folder / "state.json").exists()


@pytest.mark.needs("strace")
def test_after_a_failed_flush_the_next_save_writes_another_file(
    children: Children, persistence: Any, tmp_path: Path
) -> None:
    path, log = tmp_path / "state.json", tmp_path / "strace"
    saved(persistence, path)
    said = answers(children, "save_twice", path, "fsync:1:EIO", log, 2)
    assert said == ["OSError", str(errno.EIO), "done"]
    failed, *flushed = re.findall(r"fsync\(\d+<(.*)>\)", log.read_text())
    assert failed.endswith(".tmp")
    assert len(flushed) == 2
    assert failed not in flushed


@pytest.mark.needs("root", "mount")
@pytest.mark.parametrize(("number", "size"), [(1, 100_000), (10, 0)], ids=["space", "files"])
def test_a_full_disk_keeps_the_old_state_until_there_is_room(
    number: int, size: int, persistence: Any, mount: Mount
) -> None:
    folder = mount("-t", "tmpfs", "-o", "size=64k,nr_inodes=8", "tmpfs")
    state = saved(persistence, folder / "state.json")
    state.text = "x" * 10_000
    for filler in range(number):
        with suppress(OSError):
            (folder / f"filler{filler}").write_bytes(bytes(size))
    with refused(errno.ENOSPC, folder / "state.json"):
        state._save_state()
    for file in folder.glob("filler*"):
        file.unlink()
    state._save_state()
    assert persistence.StatefulObject(folder / "state.json").text == state.text


@pytest.mark.needs("root", "mount", "strace")
def test_a_short_write_is_completed(
    children: Children, persistence: Any, mount: Mount, tmp_path: Path
) -> None:
    folder = mount("-t", "tmpfs", "-o", "size=512k", "tmpfs")
    path, filler = folder / "state.json", folder / "filler"
    filler.write_bytes(bytes(400_000))
    log = tmp_path / "strace"
    writer = children.start(
        "save", path, 2, 300_000, tracer=injecting("write", 1, "delay_exit=2s", log)
    )
    while os.statvfs(folder).f_bfree:
        assert writer.poll() is None
        time.sleep(0.01)
    filler.unlink()  # while the first write, cut short, is held back
    assert writer.communicate()[0] == "done\n"
    assert len(re.findall(r"write\(\d+<.*\.tmp>", log.read_text())) == 2
    assert len(persistence.StatefulObject(path).filler) == 300_000


@pytest.mark.parametrize(
    ("limit", "lowest", "error"),
    [("RLIMIT_FSIZE", 10_000, errno.EFBIG), ("RLIMIT_NOFILE", 3, errno.EMFILE)],
)
def test_a_limit_of_the_process_is_an_error_until_it_is_lifted(
    limit: str, lowest: int, error: int, children: Children, persistence: Any, tmp_path: Path
) -> None:
    saved(persistence, tmp_path / "state.json")
    said = children.run("save_beyond_limit", tmp_path / "state.json", limit, lowest)
    assert said.splitlines() == [f"OSError {error} 1", "state.json", "done 2"]


@pytest.mark.needs("root", "mount")
def test_a_read_only_disk_is_read_and_not_written(
    persistence: Any, mount: Mount, tmp_path: Path
) -> None:
    saved(persistence, tmp_path / "state.json")
    folder = mount("--bind", tmp_path)
    mount("-o", "remount,bind,ro", at=folder)
    state = persistence.StatefulObject(folder / "state.json")
    assert state.count == 1
    with refused(errno.EROFS, folder / "state.json"):
        state._save_state()
    with refused(errno.EROFS, folder / "state.json"):
        state._clear_state()


@pytest.mark.needs("root", "chattr")
@pytest.mark.parametrize("immutable", ["state.json", "."])
def test_an_immutable_file_stays_unchanged(
    immutable: str, persistence: Any, tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    state = saved(persistence, path)
    if subprocess.run(["chattr", "+i", tmp_path / immutable], check=False).returncode:
        lacking(f"a file system that knows chattr +i at {tmp_path}")
    try:
        with refused(errno.EPERM, path):
            state._save_state()
    finally:
        subprocess.run(["chattr", "-i", tmp_path / immutable], check=True)
    state._save_state()


@pytest.mark.parametrize(
    ("action", "modes"),
    [
        ("start", {"state.json": 0o000}),
        ("start", {".": 0o000}),
        ("save", {".": 0o555}),
        ("transact", {".": 0o555}),
        ("transact", {".state.json.lock": 0o000}),
    ],
)
def test_a_missing_permission_is_an_error_and_not_a_fresh_start(
    action: str, modes: dict[str, int], children: Children, persistence: Any, public_folder: Path
) -> None:
    path = public_folder / "state.json"
    with saved(persistence, path)._transaction():
        pass
    path.chmod(0o666)
    before = path.read_bytes()
    for name, mode in modes.items():
        (public_folder / name).chmod(mode)
    assert children.run("as_user", action, path) == f"PermissionError {errno.EACCES}"
    public_folder.chmod(0o777)
    path.chmod(0o666)
    assert path.read_bytes() == before
    assert {file.name for file in public_folder.iterdir()} == {"state.json", ".state.json.lock"}


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_an_object_in_the_place_of_the_file_is_not_replaced(
    kind: str, persistence: Any, tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    state = saved(persistence, path)
    path.unlink()
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(OSError, match=r"regular file|Is a directory"):
        state._save_state()
    with pytest.raises(OSError, match="regular file"):
        persistence.StatefulObject(path)
    assert not path.is_file()
    assert [*tmp_path.iterdir()] == [path]
