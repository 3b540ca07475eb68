"""The messages between browsers and the door: JSON objects in the text frames of a WebSocket."""

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, NoReturn, cast

from ..state import _json
from ..state.errors import CorruptStateError, StoreUnavailableError
from ..state.shared import Position, Refusal
from ..state.shared.entry import MAX_NUMBER
from ..state.shared.outcomes import Settled
from ..state.typed._view import MAX_SAFE_INTEGER
from ..state.typed.operations import MAX_DEPTH, check_json
from .definitions import check_for_browser
from .limits import Limits

VERSION = 1
# Bytes of a frame that joins several messages; a larger message has a frame of its own.
FRAME_BYTES = 60_000
# Bytes of the presence of a visitor, as JSON.
PRESENCE_BYTES = 1_024
# Bytes of the reason in the frame that closes a connection (RFC 6455).
REASON_BYTES = 123
# Random characters, which only the tab of a browser knows.
_SECRET = re.compile(r"[!-~]{32}")
_SNAPSHOT = b'{"type":"snapshot",'
_NOT_JSON = (CorruptStateError, StoreUnavailableError)
# The details of a refusal that a client gets.
_DETAILS = ("path", "found", "retry_after")


class CloseCode(IntEnum):
    """The codes with which the door closes connections."""

    STOPPED = 1012
    BINARY = 1003
    TOO_LARGE = 1009
    UNREACHABLE = 1013
    INVALID = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    TAKEN_OVER = 4409
    TOO_MANY_VISITORS = 4413
    OTHER_VERSION = 4426
    TOO_FAST_OR_SLOW = 4429


class Closing(Exception):  # noqa: N818 - not every reason to close is an error
    """Raised to close a connection.

    Args:
        code: The code, for programs.
        reason: The reason, for people; the end of a long one is cut off.
    """

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:REASON_BYTES].decode(errors="ignore")


class Hello(NamedTuple):
    """The first message of a client."""

    secret: str
    position: Position | None
    pending: Sequence[int]


class Do(NamedTuple):
    """An entry of a client: operations, of which all are applied or none."""

    id: int
    do: Sequence[Any]


class Present(NamedTuple):
    """Something that a client shows about itself to the others, null for nothing."""

    value: Any


def parse(data: bytes) -> Hello | Do | Present:
    """Return the message of a client.

    Raises:
        Closing: The data is not one.
    """
    try:
        form: object = _json.decode(data, "the message")
    except _NOT_JSON as error:
        raise Closing(CloseCode.INVALID, "The message is not valid JSON") from error
    members = cast(dict[str, Any], form) if isinstance(form, dict) else {}
    match members.get("type"):
        case "hello":
            return _parse_hello(members)
        case "do":
            return _parse_do(members)
        case "presence":
            return _parse_presence(members)
        case _:
            _refuse("expected 'type' to be 'hello', 'do' or 'presence'")


def _parse_hello(members: Mapping[str, Any]) -> Hello:
    if members.get("v") != VERSION:
        raise Closing(CloseCode.OTHER_VERSION, f"Only version {VERSION} is spoken: reload the page")
    secret, epoch, seq = members.get("secret"), members.get("epoch"), members.get("seq")
    pending = members.get("pending")
    if not (isinstance(secret, str) and _SECRET.fullmatch(secret)):
        _refuse("hello: expected 'secret' to be 32 ASCII characters without blanks")
    if not (epoch is None or isinstance(epoch, str)):
        _refuse("hello: expected 'epoch' to be a text or null")
    if not (type(seq) is int and seq >= 0):
        _refuse("hello: expected 'seq' to be a whole number from 0")
    if not (isinstance(pending, list) and all(map(_is_number, cast(list[object], pending)))):
        _refuse("hello: expected 'pending' to be a list of numbers of entries")
    position = None if epoch is None else Position(epoch, seq)
    return Hello(secret, position, cast(list[int], pending))


def _parse_do(members: Mapping[str, Any]) -> Do:
    number, do = members.get("id"), members.get("do")
    if not _is_number(number):
        _refuse(f"do: expected 'id' to be a whole number from 1 to {MAX_NUMBER}")
    if not (isinstance(do, list) and do):
        _refuse("do: expected 'do' to be a list of operations")
    return Do(cast(int, number), cast(list[object], do))


def _parse_presence(members: Mapping[str, Any]) -> Present:
    value = members.get("value")
    if not (value is None or isinstance(value, dict)):
        _refuse("presence: expected 'value' to be an object or null")
    form = cast(object, value)
    try:
        check_json(form, MAX_DEPTH, MAX_SAFE_INTEGER)
        check_for_browser(form)
    except ValueError as error:
        _refuse(f"presence: expected 'value' to be JSON for browsers: {error}")
    if len(_json.encode("presence", value)) > PRESENCE_BYTES:
        _refuse(f"presence: expected 'value' to have at most {PRESENCE_BYTES} bytes")
    return Present(value)


def _is_number(value: object) -> bool:
    return type(value) is int and 1 <= value <= MAX_NUMBER


def _refuse(reason: str) -> NoReturn:
    raise Closing(CloseCode.INVALID, reason)


def is_snapshot(message: bytes) -> bool:
    """Return whether a message of a feed gives all states."""
    return message.startswith(_SNAPSHOT)


def complete_snapshot(
    message: bytes,
    client: str,
    outcomes: tuple[int, Mapping[int, Settled]],
    limits: Limits,
    by: str,
) -> bytes:
    """Return a snapshot with everything that one client alone gets in it."""
    own = {"client": client, **_settled(outcomes, limits), "by": by}
    return message[:-1] + b"," + _encode(own)[1:]


def resume(
    position: Position,
    client: str,
    outcomes: tuple[int, Mapping[int, Settled]],
    limits: Limits,
) -> bytes:
    """Return the message before the entries that a client has missed."""
    head = {"type": "resume", "epoch": position.epoch, "seq": position.seq, "client": client}
    return _encode({**head, **_settled(outcomes, limits)})


def _settled(outcomes: tuple[int, Mapping[int, Settled]], limits: Limits) -> dict[str, Any]:
    last, known = outcomes
    names = ("frame", "pending", "rate", "burst", "operations")
    return {
        "last": last,
        "outcomes": {str(number): outcome for number, outcome in known.items()},
        "limits": {name: getattr(limits, name) for name in names},
    }


def done(number: int, seq: int) -> bytes:
    """Return the answer to an entry that was applied before."""
    return _encode({"type": "done", "id": number, "seq": seq})


def refused(number: int, refusal: Refusal) -> bytes:
    """Return the answer to an entry that was refused."""
    details = {name: refusal.details[name] for name in _DETAILS if name in refusal.details}
    head = {"type": "refused", "id": number, "code": refusal.code, "message": refusal.message}
    return _encode(head | details)


def tick(seq: int) -> bytes:
    """Return the message that shows that the line is alive."""
    return _encode({"type": "tick", "seq": seq})


def visitors(changed: Sequence[Mapping[str, Any]], gone: Sequence[str]) -> bytes:
    """Return the message about visitors that have come, changed or left."""
    return _encode({"type": "visitors", "changed": changed, "gone": gone})


def _encode(message: Mapping[str, Any]) -> bytes:
    return _json.encode(str(message.get("type")), message)


class Joiner:
    """Joins messages to frames; those that many clients get in one turn are joined once."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._frames: list[str] = []

    def join(self, messages: list[bytes]) -> list[str]:
        """Return the text frames, each a JSON array, that carry some messages in their order."""
        if messages != self._messages:  # equal ones are the same objects: this is fast
            self._messages = messages
            self._frames = [f"[{b','.join(each).decode()}]" for each in _split(messages)]
        return self._frames


def _split(messages: Sequence[bytes]) -> list[list[bytes]]:
    """Return the messages in parts of at most `FRAME_BYTES`, or of one message."""
    parts: list[list[bytes]] = []
    room = 0
    for message in messages:
        room -= len(message) + 1
        if room < 0:
            parts.append([])
            room = FRAME_BYTES - len(message) - 2
        parts[-1].append(message)
    return parts
