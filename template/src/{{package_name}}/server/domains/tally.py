"""The smallest domain there is: a tally, which never falls below zero."""

from dataclasses import dataclass

from ..domain import Context, Domain, Refused
from ..model import Project


@dataclass(frozen=True)
class Count:
    """Count some more, or fewer."""

    by: int = 1


@dataclass(frozen=True)
class Counted:
    """The tally has another value."""

    tally: int


domain = Domain("tally", Project, events=(Counted,))


@domain.command
def count(project: Project, command: Count, context: Context) -> Counted:
    """Change the tally."""
    project.tally += command.by
    context.emit(counted := Counted(project.tally))
    return counted


@domain.invariant
def never_below_zero(project: Project) -> None:
    """Keep the tally from falling below zero."""
    if project.tally < 0:
        raise Refused(
            "below_zero", f"The tally would be {project.tally}: count fewer", tally=project.tally
        )
