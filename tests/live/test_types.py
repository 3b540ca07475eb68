"""Type checkers know live states: correct use passes, and each mistake is found."""

from pathlib import Path

import pytest
from type_checkers import Checker, expect_errors, mypy, pyright

RIGHT = """
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, assert_type

from fastapi import FastAPI, Response
from fastapi.requests import HTTPConnection
from pydantic import BaseModel

from shown.live import Counter, Fields, Limits, Live, ServerOnly, Visitor, anyone, replace
from shown.state import State, field
from shown.state.shared import LocalLog, Refusal
from shown.state.typed import Operation


async def authorize(connection: HTTPConnection) -> str | None:
    return connection.headers.get("x-user")


live = Live(log=LocalLog(), authorize=authorize, path="/states", limits=Limits(rate=5))
Live(authorize=anyone, pyodide="https://example.org/pyodide/")


class Message(State):
    author: str
    text: str


class ChatRoom(State):
    messages: list[Message] = field(default_factory=list[Message])
    score: Counter = 0
    active_users: ServerOnly[int] = 0


@dataclass
class Board:
    title: str


class Person(BaseModel):
    name: str


class Game(TypedDict):
    score: Counter


@live.shared
def chat_room() -> ChatRoom:
    return ChatRoom()


def allow(visitor: Visitor, operation: Operation) -> bool:
    return operation["op"] == "append" and visitor.by != ""


@live.shared(allow=allow)
def board() -> Board:
    return Board("x")


@live.shared
def person() -> Person:
    return Person(name="ada")


@live.shared
def game() -> Game:
    return {"score": 0}


@live.shared
def counts() -> dict[str, Any]:
    return {"score": 0}


@live.local(persist=True)
def ui() -> dict[str, Any]:
    return {"name": "Guest", "draft": ""}


@live.local(persist="tab")
def panel() -> Board:
    return Board("y")


@live.local
def place() -> ChatRoom:
    return ChatRoom()


@live.client
def send(event: Any) -> None:
    chat_room.messages.append(Message(author=ui.name, text=ui.draft))
    ui.draft = ""


@live.on_connect
@live.on_disconnect
def count(visitor: Visitor) -> None:
    chat_room.active_users = len(live.visitors)


@live.on_refused
async def note(visitor: Visitor, refusal: Refusal) -> None:
    print(visitor.id, refusal.code)


def use(app: FastAPI) -> Response:
    assert_type(chat_room, ChatRoom)
    assert_type(board, Board)
    assert_type(person.name, str)
    assert_type(game, Game)
    assert_type(counts, Fields)
    assert_type(ui, Fields)
    assert_type(panel, Board)
    assert_type(place, ChatRoom)
    with live.change():
        chat_room.score += 1
        game["score"] += 1
        counts.score += 1
        counts["score"] += 1
    replace(chat_room, "score", 0)
    send(None)
    live.mount(app)
    assert_type(live.head(), str)
    return live.page("<p>Hi</p>", script="/chat.js", csp={"img-src": "*"})


kind: Literal["tab"] = "tab"
live.local(persist=kind)
"""

# Both checkers must report each marked line, and no other.
WRONG = """
from typing import Any, TypedDict

from shown.live import Counter, Live, ServerOnly, Visitor
from shown.state import State, field


class Message(State):
    author: str


class ChatRoom(State):
    messages: list[Message] = field(default_factory=list[Message])
    score: Counter = "none"  # wrong
    active_users: ServerOnly[int] = "nobody"  # wrong


class Game(TypedDict):
    score: int


live = Live(path=3)  # wrong
Live("log")  # wrong


@live.shared
def chat_room() -> ChatRoom:
    return ChatRoom()


@live.shared
def game() -> Game:
    return {"score": 0}


@live.local(persist=True)
def ui() -> ChatRoom:
    return ChatRoom()


@live.shared  # wrong
def needs(argument: int) -> ChatRoom:
    return ChatRoom()


@live.local(persist="window")  # wrong
def kept() -> ChatRoom:
    return ChatRoom()


@live.client
def send(event: Any) -> None:
    chat_room.scores += 1  # wrong


def use() -> None:
    chat_room()  # wrong
    chat_room.score = "many"  # wrong
    chat_room.messages.append("hello")  # wrong
    chat_room.messages.append(Message(author=1))  # wrong
    chat_room.message  # wrong
    chat_room.active_users = None  # wrong
    ui.nothing  # wrong
    ui()  # wrong
    game.score  # wrong
    game["scores"] = 1  # wrong
    live.visitors[0].name  # wrong
    live.page(3)  # wrong
    send()  # wrong
    live.shared(allow=lambda visitor: True)  # wrong


def allow(visitor: Visitor) -> bool:
    return True
"""


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_correct_use_passes_and_each_mistake_is_found(
    checker: Checker, live_source: Path, tmp_path: Path
) -> None:
    expect_errors(checker, live_source, tmp_path, RIGHT, WRONG)
