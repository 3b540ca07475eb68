"""The binding attributes in real Chromium. No test may violate the policy of the page."""

import pytest
from playwright.sync_api import expect

from live.stage import Open, Stage, take_errors

pytestmark = pytest.mark.needs("chromium")


def test_text_attributes_classes_and_visibility_follow_a_state(open_stage: Open) -> None:
    stage = open_stage(
        """<p id=text data-live-text="ui.name"></p>
        <p id=attr data-live-attr-title="ui.name" data-live-attr-lang="ui.none"
           data-live-attr-aria-busy="ui.busy" data-live-attr-inert="ui.busy"></p>
        <p id=class class="own" data-live-class-busy="ui.busy" data-live-class-free="!ui.busy"></p>
        <p id=shown data-live-show="ui.count >= 2">two</p>
        <p id=literals data-live-text="ui.name == 'A \\'b\\' =='"></p>""",
        local={"ui": {"name": "A 'b' ==", "busy": True, "count": 1.5, "none": None}},
    )
    page = stage.page
    expect(page.locator("#text")).to_have_text("A 'b' ==")
    expect(page.locator("#literals")).to_have_text("true")
    attributes = "(e) => [...e.attributes].map((a) => a.name + '=' + a.value).join(' ')"
    shown = page.locator("#attr").evaluate(attributes).split(" ")
    assert {"aria-busy=true", "inert="} < {*shown}
    assert "lang" not in page.locator("#attr").evaluate("(e) => e.getAttributeNames()")
    expect(page.locator("#class")).to_have_class("own busy")
    expect(page.locator("#shown")).to_be_hidden()
    stage.run("Object.assign(local.ui, {name: 7, busy: false, count: 2, none: 'en'})")
    expect(page.locator("#text")).to_have_text("7")
    expect(page.locator("#literals")).to_have_text("false")
    expect(page.locator("#attr")).to_have_attribute("lang", "en")
    expect(page.locator("#attr")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#attr")).not_to_have_attribute("inert", "")
    expect(page.locator("#class")).to_have_class("own free")
    expect(page.locator("#shown")).to_be_visible()


EXPRESSIONS = {
    "ui.n == 2": "true",
    "ui.n != 2": "false",
    "ui.n < 2.5": "true",
    "ui.n > -1": "true",
    "ui.n <= 2": "true",
    "ui.n >= 3": "false",
    "ui.text == 'a'": "true",
    "ui.text < 3": "false",
    "ui.none == null": "true",
    "ui.none < 3": "false",
    "ui.yes == true": "true",
    "!ui.yes": "false",
    "ui.list.length > 1": "true",
    "ui.list.1": "5",
    "ui.list.map": "",
    "ui.deep.other.more": "",
    "ui.deep": '{"name":"<b>"}',
    "  ui.n  ==  2  ": "true",
}


def test_expressions(open_stage: Open) -> None:
    values = {"n": 2, "text": "a", "none": None, "yes": True, "list": [4, 5]}
    stage = open_stage(
        "".join(f'<p data-live-text="{expression}">old</p>' for expression in EXPRESSIONS),
        local={"ui": {**values, "deep": {"name": "<b>"}}},
    )
    shown = stage.page.locator("p").all_inner_texts()
    assert dict(zip(EXPRESSIONS, shown, strict=True)) == EXPRESSIONS


def test_elements_keep_what_the_page_says_until_the_values_come(open_stage: Open) -> None:
    html = """<p id=a data-live-text="room.score">…</p><p id=b data-live-show="!room.open">x</p>
    <button data-live-attr-disabled="room.open == false" disabled>b</button>
    <input data-live-model="room.name" value="v">
    <ul><template data-live-each="item of room.items"><li></li></template></ul>
    <p role=status data-live-status></p>"""
    stage = open_stage(html, shared={"room": {}})
    stage.answers = False
    page = stage.page
    page.reload()
    stage.wait_until("document.querySelector('p[role]').textContent === 'connecting'")
    expect(page.locator("#a")).to_have_text("…")
    expect(page.locator("#b")).to_be_visible()
    expect(page.locator("button")).to_be_disabled()
    expect(page.locator("input")).to_have_value("v")
    stage.shared["room"] = {"score": 0, "open": True, "name": "n", "items": [1]}
    stage.send_snapshot()
    expect(page.locator("#a")).to_have_text("0")
    expect(page.locator("#b")).to_be_hidden()
    expect(page.locator("button")).to_be_enabled()
    expect(page.locator("input")).to_have_value("n")
    expect(page.locator("li")).to_have_count(1)
    expect(page.get_by_role("status")).to_have_text("online")
    expect(page.locator("html")).to_have_attribute("data-live-status", "online")


def test_inputs_show_a_state_and_change_it(open_stage: Open) -> None:
    stage = open_stage(
        """<input id=text data-live-model="form.text">
        <textarea data-live-model="form.area"></textarea>
        <input id=number type=number step=any data-live-model="form.number">
        <input id=range type=range data-live-model="form.range">
        <input id=check type=checkbox data-live-model="form.check">
        <input type=radio name=r value=a data-live-model="form.radio">
        <input type=radio name=r value=b data-live-model="form.radio">
        <input type=radio name=n value=1 data-live-model="form.level">
        <input type=radio name=n value=2 data-live-model="form.level">
        <select id=select data-live-model="form.select">
          <template data-live-each="size of form.sizes">
            <option data-live-text="size" data-live-attr-value="size"></option>
          </template></select>""",
        shared={
            "form": {
                "text": "t",
                "area": "a\nb",
                "number": 1.5,
                "range": 7,
                "check": True,
                "radio": "b",
                "level": 2,
                "select": 20,
                "sizes": [10, 20, 30],
            }
        },
    )
    page = stage.page
    expect(page.locator("#text")).to_have_value("t")
    expect(page.locator("textarea")).to_have_value("a\nb")
    expect(page.locator("#number")).to_have_value("1.5")
    expect(page.locator("#range")).to_have_value("7")
    expect(page.locator("#check")).to_be_checked()
    expect(page.locator("[value=b]")).to_be_checked()
    expect(page.locator("[value='2']")).to_be_checked()
    expect(page.locator("select")).to_have_value("20")
    page.locator("#text").fill("T")
    page.locator("textarea").fill("A")
    page.locator("#number").fill("2")
    page.locator("#number").fill("")  # not a number: not sent
    page.locator("#range").fill("9")
    page.locator("#check").uncheck()
    page.locator("[value=a]").check()
    page.locator("[value='1']").check()
    page.locator("select").select_option("30")
    changed = stage.run("return snapshot(shared.form)")
    assert changed == {
        "text": "T",
        "area": "A",
        "number": 2,
        "range": 9,
        "check": False,
        "radio": "a",
        "level": 1,
        "select": 30,
        "sizes": [10, 20, 30],
    }
    page.locator("#number").blur()
    expect(page.locator("#number")).to_have_value("2")
    stage.set("form.radio", "b")
    stage.set("form.check", True)
    expect(page.locator("[value=b]")).to_be_checked()
    expect(page.locator("#check")).to_be_checked()
    assert {operation["op"] for operation in stage.operations} == {"set"}
    assert not any("expect" in operation for operation in stage.operations)


def test_an_option_that_comes_later_is_chosen(open_stage: Open) -> None:
    stage = open_stage(
        """<select data-live-model="ui.pick"><option value="">-</option>
        <template data-live-each="name of room.names"><option data-live-text="name"></option>
        </template></select>""",
        shared={"room": {"names": []}},
        local={"ui": {"pick": "b"}},
    )
    stage.set("room.names", ["a", "b"])
    expect(stage.page.locator("select")).to_have_value("b")


def test_values_of_others_wait_while_an_input_has_the_focus(open_stage: Open) -> None:
    stage = open_stage(
        """<input data-live-model="room.text"><p data-live-text="room.text"></p>
        <button data-live-on-click="room.text = ''"></button>""",
        shared={"room": {"text": "abcd"}},
    )
    page, box = stage.page, stage.page.locator("input")
    expect(box).to_have_value("abcd")
    box.focus()
    caret = "(e) => [e.selectionStart, e.selectionEnd]"
    box.evaluate("(e) => e.setSelectionRange(2, 2)")
    stage.set("room.text", "theirs")
    expect(page.locator("p")).to_have_text("theirs")
    expect(box).to_have_value("abcd")
    assert box.evaluate(caret) == [2, 2]
    page.keyboard.type("X")
    expect(page.locator("p")).to_have_text("abXcd")
    assert box.evaluate(caret) == [3, 3]
    stage.run("shared.room.text = ''")  # own code empties it after sending
    expect(box).to_have_value("")
    stage.set("room.text", "theirs again")
    expect(page.locator("p")).to_have_text("theirs again")
    expect(box).to_have_value("")
    box.blur()
    expect(box).to_have_value("theirs again")


def test_nothing_is_sent_while_an_input_method_composes(open_stage: Open) -> None:
    stage = open_stage('<input data-live-model="room.text">', shared={"room": {"text": ""}})
    stage.page.locator("input").focus()
    session = stage.page.context.new_cdp_session(stage.page)
    for text in ("に", "にほ", "にほん"):
        place = {"text": text, "selectionStart": len(text), "selectionEnd": len(text)}
        session.send("Input.imeSetComposition", place)
    assert stage.page.locator("input").input_value() == "にほん"
    assert stage.run("return shared.room.text") == ""
    session.send("Input.insertText", {"text": "日本"})
    stage.wait_until("document.querySelector('input').value === '日本'")
    assert stage.run("return shared.room.text") == "日本"
    assert [operation["value"] for operation in stage.operations] == ["日本"]


ROWS = """<ul><template data-live-each="item of room.items by id"><li>
<i data-live-text="item.index"></i>:<b data-live-text="item.text"></b><input>
<template data-live-each="tag of item.tags"><u data-live-text="tag"></u></template></li></template>
<li id=last>end</li></ul>"""


def rows_of(stage: Stage) -> list[str]:
    rows: list[str] = stage.run(
        "return [...document.querySelectorAll('li')].map((e) => e.textContent.replace(/\\s/g, ''))"
    )
    return rows


def make_items(*texts: str) -> list[dict[str, object]]:
    return [{"id": ord(text), "text": text, "tags": [text, "x"]} for text in texts]


def test_rows_keep_their_nodes(open_stage: Open) -> None:
    stage = open_stage(ROWS, shared={"room": {"items": make_items("a", "b", "c")}})
    stage.wait_until("document.querySelectorAll('li').length === 4")
    assert rows_of(stage) == ["0:aax", "1:bbx", "2:ccx", "end"]
    stage.run(
        "window.rows = Object.fromEntries([...document.querySelectorAll('li')].map("
        "(e) => [e.querySelector('b')?.textContent, e]))"
    )
    box = stage.page.locator("li input").nth(1)
    box.focus()
    box.evaluate("(e) => { e.value = 'typed'; e.setSelectionRange(2, 2); window.typed = e }")
    (new,) = make_items("d")
    stage.sync({"op": "insert", "path": ["room", "items", 0], "value": new})
    stage.wait_until("document.querySelectorAll('li').length === 5")
    assert rows_of(stage) == ["0:ddx", "1:aax", "2:bbx", "3:ccx", "end"]
    stage.run("shared.room.items.reverse()")
    assert rows_of(stage) == ["0:ccx", "1:bbx", "2:aax", "3:ddx", "end"]
    stage.run("shared.room.items.splice(0, 1)")
    assert rows_of(stage) == ["0:bbx", "1:aax", "2:ddx", "end"]
    same = "return [...document.querySelectorAll('li')].filter((e) => rows[e.querySelector('b')"
    assert stage.run(same + "?.textContent] === e).length") == 3
    assert stage.run("return document.activeElement === typed && typed.selectionStart") == 2
    # Another object with the same id: the row stays and shows the new values.
    stage.set("room.items.0", {"id": ord("b"), "text": "B", "tags": ["y"]})
    stage.wait_until("document.querySelector('b').textContent === 'B'")
    assert rows_of(stage) == ["0:By", "1:aax", "2:ddx", "end"]
    assert stage.run("return document.querySelector('li') === rows.b") is True
    stage.run("shared.room.items.length = 0")
    assert rows_of(stage) == ["end"]


def test_rows_of_equal_values_are_rows_of_their_own(open_stage: Open) -> None:
    stage = open_stage(
        """<template data-live-each="tag of ui.tags"><b data-live-text="tag"></b></template>""",
        local={"ui": {"tags": ["x", "y", "x"]}},
    )
    texts = "return [...document.querySelectorAll('b')].map((e) => e.textContent).join('')"
    assert stage.run(texts) == "xyx"
    stage.run("local.ui.tags.push('x'); local.ui.tags.shift()")
    assert stage.run(texts) == "yxx"


def test_templates_at_the_top_of_a_row_move_and_go_with_it(open_stage: Open) -> None:
    stage = open_stage(
        """<div><template data-live-each="list of ui.lists"><template data-live-each="n of list"
        ><b data-live-text="n"></b></template></template></div>""",
        local={"ui": {"lists": [[1, 2], [3], []]}},
    )
    text = "return document.querySelector('div').textContent"
    assert stage.run(text) == "123"
    stage.run("local.ui.lists.reverse()")
    assert stage.run(text) == "312"
    stage.run("local.ui.lists[2].push(4)")
    assert stage.run(text) == "3124"
    stage.run("local.ui.lists.splice(1, 1)")
    assert stage.run(text) == "124"


def test_events_call_handlers_and_change_states(open_stage: Open) -> None:
    stage = open_stage(
        """<form data-live-on-submit="send"><button id=send>s</button></form>
        <template data-live-each="item of room.items"><button class=row data-live-on-click="take"
        data-live-on-my-event="item.text = 'own'"></button></template>
        <button id=up data-live-on-click="room.score += 2"></button>
        <button id=down data-live-on-click="room.score -= 0.5"></button>
        <button id=set data-live-on-click="room.score = 7"></button>
        <button id=not data-live-on-click="ui.open = !ui.open"></button>
        <button id=copy data-live-on-click="ui.copy = room.items"></button>""",
        shared={"room": {"score": 1, "items": [{"text": "a"}]}},
        marks={"room": {"score": {"counter": True}}},
        local={"ui": {"open": False, "copy": None}},
        script="""import { local, shared } from "/live/live.js";
        export const seen = window.seen = [];
        export function send(event) { seen.push(event.type, event.defaultPrevented); }
        export function take(event, { item }) {
          seen.push(item === shared.room.items[0], local.ui.open);
        }
        """,
    )
    page = stage.page
    stage.wait_until("document.querySelector('.row')")
    for name in ("#send", ".row", "#not", "#up", "#down", "#copy", "#set"):
        page.click(name)
    page.locator(".row").evaluate("(e) => { e.dispatchEvent(new Event('my-event')) }")
    assert stage.run("return seen") == ["submit", True, True, False]
    assert stage.run("return snapshot(local.ui)") == {"open": True, "copy": [{"text": "a"}]}
    assert stage.run("return snapshot(shared.room)") == {"score": 7, "items": [{"text": "own"}]}
    operations = [op for op in stage.operations if op["path"] == ["room", "score"]]
    assert [(op["op"], op["value"]) for op in operations] == [
        ("increment", 2),
        ("increment", -0.5),
        ("set", 7),
    ]
    assert page.url.rstrip("/") == "http://stage.test"


WRONG = {
    'data-live-text="ui.name +"': "expected a path",
    'data-live-text="alert(1)"': "expected a path",
    'data-live-text="ui[0]"': "expected a path",
    'data-live-text="ui.name == other"': "expected a path",
    'data-live-text="ui.__proto__.x"': "not allowed",
    'data-live-text="ui.constructor"': "not allowed",
    'data-live-text="ui.a.prototype == 1"': "not allowed",
    'data-live-text="uu.name"': "there is no state uu, only room, ui",
    'data-live-test="ui.name"': "there is no such attribute",
    'data-live-attr="ui.name"': "there is no such attribute",
    'data-live-attr-onclick="ui.name"': "must not set onclick",
    'data-live-attr-style="ui.name"': "must not set style",
    'data-live-attr-srcdoc="ui.name"': "must not set srcdoc",
    'data-live-model="ui.name"': "expected an input",
    'data-live-each="a of ui.name"': "expected a <template",
    "data-live-on-click=\"ui.name += 'a'\"": "expected a handler",
    'data-live-on-click="ui.name == 1"': "expected a handler",
    'data-live-on-click="f()"': "expected a handler",
    'data-live-on-click="ui.constructor = 1"': "not allowed",
}


def test_a_wrong_attribute_is_an_error_that_quotes_it(open_stage: Open) -> None:
    stage = open_stage(
        "".join(f"<i {attribute}>old</i>" for attribute in WRONG)
        + '<b data-live-text="ui.name"></b>',
        shared={"room": {}},
        local={"ui": {"name": "n"}},
    )
    expect(stage.page.locator("b")).to_have_text("n")
    assert set(stage.page.locator("i").all_inner_texts()) == {"old"}
    assert len(stage.errors) == len(WRONG)
    for attribute, reason in WRONG.items():
        (error,) = (error for error in stage.errors if attribute in error)
        assert reason in error
    stage.errors.clear()


def test_errors_that_show_only_later_quote_their_attribute(open_stage: Open) -> None:
    stage = open_stage(
        """<button id=none data-live-on-click="gone"></button>
        <button id=root data-live-on-click="ui = 1"></button>
        <button id=deep data-live-on-click="ui.name.first = 1"></button>
        <template data-live-each="a of ui.name"><i></i></template>
        <button id=throws data-live-on-click="fail"></button><b data-live-text="ui.name"></b>""",
        local={"ui": {"name": "n"}},
        script="export function fail() { throw new Error('mine'); }",
    )
    for name in ("none", "root", "deep", "throws"):
        stage.page.click(f"#{name}")
    stage.run("local.ui.name = 'm'")
    expect(stage.page.locator("b")).to_have_text("m")
    take_errors(
        stage.errors,
        'data-live-on-click="gone": there is no such handler',
        'data-live-on-click="ui = 1": this cannot be set',
        'data-live-on-click="ui.name.first = 1": this cannot be set',
        'data-live-each="a of ui.name": ui.name is not a list',
        "mine",
    )


HOSTILE_URLS = [
    "javascript:hack()",
    " \x01javascript:hack()",
    "java\nscript:hack()",
    "JAVASCRIPT:hack()",
    "java\tscript\r:hack()",
    "data:text/html,<script>hack()</script>",
    "vbscript:hack()",
    "blob:http://x/y",
    "file:///etc/passwd",
]
SAFE_URLS = ["https://example.com/", "mailto:a@b", "tel:+1", "/a?b=c:d", "#x", "a/b:c", "//x", ""]


def test_only_safe_urls_reach_the_page(open_stage: Open) -> None:
    stage = open_stage(
        """<a data-live-attr-href="ui.url">a</a>
        <form><button data-live-attr-formaction="ui.url">b</button></form>""",
        local={"ui": {"url": "#"}},
    )
    for url in SAFE_URLS:
        stage.page.evaluate("(url) => { window.url = url }", url)
        stage.run("local.ui.url = window.url")
        expect(stage.page.locator("a")).to_have_attribute("href", url)
    assert stage.errors == []
    for url in HOSTILE_URLS:
        stage.page.evaluate("(url) => { window.url = url }", url)
        stage.run("local.ui.url = '#'")
        expect(stage.page.locator("a")).to_have_attribute("href", "#")
        stage.run("local.ui.url = window.url")
        expect(stage.page.locator("a")).not_to_have_attribute("href", "#")
        for element in ("a", "button"):
            names = stage.page.locator(element).evaluate("(e) => e.getAttributeNames().join()")
            assert "href" not in names.replace("-href", "")
            assert ",formaction" not in names
    assert len(stage.errors) == 2 * len(HOSTILE_URLS)
    take_errors(stage.errors, "is not a safe URL")


def test_a_hostile_value_stays_text(open_stage: Open) -> None:
    hostile = "</script><img src=x onerror=hack()><script>hack()</script>"
    stage = open_stage(
        """<p data-live-text="room.text"></p>
        <b data-live-text="ui.text" data-live-attr-title="ui.text"></b>
        <input data-live-model="ui.text"><textarea data-live-model="ui.text"></textarea>
        <template data-live-each="text of room.list"><i data-live-text="text"></i></template>""",
        shared={"room": {"text": hostile, "list": [hostile]}},
        local={"ui": {"text": hostile}},
    )
    for selector in ("p", "b", "i"):
        expect(stage.page.locator(selector)).to_have_text(hostile)
    expect(stage.page.locator("b")).to_have_attribute("title", hostile)
    expect(stage.page.locator("textarea")).to_have_value(hostile)
    assert stage.page.locator("img").count() == 0


def test_a_node_is_written_once_a_turn_and_only_if_its_value_differs(open_stage: Open) -> None:
    stage = open_stage(
        """<p data-live-text="ui.a" data-live-attr-title="ui.b" data-live-class-x="ui.a > 1"></p>
        <p data-live-show="ui.a > 1"></p><input data-live-model="ui.b">""",
        local={"ui": {"a": 0, "b": "b"}},
    )
    writes = stage.run(
        """let writes = 0;
        const observer = new MutationObserver((found) => { writes += found.length; });
        const what = {subtree: true, childList: true, characterData: true, attributes: true};
        observer.observe(document.body, what);
        const turn = () => new Promise((resolve) => setTimeout(resolve));
        const seen = [];
        local.ui.a = 1; local.ui.a = 2; local.ui.a = 3; local.ui.b = "c"; local.ui.b = "b";
        await turn(); seen.push(writes);
        local.ui.a = 4; await turn(); seen.push(writes);
        local.ui.b = "b"; local.ui.a = 4; await turn(); seen.push(writes);
        return seen;"""
    )
    assert writes == [3, 4, 4]  # the text, the class and the visibility; then the text alone


def test_elements_are_bound_later_and_released(open_stage: Open) -> None:
    stage = open_stage(
        """<b data-live-text="ui.n"></b><button data-live-on-click="hit"></button>""",
        local={"ui": {"n": 1}},
    )
    seen = stage.run(
        """const turn = () => new Promise((resolve) => setTimeout(resolve));
        const added = document.createElement("div");
        added.innerHTML = `<i data-live-text="ui.n"></i><u data-live-on-click="hit"></u>
          <template data-live-each="x of ui.list"><s></s></template>`;
        document.body.append(added);
        let hits = 0;
        const end = bind(added, {hit: () => (hits += 1)});
        bind(document, {hit: () => (hits += 10)});   // bound already: the handlers only
        const seen = [added.querySelector("i").textContent];
        added.querySelector("u").click();
        document.querySelector("button").click();
        seen.push(hits);
        local.ui.list = [1, 2]; local.ui.n = 2; await turn();
        seen.push(added.querySelector("i").textContent, added.querySelectorAll("s").length);
        end();
        local.ui.n = 3; local.ui.list.push(3); await turn();
        added.querySelector("u").click();
        seen.push(added.querySelector("i").textContent, added.querySelectorAll("s").length, hits);
        seen.push(document.querySelector("b").textContent);
        bind(added);
        seen.push(added.querySelector("i").textContent, added.querySelectorAll("s").length);
        return seen;"""
    )
    assert seen == ["1", 20, "2", 2, "2", 0, 20, "3", "3", 3]


def test_a_refusal_is_undone_and_shown(open_stage: Open) -> None:
    stage = open_stage(
        """<b data-live-text="room.n"></b><button data-live-on-click="room.n = 5"></button>
        <p data-live-refused></p>""",
        shared={"room": {"n": 1}},
    )
    page = stage.page
    expect(page.locator("b")).to_have_text("1")
    stage.answers = False
    page.click("button")
    expect(page.locator("b")).to_have_text("5")
    stage.wait_until("true")
    assert len(stage.entries) == 1
    stage.send(type="refused", id=1, code="invalid_value", message="5 is <b>too</b> large")
    expect(page.locator("b")).to_have_text("1")
    expect(page.get_by_role("status")).to_have_text("5 is <b>too</b> large")


def test_a_violation_of_the_policy_would_be_noticed(open_stage: Open) -> None:
    stage = open_stage('<p style="color: red">x</p>')
    take_errors(stage.errors, "VIOLATION style-src-attr inline", "violates the following")
