"""Every shape, value, character and encoding of the output of a command.

The emitted tests show one of each.
"""

import importlib
import io
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from support import module_source

Captured = pytest.CaptureFixture[str]

# The name of a shape, its arguments, and the exit status that shows it.
SHAPES: list[tuple[str, list[Any], int]] = [
    ("success", ["list", ["a", "b"]], 0),
    ("error", ["not_found", "No server 'x'."], 1),
    ("error", ["invalid_parameter", "No number."], 2),
    ("error", ["MISSING_REQUIRED_FIELD", "No name."], 2),
    ("partial", ["delete", ["a"], [{"id": "b"}]], 3),
]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Import the module, in a package with the one that it needs."""
    folder = tmp_path_factory.mktemp("output")
    (folder / "printing").mkdir()
    for name in ("cli_adapter", "responses"):
        (folder / "printing" / f"{name}.py").write_text(module_source(name))
    sys.path.insert(0, str(folder))
    emit = importlib.import_module("printing.cli_adapter").emit
    return SimpleNamespace(
        emit=emit, Response=importlib.import_module("printing.responses").Response
    )


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("shape", "arguments", "status"), SHAPES)
def test_the_exit_status_shows_the_outcome(
    output: SimpleNamespace, shape: str, arguments: list[Any], status: int, as_json: bool
) -> None:
    response = getattr(output.Response, shape)(*arguments)
    assert output.emit(response, as_json=as_json) == status


@pytest.mark.parametrize(("shape", "arguments", "status"), SHAPES)
def test_json_is_the_whole_response_on_standard_output(
    output: SimpleNamespace, shape: str, arguments: list[Any], status: int, capsys: Captured
) -> None:
    response = getattr(output.Response, shape)(*arguments)
    output.emit(response, as_json=True)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == response
    assert captured.err == ""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, ""),
        ("two\nlines\tand ä", "two\nlines\tand ä\n"),
        ("ended\n", "ended\n"),
        (["a", 1, None, True], "a\n1\nnull\ntrue\n"),
        (("a", "two\nlines"), "a\ntwo\\nlines\n"),
        ({"name": "ä", "size": 1.5}, "name: ä\nsize: 1.5\n"),
        ({"two\nlines": "a\nb"}, "two\\nlines: a\\nb\n"),
        ([{"name": "ä"}], '[\n  {\n    "name": "ä"\n  }\n]\n'),
        ({"names": []}, '{\n  "names": []\n}\n'),
        (["a\xa0b\x7f\x1b"], "a\\u00a0b\\u007f\\u001b\n"),
        ([], ""),
        (7, "7\n"),
    ],
)
def test_data_are_laid_out_for_people(
    output: SimpleNamespace, data: Any, expected: str, capsys: Captured
) -> None:
    output.emit(output.Response.success("show", data))
    captured = capsys.readouterr()
    assert captured.out == expected
    assert captured.err == ""


@pytest.mark.parametrize("character", ["\xa0", "\x7f", "\u200d", "\U000e0001", "ä"], ids=ascii)
def test_nested_data_are_json_with_any_character(
    output: SimpleNamespace, character: str, capsys: Captured
) -> None:
    data = {f"a{character}": [f"{character}b"]}
    output.emit(output.Response.success("show", data))
    assert json.loads(capsys.readouterr().out) == data


@pytest.mark.parametrize("character", ["\x1b", "\x9b", "\x7f", "\r", "\u202e", "\u2028"], ids=ascii)
def test_data_cannot_drive_the_terminal(
    output: SimpleNamespace, character: str, capsys: Captured
) -> None:
    emit, response, text = output.emit, output.Response, f"a{character}b"
    for data in (text, [text], {text: text}, [[text]]):
        for as_json in (False, True):
            emit(response.success("show", data), as_json)
    emit(response.error("e", text, notes=[text], correlation_id=text))
    emit(response.partial("p", [], [{text: text}]))
    captured = capsys.readouterr()
    assert (captured.out + captured.err).replace("\n", "").isprintable()
    assert captured.out.count("b") >= 8


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_characters_that_the_encoding_lacks_are_escaped(
    output: SimpleNamespace, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert output.emit(output.Response.success("show", "snow: \u2603")) == 0
    stream.seek(0)
    assert stream.read() == "snow: \\u2603\n"
