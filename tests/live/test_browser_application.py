"""An application that is not the chat, in real windows on a real service."""

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Dialog, Route, expect
from services.test_web_service import Service

from live.stage import take_errors
from live.windows import Open, Window, raw_client, states_of

pytestmark = pytest.mark.needs("chromium")

PROGRAM = Path(__file__).with_name("application_program.py")
HOSTILE = (
    "<img src=x onerror=\"document.title = 'bad'\">",
    "java\nscript:document.title = 'bad'",
    "data:text/html,<script>parent.document.title = 'bad'</script>",
    "__proto__",
    "constructor",
    "' onclick='document.title = 1",
)


@pytest.fixture(scope="module")
def running(live_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("application") / "log"
    with Service([sys.executable, str(PROGRAM), str(live_source)], log) as service:
        yield service
        assert "Traceback" not in log.read_text()


@pytest.fixture
def service(running: Service) -> Service:
    """Give the service with its initial board; a test may kill it."""
    if not running.is_running():
        running.start()
    httpx.post(f"{running.url}/clear").raise_for_status()
    return running


@pytest.fixture
def open_board(service: Service, open_window: Open) -> Open:
    """Return a function that opens the board."""
    return partial(open_window, service.url)


def add_cards(window: Window, *titles: str) -> None:
    """Add cards to the first column."""
    for title in titles:
        window.page.locator("#draft").fill(title)
        window.page.locator(".add").first.click()
    window.settle()


def board_of(service: Service) -> dict[str, Any]:
    board: dict[str, Any] = states_of(service.url)["board"]
    return board


def expect_view(service: Service, *windows: Window) -> None:
    """Wait until each window shows the state of the service."""
    board = board_of(service)
    cards = [card for column in board["columns"] for card in column["cards"]]
    shape = board["shape"]["value"]
    shown = {
        "h2": [column["name"] for column in board["columns"]],
        "h3": [card["title"] for card in cards],
        ".votes": [str(card["votes"]) for card in cards],
        "em": [tag for card in cards for tag in card["tags"]],
        ".news": board["news"],
        "#greeting": [board["owner"]],
        "#visits": [str(board["visits"])],
        "#radius": [f"{shape.get('radius', ''):g}" if "radius" in shape else ""],
        "#side": [f"{shape['side']:g}" if "side" in shape else ""],
    }
    for window in windows:
        for selector, texts in shown.items():
            window.expect_texts(selector, texts)
        expect(window.page.locator("#limit")).to_have_value(str(board["limit"]))
        assert window.page.locator("#toggle").is_checked() is board["is_open"]
        expect(window.page.locator("#labels")).to_have_text(
            json.dumps(board["labels"]).replace(" ", "")
        )


def test_each_kind_of_state_is_shared(open_board: Open, service: Service) -> None:
    ada, bob = open_board(), open_board()
    add_cards(ada, "one", "two")
    add_cards(bob, "three", "four")
    # Keep(3) has dropped the first one, in the windows as in the service.
    for window in (ada, bob):
        window.expect_texts(".news", [f"{each} in To do" for each in ("two", "three", "four")])
    ada.page.locator(".vote").nth(1).click()
    bob.page.locator(".vote").nth(1).click()
    bob.page.locator("#draft").fill("urgent")
    bob.page.locator(".tag").nth(1).click()
    ada.page.locator(".drop").first.click()
    ada.page.locator("#limit").fill("7")
    bob.page.locator("#toggle").uncheck()
    ada.page.locator("#owner").fill("Ada")
    expect(bob.page.locator("#greeting")).to_have_attribute("title", "Ada")
    expect(ada.page.locator("#open")).to_be_hidden()
    expect(bob.page.locator("#open")).to_have_class("busy")
    bob.page.locator("#reshape").click()
    ada.run("shared.board.labels.urgent = 'red'")
    expect(bob.page.locator("#labels")).to_have_text('{"urgent":"red"}')
    for window in (ada, bob):
        window.settle()
    expect_view(service, ada, bob)
    assert board_of(service)["shape"] == {"__type__": "Square", "value": {"side": 2}}
    assert [each["title"] for each in board_of(service)["columns"][0]["cards"]] == [
        "two",
        "three",
        "four",
    ]
    bob.page.locator("#reshape").click()
    ada.expect_texts("#radius", ["3"])
    expect_view(service, ada, bob)


def test_a_write_below_an_index_does_not_meet_another_element(
    open_board: Open, service: Service
) -> None:
    ada, bob = open_board(), open_board()
    ada.run("shared.board.steps = [{text: 'one'}, {text: 'two'}]")
    bob.expect_texts(".step", ["one", "two"])
    with bob.line.held():
        ada.run("shared.board.steps.unshift({text: 'first'}); await live.settled()")
        bob.page.locator(".done").nth(0).check()
        bob.page.locator(".done").nth(1).check()
    for window in (ada, bob):
        window.expect_texts(".step", ["first", "one", "two"])
        expect(window.page.locator(".done:checked")).to_have_count(0)
    expect(bob.page.locator("#refused")).to_contain_text("board['steps'][1]")
    expect(ada.page.locator("#refused")).to_have_text("")
    # Now it knows the place.
    bob.page.locator(".done").nth(1).check()
    expect(ada.page.locator(".done").nth(1)).to_be_checked()
    assert [step["is_done"] for step in board_of(service)["steps"]] == [False, True, False]


def test_an_element_with_an_id_is_met_while_its_other_fields_change(
    open_board: Open, service: Service
) -> None:
    ada, bob = open_board(), open_board()
    add_cards(ada, "one", "two")
    bob.expect_texts("h3", ["one", "two"])
    with ada.line.held(), bob.line.held():
        ada.page.locator("article .title").first.fill("changed")
        for window in (ada, bob):
            window.page.locator(".vote").first.click()
            window.page.locator(".vote").last.click()
        bob.page.locator("h2").first.evaluate("(each) => each.click()")
    for window in (ada, bob):
        window.expect_texts("h3", ["changed", "two"])
        window.expect_texts(".votes", ["2", "2"])
    expect_view(service, ada, bob)


def test_members_of_unions_move_with_their_types(open_board: Open, service: Service) -> None:
    ada, bob = open_board(), open_board()
    ada.run(
        "const {board} = shared;"
        "board.shapes = [{__type__: 'Circle', value: {radius: 5}}];"
        "board.shapes.push(board.shape, {__type__: 'Square', value: {side: 2}});"
        "board.shapes.reverse(); board.shapes[0].side = 4; board.shape = board.shapes[0]"
    )
    ada.settle()
    expect(ada.page.locator("#refused")).to_have_text("")
    for window in (ada, bob):
        window.expect_texts(".shape", ['{"side":4}', '{"radius":1}', '{"radius":5}'])
    assert [each["__type__"] for each in board_of(service)["shapes"]] == [
        "Square",
        "Circle",
        "Circle",
    ]
    expect_view(service, ada, bob)


def test_a_sum_with_an_old_number_is_a_conflict(open_board: Open, service: Service) -> None:
    ada, bob = open_board(), open_board()
    bob.run(
        "window.refused = []; live.addEventListener('refused', (event) => {"
        "  refused.push([event.detail.code, event.detail.path.join('.'), event.detail.found]);"
        "  event.preventDefault(); })"
    )
    with bob.line.held():
        ada.run("shared.board.limit += 5; await live.settled()")
        bob.run("shared.board.limit += 1")
        assert bob.run("return shared.board.limit") == 11
    bob.settle()
    assert bob.page.evaluate("() => refused") == [["conflict", "board.limit", 15]]
    expect(bob.page.locator("#refused")).to_have_text("")
    expect_view(service, ada, bob)


def test_inputs_work_before_the_script_of_the_page_is_there(
    service: Service, make_context: Callable[..., BrowserContext]
) -> None:
    page = make_context().new_page()
    script: list[Route] = []
    page.route("**/application.js", lambda route: script.append(route))
    page.goto(service.url, wait_until="commit")
    expect(page.locator("html")).to_have_attribute("data-live-status", "online")
    page.locator("#draft").fill("early")
    page.locator("#owner").fill("Ada")
    expect(page.locator("#greeting")).to_have_text("Ada")
    for route in script:
        route.continue_()
    page.wait_for_load_state()
    expect(page.locator("#draft")).to_have_value("early")
    while page.locator("h3").count() == 0:
        page.locator(".add").first.click()
    expect(page.locator("h3").first).to_have_text("early")


def test_pending_changes_survive_a_new_epoch(open_board: Open, service: Service) -> None:
    window = open_board()
    add_cards(window, "forgotten")
    epoch = window.run("return snapshot(shared.board.news)")
    assert epoch == ["forgotten in To do"]
    service.kill()
    window.expect_status("offline")
    for title in ("one", "two", "three"):
        window.page.locator("#draft").fill(title)
        window.page.locator(".add").nth(1).click()
    assert window.run("return live.pending") == 3
    service.start()
    window.wake()
    window.settle()
    window.expect_status("online")
    window.expect_texts("h3", ["one", "two", "three"])
    expect_view(service, window)


def test_the_browser_asks_before_pending_changes_are_lost(
    open_board: Open, service: Service
) -> None:
    window = open_board()
    page = window.page
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.locator("#owner").fill("Ada")
    window.settle()
    page.reload()
    window.expect_status("online")
    assert asked == []
    service.kill()
    window.expect_status("offline")
    page.locator("#owner").fill("Bob")
    page.close(run_before_unload=True)
    expect(page.locator("#greeting")).to_have_text("Bob")
    while not asked:
        page.wait_for_timeout(20)
    assert asked == ["beforeunload"]
    service.start()
    window.wake()
    window.settle()
    assert board_of(service)["owner"] == "Bob"


def test_a_frame_over_the_limit_does_not_cost_the_line(open_board: Open, service: Service) -> None:
    window = open_board()
    path = ["board", "owner"]
    frame = {"type": "do", "id": 1, "do": [{"op": "set", "path": path, "value": ""}]}
    empty = window.page.evaluate("(frame) => JSON.stringify(frame).length", frame)
    write = "shared.board.owner = 'x'.repeat({})"
    too_long = write.format(65_537 - empty)
    code = window.run(f"try {{ {too_long} }} catch (error) {{ return error.code }}")
    assert code == "too_large"
    assert window.line.sent == []
    expect(window.page.locator("#greeting")).to_have_text("")
    window.run(write.format(65_536 - empty))
    window.settle()
    assert len(board_of(service)["owner"]) == 65_536 - empty
    window.run("shared.board.owner = 'Ada'")
    window.settle()
    assert board_of(service)["owner"] == "Ada"
    assert len(window.line.sent) == 2
    window.expect_status("online")


def test_a_page_keeps_to_the_rate_by_itself(open_board: Open, service: Service) -> None:
    window = open_board()
    window.run(
        "window.refused = 0; live.addEventListener('refused', () => refused++);"
        "for (let turn = 0; turn < 2; turn++) {"
        "  for (let n = 0; n < 600; n++) shared.board.steps.push({text: String(600 * turn + n)});"
        "  await live.settled();"
        "}"
    )
    assert window.page.evaluate("() => refused") == 0
    steps = board_of(service)["steps"]
    assert [step["text"] for step in steps] == [str(n) for n in range(1200)]
    numbers = [entry["id"] for entry in window.line.sent]
    assert numbers == [*range(1, 1201)]


def test_hostile_values_stay_text(open_board: Open, service: Service) -> None:
    ada, bob = open_board(), open_board()
    for value in HOSTILE:
        ada.page.locator("#owner").fill(value)
        ada.run(f"shared.board.link = {value!r}; shared.board.labels = {{name: {value!r}}}")
        add_cards(ada, value)
        ada.page.locator("#draft").fill(value)
        ada.page.locator(".tag").last.click()
        ada.settle()
        for window in (ada, bob):
            page = window.page
            expect(page.locator("#labels")).to_contain_text("name")
            expect(page.locator("em").last).to_have_text(value)
            expect(page.locator("h3").last).to_have_text(value)
            expect(page.locator("#address")).to_have_value(value.replace("\n", ""))
            for each in ("#link", "#picture"):
                name = "href" if each == "#link" else "src"
                url = page.locator(each).get_attribute(name) or ""
                assert "script:" not in url
                assert "data:" not in url
            assert page.title() == "Board"
            assert page.locator("img").count() == 1
            assert page.locator("[onerror], [onclick], script:not([src]):not(#live)").count() == 0
            assert page.evaluate("() => ({}).polluted") is None
    # A column is also the id of its element.
    ada.run(f"shared.board.columns[0].name = {HOSTILE[0]!r}")
    expect(bob.page.locator("section").first).to_have_attribute("id", HOSTILE[0])
    for window in (ada, bob):
        take_errors(window.errors, "is not a safe URL", "404")


def test_names_that_change_objects_are_refused(open_board: Open, service: Service) -> None:
    window = open_board()
    for name in ("__proto__", "constructor", "prototype"):
        with pytest.raises(Exception, match="cannot be a name"):
            window.run(f"shared.board.labels[{name!r}] = 'bad'")
        with raw_client(service.url) as raw:
            path = ["board", "labels", name]
            first = raw.write(1, {"op": "set", "path": path, "value": "bad"})
            value = {name: "bad"}
            second = raw.write(2, {"op": "set", "path": path[:2], "value": value})
        assert {first["type"], second["type"]} == {"refused"}
    assert window.page.evaluate("() => ({}).bad ?? Object.prototype.hasOwnProperty('bad')") is False
    assert board_of(service)["labels"] == {}


def test_only_the_server_writes_what_is_its_own(open_board: Open, service: Service) -> None:
    window = open_board()
    window.run("shared.board.visits = 100")
    expect(window.page.locator("#refused")).to_contain_text("visits")
    window.expect_texts("#visits", ["1"])
    with raw_client(service.url) as raw:
        operation = {"op": "set", "path": ["board", "visits"], "value": 100}
        assert raw.write(1, operation)["code"] == "forbidden"
    window.page.reload()
    window.expect_texts("#visits", ["2"])


def test_a_page_that_one_goes_back_to_lives_on(open_board: Open, service: Service) -> None:
    ada, bob = open_board(is_routed=False), open_board()
    page = ada.page
    page.evaluate("() => { window.mark = 'kept'; }")
    page.locator("#draft").fill("a draft")
    page.goto(f"{service.url}/elsewhere")
    bob.page.locator("#owner").fill("written meanwhile")
    bob.settle()
    page.go_back(wait_until="commit")
    expect(page.locator("#greeting")).to_have_text("written meanwhile")
    assert page.evaluate("() => window.mark") == "kept"
    expect(page.locator("#draft")).to_have_value("a draft")
    page.locator("#limit").fill("3")
    ada.settle()
    expect_view(service, ada, bob)


def test_a_field_in_use_keeps_its_text_and_caret(open_board: Open, service: Service) -> None:
    ada, bob = open_board(), open_board()
    owner = ada.page.locator("#owner")
    owner.fill("Grace")
    ada.settle()
    owner.evaluate("(field) => field.setSelectionRange(2, 2)")
    bob.run("shared.board.owner = 'Hopper'; shared.board.limit = 5; await live.settled()")
    ada.expect_texts("#greeting", ["Hopper"])
    expect(owner).to_have_value("Grace")
    assert owner.evaluate("(field) => field.selectionStart") == 2
    # The row keeps its focus while a row comes before it.
    add_cards(ada, "one", "two")
    title = ada.page.locator("article .title").nth(1)
    title.focus()
    title.evaluate("(field) => field.setSelectionRange(1, 1)")
    bob.run("shared.board.columns[0].cards.unshift({id: 'c', title: 'first'});await live.settled()")
    ada.expect_texts("h3", ["first", "one", "two"])
    focused = ada.page.locator("article .title").nth(2)
    expect(focused).to_be_focused()
    ada.page.keyboard.type("-")
    ada.expect_texts("h3", ["first", "one", "t-wo"])
    expect(owner).to_have_value("Hopper")
    ada.settle()
    expect_view(service, ada, bob)


def wait_for_visitors(window: Window, condition: str) -> set[str]:
    """Wait until the ids of the visitors that a page knows meet a condition, and return them."""
    ids: list[str] = window.run(
        f"const ids = () => live.visitors.map((each) => each.id); while (!({condition}))"
        "  await new Promise((go) => live.addEventListener('visitors', go, {once: true}));"
        "return ids()"
    )
    assert len({*ids}) == len(ids)
    return {*ids}


def test_a_reload_continues_and_a_copy_of_the_tab_is_another_visitor(
    open_board: Open, service: Service
) -> None:
    ada, bob = open_board(), open_board()
    add_cards(ada, "before")
    before = wait_for_visitors(bob, "ids().length >= 2")
    ada.page.reload()
    ada.expect_status("online")
    add_cards(ada, "after")
    numbers = [entry["id"] for entry in ada.line.sent]
    assert numbers == sorted({*numbers})
    assert wait_for_visitors(bob, "true") <= before
    with ada.page.expect_popup() as popup:
        ada.page.evaluate("() => { window.open('/'); }")
    expect(popup.value.locator("h3")).to_have_text(["before", "after"])
    ada.expect_status("online")
    wait_for_visitors(bob, f"ids().some((id) => !{json.dumps([*before])}.includes(id))")


def test_values_about_visitors_reach_the_others(open_board: Open) -> None:
    ada, bob = open_board(), open_board()
    ada.run("live.present({typing: true})")
    is_typing = "live.visitors.some((each) => each.presence?.typing)"
    wait_for_visitors(bob, is_typing)
    ada.line.cut()
    ada.expect_status("offline")
    ada.expect_status("online")
    wait_for_visitors(bob, is_typing)
