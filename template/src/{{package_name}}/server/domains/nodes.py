"""Nodes in the channels of tracks, and the connections between them."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..domain import Context, Domain, KeyPath, Refused
from ..model import Node, NodeKind, Project, Signal, Wire
from .tables import agree, find, insert, touched

# The signals that each kind of node takes, and those that it gives.
PORTS: Mapping[NodeKind, tuple[frozenset[Signal], frozenset[Signal]]] = {
    NodeKind.SYNTH: (frozenset({Signal.NOTES}), frozenset({Signal.AUDIO})),
    NodeKind.EFFECT: (frozenset({Signal.AUDIO}), frozenset({Signal.AUDIO})),
    NodeKind.ARPEGGIO: (frozenset({Signal.NOTES}), frozenset({Signal.NOTES})),
    NodeKind.METER: (frozenset({Signal.AUDIO}), frozenset()),
}


@dataclass(frozen=True)
class AddNode:
    """A new node.

    Attributes:
        channel: The channel that it goes into.
        kind: Its kind.
        index: Its place in the channel; by default the last one.
    """

    channel: str
    kind: NodeKind
    index: int | None = None


@dataclass(frozen=True)
class RemoveNode:
    """A node to remove, with its connections."""

    node: str


@dataclass(frozen=True)
class MoveNode:
    """A new place for a node in its channel, counted without it."""

    node: str
    index: int


@dataclass(frozen=True)
class Connect:
    """A connection to make.

    Attributes:
        source: The node that gives the signal.
        target: The node that takes it.
        kind: The kind of signal.
    """

    source: str
    target: str
    kind: Signal


@dataclass(frozen=True)
class Disconnect:
    """A connection to take away, named as for `connect`."""

    source: str
    target: str
    kind: Signal


@dataclass(frozen=True)
class NodeAdded:
    """A channel has a new node."""

    node: str
    channel: str
    kind: NodeKind
    index: int


@dataclass(frozen=True)
class NodeRemoved:
    """A node is gone, and its connections."""

    node: str


@dataclass(frozen=True)
class NodeMoved:
    """A node has another place in its channel."""

    node: str
    index: int


@dataclass(frozen=True)
class Connected:
    """A signal flows from a node to another one."""

    source: str
    target: str
    kind: Signal


@dataclass(frozen=True)
class Disconnected:
    """A signal no longer flows from a node to another one."""

    source: str
    target: str
    kind: Signal


domain = Domain(
    "nodes", Project, events=(NodeAdded, NodeRemoved, NodeMoved, Connected, Disconnected)
)


@domain.command
def add_node(project: Project, command: AddNode, context: Context) -> NodeAdded:
    """Add a node to a channel."""
    key = context.new_id("n_")
    members = find(project.channels, command.channel, "channel").nodes
    index = insert(members, key, command.index)
    project.nodes[key] = Node(channel=command.channel, kind=command.kind)
    context.emit(added := NodeAdded(key, command.channel, command.kind, index))
    return added


@domain.command
def remove_node(project: Project, command: RemoveNode, context: Context) -> NodeRemoved:
    """Remove a node with its connections."""
    node = find(project.nodes, command.node, "node")
    project.channels[node.channel].nodes.remove(command.node)
    _unplug(project, command.node)
    context.emit(removed := NodeRemoved(command.node))
    return removed


@domain.command
def move_node(project: Project, command: MoveNode, context: Context) -> NodeMoved:
    """Move a node to another place in its channel."""
    members = project.channels[find(project.nodes, command.node, "node").channel].nodes
    members.remove(command.node)
    insert(members, command.node, command.index)
    context.emit(moved := NodeMoved(command.node, command.index))
    return moved


@domain.command
def connect(project: Project, command: Connect, context: Context) -> Connected:
    """Let a signal flow from a node to another one."""
    source = find(project.nodes, command.source, "node")
    target = find(project.nodes, command.target, "node")
    source.outputs.append(Wire(command.target, command.kind))
    target.inputs.append(Wire(command.source, command.kind))
    connected = Connected(command.source, command.target, command.kind)
    context.emit(connected)
    return connected


@domain.command
def disconnect(project: Project, command: Disconnect, context: Context) -> Disconnected:
    """Take a connection away."""
    source = find(project.nodes, command.source, "node")
    target = find(project.nodes, command.target, "node")
    output = Wire(command.target, command.kind)
    if output not in source.outputs:
        message = f"No {command.kind.value} flows from {command.source} to {command.target}"
        raise Refused("not_connected", message, source=command.source, target=command.target)
    source.outputs.remove(output)
    target.inputs.remove(Wire(command.source, command.kind))
    disconnected = Disconnected(command.source, command.target, command.kind)
    context.emit(disconnected)
    return disconnected


def remove_channel(project: Project, channel: str) -> list[str]:
    """Remove a channel with its nodes and their connections; return the nodes."""
    nodes = [*project.channels.pop(channel).nodes]
    for node in nodes:
        _unplug(project, node)
    return nodes


def _unplug(project: Project, key: str) -> None:
    """Remove a node, and its end of each connection."""
    node = project.nodes.pop(key)
    for wire in node.inputs:
        project.nodes[wire.node].outputs.remove(Wire(key, wire.kind))
    for wire in node.outputs:
        project.nodes[wire.node].inputs.remove(Wire(key, wire.kind))


@domain.invariant
def nodes_have_one_channel(project: Project, changed: frozenset[KeyPath]) -> None:
    """Each node stands in the list of its channel, and in no other one."""
    agree(
        "node",
        project.nodes,
        lambda node: node.channel,
        lambda key: project.channels[key].nodes if key in project.channels else None,
        touched(project, changed, "nodes"),
        touched(project, changed, "channels"),
    )


@domain.invariant
def connections_fit(project: Project, changed: frozenset[KeyPath]) -> None:
    """Each connection has two ends with a port for its signal, and there is one of its kind."""
    for key in touched(project, changed, "nodes"):
        if node := project.nodes.get(key):
            for wire in node.outputs:
                _expect_connection(project, key, wire.node, wire.kind)
            for wire in node.inputs:
                _expect_connection(project, wire.node, key, wire.kind)


def _expect_connection(project: Project, source: str, target: str, kind: Signal) -> None:
    start, end = project.nodes.get(source), project.nodes.get(target)
    details = {"source": source, "target": target, "kind": kind.value}
    if not start or not end:
        message = f"The connection from {source} to {target} would have one end"
        raise Refused("dangling", message, **details)
    if kind not in PORTS[start.kind][1] or kind not in PORTS[end.kind][0]:
        message = f"No {kind.value} can flow from {start.kind.value} to {end.kind.value}"
        raise Refused("no_port", message, **details)
    ends = start.outputs.count(Wire(target, kind)), end.inputs.count(Wire(source, kind))
    if ends != (1, 1):
        message = f"There would be more than one connection from {source} to {target}"
        raise Refused("already_connected", message, **details)


@domain.invariant
def no_signal_returns(project: Project, changed: frozenset[KeyPath]) -> None:
    """No signal comes back to the node that it came from."""
    for key in touched(project, changed, "nodes"):
        ahead, seen = [key], {key}
        while ahead:
            node = project.nodes.get(ahead.pop())
            for wire in node.outputs if node else ():
                if wire.node == key:
                    message = f"The signal of {key} would come back to it: leave out a connection"
                    raise Refused("circle", message, node=key)
                if wire.node not in seen:
                    seen.add(wire.node)
                    ahead.append(wire.node)
