"""Put the parts of a server together, and run it."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..state import open_store
from ..state.shared import EditJournal, LocalLog, Session
from .address import ADDRESS_FILE, Address, hold
from .background import start_background_work
from .dispatcher import Dispatcher
from .domains import DOMAINS, history
from .project_commands import OpenProject
from .project_commands import domain as project_domain
from .project_store import ProjectStore
from .projects import Projects
from .server import Server, run_in


class DamagedJournalError(Exception):
    """The edit journal cannot be read; it was left untouched."""


@dataclass(frozen=True)
class Settings:
    """The settings of a server.

    Attributes:
        address: Where to listen.
        data: The folder of the edit journal.
        store: The URL of the store of projects.
        durability: An acknowledged edit survives a kill of the process, or a power cut too.
        versions: The number of versions to keep of each project.
        draft_every: Seconds between two drafts; None for none.
        new_journal: Move the edit journal of an earlier run away, and begin a new one.
    """

    address: Address
    data: Path
    store: str
    durability: Literal["process", "power"] = "process"
    versions: int = 20
    draft_every: float | None = None
    new_journal: bool = False


def make_dispatcher() -> Dispatcher:
    """Return the machine with all domains: those of the server, and yours."""
    return Dispatcher([project_domain, history.domain, *DOMAINS], {"open": OpenProject})


async def serve(settings: Settings, on_ready: Callable[[Address], object]) -> None:
    """Serve until a signal or `session.shutdown`.

    Args:
        settings: The settings of the server.
        on_ready: Called with the address, once clients can connect.

    Raises:
        AlreadyRunningError: Another server uses the address or the folder.
        DamagedJournalError: The edit journal is damaged.
        OSError: Something else prevents it.
        ValueError: The URL of the store is not valid.
    """
    async with assembled(settings) as server:
        await server.serve_forever(on_ready)


@contextlib.asynccontextmanager
async def assembled(settings: Settings) -> AsyncGenerator[Server]:
    """Return a server that does not listen yet, and stop it at the end of the block.

    Its `client()` works at once, which suffices for a program that is its own only client.

    Args:
        settings: The settings of the server.

    Raises:
        AlreadyRunningError: Another server uses the folder.
        DamagedJournalError: The edit journal is damaged.
        OSError: Something else prevents it.
        ValueError: The URL of the store is not valid.
    """
    lock = hold(settings.data / "server", settings.data)
    with lock, contextlib.closing(open_store(settings.store)) as store:
        # Of a server that was killed: this one may listen elsewhere.
        (settings.data / ADDRESS_FILE).unlink(missing_ok=True)
        project_store = ProjectStore(store, settings.versions)
        dispatcher = make_dispatcher()
        session = await _open_session(dispatcher, settings, project_store)
        projects = Projects(dispatcher, session, project_store)
        server = Server(
            dispatcher, session, settings.address, projects=projects, data=settings.data
        )
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(server.stop)
            if settings.draft_every:
                run_in(stack, projects.keep_drafts(settings.draft_every))
            start_background_work(server)
            yield server


async def _open_session(
    dispatcher: Dispatcher, settings: Settings, project_store: ProjectStore
) -> Session:
    journal = EditJournal(settings.data / "session.edits", settings.durability)
    if settings.new_journal and journal.path.exists():
        journal.move_away()
    try:
        return await Session.open(dispatcher, log=LocalLog(journal))
    except ValueError as error:  # damaged, or of another version of the program
        last = max(project_store.list_all(), key=lambda each: each.saved_at or "", default=None)
        saved = "Nothing was saved before"
        if last and last.saved_at:
            saved = f"The last save is version {last.version} of {last.name!r}, {last.saved_at}"
        raise DamagedJournalError(
            f"{error}. {saved}. To go on from there, start with --journal new, which moves the "
            f"file to {journal.path}.damaged-<UTC time>"
        ) from error
