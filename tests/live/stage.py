"""A page in a real browser whose server is the test: it sends, holds back and answers messages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chromium import PATIENCE
from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route as Endpoint
from starlette.testclient import TestClient

ORIGIN = "http://stage.test"
# Each test ends with a look at these.
LISTENER = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`VIOLATION ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


def run_in(page: Page, code: str) -> Any:
    """Run statements that see the exports of `live.js` in a page."""
    names = "shared, local, live, bind, change, effect, increment, replace, remove, snapshot"
    return page.evaluate(f"() => import('/live/live.js').then(async ({{{names}}}) => {{ {code} }})")


def take_errors(errors: list[str], *expected: str) -> None:
    """Assert that each text has an error of its own, and each error a text; forget the errors."""
    for text in expected:
        found = [error for error in errors if text in error]
        assert found, f"no error with {text!r} in {errors}"
        errors[:] = [error for error in errors if text not in error]
    assert errors == []


class Stage:
    """A page, and the server that it talks to.

    Args:
        context: The browser.
        page_module: The emitted module `live.page`.
        html: The body of the page.
        shared: The shared states; None to send no snapshot.
        local: The local states.
        script: The module of the page, in JavaScript.
        functions: The client functions, in Python.
        pyodide: The folder of Pyodide.
        answers: Whether the server answers from the start.
    """

    def __init__(
        self,
        context: BrowserContext,
        page_module: Any,
        html: str,
        *,
        shared: dict[str, Any] | None = None,
        marks: dict[str, Any] | None = None,
        local: dict[str, Any] | None = None,
        script: str | None = None,
        functions: dict[str, str] | None = None,
        pyodide: Path | None = None,
        answers: bool = True,
    ) -> None:
        self.shared = shared or {}
        self.errors: list[str] = []
        self.lines: list[str] = []
        self.entries: list[dict[str, Any]] = []
        self.socket: WebSocketRoute | None = None
        self.sequence = 1
        self.answers = answers
        config = page_module.PageConfig(
            path="/live",
            shared={name: (marks or {}).get(name, {}) for name in self.shared},
            local={name: (values, False) for name, values in (local or {}).items()},
            functions=functions or {},
            pyodide=pyodide,
        )

        def show(_: Any) -> Response:
            name = None if script is None else "/script.js"
            response: Response = page_module.render_page(f"<body>{html}", config, script=name)
            return response

        def get_script(_: Any) -> Response:
            return Response(script, media_type="text/javascript")

        routes = [Endpoint("/", show), Endpoint("/script.js", get_script)]
        server = TestClient(Starlette(routes=[*routes, *page_module.asset_routes(config)]))

        def fulfil(route: Route) -> None:
            answer = server.get(route.request.url.removeprefix(ORIGIN))
            headers = dict(answer.headers)
            route.fulfill(status=answer.status_code, headers=headers, body=answer.content)

        self.page: Page = context.new_page()
        self.page.add_init_script(LISTENER)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.route(f"{ORIGIN}/**", fulfil)
        self.page.route_web_socket("**/live/ws", self._connect)
        self.page.goto(ORIGIN)
        self.wait_until("document.documentElement.dataset.liveStatus")

    def _note(self, message: Any) -> None:
        (self.errors if message.type == "error" else self.lines).append(message.text)

    def _connect(self, socket: WebSocketRoute) -> None:
        self.socket = socket
        socket.on_message(self._receive)

    def _receive(self, message: str | bytes) -> None:
        received = json.loads(message)
        if received["type"] == "hello":
            if self.answers:
                self.send_snapshot()
        elif received["type"] == "do":
            self.entries.append(received)
            if self.answers:
                self.sync(*received["do"], id=f"me:{received['id']}")

    def send(self, **message: Any) -> None:
        """Send a message to the page."""
        assert self.socket is not None
        self.socket.send(json.dumps([message]))

    def send_snapshot(self) -> None:
        """Send the shared states, as they were at the beginning."""
        limits = {"frame": 65536, "pending": 128, "rate": 200, "burst": 1000, "operations": 1000}
        self.send(
            type="snapshot",
            epoch="e",
            seq=self.sequence,
            states=self.shared,
            last=0,
            outcomes={},
            limits=limits,
            by="",
            client="me",
        )

    def sync(self, *operations: dict[str, Any], id: str = "other:1") -> None:  # noqa: A002
        """Send an entry, by default one of another client."""
        self.sequence += 1
        self.send(type="sync", seq=self.sequence, id=id, by="", at=0, do=operations)

    def set(self, path: str, value: Any) -> None:
        """Send that another client has set a value."""
        steps = [int(step) if step.isdecimal() else step for step in path.split(".")]
        self.sync({"op": "set", "path": steps, "value": value})

    @property
    def operations(self) -> list[dict[str, Any]]:
        """The operations that the page has sent."""
        return [operation for entry in self.entries for operation in entry["do"]]

    def run(self, code: str) -> Any:
        """Run statements that see the exports of `live.js`."""
        return run_in(self.page, code)

    def wait_until(self, expression: str, seconds: float = PATIENCE) -> None:
        """Wait until an expression is true; the page itself must not evaluate any."""
        for _ in range(int(seconds / 0.02)):
            if self.page.evaluate(f"() => !!({expression})"):
                return
            self.page.wait_for_timeout(20)
        raise AssertionError(f"{expression} did not become true; {self.errors}")

    def close(self) -> None:
        """Close the page, and check that nothing in it has failed."""
        self.page.wait_for_timeout(20)
        self.page.context.close()
        assert self.errors == []


Open = Callable[..., Stage]
