"""The open document: the root `project`, which is replaced as a whole, and its undo history."""

# pyright: reportPrivateUsage=false

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from ..state import Operation, State
from ..state.shared import Entry, Refused
from ..state.typed._journal import on_rollback
from ..state.typed._rendering import replace_root
from ..state.typed._view import hydrate_view
from ..state.typed.history import Step, UndoStack
from ..state.typed.operations import apply_rendered

PROJECT = "project"
MAX_STEPS = 200
MAX_BYTES = 4_194_304


class GeneralRefusal(Refused):
    """A refusal whose code all domains share, such as `conflict`.

    The code of any other refusal gets the name of its domain in front.
    """


def no_project() -> GeneralRefusal:
    """Return the refusal of a command that needs an open project."""
    message = "No project is open: open one with project.open, or make one with project.new"
    return GeneralRefusal("no_project", message)


class Document:
    """The project in the states of a server, if one is open.

    Args:
        states: The states by name, None for a project that is not open.
        cls: The class of the project.

    Attributes:
        cls: The class of the project.
        edits: The number of applied entries that have changed a project. A project has unsaved
            changes if this number differs from the one of its last save.
        history: The steps that can be undone and redone.
        prebuilt: Projects that were built outside the log, by the id of the entry that opens
            them. An entry without one builds its project itself, as on replay.
        replacements: The operations of the entry in progress that replace the project.
    """

    def __init__(self, states: dict[str, State | None], cls: type[State]) -> None:
        self._states, self.cls = states, cls
        self.edits = 0
        self.history = UndoStack(MAX_STEPS, MAX_BYTES)
        self.prebuilt: dict[str, State] = {}
        self.replacements: list[Operation] = []
        self._entry: Entry
        self._records = True

    @property
    def project(self) -> State | None:
        """The open project."""
        return self._states[PROJECT]

    def begin(self, entry: Entry) -> None:
        """Prepare for an entry."""
        self._entry, self._records, self.replacements = entry, True, []

    def replace(self, view: Any, versions: Mapping[str, int]) -> None:
        """Put another project in the place of the open one, and forget the history.

        Args:
            view: The fields of the new project as JSON; None closes the project.
            versions: The `__version__` of the classes in the view, by their names.

        Raises:
            HydrationError: The view does not fit the class.
        """
        built = self.prebuilt.pop(self._entry.id, None)
        if view is not None and built is None:
            built = hydrate_view(self.cls, view, versions)
        replace_root(self._states, PROJECT, built)
        self.history.clear()
        self.replacements.append({"op": "set", "path": [PROJECT], "value": view})

    def record(
        self, label: str, operations: Sequence[Operation], inverses: Sequence[Operation]
    ) -> None:
        """Count the changes of the entry in progress, and make them a step of the history."""
        do = [each for each in operations if each["path"][0] == PROJECT]
        undo = [each for each in inverses if each["path"][0] == PROJECT]
        if not do and not self.replacements:
            return
        on_rollback(partial(setattr, self, "edits", self.edits))
        self.edits += 1
        if do and self._records:
            entry = self._entry
            self.history.push(Step(do, undo, label, entry.id, entry.by, entry.client, entry.group))

    def undo(self, expect: str | None) -> Step:
        """Take back the newest step.

        Args:
            expect: The id of the entry that must be the newest one, None for any.

        Raises:
            Refused: `nothing_to_undo`, or `conflict` if another entry is the newest one.
        """
        step = self._top(self.history.undoable, "undo", expect)
        self.history.undo()
        return self._apply(step, step.undo)

    def redo(self, expect: str | None) -> Step:
        """Apply the step that was taken back last.

        Args:
            expect: The id of its newest entry, None for any.

        Raises:
            Refused: `nothing_to_redo`, or `conflict` if it is of another entry.
        """
        step = self._top(self.history.redoable, "redo", expect)
        self.history.redo()
        return self._apply(step, step.do)

    def _top(self, steps: Sequence[Step], verb: str, expect: str | None) -> Step:
        if not steps:
            raise GeneralRefusal(f"nothing_to_{verb}", f"There is nothing to {verb}")
        if expect is not None and steps[-1].entry != expect:
            message = (
                f"The step to {verb} is of entry {steps[-1].entry}, not of {expect}: the project "
                "has changed; look at history.state"
            )
            raise GeneralRefusal("conflict", message, expect=expect, found=steps[-1].entry)
        return steps[-1]

    def _apply(self, step: Step, operations: Sequence[Operation]) -> Step:
        self._records = False
        apply_rendered({PROJECT: cast(State, self.project)}, operations)
        return step

    def to_json(self) -> dict[str, Any]:
        """Return the part of a snapshot that is in no state."""
        return {"edits": self.edits, "history": self.history.to_json()}

    def restore(self, form: Any) -> None:
        """Return to the part of a snapshot that is in no state."""
        self.edits = form["edits"]
        self.history.restore(form["history"])
