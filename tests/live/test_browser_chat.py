"""The chat of a rendered service in real windows; the service is a process that can be killed."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect
from services.test_web_service import Service
from support import ProjectEnvironment

from live.conftest import PACKAGE
from live.windows import Open, Window, states_of

pytestmark = pytest.mark.needs("chromium")

TEXTS = "ul li span"


@pytest.fixture(scope="module")
def service(
    live_project: Path,
    pyodide: Path,
    environment: ProjectEnvironment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """Run the service as its user does, after `make pyodide`."""
    assert pyodide.is_dir()
    python = environment.install_once(live_project).tool("python")
    folder = tmp_path_factory.mktemp("chat")
    variable = f"SHOWN_STATE_FILE={folder / 'state.json'}"
    command = ["env", variable, str(python), "-m", PACKAGE]
    log = folder / "log"
    with Service(command, log) as service:
        yield service
        assert "ERROR" not in log.read_text()


@pytest.fixture
def open_chat(service: Service, open_window: Open) -> Open:
    """Return a function that opens the chat."""
    return partial(open_window, service.url)


def say(window: Window, *texts: str) -> None:
    """Send messages."""
    name = "local.ui.name"
    for text in texts:
        window.run(f"shared.chat_room.messages.push({{author: {name}, text: {json.dumps(text)}}})")


def shown_in(window: Window) -> list[str]:
    return window.page.locator(TEXTS).all_text_contents()


def test_a_reload_is_not_a_departure(
    open_chat: Open, make_context: Callable[..., BrowserContext]
) -> None:
    ada = open_chat()
    expect(ada.page.locator("header b").first).to_have_text("1")
    ada.run("window.seen = []; effect(() => seen.push(shared.chat_room.active_users)); 0")
    context = make_context()
    bob = open_chat(context)
    expect(ada.page.locator("header b").first).to_have_text("2")
    bob.run("live.present({mood: 'fine'})")
    bob.expect_visitors(2)
    bob.page.reload()
    bob.expect_status("online")
    assert ada.page.evaluate("() => seen") == [1, 2]
    context.close()
    expect(ada.page.locator("header b").first).to_have_text("1")
    assert ada.page.evaluate("() => seen") == [1, 2, 1]
    ada.expect_visitors(1)


def test_two_windows_share_the_chat(open_chat: Open) -> None:
    ada, bob = open_chat(has_python=True), open_chat()
    expect(ada.page.locator("header b").first).to_have_text("2")
    ada.page.get_by_label("Name").fill("Ada")
    ada.page.get_by_label("Message").fill("Hello, <b>Bob</b>")
    ada.page.keyboard.press("Enter")
    expect(bob.page.locator("li")).to_have_text(["Ada Hello, <b>Bob</b>"])
    expect(ada.page.get_by_label("Message")).to_have_value("")
    expect(ada.page.get_by_role("button", name="Send")).to_be_disabled()
    for window in (ada, bob):
        window.page.get_by_role("button", name="+1").click()
    for window in (ada, bob):
        expect(window.page.locator("header b").nth(1)).to_have_text("2")
    # The name of each browser is its own, and a reload keeps it.
    ada.page.reload()
    expect(ada.page.get_by_label("Name")).to_have_value("Ada")
    expect(bob.page.get_by_label("Name")).to_have_value("Guest")


def test_the_tabs_of_a_browser_do_not_disturb_each_other(
    open_chat: Open, make_context: Callable[..., BrowserContext]
) -> None:
    context = make_context()
    first, second = open_chat(context), open_chat(context)
    for window, name in ((second, "Bob"), (first, "Ada")):
        window.page.get_by_label("Name").fill(name)
        # Each save lies behind before the next tab writes.
        saved = "localStorage.getItem('shown:live:ui')"
        while name not in (window.page.evaluate(saved) or ""):
            window.page.wait_for_timeout(20)
    expect(second.page.get_by_label("Name")).to_have_value("Bob")
    expect(open_chat(context).page.get_by_label("Name")).to_have_value("Ada")
    expect(open_chat().page.get_by_label("Name")).to_have_value("Guest")


def test_points_count_although_nobody_has_heard_of_the_other(
    open_chat: Open, service: Service
) -> None:
    windows = open_chat(), open_chat()
    before = states_of(service.url)["chat_room"]["score"]
    with windows[0].line.held(), windows[1].line.held():
        for window in windows:
            for _ in range(10):
                window.page.get_by_role("button", name="+1").click()
            expect(window.page.locator("header b").nth(1)).to_have_text(str(before + 10))
    for window in windows:
        expect(window.page.locator("header b").nth(1)).to_have_text(str(before + 20))
        window.settle()
    assert states_of(service.url)["chat_room"]["score"] == before + 20


def expect_view_of(service: Service, *windows: Window) -> list[str]:
    """Wait until windows show the messages that the service has, and return them."""
    texts = [each["text"] for each in states_of(service.url)["chat_room"]["messages"]]
    for window in windows:
        window.expect_texts(TEXTS, texts)
    return texts


def test_a_killed_service_loses_no_message(open_chat: Open, service: Service) -> None:
    ada, bob = open_chat(), open_chat()
    for turn in range(5):
        say(ada, f"ada {turn}")
        say(bob, f"bob {turn}")
    ada.settle()
    bob.settle()
    acknowledged = expect_view_of(service, ada, bob)

    def kill(send: Callable[[], None]) -> None:
        send()
        service.kill()

    with bob.line.held():
        ada.line.on_entry = kill
        say(ada, "while it is killed")
        say(bob, "never arrived")
        ada.expect_status("offline")
        ada.line.on_entry = lambda send: send()
    bob.expect_status("offline")
    say(ada, "ada without a service")
    say(bob, "bob without a service")
    assert "ada without a service" in shown_in(ada)
    service.start()
    for window in (ada, bob):
        window.wake()
        window.expect_status("online")
        window.settle()
    texts = expect_view_of(service, ada, bob)
    assert texts[: len(acknowledged)] == acknowledged
    pending = ["while it is killed", "never arrived", "ada without a service"]
    assert sorted(texts[len(acknowledged) :]) == sorted([*pending, "bob without a service"])
    service.kill()
    ada.expect_status("offline")
    service.start()
    for window in (ada, bob):
        window.wake()
        window.expect_status("online")
    assert expect_view_of(service, ada, bob) == texts


def test_a_service_that_is_asked_to_stop_does_not_wait_for_open_pages(
    open_chat: Open, service: Service
) -> None:
    window = open_chat()
    service.terminate()
    assert service.wait() == 0
    window.expect_status("offline")
    service.start()
    window.wake()
    window.expect_status("online")
    expect_view_of(service, window)


def test_a_browser_without_a_network_catches_up(
    open_chat: Open, service: Service, make_context: Callable[..., BrowserContext]
) -> None:
    context = make_context()
    ada, bob = open_chat(context), open_chat()
    context.set_offline(True)
    ada.expect_status("offline")
    expect(ada.page.locator("p[data-live-status]")).to_have_text("offline")
    say(ada, "from ada, alone")
    say(bob, "from bob, meanwhile")
    bob.settle()
    assert shown_in(ada)[-1] == "from ada, alone"
    assert ada.run("return live.pending") == 1
    context.set_offline(False)
    ada.settle()
    ada.expect_status("online")
    texts = expect_view_of(service, ada, bob)
    assert texts[-2:] == ["from bob, meanwhile", "from ada, alone"]


def test_a_line_that_drops_at_each_entry_doubles_and_loses_none(
    open_chat: Open, service: Service
) -> None:
    ada, bob = open_chat(), open_chat()
    before = expect_view_of(service, ada, bob)
    lost: list[object] = []

    def drop(send: Callable[[], None]) -> None:
        """Drop the line: before an entry, after it, after the next one, and so on."""
        if len(ada.line.sent) % 3 != 1:
            send()
        else:
            lost.append(ada.line.sent[-1])
        ada.line.cut()

    ada.line.on_entry = drop
    for number in range(20):
        say(ada, f"dropped {number}")
        ada.wake()
        ada.settle()
    assert len(ada.line.sent) == 20 + len(lost)
    assert len(lost) >= 7
    assert expect_view_of(service, ada, bob) == before + [f"dropped {n}" for n in range(20)]


def test_the_keyboard_is_enough(open_chat: Open) -> None:
    window = open_chat()
    page = window.page
    controls = [
        page.get_by_role("button", name="+1"),
        page.get_by_role("region", name="Conversation"),
        page.get_by_label("Name"),
        page.get_by_label("Message"),
    ]
    for control in controls:
        page.keyboard.press("Tab")
        expect(control).to_be_focused()
    page.keyboard.type("Hello")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Send")).to_be_focused()
    score = int(page.locator("header b").nth(1).text_content() or "")
    controls[0].focus()
    page.keyboard.press("Space")
    expect(page.locator("header b").nth(1)).to_have_text(str(score + 1))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(
    scheme: Any, open_chat: Open, axe: Path, make_context: Callable[..., BrowserContext]
) -> None:
    context = make_context(color_scheme=scheme, viewport={"width": 390, "height": 700})
    window = open_chat(context)
    say(window, *(f"line {number} " * 8 for number in range(20)))
    assert window.page.evaluate("document.documentElement.scrollWidth") == 390
    window.page.evaluate(axe.read_text())
    for status in ("online", "offline"):
        context.set_offline(status == "offline")
        window.expect_status(status)
        result = window.page.evaluate("axe.run()")
        assert result["passes"]
        assert result["violations"] == [], json.dumps(result["violations"], indent=2)
