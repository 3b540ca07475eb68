"""The state of users in the emitted web service, with real sockets and a real Redis."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from answers import everything
from stores.redis_server import RedisServer, running
from support import ProjectEnvironment, render_once
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from services.test_web_service import PROBLEM, Service, try_every_operation

STATE = "/api/state/acme/ada"
# The default, and 412: no description shows the version of a state.
ACCEPTANCE = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "5xx"]
"""
# The service with changes as a user makes them.
PROGRAM = """
import threading

import fastapi

from sample import serve, state_api


def may_use(connection, workspace_id, user_id):
    return connection.cookies.get("session", user_id) == user_id


async def fail(websocket: fastapi.WebSocket, status: int):
    await websocket.accept()
    raise fastapi.HTTPException(status) if status else RuntimeError("hunter2")


def create_app(*arguments, **options):
    made = create(*arguments, **{**options, "authorize": may_use})
    made.get("/threads")(threading.active_count)
    made.get("/subscribers")(lambda: len(made.state.store._feed._watchers.current()))
    made.websocket("/fail/{status}/subscribe")(fail)
    return made


create, serve.create_app = serve.create_app, create_app
state_api.SEND_TIMEOUT = 1.0
serve.main()
"""
# With live state, the limit of a message is that of its WebSocket.
ALL = everything("web_service", include_live_state=False)
VARIANTS = {
    "example": ALL,
    "lean": {**ALL, "include_api_utilities": False, "state_stores": ["redis"]},
}

Install = Callable[[str], list[str]]


@pytest.fixture
def install(environment: ProjectEnvironment, shared: Path, tmp_path: Path) -> Install:
    """Return a function that installs a variant and returns its command."""

    def install(variant: str) -> list[str]:
        installed = environment.install_once(render_once(shared, **VARIANTS[variant]))
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        command = [str(installed.tool("python")), str(program)]
        state_file = ["--state-file", str(tmp_path / "registry.json")]
        return [*command, *state_file] if variant == "example" else command

    return install


@pytest.fixture
def command(install: Install) -> list[str]:
    return install("example")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def service(command: list[str], redis: RedisServer, tmp_path: Path) -> Iterator[Service]:
    with Service([*command, "--redis-url", redis.url], tmp_path / "log") as started:
        yield started


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


def subscribe(
    service: Service, path: str = STATE, host: str = "localhost", **headers: str
) -> ClientConnection:
    address = socket.create_connection(("127.0.0.1", service.port))
    url = f"ws://{host}:{service.port}{path}/subscribe"
    return connect(url, sock=address, additional_headers=headers, max_size=None)


def receive(connection: ClientConnection) -> Any:
    return json.loads(connection.recv(timeout=30))["state"]


def receive_until(connection: ClientConnection, state: object) -> None:
    """Receive until the state arrives; earlier ones may be left out."""
    while receive(connection) != state:
        pass


def count_threads(client: httpx.Client) -> int:
    count: int = client.get("/threads").json()
    return count


def wait_until(reached: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_subscriber_gets_the_latest_state_of_its_own_user_only(
    service: Service, client: httpx.Client
) -> None:
    with ExitStack() as stack:
        mine = [stack.enter_context(subscribe(service)) for _ in range(20)]
        other = stack.enter_context(subscribe(service, "/api/state/acme/ada2"))
        assert [receive(each) for each in (*mine, other)] == [None] * 21
        for page in range(30):
            assert client.post(STATE, json={"page": page}).status_code == 204
        for each in mine:
            receive_until(each, {"page": 29})
        assert client.delete(STATE).status_code == 204
        assert [receive(each) for each in mine] == [None] * 20
        with pytest.raises(TimeoutError):
            other.recv(timeout=0.2)


def expect_refusal(status: int, service: Service, **request: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        subscribe(service, **request).__enter__()
    response = refused.value.response
    assert response.status_code == json.loads(response.body)["status"] == status
    assert response.headers["Content-Type"] == PROBLEM


def test_a_page_of_another_site_gets_no_websocket(service: Service) -> None:
    expect_refusal(403, service, Origin="https://evil.example", Cookie="session=ada")
    expect_refusal(403, service, Origin="null")
    expect_refusal(403, service, Cookie="session=eve")
    expect_refusal(421, service, host="evil.example", Origin="http://evil.example")
    with subscribe(service, Origin="http://localhost:3000", Cookie="session=ada") as mine:
        assert receive(mine) is None


def expect_close(code: int, connection: ClientConnection) -> None:
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=10)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == code


@pytest.mark.parametrize(("message", "code"), [("x", 1003), (b"x", 1003), (2000 * "x", 1009)])
def test_a_message_from_a_client_is_bounded_and_ends_the_connection(
    service: Service, message: str | bytes, code: int
) -> None:
    with subscribe(service) as connection:
        assert receive(connection) is None
        connection.send(message)
        expect_close(code, connection)


@pytest.mark.parametrize("status", [0, 404])
def test_a_fault_in_a_websocket_is_reported_without_details(
    service: Service, status: int, tmp_path: Path
) -> None:
    with subscribe(service, f"/fail/{status}") as connection:
        expect_close(1011, connection)
    wait_until(lambda: "Traceback" in (tmp_path / "log").read_text())


def test_a_state_of_a_mebibyte_passes_and_a_larger_one_is_refused(
    service: Service, client: httpx.Client
) -> None:
    with subscribe(service) as connection:
        assert receive(connection) is None
        large = {"text": "x" * (2**20 - 11)}
        assert client.post(STATE, json=large).status_code == 204
        assert receive(connection) == client.get(STATE).json() == large
        for text in ("x" * (2**20 - 10), "x" * 2**21):
            refused = client.post(STATE, json={"text": text})
            assert (refused.status_code, refused.headers["Content-Type"]) == (413, PROBLEM)


def test_without_redis_the_rest_of_the_service_goes_on_and_all_of_it_when_it_is_back(
    service: Service, client: httpx.Client, redis: RedisServer
) -> None:
    with subscribe(service) as connection:
        assert receive(connection) is None
        assert client.get("/health/ready").status_code == 200
        redis.kill()
        try:
            for answer in (
                client.get(STATE),
                client.post(STATE, json={"page": 7}),
                client.delete(STATE),
                client.get("/health/ready"),
            ):
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert str(redis.port) not in answer.text
            expect_refusal(503, service)
            assert client.get("/health/live").status_code == 200
        finally:
            redis.start()
        assert client.get("/health/ready").status_code == 200
        assert client.post(STATE, json={"page": 8}).status_code == 204
        receive_until(connection, {"page": 8})


def test_the_service_starts_without_redis(command: list[str], tmp_path: Path) -> None:
    with running(tmp_path) as redis:
        redis.kill()
        with Service([*command, "--redis-url", redis.url], tmp_path / "log") as service:
            assert httpx.get(f"{service.url}/health/live").status_code == 200
            assert httpx.get(f"{service.url}/health/ready").status_code == 503
            redis.start()
            assert httpx.get(f"{service.url}/health/ready").status_code == 200


def test_no_password_is_in_the_log_or_in_an_answer(command: list[str], tmp_path: Path) -> None:
    url = "redis://user:hunter2@127.0.0.1:1/0"
    with Service([*command, "--redis-url", url], tmp_path / "log") as service:
        for path in (STATE, "/health/ready"):
            answer = httpx.get(service.url + path)
            assert answer.status_code == 503
            assert "hunter2" not in answer.text
    assert "127.0.0.1:1" in (tmp_path / "log").read_text()
    assert "hunter2" not in (tmp_path / "log").read_text()


def test_many_connections_leak_nothing(
    service: Service, client: httpx.Client, redis: RedisServer
) -> None:
    def come_and_go(_: int) -> None:
        with subscribe(service) as connection:
            receive(connection)

    def go_without_a_word(_: int) -> None:
        with subscribe(service) as connection:
            receive(connection)
            connection.socket.shutdown(socket.SHUT_RDWR)

    def measure() -> tuple[int, int]:
        return count_threads(client), redis.count_clients()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(50)))
        time.sleep(1)
        before = measure()
        for visit in (come_and_go, go_without_a_word):
            list(pool.map(visit, range(200)))
    # Pools of threads and connections may have grown by a few, independent of the visits.
    wait_until(lambda: all(now < then + 20 for now, then in zip(measure(), before, strict=True)))


def connect_and_read_nothing(service: Service) -> socket.socket:
    """Subscribe with a program that has stopped."""
    connection = socket.create_connection(("127.0.0.1", service.port))
    lines = [
        f"GET {STATE}/subscribe HTTP/1.1",
        f"Host: 127.0.0.1:{service.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    assert connection.recv(12) == b"HTTP/1.1 101"
    return connection


def test_a_subscriber_that_reads_nothing_delays_no_other_and_is_dropped(
    service: Service, client: httpx.Client
) -> None:
    with connect_and_read_nothing(service), subscribe(service) as quick:
        assert receive(quick) is None
        assert client.get("/subscribers").json() == 2
        for page in range(20):
            state = {"page": page, "text": "x" * 1_000_000}
            assert client.post(STATE, json=state).status_code == 204
            assert receive(quick) == state
        wait_until(lambda: client.get("/subscribers").json() == 1)
        assert client.post(STATE, json={"page": 20}).status_code == 204
        assert receive(quick) == {"page": 20}


def test_the_service_notifies_subscribers_of_its_end_and_ends_soon(service: Service) -> None:
    with ExitStack() as stack:
        subscribers = [stack.enter_context(subscribe(service)) for _ in range(20)]
        for each in subscribers:
            assert receive(each) is None
        start = time.monotonic()
        service.terminate()
        for each in subscribers:
            expect_close(1012, each)
        assert service.wait() == 0
        assert time.monotonic() - start < 3


def test_a_subscriber_that_reads_nothing_does_not_delay_the_end(
    service: Service, client: httpx.Client
) -> None:
    with connect_and_read_nothing(service):
        for page in range(10):
            client.post(STATE, json={"page": page, "text": "x" * 1_000_000})
        service.terminate()
        assert service.wait() == 0


@pytest.mark.parametrize("variant", ["example", "lean"])
def test_the_openapi_document_is_valid_and_no_client_gets_an_undeclared_answer(
    variant: str, install: Install, redis: RedisServer, tmp_path: Path
) -> None:
    with Service([*install(variant), "--redis-url", redis.url], tmp_path / "log") as service:
        with subscribe(service) as connection:
            assert receive(connection) is None
        (tmp_path / "schemathesis.toml").write_text(ACCEPTANCE)
        try_every_operation(service.url, tmp_path, "--include-path-regex", "^/(api|health)/")
