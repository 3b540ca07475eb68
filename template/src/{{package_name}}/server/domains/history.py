"""Undo and redo: one linear history of the project, shared by all clients."""

from dataclasses import dataclass

from ...state.typed.history import Step as UndoStep
from ..domain import Context, Domain
from ..model import Project


@dataclass(frozen=True)
class Undo:
    """Take back the newest step.

    Attributes:
        expect: The id of the entry that must be the newest one. With it, a client does not take
            back a change that another one has made in the meantime.
    """

    expect: str | None = None


@dataclass(frozen=True)
class Redo:
    """Apply the step again that was taken back last.

    Attributes:
        expect: The id of the entry that the step must be of.
    """

    expect: str | None = None


@dataclass(frozen=True)
class Step:
    """A step of the history.

    Attributes:
        entry: The id of the newest entry in it.
        label: A name for menus.
        author: The name of the client that made it.
    """

    entry: str | None
    label: str
    author: str | None


@dataclass(frozen=True)
class Undone:
    """A step was taken back.

    Attributes:
        step: The step.
        can_undo: Whether there is another one to take back.
    """

    step: Step
    can_undo: bool


@dataclass(frozen=True)
class Redone:
    """A step was applied again.

    Attributes:
        step: The step.
        can_redo: Whether there is another one to apply again.
    """

    step: Step
    can_redo: bool


@dataclass(frozen=True)
class GetState:
    """Ask for the steps."""


@dataclass(frozen=True)
class State:
    """The steps, oldest first.

    Attributes:
        can_undo: Whether there is a step to take back.
        can_redo: Whether there is a step to apply again.
        undo: The steps that can be taken back.
        redo: The steps that can be applied again, the next one last.
    """

    can_undo: bool
    can_redo: bool
    undo: tuple[Step, ...]
    redo: tuple[Step, ...]


domain = Domain("history", Project, events=(Undone, Redone))


@domain.command
def undo(project: Project, command: Undo, context: Context) -> Undone:
    """Take back the newest step of the history, also that of another client."""
    step = _step(context.document.undo(command.expect))
    context.emit(undone := Undone(step, bool(context.document.history.undoable)))
    return undone


@domain.command
def redo(project: Project, command: Redo, context: Context) -> Redone:
    """Apply the step again that was taken back last."""
    step = _step(context.document.redo(command.expect))
    context.emit(redone := Redone(step, bool(context.document.history.redoable)))
    return redone


@domain.query
def state(project: Project, query: GetState, context: Context) -> State:
    """List the steps that can be taken back, and those that can be applied again."""
    history = context.document.history
    done, undone = tuple(map(_step, history.undoable)), tuple(map(_step, history.redoable))
    return State(bool(done), bool(undone), done, undone)


def _step(step: UndoStep) -> Step:
    return Step(step.entry, step.label, step.author)
