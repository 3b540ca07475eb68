"""Tracks in folders, with lanes and clips; a track may have a channel for its nodes."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..domain import Context, Domain, KeyPath, Refused
from ..model import Channel, Clip, Lane, Project, Track
from .nodes import remove_channel
from .tables import agree, find, insert, touched


@dataclass(frozen=True)
class AddTrack:
    """A new track.

    Attributes:
        name: Its name.
        parent: The track that it goes into; by default it stands at the top.
        index: Its place among the tracks there; by default the last one.
        channel: The name of a channel to make for it; by default it has none.
    """

    name: str
    parent: str | None = None
    index: int | None = None
    channel: str | None = None


@dataclass(frozen=True)
class RemoveTrack:
    """A track to remove, with all that is in it."""

    track: str


@dataclass(frozen=True)
class MoveTrack:
    """A new place for a track.

    Attributes:
        track: The track.
        index: Its place in its parent, counted without it.
        parent: The track that it goes into; by default it goes to the top.
    """

    track: str
    index: int
    parent: str | None = None


@dataclass(frozen=True)
class RenameTrack:
    """A new name for a track."""

    track: str
    name: str


@dataclass(frozen=True)
class AddLane:
    """A new lane, the last one of a track."""

    track: str


@dataclass(frozen=True)
class RemoveLane:
    """A lane to remove, with its clips."""

    lane: str


@dataclass(frozen=True)
class AddClip:
    """A new clip.

    Attributes:
        lane: The lane that it goes onto.
        start: Its first beat.
        length: Its length, in beats.
        media: The name of a recording.
    """

    lane: str
    start: float
    length: float
    media: str | None = None


@dataclass(frozen=True)
class MoveClip:
    """A new place for a clip.

    Attributes:
        clip: The clip.
        start: Its new first beat.
        lane: Its new lane; by default it stays on its own.
    """

    clip: str
    start: float
    lane: str | None = None


@dataclass(frozen=True)
class RemoveClip:
    """A clip to remove."""

    clip: str


@dataclass(frozen=True)
class ListTracks:
    """Nothing to choose: all tracks are listed."""


@dataclass(frozen=True)
class TrackAdded:
    """There is a new track."""

    track: str
    name: str
    parent: str | None
    index: int
    channel: str | None


@dataclass(frozen=True)
class TrackRemoved:
    """A track is gone, and with it all that was in it."""

    track: str
    tracks: tuple[str, ...]
    lanes: tuple[str, ...]
    clips: tuple[str, ...]
    channels: tuple[str, ...]
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class TrackMoved:
    """A track has another place."""

    track: str
    parent: str | None
    index: int


@dataclass(frozen=True)
class TrackRenamed:
    """A track has another name."""

    track: str
    name: str


@dataclass(frozen=True)
class LaneAdded:
    """A track has a new lane."""

    lane: str
    track: str


@dataclass(frozen=True)
class LaneRemoved:
    """A lane is gone, and its clips."""

    lane: str
    clips: tuple[str, ...]


@dataclass(frozen=True)
class ClipAdded:
    """A lane has a new clip."""

    clip: str
    lane: str
    start: float
    length: float
    media: str | None


@dataclass(frozen=True)
class ClipMoved:
    """A clip has another place."""

    clip: str
    lane: str
    start: float


@dataclass(frozen=True)
class ClipRemoved:
    """A clip is gone."""

    clip: str


@dataclass(frozen=True)
class Entry:
    """A track in the list.

    Attributes:
        track: Its id.
        name: Its name.
        depth: The number of folders around it.
        lanes: Its lanes.
        channel: Its channel, if it has one.
    """

    track: str
    name: str
    depth: int
    lanes: tuple[str, ...]
    channel: str | None


@dataclass(frozen=True)
class Tracks:
    """All tracks, from top to bottom."""

    tracks: tuple[Entry, ...]


domain = Domain(
    "tracks",
    Project,
    events=(
        TrackAdded,
        TrackRemoved,
        TrackMoved,
        TrackRenamed,
        LaneAdded,
        LaneRemoved,
        ClipAdded,
        ClipMoved,
        ClipRemoved,
    ),
)


@domain.command
def add_track(project: Project, command: AddTrack, context: Context) -> TrackAdded:
    """Add a track, with a channel if it gets a name for one."""
    key, channel = context.new_id("t_"), None
    index = insert(_siblings(project, command.parent), key, command.index)
    if command.channel is not None:
        channel = context.new_id("c_")
        project.channels[channel] = Channel(name=command.channel, track=key)
    project.tracks[key] = Track(name=command.name, parent=command.parent, channel=channel)
    context.label(f"Add {command.name}")
    context.emit(added := TrackAdded(key, command.name, command.parent, index, channel))
    return added


@domain.command
def remove_track(project: Project, command: RemoveTrack, context: Context) -> TrackRemoved:
    """Remove a track with its lanes, clips, channel and nodes, and all tracks in it."""
    track = find(project.tracks, command.track, "track")
    tracks = _within(project, command.track)
    channels = [channel for key in tracks if (channel := project.tracks[key].channel)]
    lanes = [lane for key in tracks for lane in project.tracks[key].lanes]
    clips = [clip for lane in lanes for clip in project.lanes[lane].clips]
    nodes = [node for channel in channels for node in remove_channel(project, channel)]
    _siblings(project, track.parent).remove(command.track)
    for rows, keys in ((project.tracks, tracks), (project.lanes, lanes), (project.clips, clips)):
        for key in keys:
            del rows[key]
    context.label(f"Remove {track.name}")
    removed = TrackRemoved(command.track, (*tracks,), (*lanes,), (*clips,), (*channels,), (*nodes,))
    context.emit(removed)
    return removed


@domain.command
def move_track(project: Project, command: MoveTrack, context: Context) -> TrackMoved:
    """Move a track to another place, or into another track."""
    track = find(project.tracks, command.track, "track")
    _siblings(project, track.parent).remove(command.track)
    insert(_siblings(project, command.parent), command.track, command.index)
    track.parent = command.parent
    context.emit(moved := TrackMoved(command.track, command.parent, command.index))
    return moved


@domain.command
def rename_track(project: Project, command: RenameTrack, context: Context) -> TrackRenamed:
    """Give a track another name."""
    find(project.tracks, command.track, "track").name = command.name
    context.emit(renamed := TrackRenamed(command.track, command.name))
    return renamed


@domain.command
def add_lane(project: Project, command: AddLane, context: Context) -> LaneAdded:
    """Add a lane to a track."""
    key = context.new_id("l_")
    find(project.tracks, command.track, "track").lanes.append(key)
    project.lanes[key] = Lane(track=command.track)
    context.emit(added := LaneAdded(key, command.track))
    return added


@domain.command
def remove_lane(project: Project, command: RemoveLane, context: Context) -> LaneRemoved:
    """Remove a lane with its clips."""
    lane = find(project.lanes, command.lane, "lane")
    removed = LaneRemoved(command.lane, (*lane.clips,))
    project.tracks[lane.track].lanes.remove(command.lane)
    for clip in removed.clips:
        del project.clips[clip]
    del project.lanes[command.lane]
    context.emit(removed)
    return removed


@domain.command
def add_clip(project: Project, command: AddClip, context: Context) -> ClipAdded:
    """Add a clip to a lane."""
    key = context.new_id("k_")
    find(project.lanes, command.lane, "lane").clips.append(key)
    project.clips[key] = Clip(
        lane=command.lane, start=command.start, length=command.length, media=command.media
    )
    added = ClipAdded(key, command.lane, command.start, command.length, command.media)
    context.emit(added)
    return added


@domain.command
def move_clip(project: Project, command: MoveClip, context: Context) -> ClipMoved:
    """Move a clip to another beat, or to another lane."""
    clip = find(project.clips, command.clip, "clip")
    if command.lane is not None and command.lane != clip.lane:
        find(project.lanes, command.lane, "lane").clips.append(command.clip)
        project.lanes[clip.lane].clips.remove(command.clip)
        clip.lane = command.lane
    clip.start = command.start
    context.emit(moved := ClipMoved(command.clip, clip.lane, command.start))
    return moved


@domain.command
def remove_clip(project: Project, command: RemoveClip, context: Context) -> ClipRemoved:
    """Remove a clip."""
    clip = find(project.clips, command.clip, "clip")
    project.lanes[clip.lane].clips.remove(command.clip)
    del project.clips[command.clip]
    context.emit(removed := ClipRemoved(command.clip))
    return removed


@domain.query
def list_(project: Project, query: ListTracks, context: Context) -> Tracks:
    """List the tracks from top to bottom, with their ids."""
    entries: list[Entry] = []
    ahead = [(0, key) for key in reversed(project.order)]
    while ahead:
        depth, key = ahead.pop()
        track = project.tracks[key]
        entries.append(Entry(key, track.name, depth, (*track.lanes,), track.channel))
        ahead += [(depth + 1, child) for child in reversed(track.children)]
    return Tracks((*entries,))


@domain.invariant
def tracks_stand_in_their_parents(project: Project, changed: frozenset[KeyPath]) -> None:
    """Parents exist, and the lists of the parents agree with the tracks."""
    moved = touched(project, changed, "tracks")
    top = [None] if any(path[0] == "order" for path in changed) else []
    agree(
        "track",
        project.tracks,
        lambda track: track.parent,
        lambda parent: _members(project, parent),
        moved,
        [*moved, *top],
    )


@domain.invariant
def no_track_contains_itself(project: Project, changed: frozenset[KeyPath]) -> None:
    """The parents of a track lead to the top."""
    for key in touched(project, changed, "tracks"):
        above = {key}
        track = project.tracks.get(key)
        while track and track.parent is not None:
            if track.parent in above:
                message = f"The track {key} would contain itself: move it somewhere else"
                raise Refused("circle", message, track=key)
            above.add(track.parent)
            track = project.tracks.get(track.parent)


@domain.invariant
def lanes_have_one_track(project: Project, changed: frozenset[KeyPath]) -> None:
    """Each lane stands in the list of its track, and in no other one."""
    agree(
        "lane",
        project.lanes,
        lambda lane: lane.track,
        lambda key: project.tracks[key].lanes if key in project.tracks else None,
        touched(project, changed, "lanes"),
        touched(project, changed, "tracks"),
    )


@domain.invariant
def clips_have_one_lane(project: Project, changed: frozenset[KeyPath]) -> None:
    """Each clip stands in the list of its lane, and in no other one, and has a length."""
    moved = touched(project, changed, "clips")
    agree(
        "clip",
        project.clips,
        lambda clip: clip.lane,
        lambda key: project.lanes[key].clips if key in project.lanes else None,
        moved,
        touched(project, changed, "lanes"),
    )
    for key in moved:
        clip = project.clips.get(key)
        if clip and not (clip.start >= 0 and clip.length > 0):
            message = f"The clip {key} would begin at {clip.start} with a length of {clip.length}"
            raise Refused("bad_clip", message, clip=key)


@domain.invariant
def channels_have_one_owner(project: Project, changed: frozenset[KeyPath]) -> None:
    """Each channel belongs to one track, which names it."""
    agree(
        "channel",
        project.channels,
        lambda channel: channel.track,
        lambda key: _channels(project, key),
        touched(project, changed, "channels"),
        touched(project, changed, "tracks"),
    )


def _members(project: Project, parent: str | None) -> Sequence[str] | None:
    if parent is None:
        return project.order
    return project.tracks[parent].children if parent in project.tracks else None


def _channels(project: Project, track: str) -> Sequence[str]:
    channel = project.tracks[track].channel if track in project.tracks else None
    return () if channel is None else (channel,)


def _siblings(project: Project, parent: str | None) -> list[str]:
    return project.order if parent is None else find(project.tracks, parent, "track").children


def _within(project: Project, track: str) -> list[str]:
    """Return a track and all tracks in it, outer ones first."""
    found = [track]
    for each in found:
        found += project.tracks[each].children
    return found
