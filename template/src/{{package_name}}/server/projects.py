"""Open and save projects beside the writer of the log.

Reading and writing runs in threads, while commands go on. The outcome enters the log as an
internal command, under the id of the command that asked for it.
"""

import asyncio
import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

from ..state import State, StateTooLargeError
from ..state._json import decode, encode
from ..state.shared import Entry, Outcome, Refusal, Refused, Session
from ..state.typed._view import hydrate_view, versions_of, view, view_unshared
from .dispatcher import Dispatcher
from .document import GeneralRefusal
from .domain import derive_id
from .payloads import MessageType, wire_name
from .project_commands import (
    ApplyClose,
    ApplyOpen,
    ApplyRefusal,
    ApplySave,
    Close,
    DraftSaved,
    List,
    Listed,
    ListedVersions,
    New,
    Open,
    Opened,
    OpenProject,
    OpenVersion,
    Save,
    SaveAs,
    SaveDraft,
    Versions,
    check_open,
    check_saved,
    domain,
    is_unsaved,
)
from .project_store import Content, Found, ProjectStore

logger = logging.getLogger(__name__)

T = TypeVar("T")

Change = ApplyOpen | ApplyClose | ApplySave | ApplyRefusal


class Projects:
    """Answers the commands of the domain `project` that clients send.

    One command runs at a time: it reads or writes the store, and then the log decides.

    Args:
        dispatcher: The machine of the log.
        session: The log, to which the outcomes go.
        store: The projects that are not open.
    """

    def __init__(self, dispatcher: Dispatcher, session: Session, store: ProjectStore) -> None:
        self._dispatcher, self._session, self._store = dispatcher, session, store
        self._turn = asyncio.Lock()

    async def handle(self, entry: Entry) -> Outcome | Refusal:
        """Carry out a command of the domain, and return the answer to it."""
        call = cast(dict[str, Any], entry.do)
        async with self._turn:
            if settled := self._session.settled(entry.id):
                return settled
            try:
                asked = self._dispatcher.find(domain.name, call["command"])
                decoded = asked.payload.decode(call["payload"])
            except Refused:
                return await self._session.submit(entry)  # it is refused in its place in the log
            try:
                if isinstance(decoded, SaveDraft | List | Versions):
                    answer = await self._answer(decoded)
                    result = cast(MessageType, asked.result)
                    return Outcome(self._session.position, result.encode(answer))
                change = await self._prepare(decoded, entry.id)
            except Refused as refused:
                change = _refusal(refused)
            return await self._enter_log(change, entry)

    async def keep_drafts(self, seconds: float) -> None:
        """Save a draft of a project with unsaved changes every now and then, for ever."""
        drafted = -1
        while True:
            await asyncio.sleep(seconds)
            async with self._turn:
                edits = self._dispatcher.document.edits
                if edits == drafted or not is_unsaved(self._opened, edits):
                    continue
                try:
                    await self._save_draft()
                    drafted = edits
                except Refused as refused:
                    logger.warning("No draft was saved: %s", refused.message)

    def status(self) -> dict[str, Any] | None:
        """Return the open project, as JSON; None without one."""
        opened = self._opened
        if opened.project is None:
            return None
        return {
            "project": opened.project,
            "name": opened.name,
            "version": opened.version,
            "unsaved": is_unsaved(opened, self._dispatcher.document.edits),
        }

    @property
    def _opened(self) -> OpenProject:
        return cast(OpenProject, self._dispatcher.states["open"])

    async def _enter_log(self, change: Change, entry: Entry) -> Outcome | Refusal:
        internal = domain.commands[wire_name(type(change).__name__)]
        payload = internal.payload.encode(change)
        do = {"domain": domain.name, "command": internal.name, "payload": payload}
        try:
            outcome = await self._session.submit(replace(entry, do=do))
        finally:
            self._dispatcher.document.prebuilt.pop(entry.id, None)
        if isinstance(change, ApplySave):
            self._session.compact()
        return outcome

    async def _answer(
        self, asked: SaveDraft | List | Versions
    ) -> DraftSaved | Listed | ListedVersions:
        """Carry out a command that changes nothing in the log."""
        match asked:
            case SaveDraft():
                return await self._save_draft()
            case Versions():
                versions = await _in_thread(self._store.versions, asked.project)
                return ListedVersions(asked.project, versions)
            case _:
                return Listed(await _in_thread(self._store.list_all))

    async def _prepare(
        self, asked: New | Open | OpenVersion | Close | Save | SaveAs, entry_id: str
    ) -> Change:
        """Read or write the store, and return the internal command for the log."""
        match asked:
            case New():
                cls = self._dispatcher.document.cls
                found = Found(asked.name, 0, Content(view(cls()), versions_of(cls)))
                return await self._build(entry_id, _new_project(entry_id), found, asked.discard)
            case Open():
                return await self._open(asked, entry_id)
            case OpenVersion():
                project = check_open(self._opened)
                found = await _in_thread(self._store.read_version, project, asked.version)
                return await self._build(entry_id, project, found, asked.discard)
            case Save():
                expected, opened = asked.expected_version, self._opened
                expected = opened.version if expected is None else expected
                return await self._save(check_open(opened), opened.name, expected)
            case SaveAs():
                check_open(self._opened)
                return await self._save(_new_project(entry_id), asked.name, 0)
            case _:
                return ApplyClose(asked.discard)

    async def _open(self, asked: Open, entry_id: str) -> ApplyOpen:
        if asked.draft not in (None, "newer", "ignore"):
            message = f"draft={asked.draft!r} is not known: give 'newer' or 'ignore'"
            raise GeneralRefusal("invalid_payload", message, path="draft")
        check_saved(self._opened, self._dispatcher.document.edits, asked.discard)
        found = await _in_thread(self._store.read, asked.project, asked.draft)
        return await self._build(entry_id, asked.project, found, asked.discard)

    async def _build(self, entry_id: str, project: str, found: Found, discard: bool) -> ApplyOpen:
        document = self._dispatcher.document
        built, view, classes = await _in_thread(_build, document.cls, found.content)
        document.prebuilt[entry_id] = built
        opened = Opened(project, found.name, found.version, found.newer_draft)
        return ApplyOpen(opened, view, classes, not found.is_draft, discard)

    async def _save(self, project: str, name: str, expected: int) -> ApplySave:
        edits, read, opened = self._dispatcher.document.edits, self._reader(), self._opened
        is_known = project != opened.project or expected == opened.version
        epoch = self._session.position.epoch if is_known else None
        save = self._store.save
        saved = await _in_thread(lambda: save(project, name, expected, read(), epoch))
        return ApplySave(saved, edits)

    async def _save_draft(self) -> DraftSaved:
        opened, read = self._opened, self._reader()
        project, name, version = check_open(opened), opened.name, opened.version
        saved_at = await _in_thread(lambda: self._store.save_draft(project, name, version, read()))
        return DraftSaved(project, saved_at)

    def _reader(self) -> Callable[[], Content]:
        """Return a function that reads the project as it is now, in any thread."""
        return partial(_read, self._dispatcher.document.cls, self._session.view())


def _refusal(refused: Refused) -> ApplyRefusal:
    is_general = isinstance(refused, GeneralRefusal)
    code = refused.code if is_general else f"{domain.name}.{refused.code}"
    return ApplyRefusal(code, refused.message, refused.details)


def _new_project(entry_id: str) -> str:
    """Return the id of a project that an entry makes: the same one if it is sent again."""
    return f"p_{derive_id(entry_id, 1)}"


def _build(cls: type[State], content: Content) -> tuple[State, str, dict[str, int]]:
    """Return the project, and its view in the form of this version of its classes."""
    # The garbage collector stops all threads each time that it walks a project as it grows.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        project = hydrate_view(cls, *content)
        return project, encode(domain.name, view_unshared(project)).decode(), versions_of(cls)
    finally:
        if was_enabled:
            gc.enable()


def _read(cls: type[State], states: bytes) -> Content:
    """Return the project in the view of a session."""
    return Content(decode(states, domain.name)[domain.name], versions_of(cls))


async def _in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Read or write in a thread; a failure there is a refusal."""
    try:
        return await asyncio.to_thread(function, *arguments)
    except StateTooLargeError as error:
        raise Refused("too_large", str(error)) from error
    except OSError as error:
        message = f"The store cannot be used now: {error}. Nothing was changed; try again"
        raise Refused("unavailable", message, reason=str(error)) from error
    except (LookupError, TypeError, ValueError) as error:
        message = f"The project cannot be read: {error}"
        raise Refused("unreadable", message, reason=str(error)) from error
