"""Every page, file, message and visitor that the server of live states accepts or refuses.

The emitted tests show one of each.
"""

import asyncio
import importlib
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect


@pytest.fixture(scope="module")
def modules(live_modules: SimpleNamespace) -> SimpleNamespace:
    """Return these modules and those of the server."""
    package = live_modules.live.__name__
    parts = ("door", "messages", "page", "presence", "static.facade")
    added = {name: importlib.import_module(f"{package}.{name}") for name in parts}
    return SimpleNamespace(**vars(live_modules), **added, facade=added["static.facade"])


def config_of(modules: SimpleNamespace, **changes: Any) -> Any:
    values: dict[str, Any] = {"path": "/live", "shared": {}, "local": {}, "functions": {}}
    return modules.page.PageConfig(**values | changes)


def client_for(modules: SimpleNamespace, config: Any) -> TestClient:
    return TestClient(Starlette(routes=modules.page.asset_routes(config)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<!DOCTYPE html><html><HEAD>x</HEAD ><p>", "<!DOCTYPE html><html><HEAD>x@</HEAD ><p>"),
        ("<!doctype html><title>x</title><body>", "<!doctype html><title>x</title>@<body>"),
        ("<!doctype html>\n<html lang=en><header>", "<!doctype html>\n<html lang=en>@<header>"),
        ("<p>", "<!doctype html>\n@<p>"),
        ("<!-- a --> <p>", "<!doctype html>\n<!-- a --> @<p>"),
    ],
)
def test_the_head_stands_before_the_content(
    modules: SimpleNamespace, text: str, expected: str
) -> None:
    config = config_of(modules)
    body = bytes(modules.page.render_page(text, config).body).decode()
    assert body == expected.replace("@", modules.page.head_of(config))


@pytest.mark.parametrize(("name", "value"), [("img src", "x"), ("a", "b; c"), ("a", "b\r\nc")])
def test_a_directive_cannot_add_another(modules: SimpleNamespace, name: str, value: str) -> None:
    with pytest.raises(ValueError, match="is not a directive"):
        modules.page.render_page("<p>", config_of(modules), csp={name: value})


@pytest.mark.parametrize("file", ["none.js", "ws", "..%2fpage.py", "pyodide", "a%00b"])
def test_nothing_else_is_served(modules: SimpleNamespace, file: str) -> None:
    client = client_for(modules, config_of(modules))
    assert client.get(f"/live/{file}").status_code == 404


def test_a_file_with_other_content_has_another_tag(
    modules: SimpleNamespace, tmp_path: Path
) -> None:
    module = tmp_path / "pyodide.mjs"
    module.write_text("export {};")
    client, url = client_for(modules, config_of(modules, pyodide=tmp_path)), "/live/pyodide/"
    tag = client.get(f"{url}{module.name}").headers["ETag"]
    module.write_text("export { };")
    response = client.get(f"{url}{module.name}", headers={"If-None-Match": tag})
    assert response.status_code == 200
    assert response.headers["ETag"] != tag


class Bridge:
    """The functions of JavaScript that a write needs, and the writes that they made."""

    def __init__(self) -> None:
        self.writes: list[Any] = []

    def get(self, of: Any, key: Any) -> Any:
        return of[key]

    def toJson(self, of: Any) -> str:  # noqa: N802 - as in JavaScript
        return json.dumps(of)

    def has(self, of: Any, key: Any) -> bool:
        return key in of

    def isList(self, of: Any) -> bool:  # noqa: N802
        return isinstance(of, list)

    def set(self, of: Any, key: Any, text: str) -> None:
        self.writes.append((key, text))


@pytest.mark.parametrize("value", [float("nan"), {1}, object()])
def test_a_value_that_is_not_json_changes_nothing(modules: SimpleNamespace, value: Any) -> None:
    bridge, states = Bridge(), {"room": {"n": 0}}
    modules.facade.start(bridge, states, "{}")
    view = modules.facade.view(states)
    with pytest.raises((TypeError, ValueError)):
        view.room.n = value
    assert bridge.writes == []
    view.room.n = 1
    assert bridge.writes == [("n", "1")]


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_only_one_version_is_spoken(modules: SimpleNamespace, version: Any) -> None:
    messages = modules.messages
    with pytest.raises(messages.Closing) as closed:
        messages.parse(json.dumps({"type": "hello", "v": version}).encode())
    assert closed.value.code == messages.CloseCode.OTHER_VERSION


def test_the_end_of_a_long_reason_is_cut_off(modules: SimpleNamespace) -> None:
    closing = modules.messages.Closing(modules.messages.CloseCode.FORBIDDEN, "x" + "é" * 80)
    assert closing.reason == "x" + "é" * 61


@contextmanager
def connected(
    modules: SimpleNamespace, authorize: Callable[[Any], Any]
) -> Generator[WebSocketTestSession]:
    """Connect to an application with one live state."""
    live, app = modules.live.Live(authorize=authorize), FastAPI()

    @live.shared
    def game() -> dict[str, Any]:
        return {"score": 0}

    live.mount(app)
    with TestClient(app) as client, client.websocket_connect("/live/ws") as socket:
        yield socket


def expect_close(code: int, socket: WebSocketTestSession) -> str:
    """Return the reason of the closing."""
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_text()
    assert closed.value.code == code
    return closed.value.reason


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 4400),
        ('{"type": "do", "id": 1, "do": [{}]}', 4400),
        ('{"type": "hello", "v": 2}', 4426),
        (" " * 65_537, 1009),
    ],
    ids=["no json", "no hello", "another version", "too large"],
)
def test_a_client_that_does_not_greet_is_closed(
    modules: SimpleNamespace, text: str, code: int
) -> None:
    with connected(modules, modules.live.anyone) as socket:
        socket.send_text(text)
        expect_close(code, socket)


def refuse_unknown(_: Any) -> None:
    raise HTTPException(401, "Log in first. " * 20)


def refuse_known(_: Any) -> None:
    raise HTTPException(403, "You are not a member.")


def refuse(_: Any) -> None: ...


@pytest.mark.parametrize(
    ("authorize", "code", "reason"),
    [
        (refuse_unknown, 4401, "Log in first."),
        (refuse_known, 4403, "You are not a member."),
        (refuse, 4403, "This visitor is not admitted"),
    ],
)
def test_a_visitor_that_is_not_authorized_is_closed(
    modules: SimpleNamespace, authorize: Callable[[Any], Any], code: int, reason: str
) -> None:
    with connected(modules, authorize) as socket:
        assert expect_close(code, socket).startswith(reason)


@pytest.mark.parametrize("found", [False, True])
def test_a_result_of_authorize_that_is_not_a_name_admits_no_visitor(
    modules: SimpleNamespace, found: bool
) -> None:
    with (
        pytest.raises(TypeError, match=f"authorize returned {found}: return a name"),
        connected(modules, lambda _: found) as socket,
    ):
        socket.receive_text()


def test_a_dict_may_have_more_names_than_its_journal(
    modules: SimpleNamespace, tmp_path: Path
) -> None:
    def start(values: dict[str, Any]) -> Any:
        log = modules.shared.LocalLog(modules.shared.EditJournal(tmp_path / "game.edits"))
        live, app = modules.live.Live(log=log), FastAPI()

        @live.shared
        def game() -> dict[str, Any]:
            return values

        live.mount(app)
        with TestClient(app):
            game.score += 1
        return game

    start({"score": 0})
    game = start({"score": 0, "players": ["ada"]})
    assert {**game} == {"score": 2, "players": ["ada"]}


def names(presence: Any) -> list[str]:
    return [visitor.id for visitor in presence.visitors]


@pytest.fixture
def processes(modules: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """Return a function that makes the presences of two processes, which hear each other."""
    monkeypatch.setattr(modules.presence, "GRACE_SECONDS", 0.03)
    monkeypatch.setattr(modules.presence, "GATHER_SECONDS", 0.01)

    def make() -> list[Any]:
        made: list[Any] = []

        def add(number: int) -> Any:
            def broadcast(message: bytes) -> None:
                for other, presence in enumerate(made):
                    if other != number:
                        presence.receive(str(number), message)

            return modules.presence.Presence(broadcast=broadcast)

        made += [add(0), add(1)]
        return made

    return make


def test_a_visitor_that_goes_from_process_to_process_stays_one(
    processes: Callable[[], list[Any]],
) -> None:
    async def story() -> None:
        first, second = processes()
        first.join("ada", "Ada")
        first.refresh()
        version, _ = second.since(0)
        second.join("ada", "Ada")
        first.leave("ada")
        await asyncio.sleep(0.1)
        assert names(first) == names(second) == ["ada"]
        _, (message,) = second.since(version)
        changes = json.loads(message)
        assert [visitor["id"] for visitor in changes["changed"]] == ["ada"]
        assert changes["gone"] == []
        first.close()
        second.close()

    asyncio.run(asyncio.wait_for(story(), 10))


def test_a_visitor_that_was_never_announced_may_leave(
    processes: Callable[[], list[Any]],
) -> None:
    async def story() -> None:
        first, second = processes()
        gone = {"complete": False, "changed": [], "gone": ["unknown"]}
        second.receive("0", json.dumps(gone).encode())
        assert not second.visitors
        first.close()
        second.close()

    asyncio.run(asyncio.wait_for(story(), 10))
