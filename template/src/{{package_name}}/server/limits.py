"""The limits of the state server, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of a server. The reply to `session.hello` has them.

    Args:
        max_header_bytes: Size of the header of a frame, with its empty line.
        max_frame_bytes: Size of the body of a frame that a client sends.
        max_message_bytes: Size of the body of a frame that the server sends, such as a snapshot.
        hello_seconds: Time until a new connection must have sent `session.hello`.
        ping_seconds: Silence of a client after which the server sends `session.ping`.
        silent_seconds: Silence of a client after which its connection is closed.
        commands_per_second: Commands of one client, on average.
        burst: Commands that a client may send at once after a pause.
        max_pending: Commands of one client that are not answered yet.
        outbox_messages: Messages that wait for a client which does not read.
        outbox_bytes: Size of those messages.
        closing_seconds: Time in which the clients must read the last messages at shutdown.
    """

    max_header_bytes: int = 256
    max_frame_bytes: int = 1_048_576
    max_message_bytes: int = 67_108_864
    hello_seconds: float = 5.0
    ping_seconds: float = 15.0
    silent_seconds: float = 45.0
    commands_per_second: float = 2_000.0
    burst: int = 4_000
    max_pending: int = 128
    outbox_messages: int = 1_024
    outbox_bytes: int = 4_194_304
    closing_seconds: float = 2.0
