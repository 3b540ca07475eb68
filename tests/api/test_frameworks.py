"""Real clients of real frameworks call functions with `normalize_input`, over real transports."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from support import module_source

# Each tool twice: `apply` has normalized input, and its schema must equal that of `apply_plain`.
TOOLS = """
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from sample.utils.validation import InputFormat, normalize_input


class Limits(BaseModel):
    cpu: int = 1


@dataclass
class Server:
    host: str
    port: int = 80


def apply_plain(
    config: Annotated[dict[str, Any], Field(description="What to set")],
    limits: Limits | None = None,
) -> str:
    return f"{config} {limits}"


def locate_plain(place: Place | None) -> str:
    return str(place)


async def start_plain(tags: list[str], env: list[str], servers: list[Server] | None = None) -> str:
    return f"{tags} {env} {servers}"


apply = normalize_input(config=InputFormat.DICT_OR_JSON, limits=InputFormat.DICT_OR_JSON)(
    apply_plain
)
apply.__name__ = "apply"
start = normalize_input("tags", "servers", env=InputFormat.KV_PAIRS)(start_plain)
start.__name__ = "start"
locate = normalize_input(place=InputFormat.DICT_OR_JSON)(locate_plain)
locate.__name__ = "locate"


@dataclass
class Place:  # defined after the functions that name it
    city: str


TOOLS = (apply, apply_plain, start, start_plain, locate, locate_plain)
"""

MCP_SERVERS = {
    "sdk-decorator": """
from mcp.server import MCPServer

server = MCPServer("tools")
for tool in TOOLS:
    server.tool()(tool)
server.run("stdio")
""",
    "sdk-method": """
from mcp.server import MCPServer

server = MCPServer("tools")
for tool in TOOLS:
    server.add_tool(tool, name=tool.__name__)
server.run("stdio")
""",
    "fastmcp-decorator": """
from fastmcp import FastMCP

server = FastMCP("tools")
for tool in TOOLS:
    server.tool(tool)
server.run("stdio", show_banner=False)
""",
    "fastmcp-call": """
from fastmcp import FastMCP

server = FastMCP("tools")
for tool in TOOLS:
    server.tool()(tool)
server.run("stdio", show_banner=False)
""",
}

ACCEPTED: list[tuple[str, dict[str, Any], str]] = [
    ("apply", {"config": {"a": 1}}, "{'a': 1} None"),
    ("apply", {"config": '{"a": 1}'}, "{'a': 1} None"),
    ("apply", {"config": "{}", "limits": '{"cpu": 4}'}, "{} cpu=4"),
    ("apply", {"config": "{}", "limits": {"cpu": 4}}, "{} cpu=4"),
    ("locate", {"place": '{"city": "Bern"}'}, "Place(city='Bern')"),
    ("locate", {"place": {"city": "Bern"}}, "Place(city='Bern')"),
    ("start", {"tags": ["x"], "env": ["a=1"]}, "['x'] {'a': '1'} None"),
    (
        "start",
        {"tags": '["x"]', "env": [], "servers": '[{"host": "h"}]'},
        "['x'] {} [Server(host='h', port=80)]",
    ),
]
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("apply", {"config": "oops"}, "Parameter 'config' is invalid JSON: Expecting value"),
    ("apply", {"config": 5}, "Parameter 'config' must be dict or JSON string, got int"),
    ("locate", {"place": 5}, "Parameter 'place' must be dict or JSON string, got int"),
    ("start", {"tags": "oops", "env": []}, "Parameter 'tags' is invalid JSON: Expecting value"),
    ("start", {"tags": [], "env": ["a"]}, "Parameter 'env' item 'a' is not in 'key=value' format"),
    (
        "start",
        {"tags": [], "env": [], "servers": '[{"host": 1}]'},
        "Parameter 'servers' is invalid at $[0].host: expected a string, got an integer",
    ),
]

Answers = tuple[dict[str, Any], list[tuple[bool, str]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `sample.utils.validation` can be imported."""
    folder = tmp_path_factory.mktemp("frameworks")
    utils = folder / "sample/utils"
    utils.mkdir(parents=True)
    (utils / "validation.py").write_text(module_source("validation"))
    for package in (utils.parent, utils):
        (package / "__init__.py").touch()
    (folder / "tools.py").write_text(TOOLS)
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1", "TERM": "dumb"}


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )


async def ask_sdk(folder: Path, program: Path) -> Answers:
    """List and call the tools of a server with the SDK's client."""
    parameters = StdioServerParameters(
        command=sys.executable, args=[str(program)], env=environment(folder)
    )
    with (folder / "log.txt").open("a") as log:
        async with (
            stdio_client(parameters, errlog=log) as (reader, writer),
            ClientSession(reader, writer) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            results = [
                await session.call_tool(name, given) for name, given, _ in ACCEPTED + REFUSED
            ]
    schemas = {tool.name: tool.input_schema for tool in tools}
    return schemas, [(bool(result.is_error), text_of(result)) for result in results]


async def ask_fastmcp(folder: Path, program: Path) -> Answers:
    """List and call the tools of a server with FastMCP's client."""
    transport = StdioTransport(
        command=sys.executable,
        args=[str(program)],
        env=environment(folder),
        keep_alive=False,
        log_file=folder / "log.txt",
    )
    async with Client(transport) as client:
        tools = await client.list_tools()
        results = [
            await client.call_tool(name, given, raise_on_error=False)
            for name, given, _ in ACCEPTED + REFUSED
        ]
    schemas = {tool.name: tool.input_schema for tool in tools}
    return schemas, [(result.is_error, text_of(result)) for result in results]


def text_of(result: Any) -> str:
    [content] = result.content
    return str(content.text)


def without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out the title, which holds the name of the tool."""
    return {key: value for key, value in schema.items() if key != "title"}


@pytest.mark.parametrize(
    ("name", "ask"), [(name, ask_sdk if "sdk" in name else ask_fastmcp) for name in MCP_SERVERS]
)
def test_an_mcp_tool_takes_what_clients_send_under_the_schema_it_had(
    folder: Path, name: str, ask: Callable[[Path, Path], Awaitable[Answers]]
) -> None:
    program = folder / f"{name}.py"
    program.write_text(f"from tools import TOOLS\n{MCP_SERVERS[name]}")

    async def converse() -> Answers:
        return await ask(folder, program)

    schemas, answers = asyncio.run(converse())
    for tool in ("apply", "start", "locate"):
        assert without_titles(schemas[tool]) == without_titles(schemas[f"{tool}_plain"])
    accepted, refused = answers[: len(ACCEPTED)], answers[len(ACCEPTED) :]
    assert accepted == [(False, text) for *_, text in ACCEPTED]
    for (is_error, text), (*_, expected) in zip(refused, REFUSED, strict=True):
        assert is_error
        assert expected in text
        assert text.count("Parameter '") == 1


FASTAPI = """
import socket
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI
from pydantic import BaseModel

from sample.utils.validation import InputFormat, normalize_input
from tools import Limits

app, plain = FastAPI(), FastAPI()
json = InputFormat.DICT_OR_JSON
normalize = normalize_input("tags", config=json, limits=json)


def annotated(
    config: Annotated[dict[str, Any], Body()],
    limits: Annotated[Limits, Body()],
    tags: Annotated[list[str], Body(max_length=2)],
) -> Any:
    return [config, limits.cpu, tags]


async def default(
    config: dict[str, Any] = Body(), limits: Limits = Body(), tags: list[str] = Body([])
) -> Any:
    return [config, limits.cpu, tags]


for function in (annotated, default):
    path = f"/{function.__name__}"
    app.post(path)(normalize(function))
    plain.post(path)(function)


@app.get("/plain.json")
def schema() -> Any:
    return plain.openapi()


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])
"""


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[httpx.Client]:
    """A client of a FastAPI application that runs in a process of its own."""
    command = [sys.executable, "-c", FASTAPI]
    with subprocess.Popen(
        command, env=environment(folder), stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        port = server.stdout.readline().strip()
        with (
            contextlib.ExitStack() as stack,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            stack.callback(server.terminate)
            yield client


@pytest.mark.parametrize("style", ["annotated", "default"])
def test_a_field_of_a_fastapi_body_may_be_a_json_string(service: httpx.Client, style: str) -> None:
    body: dict[str, Any] = {"config": '{"a": 1}', "limits": '{"cpu": 4}', "tags": '["x"]'}
    answer = service.post(f"/{style}", json=body)
    assert (answer.status_code, answer.json()) == (200, [{"a": 1}, 4, ["x"]])
    body = {"config": {"a": 1}, "limits": {"cpu": 4}, "tags": ["x"]}
    assert service.post(f"/{style}", json=body).json() == [{"a": 1}, 4, ["x"]]


@pytest.mark.parametrize("style", ["annotated", "default"])
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("config", "oops", "Parameter 'config' is invalid JSON: Expecting value"),
        ("config", 5, "Parameter 'config' must be dict or JSON string, got int"),
        ("config", '{"a": 1, "a": 2}', "repeated key 'a'"),
        ("limits", "[]", "Parameter 'limits' JSON must be object/dict, got list"),
        ("tags", [5], "Parameter 'tags' is invalid at $[0]: expected a string, got an integer"),
    ],
)
def test_a_wrong_field_of_a_fastapi_body_is_one_error_422(
    service: httpx.Client, style: str, field: str, value: object, message: str
) -> None:
    body = {"config": {}, "limits": {}, "tags": [], field: value}
    answer = service.post(f"/{style}", json=body)
    assert answer.status_code == 422
    [error] = answer.json()["detail"]
    assert error["loc"] == ["body", field]
    assert message in error["msg"]


def test_the_annotation_of_a_fastapi_body_is_still_enforced(service: httpx.Client) -> None:
    body = {"config": "{}", "limits": '{"cpu": "many"}', "tags": '["a", "b", "c"]'}
    answer = service.post("/annotated", json=body)
    assert answer.status_code == 422
    assert [error["loc"][1] for error in answer.json()["detail"]] == ["limits", "tags"]


def test_the_openapi_document_is_that_of_the_same_functions_undecorated(
    service: httpx.Client,
) -> None:
    published = service.get("/openapi.json").json()
    del published["paths"]["/plain.json"]
    assert published == service.get("/plain.json").json()


TYPER = """
import json
from typing import Annotated

import typer

from sample.utils.validation import InputFormat, normalize_input

app = typer.Typer()
normalize = normalize_input(env=InputFormat.KV_PAIRS)


@app.command()
@normalize
def annotated(env: Annotated[list[str], typer.Option()]) -> None:
    print(json.dumps(env))


@app.command()
@normalize
def default(env: list[str] = typer.Option([])) -> None:
    print(json.dumps(env))


app()
"""
CLICK = """
import json

import click

from sample.utils.validation import InputFormat, normalize_input


@click.group()
def cli() -> None:
    pass


@cli.command()
@click.option("--env", multiple=True)
@normalize_input(env=InputFormat.KV_PAIRS)
def annotated(env: dict[str, str]) -> None:
    print(json.dumps(env))


@normalize_input(env=InputFormat.KV_PAIRS)
def keep(env: dict[str, str]) -> None:
    print(json.dumps(env))


option = click.Option(["--env"], multiple=True)
cli.add_command(click.Command("default", callback=keep, params=[option]))
cli()
"""


@pytest.mark.parametrize("program", [TYPER, CLICK], ids=["typer", "click"])
@pytest.mark.parametrize("command", ["annotated", "default"])
def test_a_repeated_option_becomes_a_dict(folder: Path, program: str, command: str) -> None:
    done = run(folder, program, command, "--env", "a=1", "--env", "b = x=y")
    assert json.loads(done.stdout) == {"a": "1", "b": "x=y"}
    assert done.returncode == 0


@pytest.mark.parametrize("program", [TYPER, CLICK], ids=["typer", "click"])
@pytest.mark.parametrize("command", ["annotated", "default"])
def test_a_wrong_option_names_the_item(folder: Path, program: str, command: str) -> None:
    done = run(folder, program, command, "--env", "a")
    assert done.returncode == 1
    assert "Parameter 'env' item 'a' is not in 'key=value' format" in done.stderr
