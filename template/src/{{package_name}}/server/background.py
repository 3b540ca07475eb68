"""Work that takes time, or that reads and writes outside the document. It is yours."""

from .server import Server


def start_background_work(server: Server) -> None:
    """Register functions that the server calls after events.

    For example `server.on(Counted, announce)`, where `announce` is an async function that gets
    the event and a client; the only way in which it can change anything is a command.
    """
