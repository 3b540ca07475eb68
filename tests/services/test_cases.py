"""Every text of a log, fault of a request, host and subscriber that a web service meets.

The emitted tests show some of them.
"""

import asyncio
import importlib
import io
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import httpx2
import pytest
from answers import everything
from fastapi import Body, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient
from starlette import exceptions
from support import render_once

PACKAGE = "served"
STATE = "/api/state/acme/ada"
SUBSCRIBE = f"ws://localhost{STATE}/subscribe"


@pytest.fixture(scope="module")
def modules(shared: Path) -> SimpleNamespace:
    """Import the modules of a web service, to use them in the process of the tests."""
    answers = everything("web_service", package_name=PACKAGE, include_live_state=False)
    sys.path.insert(0, str(render_once(shared, **answers) / "src"))
    names = ("access_log", "logs", "problems", "state", "state_api")
    found = {name: importlib.import_module(f"{PACKAGE}.{name}") for name in names}
    return SimpleNamespace(**found)


# Formatted, not logged: pytest would print the record, and cannot print every character.
TEXTS = ["a\nb", "a\r\x85\u2028b", '"}\n{"', "\x00\x1b[2J", "\ud800", "é"]


def formatted(modules: SimpleNamespace, **fields: Any) -> dict[str, Any]:
    """Return the members of the only line of a record."""
    text = modules.logs.JsonFormatter().format(logging.makeLogRecord(fields))
    assert text.isascii()
    assert text.splitlines() == [text]
    line: dict[str, Any] = json.loads(text)
    return line


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_no_text_breaks_a_line(modules: SimpleNamespace, text: str) -> None:
    line = formatted(modules, **{"msg": "%s", "args": (text,), "field": text, text: 1})
    assert (line["message"], line["field"], line[text]) == (text, text, 1)


@pytest.mark.parametrize("text", [*TEXTS, "\x7f\x9b2J"], ids=ascii)
def test_a_text_cannot_control_the_terminal_or_pass_for_a_record(
    modules: SimpleNamespace, text: str
) -> None:
    record = logging.makeLogRecord({"levelname": "ERROR", "msg": text, "field": text})
    shown = modules.logs.TextFormatter().format(record)
    assert "".join(shown.split(" ")).isprintable()
    assert shown.count("ERROR") == 1


@pytest.mark.parametrize("name", ["time", "level", "logger", "exception", "repeats", "stack"])
def test_an_extra_field_does_not_pass_for_another_member(
    modules: SimpleNamespace, name: str
) -> None:
    line = formatted(modules, **{"msg": "done", name: "forged"})
    assert line.pop(f"extra_{name}") == "forged"
    assert "forged" not in line.values()


def test_an_argument_without_a_name_is_no_field(modules: SimpleNamespace) -> None:
    assert "path" not in formatted(modules, msg="got %s", args=({("a", 1): 2, "path": "/x"},))


def test_without_an_exception_there_is_no_member_for_it(modules: SimpleNamespace) -> None:
    assert "exception" not in formatted(modules, exc_info=(None, None, None))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    yield root
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("form", ["json", "text"])
def test_the_format_can_be_chosen(
    modules: SimpleNamespace,
    root: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    stream: type[io.StringIO],
    form: str,
) -> None:
    shown = stream()
    monkeypatch.setattr(sys, "stderr", shown)
    modules.logs.set_up("INFO", form)
    root.info("Ready")
    last = shown.getvalue().splitlines()[-1]
    assert last.startswith("{") is (form == "json")
    assert shown.isatty() or "\x1b" not in last


def take(amounts: Annotated[dict[str, int], Body()]) -> int:
    return sum(amounts.values())


def show(number: int) -> int:
    return number


def fail() -> None:
    raise RuntimeError


def find_fault() -> None:
    raise RequestValidationError([{"msg": "It is never right."}])


@pytest.fixture
def client(modules: SimpleNamespace) -> TestClient:
    app = modules.problems.ProblemAPI(hosts=["localhost", "[::1]"])
    app.post("/amounts")(take)
    app.get("/amounts/{number}")(show)
    app.get("/find-fault")(find_fault)
    return TestClient(app, base_url="http://localhost")


def expect(status: int, answer: httpx2.Response) -> dict[str, Any]:
    """Return the problem in the answer."""
    problem: dict[str, Any] = answer.json()
    assert answer.status_code == problem["status"] == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    return problem


def test_an_endpoint_finds_faults_of_its_own(client: TestClient) -> None:
    (fault,) = expect(422, client.get("/find-fault"))["errors"]
    assert fault == {"location": "body", "pointer": "", "message": "It is never right."}


def test_an_answer_stays_short_however_many_faults_there_are(client: TestClient) -> None:
    answer = client.post("/amounts", json=dict.fromkeys(map(str, range(1000)), "x"))
    assert len(expect(422, answer)["errors"]) == 20


def test_names_that_cannot_be_encoded_are_a_problem(client: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/amounts", content=rb'{"\ud800": "x"}', headers=headers)
    assert expect(422, answer)["errors"]


def test_a_body_without_a_length_is_bounded_as_well(
    modules: SimpleNamespace, client: TestClient
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * (modules.problems.MAX_BODY // 4)

    async def post() -> httpx2.Response:
        transport = httpx2.ASGITransport(client.app)
        async with httpx2.AsyncClient(transport=transport) as streaming:
            return await streaming.post("http://localhost/amounts", content=chunks())

    expect(413, asyncio.run(post()))


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST", "[::1]", "[::1]:8000"])
def test_case_and_port_of_a_host_do_not_matter(client: TestClient, host: str) -> None:
    assert client.get("/amounts/1", headers={"Host": host}).json() == 1


def test_any_host_can_be_allowed(modules: SimpleNamespace) -> None:
    app = modules.problems.ProblemAPI(hosts=["*"])
    expect(404, TestClient(app, base_url="http://evil.example").get("/nowhere"))


def test_a_mounted_application_may_handle_its_errors_itself(modules: SimpleNamespace) -> None:
    def apologize(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("Sorry", 500)

    outer, inner = modules.problems.ProblemAPI(hosts=["localhost"]), FastAPI()
    inner.get("/fail")(fail)
    inner.exception_handlers |= {Exception: apologize, exceptions.HTTPException: apologize}
    outer.mount("/handled", inner)
    client = TestClient(outer, base_url="http://localhost", raise_server_exceptions=False)
    assert client.get("/handled/fail").text == client.get("/handled/nowhere").text == "Sorry"


def test_a_request_to_a_mounted_application_is_one_line_with_one_id(
    modules: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app, inner = modules.problems.ProblemAPI(hosts=["localhost"]), modules.problems.ProblemAPI()
    inner.get("/greeting")(lambda: "Hello")
    app.mount("/inner", inner)
    answer = TestClient(app, base_url="http://localhost").get("/inner/greeting")
    (line,) = [each for each in caplog.records if each.name == modules.access_log.__name__]
    assert isinstance(line.args, dict)
    assert line.args["path"] == "/inner/greeting"
    assert len(answer.headers.get_list("X-Request-ID")) == 1


def allow(_connection: object, _workspace_id: str, _user_id: str) -> bool:
    return True


def serving(modules: SimpleNamespace, store: Any, *hosts: str) -> Any:
    """Return an application that serves the states in a store."""
    app = modules.problems.ProblemAPI(hosts=hosts)
    modules.state_api.serve_state(app, store, allow)
    return app


def count_watching(store: Any) -> int:
    return len(store._watchers.current())


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_each_pair_of_ids_has_a_state_of_its_own(modules: SimpleNamespace) -> None:
    app = serving(modules, modules.state.MemoryStore(), "localhost")
    client = TestClient(app, base_url="http://localhost")
    paths = [f"/api/state/{ids}" for ids in ("a/b", "a:b/c", "a/b:c", "a%25/b", "%C3%A9%20/%00")]
    for number, path in enumerate(paths):
        assert client.post(path, json={"number": number}).status_code == 204
    assert [client.get(path).json()["number"] for path in paths] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("https://evil.example", "any.example:8000", 403),
        ("http://*", "any.example", 403),
        ("null", "", 403),
        ("https://any.example", "any.example:8000", 204),
    ],
)
def test_where_any_host_is_allowed_a_page_must_use_its_own(
    modules: SimpleNamespace, origin: str, host: str, status: int
) -> None:
    client = TestClient(serving(modules, modules.state.MemoryStore(), "*"))
    answer = client.post(STATE, json={}, headers={"Origin": origin, "Host": host})
    assert answer.status_code == status
    if status == 403:
        assert expect(403, answer)["code"] == "permission_denied"


def test_a_subscription_ends_when_the_subscriber_disconnects(modules: SimpleNamespace) -> None:
    store = modules.state.MemoryStore()
    client = TestClient(serving(modules, store, "localhost"), base_url="http://localhost")
    with ExitStack() as stack:
        sockets = [stack.enter_context(client.websocket_connect(SUBSCRIBE)) for _ in range(20)]
        wait_until(lambda: count_watching(store) == 20)
        for socket in sockets:
            socket.close()
        wait_until(lambda: count_watching(store) == 0)


async def break_off() -> None:
    raise BrokenPipeError


async def close_first() -> None:
    raise RuntimeError("the server has closed the connection already")


async def read_nothing() -> None:
    await asyncio.Future()


@pytest.mark.parametrize("end", [break_off, close_first, read_nothing])
def test_a_subscriber_that_is_gone_or_does_not_read_is_dropped(
    modules: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, end: Callable[[], Any]
) -> None:
    async def receive() -> Any:
        if first:
            return first.pop()
        return await asyncio.Future()

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "websocket.send":
            await end()

    monkeypatch.setattr(modules.state_api, "SEND_TIMEOUT", 0.05)
    store, sent, first = modules.state.MemoryStore(), list[str](), [{"type": "websocket.connect"}]
    scope = {"type": "websocket", "path": f"{STATE}/subscribe", "query_string": b""}
    scope |= {"headers": [(b"host", b"localhost")], "subprotocols": []}
    app = serving(modules, store, "localhost")
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 10))
    assert sent == ["websocket.accept", "websocket.send"]
    wait_until(lambda: count_watching(store) == 0)
