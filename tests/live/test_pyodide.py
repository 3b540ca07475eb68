"""Client functions in Python: `make pyodide`, and a page that runs them in real Chromium."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from live.stage import Open, take_errors

pytestmark = pytest.mark.needs("chromium")

MAKER = "def Message(author, text=''):\n    return {'author': author, 'text': text}\n"
SEND = """\
def send(event, items):
    room.messages.append(Message(ui.name, ui.draft))
    room.score += 1
    ui.draft = ""
    print(f"{ui.name} scored {room.score}: {event.type} {event.target.value}")
"""
SORT = """\
def sort():
    room.messages.sort(key=lambda message: message.text, reverse=True)
    del room.messages[0]
    room.messages += [Message("Cleo", "z")]
    print([message["text"] for message in room.messages], room.messages[-1] == {
        "author": "Cleo", "text": "z"
    }, "score" in room, dict(ui.items()))
"""
FAIL = "def fail():\n    room.nothing\n"


def test_client_functions_run_on_the_states_of_the_page(open_stage: Open, pyodide: Path) -> None:
    assert {file.suffix for file in pyodide.iterdir()} == {".json", ".mjs", ".wasm", ".zip"}
    stage = open_stage(
        """<form data-live-on-submit="send"><input data-live-model="ui.draft"></form>
        <button value=v data-live-on-click="send">b</button><pre data-live-log></pre>
        <button id=fail data-live-on-click="fail"></button>
        <button id=sort data-live-on-click="sort"></button><b data-live-text="room.score"></b>
        <template data-live-each="m of room.messages"><i data-live-text="m.text"></i></template>""",
        shared={"room": {"messages": [], "score": 0}},
        marks={"room": {"score": {"counter": True}}},
        local={"ui": {"name": "Ada", "draft": "first"}},
        functions={"Message": MAKER, "send": SEND, "fail": FAIL, "sort": SORT},
        pyodide=pyodide,
    )
    page = stage.page
    # The page works already; these events wait for Python.
    expect(page.locator("b")).to_have_text("0")
    page.evaluate("() => document.querySelector('form').requestSubmit()")
    page.evaluate("() => document.querySelector('[value=v]').click()")
    expect(page.locator("b")).to_have_text("2")
    assert page.locator("i").all_inner_texts() == ["first", ""]
    assert page.locator("pre div").all_inner_texts() == [
        "Ada scored 1: submit None",
        "Ada scored 2: click v",
    ]
    operations = [(op["op"], op["path"][1], op["value"]) for op in stage.operations]
    assert ("increment", "score", 1) in operations
    assert ("append", "messages", {"author": "Ada", "text": "first"}) in operations
    page.locator("input").fill("third")
    page.locator("input").press("Enter")
    expect(page.locator("i").nth(2)).to_have_text("third")
    stage.set("room.messages.0", {"author": "Bob", "text": "changed"})
    expect(page.locator("i").first).to_have_text("changed")
    page.click("#sort")
    expect(page.locator("pre div").last).to_have_text(
        "['changed', '', 'z'] True True {'name': 'Ada', 'draft': ''}"
    )
    assert stage.errors == []
    page.click("#fail")
    take_errors(stage.errors, "there is no field 'nothing'; there are: messages, score")


def test_python_waits_for_the_states(open_stage: Open, pyodide: Path) -> None:
    stage = open_stage(
        '<pre data-live-log></pre><b data-live-text="room.score"></b>',
        shared={"room": {"score": 7}},
        functions={"greet": "print('Hello')\ndef greet(): pass"},
        pyodide=pyodide,
        answers=False,
    )
    loaded = "performance.getEntriesByType('resource').map((each) => each.name).join()"
    stage.wait_until(f"{loaded}.includes('pyodide.mjs')")
    stage.page.wait_for_timeout(1000)
    assert "pyodide.asm" not in stage.page.evaluate(loaded)
    stage.send_snapshot()
    expect(stage.page.locator("b")).to_have_text("7")
    expect(stage.page.locator("pre")).to_have_text("Hello")


def test_a_member_of_a_union_keeps_its_tag(open_stage: Open, pyodide: Path) -> None:
    circle = {"__type__": "Circle", "value": {"radius": 1}}
    stage = open_stage(
        '<button data-live-on-click="copy"></button><pre data-live-log></pre>',
        shared={"room": {"shapes": [circle]}},
        functions={
            "copy": "def copy():\n    print(room.shapes)\n    room.shapes.append(room.shapes[0])"
        },
        pyodide=pyodide,
    )
    stage.page.click("button")
    expect(stage.page.locator("pre")).to_have_text("[{'radius': 1}]")
    stage.wait_until("true")
    assert [operation["value"] for operation in stage.operations] == [circle]


def test_events_before_python_wait_up_to_a_limit(open_stage: Open, pyodide: Path) -> None:
    stage = open_stage(
        '<a href="/away" data-live-on-click="count"></a><b data-live-text="ui.n"></b>',
        local={"ui": {"n": 0}},
        functions={"count": "def count():\n    ui.n += 1"},
        pyodide=pyodide,
    )
    clicks = "for (let n = 0; n < 105; n++) document.querySelector('a').click()"
    stage.page.evaluate(f"() => {{ {clicks} }}")
    expect(stage.page.locator("b")).to_have_text("100")
    dropped = [line for line in stage.lines if "100 events wait for Python" in line]
    assert len(dropped) == 5
    assert stage.page.url == "http://stage.test/"


def test_a_page_whose_pyodide_is_broken_works_without_it(open_stage: Open, tmp_path: Path) -> None:
    (tmp_path / "pyodide.mjs").write_text("throw new Error('broken')")
    stage = open_stage(
        """<button data-live-on-click="count"></button><pre data-live-log></pre>
        <input data-live-model="ui.n"><b data-live-text="ui.n"></b>""",
        local={"ui": {"n": 0}},
        functions={"count": "def count():\n    ui.n += 1"},
        pyodide=tmp_path,
    )
    expect(stage.page.locator("pre")).to_contain_text('see "make pyodide"')
    stage.page.click("button")
    stage.page.locator("input").fill("x")
    expect(stage.page.locator("b")).to_have_text("x")
    take_errors(stage.errors, "count() is not called", "Python did not start")
