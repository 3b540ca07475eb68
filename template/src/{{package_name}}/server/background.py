"""Work that takes time, or that reads and writes outside the document. It is yours."""

from .server import Server


def start_background_work(server: Server) -> None:
    """Register async functions that the server calls after events, by `server.on(Event, function)`.

    A function gets the event and a client. It changes the document by commands of this client.
    """
