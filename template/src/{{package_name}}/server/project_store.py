"""The stored form of projects: the current version of each, the ones before it, and a draft."""

import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..state import BackingStore, ConflictError
from ..state.shared import Refused
from ..utils.persistence import NotDurableError
from .document import GeneralRefusal
from .project_commands import Saved, StoredProject, StoredVersion

logger = logging.getLogger(__name__)


class Content(NamedTuple):
    """A project as it is stored.

    Attributes:
        view: Its fields, as JSON.
        classes: The `__version__` of the classes in the view, by their names.
    """

    view: dict[str, Any]
    classes: dict[str, int]


class Found(NamedTuple):
    """A project that was read.

    Attributes:
        name: Its name.
        version: The version that the next save replaces.
        content: The project itself.
        newer_draft: The time of a draft that is newer than the content; None without one.
        is_draft: Whether the content is that of the draft.
    """

    name: str
    version: int
    content: Content
    newer_draft: str | None = None
    is_draft: bool = False


class ProjectStore:
    """Projects under the keys `project:<id>`, `draft:<id>` and `version:<id>:<number>:<token>`.

    The first two are small: each names the key of a version, which is stored before and never
    replaced. So a save that is killed leaves the old version or the new one, and a list reads no
    whole project. A `project:<id>` that is complete itself, from another program, is read too.
    The methods may be called from any thread.

    Args:
        store: The store. Other processes may use it too.
        kept: The number of versions to keep of each project, the current one included.
    """

    def __init__(self, store: BackingStore, kept: int = 20) -> None:
        self._store, self._kept = store, kept

    def read(self, project: str, draft: str | None) -> Found:
        """Return a project, or its draft if `draft` is "newer" and the draft is.

        Raises:
            Refused: `unknown_project`.
        """
        current, newer = self._load(f"project:{project}"), self._load(f"draft:{project}")
        base = current["version"] if current else 0
        if newer and newer["version"] < base:
            newer = None
        if newer and (draft == "newer" or not (current or draft)):
            return self._found(newer, base, is_draft=True)
        if current is None:
            raise _unknown(project)
        newer_draft = newer["saved_at"] if newer and draft is None else None
        return self._found(current, base)._replace(newer_draft=newer_draft)

    def read_version(self, project: str, version: int) -> Found:
        """Return a version of a project, to be saved as the one after the current version.

        Raises:
            Refused: `unknown_project`, or `unknown_version`.
        """
        current = self._current(project)
        if version == current["version"]:
            return self._found(current, version)
        for number, _, key in current["older"]:
            if number == version:
                return self._found({"content": key}, current["version"])
        known = [each.version for each in _versions_of(current)]
        message = f"There is no version {version} of project {project!r}: kept are {known}"
        raise Refused("unknown_version", message, version=version, known=known)

    def save(
        self,
        project: str,
        name: str,
        expected: int,
        content: Content,
        epoch: str | None = None,
    ) -> Saved:
        """Store a project as its next version, and delete its draft.

        Args:
            project: Its id.
            name: Its name.
            expected: The version that is in the store.
            content: The project.
            epoch: The epoch of the log, if the expected version is the last one that the log
                knows. A later version from the same epoch is not a conflict: the server ended
                after it was stored, and before the log knew. It stays as it is.

        Raises:
            Refused: `conflict`, if the stored version is not the expected one.
        """
        record = self._store.load(f"project:{project}")
        found = record.value["version"] if record else 0
        is_unlogged = (
            record is not None
            and epoch is not None
            and record.value.get("epoch") == epoch
            and found > expected
        )
        if found != expected and not is_unlogged:
            raise _conflict(project, expected, found)
        older: list[Any] = []
        if record and self._kept > 1:
            former, _ = self._store_content(project, found, record.value)
            older = [[found, former["saved_at"], former["content"]], *former["older"]]
            older = older[: self._kept - 1]
        version, saved_at = found + 1, _now()
        value = _value(name, version, saved_at, content)
        head, is_durable = self._store_content(project, version, value)
        try:
            is_durable &= _is_durable(
                self._store.save,
                f"project:{project}",
                {**head, "older": older, "epoch": epoch},
                expected_version=record.version if record else 0,
            )
        except ConflictError as error:
            _is_durable(self._store.delete, head["content"])
            raise _conflict(project, expected, self._current(project)["version"]) from error
        self._forget(project, version, {head["content"], *(key for *_, key in older)})
        return Saved(project, name, version, saved_at, is_durable)

    def save_draft(self, project: str, name: str, version: int, content: Content) -> str:
        """Store a draft that stands on a version, and return the time."""
        former, value = self._load(f"draft:{project}"), _value(name, version, _now(), content)
        # As of the next version: other servers that save this one leave it alone.
        head, _ = self._store_content(project, version + 1, value)
        _is_durable(self._store.save, f"draft:{project}", head)
        if former and "content" in former:
            _is_durable(self._store.delete, former["content"])
        return str(value["saved_at"])

    def list_all(self) -> list[StoredProject]:
        """Return all projects, also those of which there is only a draft."""
        keys = [key for prefix in ("project:", "draft:") for key in self._store.keys(prefix)]
        projects = sorted({key.partition(":")[2] for key in keys})
        return [each for project in projects if (each := self._describe(project))]

    def versions(self, project: str) -> list[StoredVersion]:
        """Return the versions of a project, the newest first.

        Raises:
            Refused: `unknown_project`.
        """
        return _versions_of(self._current(project))

    def _load(self, key: str) -> dict[str, Any] | None:
        record = self._store.load(key)
        return record.value if record else None

    def _store_content(
        self, project: str, number: int, value: dict[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        """Store a value under a key of its own, unless it only names such a key.

        Returns:
            The value with the key instead of the content, and whether it survives a power cut.
        """
        if "content" in value:
            return value, True
        key = f"version:{project}:{number}:{secrets.token_hex(8)}"
        head = {name: each for name, each in value.items() if name not in Content._fields}
        return {**head, "content": key}, _is_durable(self._store.save, key, value)

    def _found(self, head: dict[str, Any], version: int, *, is_draft: bool = False) -> Found:
        value = self._load(head["content"]) if "content" in head else head
        if value is None:
            raise LookupError(f"{head['content']} was deleted: open it again, or another version")
        content = Content(value["view"], value["classes"])
        return Found(value["name"], version, content, is_draft=is_draft)

    def _current(self, project: str) -> dict[str, Any]:
        if (current := self._load(f"project:{project}")) is None:
            raise _unknown(project)
        return current

    def _describe(self, project: str) -> StoredProject | None:
        current, draft = self._load(f"project:{project}"), self._load(f"draft:{project}")
        if not (known := current or draft):
            return None  # deleted meanwhile
        return StoredProject(
            project,
            known["name"],
            current["version"] if current else 0,
            current["saved_at"] if current else None,
            draft["saved_at"] if draft else None,
        )

    def _forget(self, project: str, version: int, kept: set[str]) -> None:
        """Delete the draft, and what is not kept of a version and those before it."""
        _is_durable(self._store.delete, f"draft:{project}")
        prefix = f"version:{project}:"
        for key in {*self._store.keys(prefix)} - kept:
            number, _, token = key.removeprefix(prefix).partition(":")
            # A later version belongs to another server, which saves now. A token with a colon
            # belongs to another project, whose id begins with this one and a colon.
            if ":" not in token and number.isdecimal() and int(number) <= version:
                _is_durable(self._store.delete, key)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _value(name: str, version: int, saved_at: str, content: Content) -> dict[str, Any]:
    return {"name": name, "version": version, "saved_at": saved_at, **content._asdict()}


def _versions_of(value: dict[str, Any]) -> list[StoredVersion]:
    current = StoredVersion(value["version"], value["saved_at"])
    return [current, *(StoredVersion(number, at) for number, at, _ in value["older"])]


def _is_durable(change: Callable[..., object], *arguments: Any, **options: Any) -> bool:
    """Make a change, and return whether it survives a power cut."""
    try:
        change(*arguments, **options)
    except NotDurableError:
        logger.warning("A power cut may undo a change in the store", exc_info=True)
        return False
    return True


def _unknown(project: str) -> Refused:
    message = f"There is no project {project!r} in the store: list them with project.list"
    return Refused("unknown_project", message, project=project)


def _conflict(project: str, expected: int, found: int) -> GeneralRefusal:
    message = (
        f"The stored version of project {project!r} is {found}, expected {expected}: another "
        "server has saved it. Open it again, save under another name with project.saveAs, or "
        f"replace it with expected_version={found}"
    )
    return GeneralRefusal("conflict", message, project=project, expected=expected, found=found)
