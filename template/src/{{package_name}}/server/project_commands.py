"""The project: opened, saved in versions, and closed."""

# `Projects` answers the commands of clients, because it reads and writes the store. The outcome
# enters the log as one of the internal commands below, which are applied without a store.

from dataclasses import dataclass
from typing import Any, NoReturn

from ..state import State
from ..state._json import decode
from .document import GeneralRefusal
from .domain import Context, Domain, Refused


class OpenProject(State):
    """The project that is open, as all clients see it; no `project` if none is."""

    project: str | None = None
    name: str = ""
    # The stored version that the next save replaces; 0 before the first save.
    version: int = 0
    # The number of edits that this version has, None if it never had the document as it is.
    saved_edits: int | None = None


@dataclass(frozen=True)
class New:
    """Make an empty project, and open it.

    Attributes:
        name: Its name. Its first save stores it.
        discard: Lose the unsaved changes of the project that is open.
    """

    name: str
    discard: bool = False


@dataclass(frozen=True)
class Open:
    """Open a stored project.

    Attributes:
        project: Its id.
        draft: `newer` opens its draft if that is newer, `ignore` does not mention it.
        discard: Lose the unsaved changes of the project that is open.
    """

    project: str
    draft: str | None = None
    discard: bool = False


@dataclass(frozen=True)
class OpenVersion:
    """Put an older version of the open project in its place.

    Attributes:
        version: The version; in the store it stays as it is.
        discard: Lose the unsaved changes.
    """

    version: int
    discard: bool = False


@dataclass(frozen=True)
class Close:
    """Close the open project.

    Attributes:
        discard: Lose its unsaved changes.
    """

    discard: bool = False


@dataclass(frozen=True)
class Save:
    """Store the open project as its next version.

    Attributes:
        expected_version: The version that is in the store; by default the one that was opened.
    """

    expected_version: int | None = None


@dataclass(frozen=True)
class SaveAs:
    """Store the open project as a new one, and go on with that.

    Attributes:
        name: The name of the new one.
    """

    name: str


@dataclass(frozen=True)
class SaveDraft:
    """Store the open project beside its last version, until the next save."""


@dataclass(frozen=True)
class List:
    """List the stored projects."""


@dataclass(frozen=True)
class Versions:
    """List the stored versions of a project, the newest first.

    Attributes:
        project: Its id.
    """

    project: str


@dataclass(frozen=True)
class Opened:
    """A project is open.

    Attributes:
        project: Its id.
        name: Its name.
        version: The stored version that its next save replaces; 0 before the first one.
        draft: The time of a draft that is newer than the opened version.
    """

    project: str
    name: str
    version: int
    draft: str | None = None


@dataclass(frozen=True)
class Saved:
    """The project was stored.

    Attributes:
        project: Its id.
        name: Its name.
        version: Its new version.
        saved_at: The time.
        durable: Whether the save survives a power cut.
    """

    project: str
    name: str
    version: int
    saved_at: str
    durable: bool = True


@dataclass(frozen=True)
class DraftSaved:
    """A draft of the project was stored.

    Attributes:
        project: The id of the project.
        saved_at: The time.
    """

    project: str
    saved_at: str


@dataclass(frozen=True)
class Closed:
    """No project is open any longer.

    Attributes:
        project: The id of the one that was.
    """

    project: str


@dataclass(frozen=True)
class StoredProject:
    """A project in the store.

    Attributes:
        project: Its id.
        name: Its name.
        version: Its current version; 0 if there is only a draft.
        saved_at: The time of that version.
        draft: The time of its draft.
    """

    project: str
    name: str
    version: int
    saved_at: str | None
    draft: str | None


@dataclass(frozen=True)
class Listed:
    """The stored projects.

    Attributes:
        projects: The projects, by their ids.
    """

    projects: list[StoredProject]


@dataclass(frozen=True)
class StoredVersion:
    """A version in the store.

    Attributes:
        version: Its number.
        saved_at: Its time.
    """

    version: int
    saved_at: str


@dataclass(frozen=True)
class ListedVersions:
    """The stored versions of a project.

    Attributes:
        project: The id of the project.
        versions: Its versions, the newest first.
    """

    project: str
    versions: list[StoredVersion]


domain = Domain("project", OpenProject, events=(Opened, Saved, Closed))

_NO_PROJECT = "No project is open: open one with project.open, or make one with project.new"


def _answer_elsewhere(opened: OpenProject, command: object, context: Context) -> NoReturn:
    message = "This server does not have a store for projects: start it with one"
    raise Refused("no_store", message)


domain.declare(New, Opened, _answer_elsewhere)
domain.declare(Open, Opened, _answer_elsewhere)
domain.declare(OpenVersion, Opened, _answer_elsewhere)
domain.declare(Close, Closed, _answer_elsewhere)
domain.declare(Save, Saved, _answer_elsewhere)
domain.declare(SaveAs, Saved, _answer_elsewhere)
domain.declare(SaveDraft, DraftSaved, _answer_elsewhere)
domain.declare(List, Listed, _answer_elsewhere)
domain.declare(Versions, ListedVersions, _answer_elsewhere)


@dataclass(frozen=True)
class Enter:
    """Put a project that was read, as JSON text, in the place of the open one.

    The text is decoded once; as a member of the payload it would also be copied and checked.
    """

    opened: Opened
    view: str
    classes: dict[str, int]
    is_saved: bool
    discard: bool


@dataclass(frozen=True)
class Leave:
    """Close the open project."""

    discard: bool


@dataclass(frozen=True)
class Store:
    """Note that the project was stored, as it was after a number of edits."""

    saved: Saved
    edits: int


@dataclass(frozen=True)
class Refuse:
    """Refuse a command for a reason found outside the log."""

    code: str
    message: str
    details: dict[str, Any]


def is_unsaved(opened: OpenProject, edits: int) -> bool:
    """Return whether closing the project would lose edits."""
    return opened.project is not None and opened.saved_edits != edits


def check_saved(opened: OpenProject, edits: int, discard: bool) -> None:
    """Refuse to lose the edits of the open project, unless that is wanted."""
    if not discard and is_unsaved(opened, edits):
        message = (
            f"Project {opened.name!r} has unsaved changes: save it, or give discard=true to lose "
            "them"
        )
        raise Refused("unsaved", message, project=opened.project)


def check_open(opened: OpenProject) -> str:
    """Return the id of the open project; refuse if none is open."""
    if opened.project is None:
        raise GeneralRefusal("no_project", _NO_PROJECT)
    return opened.project


@domain.command(internal=True)
def enter(opened: OpenProject, command: Enter, context: Context) -> Opened:
    """Put a project in the place of the open one."""
    check_saved(opened, context.document.edits, command.discard)
    context.document.replace(decode(command.view.encode(), domain.name), command.classes)
    opened.project, opened.name = command.opened.project, command.opened.name
    opened.version = command.opened.version
    # Replacing the project is an edit too.
    opened.saved_edits = context.document.edits + 1 if command.is_saved else None
    context.emit(command.opened)
    return command.opened


@domain.command(internal=True)
def leave(opened: OpenProject, command: Leave, context: Context) -> Closed:
    """Close the open project."""
    closed = Closed(check_open(opened))
    check_saved(opened, context.document.edits, command.discard)
    context.document.replace(None, {})
    opened.project, opened.name, opened.version, opened.saved_edits = None, "", 0, None
    context.emit(closed)
    return closed


@domain.command(internal=True)
def store(opened: OpenProject, command: Store, context: Context) -> Saved:
    """Note that the project was stored."""
    opened.project, opened.name = command.saved.project, command.saved.name
    opened.version, opened.saved_edits = command.saved.version, command.edits
    context.emit(command.saved)
    return command.saved


@domain.command(internal=True)
def refuse(opened: OpenProject, command: Refuse, context: Context) -> None:
    """Refuse a command for a reason found outside the log."""
    raise GeneralRefusal(command.code, command.message, **command.details)
