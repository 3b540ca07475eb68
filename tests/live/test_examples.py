"""The two applications that the guides begin with run exactly as they are written."""

import importlib
import json
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CHAT = """
from typing import Any
from shown.live import Counter, Live, ServerOnly, Visitor
from shown.paths import state_file
from shown.state import State, field
from shown.state.shared import EditJournal, LocalLog

live = Live(log=LocalLog(EditJournal(state_file().with_name("chat.edits"))))   # Live() alone keeps everything in memory

class Message(State):
    author: str
    text: str

class ChatRoom(State):
    messages: list[Message] = field(default_factory=list[Message])
    score: Counter = 0
    active_users: ServerOnly[int] = 0

@live.shared
def chat_room() -> ChatRoom:
    return ChatRoom()

@live.local(persist=True)
def ui() -> dict[str, Any]:
    return {"name": "Guest", "draft": ""}

@live.client                                  # runs in the browser, in Pyodide
def send(event: Any) -> None:
    chat_room.messages.append(Message(author=ui.name, text=ui.draft))
    ui.draft = ""

@live.on_connect
@live.on_disconnect
def count(visitor: Visitor) -> None:          # runs on the server: the decorated name is the state
    chat_room.active_users = len(live.visitors)
"""  # noqa: E501 - as it is shown

GAME = """
from shown.live import Live

live = Live()

@live.shared
def game_state(): return {"score": 0}
@live.shared
def chat_room(): return {"messages": [], "active_users": 0}
@live.local
def player_state(): return {"name": "Player 1"}
@live.client
def score_point(event):
    game_state.score += 1                      # for everybody
    print(f"{player_state.name} scored!")      # here
"""


class Tab:
    """One open page: a connection, its first states, and the messages that it has received."""

    def __init__(self, socket: Any, secret: str) -> None:
        self._socket, self._number = socket, 0
        self._received: list[dict[str, Any]] = []
        hello = {"type": "hello", "v": 1, "secret": secret * 32, "epoch": None, "seq": 0}
        socket.send_json({**hello, "pending": []})
        self.states: dict[str, Any] = self.receive("snapshot")["states"]

    def receive(self, kind: str) -> dict[str, Any]:
        """Return the next message of a kind, and forget those before it."""
        while True:
            while not self._received:
                self._received += self._socket.receive_json()
            if (message := self._received.pop(0))["type"] == kind:
                return message

    def do(self, *operations: dict[str, Any]) -> None:
        """Send an entry."""
        self._number += 1
        self._socket.send_json({"type": "do", "id": self._number, "do": operations})

    def receive_until(self, operation: dict[str, Any]) -> None:
        """Wait for an entry of one operation."""
        while self.receive("sync")["do"] != [operation]:
            pass


@contextmanager
def two_tabs(module: ModuleType) -> Generator[tuple[Tab, Tab]]:
    """Serve the live states of a module to two tabs."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = FastAPI()
    module.live.mount(app)
    here = ("127.0.0.1", 50_000)
    with (
        TestClient(app, base_url="http://127.0.0.1:8000", client=here) as client,
        client.websocket_connect("ws://127.0.0.1:8000/live/ws") as one,
        client.websocket_connect("ws://127.0.0.1:8000/live/ws") as other,
    ):
        yield Tab(one, "a"), Tab(other, "b")


@pytest.fixture
def load(live_module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that imports a source as a new module."""
    package = live_module.__name__.partition(".")[0]
    monkeypatch.setenv(f"{package.upper()}_STATE_FILE", str(tmp_path / "state.json"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)

    def load(name: str, source: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(source.replace("shown", package))
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return load


def config_of(module: ModuleType) -> dict[str, Any]:
    found = re.search(r'id="live">(.*?)</script>', module.live.head())
    assert found
    config: dict[str, Any] = json.loads(found[1])
    return config


def test_the_chat_is_shared_by_two_tabs_and_kept(load: Any) -> None:
    chat = load("contract_chat", CHAT)
    config = config_of(chat)
    assert config["local"] == {"ui": {"values": {"name": "Guest", "draft": ""}, "persist": True}}
    assert config["functions"]["send"] == (
        "def send(event):\n"
        "    chat_room.messages.append(Message(author=ui.name, text=ui.draft))\n"
        "    ui.draft = ''\n"
    )
    message = {"author": "Guest", "text": "hello"}
    append = {"op": "append", "path": ["chat_room", "messages"], "value": message}
    point = {"op": "increment", "path": ["chat_room", "score"], "value": 1}
    with two_tabs(chat) as (one, other):
        one.do(append)
        other.do(point)
        for tab in (one, other):
            tab.receive_until(append)
        one.do({"op": "set", "path": ["chat_room", "active_users"], "value": 7})
        assert one.receive("refused")["code"] == "forbidden"
        assert chat.chat_room.active_users == 2
        other.receive_until(point)
    again = load("contract_chat", CHAT)
    with two_tabs(again) as (one, _):
        assert one.states["chat_room"]["messages"] == [message]
        assert one.states["chat_room"]["score"] == 1
    again.send(None)
    assert again.chat_room.messages[-1].text == ""


def test_the_game_without_types_counts_the_points_of_both_tabs(load: Any, capsys: Any) -> None:
    game = load("contract_game", GAME)
    point = {"op": "increment", "path": ["game_state", "score"], "value": 1}
    with two_tabs(game) as (one, other):
        assert one.states["chat_room"] == {"messages": [], "active_users": 0}
        one.do(point)
        other.do(point)
        for tab in (one, other):
            tab.receive_until(point)
            tab.receive_until(point)
        game.score_point(None)
        one.receive_until(point)
    assert game.game_state.score == 3
    assert capsys.readouterr().out == "Player 1 scored!\n"
