"""Windows of a real browser on a real service, whose lines a test can hold back or cut."""

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from chromium import PATIENCE
from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute, expect
from websockets.sync.client import ClientConnection, connect

from live.stage import LISTENER, run_in

# The browser itself reports a line that does not come about.
LOST = "WebSocket connection to"
# A module in the place of Pyodide that does not become ready.
NEVER = "export const loadPyodide = () => new Promise(() => {});"


class Line:
    """The connections of a page with its service, one after the other.

    Attributes:
        sent: The entries that the page has sent.
        on_entry: Called with a function that sends an entry on to the service.
    """

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.on_entry: Callable[[Callable[[], None]], object] = lambda send: send()
        self._held: list[Callable[[], None]] | None = None
        self._end: Callable[[], None] = lambda: None

    def connect(self, socket: WebSocketRoute) -> None:
        """Take a new connection of the page."""
        server = socket.connect_to_server()
        is_open = True

        def end() -> None:
            nonlocal is_open
            is_open = False
            server.close()
            socket.close(code=1012)

        def pass_on(target: WebSocketRoute, frame: str | bytes) -> None:
            def send() -> None:
                if is_open:
                    target.send(frame)

            if self._held is None:
                send()
            else:
                self._held.append(send)

        def take(frame: str | bytes) -> None:
            message, send = json.loads(frame), partial(pass_on, server, frame)
            if message["type"] == "do":
                self.sent.append(message)
                self.on_entry(send)
            else:
                send()

        socket.on_message(take)
        server.on_message(lambda frame: pass_on(socket, frame))
        self._end = end

    def cut(self) -> None:
        """Drop the line, as a service does that ends; messages on the way are lost."""
        self._end()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold back all messages, in both directions, until the end of a block."""
        self._held = []
        yield
        held, self._held = self._held, None
        for send in held:
            send()


def _delay(route: Route) -> None:
    route.fulfill(content_type="text/javascript", body=NEVER)


class Window:
    """A page in a window, with all errors that it reports.

    Args:
        context: The browser.
        url: The page.
        is_routed: Whether the test may hold its line; the browser itself keeps the others.
        has_python: Whether Python starts in it, which takes seconds.
    """

    def __init__(
        self,
        context: BrowserContext,
        url: str,
        *,
        is_routed: bool = True,
        has_python: bool = False,
    ) -> None:
        self.errors: list[str] = []
        self.line = Line()
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.add_init_script(LISTENER)
        if is_routed:
            self.page.route_web_socket("**/live/ws", self.line.connect)
        if not has_python:
            self.page.route("**/pyodide.mjs", _delay)
        self.page.goto(url)
        self.expect_status("online")

    def _note(self, message: Any) -> None:
        if message.type == "error" and LOST not in message.text:
            self.errors.append(message.text)

    def run(self, code: str) -> Any:
        """Run statements that see the exports of `live.js`."""
        return run_in(self.page, code)

    def wake(self) -> None:
        """Let a page that is offline connect at once, as when the network is back."""
        self.page.evaluate("() => { dispatchEvent(new Event('online')); }")

    def settle(self) -> None:
        """Wait until each entry of the page has its answer."""
        self.run("await live.settled()")

    def expect_status(self, status: str) -> None:
        """Wait until the page shows a state of the line."""
        expect(self.page.locator("html")).to_have_attribute("data-live-status", status)

    def expect_visitors(self, number: int) -> None:
        """Wait until the page knows so many visitors, whose changes come together after a while."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.run("return live.visitors.length")) != number:
            assert time.monotonic() < deadline, f"the page knows {found} visitors, not {number}"
            time.sleep(0.05)

    def expect_texts(self, selector: str, texts: Sequence[str]) -> None:
        """Wait until elements have these texts."""
        expect(self.page.locator(selector)).to_have_text(texts)


class Raw:
    """A client without a browser: it sees the states of the service, and sends any message."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        hello = {"v": 1, "secret": secrets.token_hex(16), "epoch": None, "seq": 0, "pending": []}
        self.send(type="hello", **hello)
        self.welcome = self.receive("snapshot")

    def send(self, **message: Any) -> None:
        """Send a message."""
        self._connection.send(json.dumps(message))

    def receive(self, *types: str) -> dict[str, Any]:
        """Return the next message of one of some types."""
        while True:
            for message in json.loads(self._connection.recv(PATIENCE)):
                if message["type"] in types:
                    found: dict[str, Any] = message
                    return found

    def write(self, number: int, *operations: dict[str, Any]) -> dict[str, Any]:
        """Send an entry, and return its answer."""
        self.send(type="do", id=number, do=operations)
        mine = f"{self.welcome['client']}:{number}"
        while (answer := self.receive("sync", "done", "refused"))["id"] not in (number, mine):
            pass
        return answer


@contextlib.contextmanager
def raw_client(url: str) -> Iterator[Raw]:
    """Connect a client without a browser."""
    with connect(f"{url.replace('http', 'ws')}/live/ws") as connection:
        yield Raw(connection)


def states_of(url: str) -> dict[str, Any]:
    """Return the shared states as the service has them."""
    with raw_client(url) as raw:
        states: dict[str, Any] = raw.welcome["states"]
        return states


Open = Callable[..., Window]
