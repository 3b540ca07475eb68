"""The emitted web service, as its clients meet it: installed, used, killed, restarted."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from answers import everything, nothing
from chromium import open_chromium
from openapi_spec_validator import validate
from playwright.sync_api import Route
from support import ProjectEnvironment, render, render_once, run

SEARCH = {"url": "https://search.example.org"}
JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"
VARIANTS = {
    # Two services may share the file of the registry, but not the journal of the chat.
    "example": everything("web_service", state_stores=[], include_live_state=False),
    "clean": everything("web_service", state_stores=[], include_example=False),
    "plain": nothing("web_service"),
}

Install = Callable[[str], list[str]]


@pytest.fixture
def install(environment: ProjectEnvironment, shared: Path) -> Install:
    """Return a function that installs a variant and returns its command."""

    def install(variant: str) -> list[str]:
        installed = environment.install_once(render_once(shared, **VARIANTS[variant]))
        return [str(installed.tool("sample"))]

    return install


class Service:
    """The service as a process, which can be killed and started anew on the same port."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command, self._log, self.port = command, log, 0

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self._log.open("wb") as log:
            command = [*self._command, "--port", str(self.port)]
            self._process = subprocess.Popen(command, stderr=log)
        while not (found := re.search(r"running on http://\S+:(\d+)", self._log.read_text())):
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.02)
        self.port = int(found[1])

    def kill(self) -> None:
        """Kill it without a warning, which is the closest to a power cut for a process."""
        self._process.kill()
        self._process.wait()

    def is_running(self) -> bool:
        """Return whether the process has not ended."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """Ask it to end, as an init system does."""
        self._process.terminate()

    def wait(self) -> int:
        """Return its exit code."""
        return self._process.wait(timeout=10)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "registry.json"


@pytest.fixture
def service(install: Install, file: Path, tmp_path: Path) -> Iterator[Service]:
    with Service([*install("example"), "--state-file", str(file)], tmp_path / "log") as started:
        yield started


def add(client: httpx.Client, name: str, definition: object = SEARCH) -> httpx.Response:
    return client.post("/servers", json={"name": name, "definition": definition})


def test_acknowledged_changes_survive_a_kill_under_load(service: Service) -> None:
    acknowledged: dict[str, dict[str, Any]] = {}

    def add_until_it_dies(prefix: str) -> None:
        with httpx.Client(base_url=service.url) as client:
            try:
                for number in count():
                    definition = {"command": prefix, "args": [str(number)]}
                    assert add(client, f"{prefix}-{number}", definition).status_code == 201
                    acknowledged[f"{prefix}-{number}"] = definition
            except httpx.TransportError:
                return

    for turn in range(3):
        before = len(acknowledged)
        with ThreadPoolExecutor(2) as pool:
            clients = [pool.submit(add_until_it_dies, f"{turn}-{each}") for each in "ab"]
            while len(acknowledged) < before + 20 and not any(each.done() for each in clients):
                time.sleep(0.01)
            service.kill()
            for each in clients:
                each.result()
        service.start()
        with httpx.Client(base_url=service.url) as client:
            names = set(client.get("/servers").json()["data"])
            assert acknowledged.keys() <= names
            assert len(names - acknowledged.keys()) <= 2 * (turn + 1)  # one under way per client
            for name, definition in acknowledged.items():
                assert client.get(f"/servers/{name}").json()["data"] == definition
    assert len(acknowledged) >= 60


def test_conflicting_clients_see_no_server_error(service: Service) -> None:
    def use(_: int) -> set[int]:
        with httpx.Client(base_url=service.url) as client:
            return {
                response.status_code
                for _ in range(15)
                for response in (
                    add(client, "one"),
                    client.get("/servers"),
                    client.get("/servers/one"),
                    client.delete("/servers/one"),
                    client.get("/health/ready"),
                )
            }

    with ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(use, range(4))) <= {200, 201, 404, 409}


def test_two_services_share_a_file_and_lose_nothing(
    service: Service, install: Install, file: Path, tmp_path: Path
) -> None:
    def add_many(url: str, prefix: str) -> None:
        with httpx.Client(base_url=url) as client:
            for number in range(20):
                assert add(client, f"{prefix}{number}").status_code == 201

    command = [*install("example"), "--state-file", str(file)]
    with Service(command, tmp_path / "log2") as other, ThreadPoolExecutor(2) as pool:
        list(pool.map(add_many, [service.url, other.url], ["a", "b"]))
        for each in (service, other):
            assert len(httpx.get(f"{each.url}/servers").json()["data"]) == 40


def test_requests_in_progress_are_finished_before_the_end(service: Service, file: Path) -> None:
    head, body = request_to_add("search")
    with connected(service) as connection:
        connection.sendall(head + body[:10])
        time.sleep(0.3)
        service.terminate()
        time.sleep(0.3)
        connection.sendall(body[10:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 201 ")
    assert service.wait() == 0
    assert "search" in file.read_text()


def test_clients_that_never_finish_do_not_delay_the_end(service: Service, tmp_path: Path) -> None:
    head, body = request_to_add("search")
    with connected(service) as connection:
        connection.sendall(head + body[:10])
        time.sleep(0.3)
        service.terminate()
        assert service.wait() == 0
        answer = connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert PROBLEM.encode() in answer
    log = (tmp_path / "log").read_text()
    assert answer.partition(b"x-request-id: ")[2][:36].decode() in log
    assert "Traceback" not in log


def connected(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=10)


def request_to_add(name: str) -> tuple[bytes, bytes]:
    body = b'{"name": "%s", "definition": {"command": "x"}}' % name.encode()
    return request("POST /servers", f"Content-Length: {len(body)}"), body


def request(what: str, *headers: str) -> bytes:
    lines = [f"{what} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def test_bodies_are_bounded_however_they_are_sent(service: Service) -> None:
    chunk = b"10000\r\n%s\r\n" % (b" " * 0x10000)
    with connected(service) as connection:
        connection.sendall(request("POST /servers", "Transfer-Encoding: chunked") + 17 * chunk)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    with httpx.Client(base_url=service.url) as client:
        big = client.post("/servers", content=b" " * 2**21, headers=JSON)
        assert (big.status_code, big.headers["Content-Type"]) == (413, PROBLEM)
        assert client.get("/servers").json()["data"] == []


@pytest.mark.parametrize("target", [["--factory", "sample.app:create_app"], ["sample.asgi:app"]])
def test_it_answers_in_a_standard_deployment(
    target: list[str],
    install: Install,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without our command line, behind another name, with probes by IP address."""
    monkeypatch.setenv("SAMPLE_ALLOWED_HOSTS", "api.example.org")
    monkeypatch.setenv("SAMPLE_STATE_FILE", str(tmp_path / "registry.json"))
    python = str(Path(install("example")[0]).with_name("python"))
    server = [python, "-m", "uvicorn", *target]
    if "--factory" not in target:
        readme = render_once(shared, **VARIANTS["example"]) / "README.md"
        (line,) = re.findall(r"uvicorn sample.asgi:app (.*\\\n.*)\n", readme.read_text())
        server += line.replace("\\", " ").split()
    with (
        Service(server, tmp_path / "log") as service,
        httpx.Client(base_url=service.url, headers={"Host": "api.example.org"}) as client,
    ):
        assert client.get("/servers").json()["data"] == []
        assert client.head("/servers").status_code == 200
        for path in ("/health/live", "/health/ready"):
            assert client.get(path, headers={"Host": "10.0.0.7:8000"}).status_code == 200
        refused = client.get("/servers", headers={"Host": "evil.example"})
        assert refused.status_code == 421
        assert "SAMPLE_ALLOWED_HOSTS" in refused.json()["detail"]
        if "--factory" not in target:
            assert "Server" not in refused.headers
            with connected(service) as connection:
                connection.sendall(request_to_add("search")[0])
                time.sleep(0.3)
                service.terminate()
                service.wait()


HANGING = """
import time
from sample.health import health_router
from sample.problems import ProblemAPI

app = ProblemAPI()
app.include_router(health_router({"disk": lambda: time.sleep(600)}))

@app.get("/fast")
def answer() -> str:
    return "fast"
"""


def test_probes_of_a_check_that_hangs_take_neither_the_threads_nor_the_end(
    install: Install, tmp_path: Path
) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    python = str(Path(install("example")[0]).with_name("python"))
    server = [python, "-m", "uvicorn", "hanging:app", "--app-dir", str(tmp_path)]
    with (
        Service(server, tmp_path / "log") as service,
        httpx.Client(base_url=service.url, timeout=30) as client,
        ThreadPoolExecutor(50) as probes,
    ):
        answers = [probes.submit(client.get, "/health/ready") for _ in range(50)]
        time.sleep(1)
        assert not any(each.done() for each in answers)
        assert client.get("/fast").json() == "fast"
        assert not any(each.done() for each in answers)
        assert {each.result().status_code for each in answers} == {503}
        service.terminate()
        service.wait()


def test_a_change_of_the_code_restarts_it_with_its_options(
    install: Install, shared: Path, file: Path, tmp_path: Path
) -> None:
    options = ["--reload", "--allow-host", "api.example.org", "--state-file", str(file)]
    command, log = install("example"), tmp_path / "log"
    module = render_once(shared, **VARIANTS["example"]) / "src/sample/app.py"

    def wait_for_starts(number: int) -> None:
        while log.read_text().count("Application startup complete") < number:
            time.sleep(0.05)

    with Service([*command, *options], log) as service:
        try:
            for number in (1, 2):
                wait_for_starts(number)
                answer = httpx.get(f"{service.url}/servers", headers={"Host": "api.example.org"})
                assert answer.status_code == 200
                module.touch()
        finally:
            service.terminate()  # a kill would leave the process of the application behind
            service.wait()


def test_the_log_has_a_line_for_each_request_with_its_id_and_no_secret(
    service: Service, tmp_path: Path
) -> None:
    answers = [
        httpx.get(f"{service.url}{path}?token=hunter2", headers={"X-Request-ID": "forged\t1"})
        for path in ("/servers", "/servers/nowhere", "/nowhere", "/health/ready")
    ]
    text = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    access = [line for line in lines if line["logger"] == "sample.access_log"]
    assert [(line["path"], line["status"]) for line in access] == [
        ("/servers", 200),
        ("/servers/nowhere", 404),
        ("/nowhere", 404),
    ]
    ids = [answer.headers["X-Request-ID"] for answer in answers]
    assert [line["request_id"] for line in access] == ids[:3]
    assert [each.json()["instance"] for each in answers[1:3]] == [
        f"urn:uuid:{each}" for each in ids[1:3]
    ]
    assert "hunter2" not in text
    assert "forged" not in text


def test_the_page_of_the_api_works_without_any_other_site(service: Service) -> None:
    outside, complaints = list[str](), list[str]()

    def serve(route: Route) -> None:
        if route.request.url.startswith((service.url, "data:")):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    with open_chromium() as browser:
        for width in (390, 1280, 1920):
            scheme: Literal["light", "dark"] = "dark" if width == 1280 else "light"
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
            page.on("console", lambda message: complaints.append(message.text))
            page.route("**/*", serve)
            page.goto(f"{service.url}/docs")
            page.locator("#operations-servers-list_servers").click()
            page.get_by_role("button", name="Try it out").click()
            page.get_by_role("button", name="Execute").click()
            page.locator(".live-responses-table").get_by_text('"action": "list"').wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("html.dark-mode").count() == (scheme == "dark")
            page.close()
    assert not outside
    assert not complaints  # of the content security policy, for example


OF_SUMS = """

def test_two_numbers_have_a_group_and_a_problem_and_a_check(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/sums/{a}/{b}"]["get"]
    assert operation["tags"] == ["sums"]
    assert set(operation["responses"]) == {"200", "422", "default"}
    assert client.get("/health/ready").json()["checks"]["disk"] == "ok"
"""


def test_the_code_of_the_readme_works_in_its_places(
    environment: ProjectEnvironment, tmp_path: Path
) -> None:
    project = render(tmp_path / "sample", **VARIANTS["example"])
    endpoint, test, check, status = re.findall(
        r"```py\n(.*?)```", (project / "README.md").read_text(), re.DOTALL
    )
    module, tests = project / "src/sample/app.py", project / "tests/test_app.py"
    text = module.read_text()
    for place, block in (
        ("from importlib", "import shutil\n"),
        ("router = ", status),
        ("def create_app(", endpoint),
        ("    app.include_router(health", f"{check}    app.include_router(sums)\n"),
    ):
        assert f"\n{place}" in text
        text = text.replace(f"\n{place}", f"\n{block}\n\n{place}", 1)
    module.write_text(text)
    tests.write_text(f"{tests.read_text()}\n\n{test}{OF_SUMS}")
    installed = environment.install_project(project)
    said = installed.run_module("pytest", tests, "-k", "two_numbers", cwd=project)
    assert "2 passed" in said


def test_a_page_of_another_site_can_neither_read_nor_write(service: Service) -> None:
    body = '{"name": "x", "definition": {"command": "x"}}'
    with httpx.Client(base_url=service.url) as client:
        rebound = client.get("/servers", headers={"Host": f"evil.example:{service.port}"})
        assert (rebound.status_code, rebound.headers["Content-Type"]) == (421, PROBLEM)
        for headers in ({"Content-Type": "text/plain"}, {}):
            forged = client.post("/servers", content=body, headers=headers)
            assert (forged.status_code, forged.headers["Content-Type"]) == (415, PROBLEM)
        ask = {"Origin": "http://evil.example", "Access-Control-Request-Method": "DELETE"}
        asked = client.options("/servers/x", headers=ask)
        assert asked.status_code == 405
        assert not [name for name in asked.headers if name.startswith("access-control")]
        assert client.get("/servers").json()["data"] == []


def test_hostile_bodies_are_answered_with_problems_and_do_no_harm(service: Service) -> None:
    definition = '{"name": "x", "definition": %s}'
    bodies = [
        b"{",
        b"\xff\xfe",
        b"[" * 500_000,
        b"9" * 500_000,
        (definition % ("[" * 400_000)).encode(),
        (definition % '"[[[["').encode(),
        (definition % ('"' + r"{\"a\":" * 100_000 + '"')).encode(),
        (definition % r'{"command": "\ud800"}').encode(),
        (definition % '{"command": NaN}').encode(),
        (definition % '{"command": "x", "env": {"A": Infinity}}').encode(),
    ]
    with httpx.Client(base_url=service.url) as client:
        for path in ("/servers", "/servers:import"):
            for body in bodies:
                response = client.post(path, content=body, headers=JSON)
                assert response.status_code in (207, 400, 422), (path, body[:80])
        no_text = rb'{"\ud800": {}, "a": {"command": "\udfff"}, "b": {"command": "b"}}'
        response = client.post("/servers:import", content=no_text, headers=JSON)
        assert response.status_code in (207, 422)
        for name in client.get("/servers").json()["data"]:
            assert client.get(f"/servers/{name}").status_code == 200
        assert client.get("/health/ready").status_code == 200


def test_a_damaged_state_is_neither_served_nor_lost(service: Service, file: Path) -> None:
    with httpx.Client(base_url=service.url) as client:
        add(client, "search")
        saved = file.read_bytes()
        for damage in (b'{"servers": [1]}', b'{"__version__": 9, "values": {}}'):
            file.write_bytes(damage)
            assert client.get("/health/live").status_code == 200
            assert client.get("/health/ready").status_code == 503
            response = client.get("/servers")
            assert response.status_code >= 500, "no fault of the client"
            assert response.headers["Content-Type"] == PROBLEM
            assert str(file) not in response.text
            assert file.read_bytes() == damage
        file.write_bytes(saved)
        assert client.get("/servers").json()["data"] == ["search"]


def test_while_the_folder_is_gone_every_change_is_refused_and_nothing_is_lost(
    service: Service, file: Path
) -> None:
    aside = file.parent.with_name("aside")
    with httpx.Client(base_url=service.url) as client:
        add(client, "search")
        file.parent.rename(aside)
        file.parent.touch()
        refused = add(client, "more")
        assert (refused.status_code, refused.headers["Content-Type"]) == (503, PROBLEM)
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 503
        file.parent.unlink()
        aside.rename(file.parent)
        assert client.get("/servers").json()["data"] == ["search"]
        assert add(client, "more").status_code == 201


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_openapi_document_is_valid_and_no_client_gets_an_undeclared_answer(
    variant: str, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPLE_STATE_FILE", str(tmp_path / "registry.json"))
    with Service(install(variant), tmp_path / "log") as service:
        try_every_operation(service.url, tmp_path)


def try_every_operation(service: str, folder: Path, *options: str) -> None:
    """Validate the OpenAPI document of a service, and compare it with the answers to a fuzzer."""
    document = httpx.get(f"{service}/openapi.json").json()
    validate(document)
    # By default, an operation answers with any error: here it must declare the status of each.
    for operation in (each for path in document["paths"].values() for each in path.values()):
        del operation["responses"]["default"]
    (folder / "openapi.json").write_text(json.dumps(document))
    schemathesis = Path(sys.executable).with_name("schemathesis")
    command = (schemathesis, "run", "openapi.json", "--url", service, "--max-examples", "15")
    run(*command, "--no-color", "--generation-deterministic", *options, cwd=folder)
