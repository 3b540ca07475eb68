"""The machine of the server: it applies the commands of the log to the states, by its domains."""

import difflib
import logging
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, cast

from .. import __version__
from ..state import State, transaction
from ..state.shared import Applied, Entry, Position, Refused, StateMachine
from ..state.typed._changes import KeyPath
from ..state.typed._rendering import replace_root
from ..state.typed._types.compound import AnyJson
from ..state.typed._view import hydrate_view
from . import address, description, envelope
from .document import PROJECT, Document, GeneralRefusal
from .domain import Command, Context, Domain
from .model import Project, SessionState

logger = logging.getLogger(__name__)

_ANY_JSON = AnyJson()


class Dispatcher(StateMachine):
    """Applies each entry by a command of a domain, in a transaction.

    Args:
        domains: The domains that clients may use.
        roots: The classes of further states by name, or others for `project` and `session`.
            The project is absent until one is opened; all others exist from the start.

    Attributes:
        domains: The domains by name.
        states: The states by name, None for a project that is not open.
        document: The open project.

    Raises:
        TypeError: Two domains have one name, or a domain is on a state that is not a root.
    """

    def __init__(
        self, domains: Iterable[Domain[Any]], roots: Mapping[str, type[State]] | None = None
    ) -> None:
        classes: dict[str, type[State]] = {
            PROJECT: Project,
            "session": SessionState,
            **(roots or {}),
        }
        self._roots: dict[str, str] = {}
        self.domains: dict[str, Domain[Any]] = {}
        for domain in domains:
            if domain.name in self.domains:
                raise TypeError(f"There are two domains called {domain.name!r}: rename one")
            self.domains[domain.name] = domain
            self._roots[domain.name] = _root_of(domain, classes)
        self._states: dict[str, State | None] = {
            name: None if name == PROJECT else cls() for name, cls in classes.items()
        }
        self.states = self._states
        self.document = Document(self._states, classes[PROJECT])

    @property
    def session(self) -> SessionState:
        """The state that all clients share."""
        return cast(SessionState, self._states["session"])

    def find(self, domain: str, command: str) -> Command:
        """Return a command or query.

        Raises:
            Refused: `unknown_domain` or `unknown_command`, with the nearest name.
        """
        found = self.domains.get(domain)
        if found is None:
            raise unknown("domain", domain, self.domains, domain=domain)
        if command not in found.commands:
            raise unknown("command", command, found.commands, domain=domain, command=command)
        return found.commands[command]

    def select(self, domain: str | None, command: str | None) -> list[Domain[Any]]:
        """Return all domains, or the one of a name, which must have the command.

        Raises:
            Refused: `unknown_domain` or `unknown_command`, with the nearest name.
        """
        if domain is None:
            return [*self.domains.values()]
        if domain not in self.domains:
            raise unknown("domain", domain, self.domains, domain=domain)
        if command is not None:
            self.find(domain, command)
        return [self.domains[domain]]

    def apply(self, entry: Entry) -> Applied:
        """Apply a command: everything it changes, or, if it is refused, nothing.

        Raises:
            Refused: The command, or an invariant, refuses; or it failed (`internal`).
        """
        call = _call_of(entry)
        command = self.find(call["domain"], call["command"])
        self.document.begin(entry)
        # A copy of the mapping, so that a project that comes in is not rendered: it is large, and
        # replacements has its view.
        with _failing(command), transaction({**self._states}) as changes:
            context, result = self._run(command, entry, call["payload"])
            operations = changes.operations
            if command.reads and operations:
                raise RuntimeError(f"the query changed {operations[0]['path']}")
            self._check_invariants(operations)
            self.document.record(context.step or command.summary, operations, changes.inverses)
            events = [self._event(command.domain, each) for each in context.events]
            return Applied(result, events, [*operations, *self.document.replacements])

    def query(self, entry: Entry) -> Any:
        """Return the result of a query.

        Raises:
            Refused: The query refuses, or it failed (`internal`).
        """
        return self.apply(entry).result

    def _run(self, command: Command, entry: Entry, payload: object) -> tuple[Context, Any]:
        domain = self.domains[command.domain]
        decoded = command.payload.decode(payload)
        root = self._states[self._roots[domain.name]]
        if root is None:
            message = "No project is open: create one with project.new, or open one"
            raise GeneralRefusal("no_project", message)
        declared = () if command.reads else domain.events.values()
        context = Context(entry, self.session, self.document, declared)
        with _naming(command.domain):
            result = command.function(root, decoded, context)
        if command.result is None and result is not None:
            raise TypeError(f"it is declared to return None, and returned {result!r}")
        return context, {} if command.result is None else command.result.encode(result)

    def _check_invariants(self, operations: Iterable[Mapping[str, Any]]) -> None:
        changed: dict[str, set[KeyPath]] = {}
        for each in operations:
            root, *path = each["path"]
            changed.setdefault(root, set()).add(tuple(path))
        for domain in self.domains.values():
            if paths := changed.get(name := self._roots[domain.name]):
                with _naming(domain.name):
                    for invariant in domain.invariants:
                        more = (frozenset(paths),) if invariant.takes_changes else ()
                        invariant.check(self._states[name], *more)

    def _event(self, domain: str, event: object) -> dict[str, Any]:
        [message] = (m for m in self.domains[domain].events.values() if m.cls is type(event))
        return {"domain": domain, "command": message.name, "payload": message.encode(event)}

    def event(self, cls: type) -> tuple[str, str]:
        """Return the domain of an event, and its name on the wire.

        Raises:
            TypeError: No domain declares the event.
        """
        for domain in self.domains.values():
            for name, message in domain.events.items():
                if message.cls is cls:
                    return domain.name, name
        raise TypeError(f"{cls.__name__} is not an event of any domain: declare it in one")

    def decode_event(self, domain: str, name: str, payload: object) -> Any:
        """Return the object that the payload of an event stands for."""
        return self.domains[domain].events[name].decode(payload)

    def describe(self, domain: str | None = None, command: str | None = None) -> Any:
        """Return the description of all domains, of one, or of one command, as JSON.

        Raises:
            Refused: `unknown_domain` or `unknown_command`, with the nearest name.
        """
        chosen = self.select(domain, command)
        return description.as_asyncapi(chosen, address.PROJECT, __version__, command)

    def messages(
        self, entry: Entry, position: Position, applied: Applied
    ) -> list[tuple[str, bytes]]:
        """Return the frames about an entry, each with its domain."""
        events = [*applied.events]
        if applied.operations:
            payload = {"operations": applied.operations}
            events.append({"domain": "state", "command": "changed", "payload": payload})
        return [
            (each["domain"], envelope.event(entry, position, index, each))
            for index, each in enumerate(events)
        ]

    def snapshot_message(self, position: Position, view: bytes) -> bytes:
        """Return the frame that gives a subscriber all states."""
        return envelope.snapshot(position, view)

    def extra(self) -> Any:
        """Return the part of a snapshot that is in no state."""
        return self.document.to_json()

    def put(self, states: Mapping[str, State | None]) -> None:
        """Take other states, without a trace in the log."""
        with transaction():
            for name, state in states.items():
                replace_root(self._states, name, state)

    def restore_states(self, views: Mapping[str, Any], versions: Mapping[str, int]) -> None:
        """Give the states the values of a snapshot."""
        super().restore_states({n: form for n, form in views.items() if n != PROJECT}, versions)
        form = views[PROJECT]
        project = None if form is None else hydrate_view(self.document.cls, form, versions)
        self.put({PROJECT: project})

    def restore_extra(self, extra: Any) -> None:
        """Return to the part of a snapshot that is in no state."""
        self.document.restore(extra)


def _root_of(domain: Domain[Any], classes: Mapping[str, type[State]]) -> str:
    for name, cls in classes.items():
        if issubclass(cls, domain.root):
            return name
    names = ", ".join(cls.__name__ for cls in classes.values())
    raise TypeError(
        f"Domain {domain.name!r} is on {domain.root.__name__}, expected one of: {names}"
    )


def _call_of(entry: Entry) -> Mapping[str, Any]:
    if not isinstance(entry.do, Mapping):
        message = "This server takes commands, not operations: send one command per entry"
        raise Refused("invalid_operation", message)
    return entry.do


def unknown(kind: str, name: str, known: Iterable[str], **details: str) -> Refused:
    """Return the refusal of a name that is not known, with the nearest one that is."""
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(sorted(known))}"
    nearest = close[0] if close else None
    return Refused(
        f"unknown_{kind}", f"There is no {kind} {name!r}, {hint}", **details, nearest=nearest
    )


@contextmanager
def _naming(domain: str) -> Generator[None]:
    """Put the name of a domain in front of the codes of its refusals."""
    try:
        yield
    except GeneralRefusal:
        raise
    except Refused as refused:
        # Details that JSON does not have are a fault in the domain, as a wrong result is.
        _ANY_JSON.to_json(refused.details)
        code = f"{domain}.{refused.code}"
        raise GeneralRefusal(code, refused.message, **refused.details) from refused


@contextmanager
def _failing(command: Command) -> Generator[None]:
    """Log a fault in a domain; the client learns only that there is one."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        name = f"{command.domain}.{command.name}"
        logger.exception("%s failed, and was rolled back", name)
        message = f"{name} failed, and has changed nothing; the log of the server has the reason"
        raise Refused("internal", message, command=name) from error
