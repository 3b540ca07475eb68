"""The transport: where the playhead stands, and whether it moves. It needs no project."""

from dataclasses import dataclass
from datetime import datetime

from ..domain import Context, Domain, Refused
from ..model import SessionState


@dataclass(frozen=True)
class Play:
    """Start to play, or go on.

    Attributes:
        from_: The position to start at, in beats; by default where the playhead stands.
    """

    from_: float | None = None


@dataclass(frozen=True)
class Stop:
    """Stop the playhead where it is."""


@dataclass(frozen=True)
class Seek:
    """Move the playhead.

    Attributes:
        position: The new position, in beats.
    """

    position: float


@dataclass(frozen=True)
class Loop:
    """Repeat a range; an empty range ends the repetition.

    Attributes:
        start: Its first beat.
        end: The beat at which the playhead returns to the start.
    """

    start: float
    end: float


@dataclass(frozen=True)
class SetTempo:
    """Change the tempo; the playhead stays where it is.

    Attributes:
        tempo: Beats per minute, from 1 to 999.
    """

    tempo: float


@dataclass(frozen=True)
class Changed:
    """The transport has changed.

    Attributes:
        playing: Whether the playhead moves.
        position: Where it stood at the time of the event, in beats.
        tempo: Beats per minute.
        loop: The range that is repeated, if any.
    """

    playing: bool
    position: float
    tempo: float
    loop: tuple[float, float] | None


domain = Domain("transport", SessionState, events=(Changed,))


@domain.command
def play(session: SessionState, command: Play, context: Context) -> None:
    """Let the playhead move, from a position or from where it stands."""
    if command.from_ is not None:
        _expect_position(command.from_)
        _place(session, command.from_, context.now)
    elif not session.playing:
        session.since = context.now
    session.playing = True
    _announce(session, context)


@domain.command
def stop(session: SessionState, command: Stop, context: Context) -> None:
    """Stop the playhead. Without effect, and without an event, if it stands."""
    if session.playing:
        _place(session, position_at(session, context.now), context.now)
        session.playing = False
        _announce(session, context)


@domain.command
def seek(session: SessionState, command: Seek, context: Context) -> None:
    """Move the playhead to a position."""
    _expect_position(command.position)
    _place(session, command.position, context.now)
    _announce(session, context)


@domain.command
def loop(session: SessionState, command: Loop, context: Context) -> None:
    """Repeat a range of beats, or, with an empty range, repeat nothing."""
    _expect_position(command.start)
    if command.end < command.start:
        message = f"The loop would end at {command.end}, before its start at {command.start}"
        raise Refused("bad_loop", message, start=command.start, end=command.end)
    _place(session, position_at(session, context.now), context.now)
    session.loop = (command.start, command.end) if command.end > command.start else None
    _announce(session, context)


@domain.command
def set_tempo(session: SessionState, command: SetTempo, context: Context) -> None:
    """Change the tempo."""
    if not 1 <= command.tempo <= 999:
        message = f"The tempo would be {command.tempo}: give 1 to 999 beats per minute"
        raise Refused("bad_tempo", message, tempo=command.tempo)
    _place(session, position_at(session, context.now), context.now)
    session.tempo = command.tempo
    _announce(session, context)


def position_at(session: SessionState, now: datetime) -> float:
    """Return where the playhead stands at a time, in beats."""
    if not session.playing or session.since is None:
        return session.position
    position = session.position + (now - session.since).total_seconds() * session.tempo / 60
    if session.loop and session.position < session.loop[1] <= position:
        start, end = session.loop
        return start + (position - start) % (end - start)
    return position


def _place(session: SessionState, position: float, now: datetime) -> None:
    session.position, session.since = position, now


def _expect_position(position: float) -> None:
    if position < 0:
        message = f"The position would be {position}: give a beat from 0 on"
        raise Refused("bad_position", message, position=position)


def _announce(session: SessionState, context: Context) -> None:
    position = position_at(session, context.now)
    context.emit(Changed(session.playing, position, session.tempo, session.loop))
