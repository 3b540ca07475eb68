"""The dashboard in real Chromium, with the installed service and a real Redis."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from chromium import PATIENCE
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect
from services.test_web_service import Service
from stores.redis_server import RedisServer

from frontend.conftest import STATE, Device
from frontend.release import Release

pytestmark = pytest.mark.needs("chromium", "redis-server")

KEY = "sample-dashboard-state"
DAY = 86_400_000


def open_dashboard(device: BrowserContext, service: Service, status: str = "Synchronized") -> Page:
    page = device.new_page()
    page.goto(f"{service.url}/dashboard/")
    expect_status(page, status)
    return page


def expect_status(page: Page, status: str) -> None:
    banner = page.get_by_role("banner")
    expect(banner.get_by_role("status")).to_contain_text(status)


def project_of(page: Page) -> Locator:
    return page.get_by_label("Active project")


def choose(page: Page, project: str) -> None:
    project_of(page).select_option(project)


def expect_project(page: Page, project: str, timeout: float | None = None) -> None:
    expect(project_of(page)).to_have_value(project, timeout=timeout)


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button).click()


def stored_items(page: Page) -> dict[str, str]:
    """Return the texts in localStorage that belong to the dashboard, by their key."""
    items: dict[str, str] = page.evaluate("({...localStorage})")
    return {key: text for key, text in items.items() if key.startswith(KEY)}


def stored_project(page: Page) -> str | None:
    states = [json.loads(text) for text in stored_items(page).values()]
    found = [state["activeProject"] for state in states if "activeProject" in dict_of(state)]
    return found[0] if found else None


def choose_without_saving(page: Page) -> str:
    """Choose a project, and return it while its save is pending."""
    for project in ("Cassini", "Borealis", "Cassini", "Borealis"):
        choose(page, project)
        if stored_project(page) != project:
            return project
    raise AssertionError("this machine is too slow: each change was saved before it was read")


def dict_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def saved_state(service: Service) -> dict[str, Any]:
    """Return the state on the server, empty if it has none."""
    answer = httpx.get(service.url + STATE)
    return answer.json() if answer.status_code == 200 else {}


def wait_until(reached: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def expect_saved_project(service: Service, project: str) -> None:
    wait_until(lambda: saved_state(service).get("activeProject") == project)


class Gate:
    """Holds requests back until it is opened; each then takes its way to the service.

    Args:
        page: The page that makes the requests.
        method: The method of the requests.
        path: The path of the requests.
    """

    def __init__(self, page: Page, method: str, path: str) -> None:
        self._held: list[Route] = []
        self._method = method
        self._is_open = False
        self._page = page
        page.route(f"**{path}", self._pass_or_hold)

    def wait_for_request(self) -> None:
        """Wait until a request is held."""
        deadline = time.monotonic() + 10
        while not self._held:
            assert time.monotonic() < deadline
            self._page.wait_for_timeout(20)

    def open(self) -> None:
        """Let the held requests go, and all later ones."""
        self._is_open = True
        while self._held:
            self._held.pop(0).continue_()

    def _pass_or_hold(self, route: Route) -> None:
        if self._is_open or route.request.method != self._method:
            route.continue_()
        else:
            self._held.append(route)


def test_a_reload_within_the_debounce_keeps_the_change(service: Service, device: Device) -> None:
    page = open_dashboard(device(), service)
    project = choose_without_saving(page)
    page.reload()
    expect_project(page, project)
    assert stored_project(page) == project
    expect_saved_project(service, project)


def test_a_page_that_is_closed_within_the_debounce_sends_the_change(
    service: Service, device: Device
) -> None:
    page = open_dashboard(device(), service)
    project = choose_without_saving(page)
    page.goto("about:blank")
    expect_saved_project(service, project)


def test_a_change_that_is_too_large_to_send_from_a_closed_page_is_sent_at_the_next_visit(
    service: Service, device: Device
) -> None:
    page = open_dashboard(device(), service)
    choose(page, "Apollo")
    expect_saved_project(service, "Apollo")
    large = {**saved_state(service), "timestamp": int(time.time() * 1000)}
    large["widgets"] = {"note": 70_000 * "x"}  # a browser sends 64 KiB at most
    assert httpx.post(service.url + STATE, json=large).status_code == 204
    wait_until(lambda: "note" in json.dumps(page.evaluate("({...localStorage})")))
    project = choose_without_saving(page)
    page.goto("about:blank")
    page.goto(f"{service.url}/dashboard/")
    expect_project(page, project)
    expect_saved_project(service, project)
    assert saved_state(service)["widgets"] == large["widgets"]


def test_two_tabs_follow_each_other_without_the_service(service: Service, device: Device) -> None:
    browser = device()
    first, second = (open_dashboard(browser, service) for _ in range(2))
    health = Gate(first, "GET", "/health/ready")
    press(first, "Refresh")
    health.wait_for_request()
    expect(first.get_by_role("button", name="Refreshing…")).to_be_visible()
    service.kill()
    choose(first, "Apollo")
    expect_project(second, "Apollo")
    expect(second.get_by_role("button", name="Refresh", exact=True)).to_be_visible()
    choose(second, "Borealis")
    expect_project(first, "Borealis")
    health.open()
    expect(second.get_by_text("The service was not ready.")).to_be_visible()
    choose_without_saving(second)
    press(first, "Clear everything")
    expect_project(second, "")
    assert stored_project(second) is None


def test_two_devices_follow_each_other_through_the_service(
    service: Service, device: Device
) -> None:
    first, second = (open_dashboard(device(), service) for _ in range(2))
    choose(first, "Apollo")
    expect_project(second, "Apollo")
    press(second, "Refresh")
    expect(first.get_by_text("The service is ready.")).to_be_visible()
    choose(second, "Borealis")
    expect_project(first, "Borealis")
    third = open_dashboard(device(), service)
    expect_project(third, "Borealis")
    state = saved_state(service)
    assert state["loading"] == {"isLoading": False, "loadingAgents": []}
    assert state["errors"] == {}


def test_of_two_changes_at_the_same_time_the_later_one_wins_everywhere(
    service: Service, device: Device
) -> None:
    first, second = (open_dashboard(device(), service) for _ in range(2))
    saving = Gate(first, "POST", STATE)
    choose(first, "Apollo")
    saving.wait_for_request()
    choose(second, "Cassini")
    expect_saved_project(service, "Cassini")
    saving.open()
    expect_project(first, "Cassini")
    expect_project(second, "Cassini")
    assert saved_state(service)["activeProject"] == "Cassini"
    assert stored_project(first) == "Cassini"


def test_a_state_is_dropped_a_day_after_its_last_change(
    service: Service, refusing_service: Service, device: Device
) -> None:
    dropped = time.time() + 10
    timestamp = int(dropped * 1000) - DAY
    page, alone = open_dashboard(device(), service), device().new_page()
    choose(page, "Apollo")
    expect_saved_project(service, "Apollo")
    (key,) = (key for key, text in stored_items(page).items() if "activeProject" in text)
    state = {**json.loads(stored_items(page)[key]), "timestamp": timestamp}
    page.goto("about:blank")
    assert httpx.delete(service.url + STATE).status_code == 204
    assert httpx.post(service.url + STATE, json=state).status_code == 204
    alone.goto(f"{refusing_service.url}/dashboard/")
    expect_status(alone, "Access refused")
    alone.evaluate("([key, text]) => localStorage.setItem(key, text)", [key, json.dumps(state)])
    page.goto(f"{service.url}/dashboard/")
    expect_status(page, "Synchronized")
    alone.reload()
    expect_status(alone, "Access refused")
    for each in (page, alone):
        expect_project(each, "Apollo")
        assert json.loads(stored_items(each)[key])["timestamp"] == timestamp
    assert time.time() < dropped
    page.wait_for_timeout((dropped + 1 - time.time()) * 1000)
    page.reload()
    expect_status(page, "Synchronized")
    alone.reload()
    expect_status(alone, "Access refused")
    for each in (page, alone):
        expect_project(each, "")
        assert key not in stored_items(each)
    assert saved_state(service) == {}


# It writes as much as there is room for, and then the last characters one by one.
FILL = """() => {
  let text = "x".repeat(1 << 20);
  for (let number = 0; text; ) {
    try { localStorage.setItem(`filler-${number}`, text); number += 1; }
    catch { text = text.slice(text.length / 2 + 0.5); }
  }
}"""
FREE = """() => Object.keys(localStorage)
  .filter((key) => key.startsWith("filler-")).forEach((key) => localStorage.removeItem(key))"""


def test_a_full_storage_keeps_the_last_state_byte_for_byte(
    service: Service, device: Device
) -> None:
    page = open_dashboard(device(), service)
    choose(page, "Apollo")
    expect_saved_project(service, "Apollo")
    page.evaluate(FILL)
    before = stored_items(page)
    for _ in range(2):
        press(page, "Refresh")
        expect(page.get_by_role("alert")).to_contain_text("does not store the state")
    expect(page.get_by_text("The service is ready.")).to_have_count(2)
    wait_until(lambda: len(dict_of(saved_state(service).get("widgets")).get("activities", [])) == 2)
    (key,) = (key for key, text in before.items() if "activeProject" in text)
    assert stored_items(page)[key] == before[key]
    page.evaluate(FREE)
    choose(page, "Borealis")
    wait_until(lambda: stored_project(page) == "Borealis")


def test_a_logout_while_another_tab_has_a_pending_save_leaves_nothing(
    service: Service, device: Device
) -> None:
    browser, other = device(), open_dashboard(device(), service)
    first, second = (open_dashboard(browser, service) for _ in range(2))
    choose(first, "Apollo")
    for page in (second, other):
        expect_project(page, "Apollo")
    expect_saved_project(service, "Apollo")
    choose_without_saving(second)
    press(first, "Clear everything")
    first.wait_for_timeout(3000)
    for page in (first, second, other):
        expect_project(page, "", timeout=1)
        assert stored_items(page) == {}
    assert httpx.get(service.url + STATE).status_code == 404
    for page in (first, second):
        page.reload()
        expect_status(page, "Synchronized")
        expect_project(page, "")
    assert httpx.get(service.url + STATE).status_code == 404


def test_a_logout_while_a_save_is_under_way_leaves_nothing(
    service: Service, device: Device
) -> None:
    page = open_dashboard(device(), service)
    saving = Gate(page, "POST", STATE)
    choose(page, "Apollo")
    saving.wait_for_request()
    press(page, "Clear everything")
    expect_project(page, "")
    saving.open()
    page.wait_for_timeout(1500)  # longer than a debounce
    expect_project(page, "", timeout=1)
    assert stored_items(page) == {}
    assert httpx.get(service.url + STATE).status_code == 404


def test_changes_without_the_service_are_sent_when_it_is_back(
    service: Service, device: Device
) -> None:
    first, second = (open_dashboard(device(), service) for _ in range(2))
    service.kill()
    choose(first, "Apollo")
    expect_status(first, "Offline")
    wait_until(lambda: stored_project(first) == "Apollo")
    service.start()
    expect_status(first, "Synchronized")
    expect_saved_project(service, "Apollo")
    expect_project(second, "Apollo")


def test_a_logout_without_the_service_reaches_it_when_it_is_back(
    service: Service, device: Device
) -> None:
    page, other = (open_dashboard(device(), service) for _ in range(2))
    choose(page, "Apollo")
    expect_saved_project(service, "Apollo")
    expect_project(other, "Apollo")
    service.kill()
    expect_status(page, "Offline")
    press(page, "Clear everything")
    expect_project(page, "")
    service.start()
    wait_until(lambda: httpx.get(service.url + STATE).status_code == 404)
    expect_project(other, "")
    expect_project(page, "")


def test_changes_without_redis_are_sent_when_it_is_back(
    service: Service, device: Device, redis: RedisServer
) -> None:
    first, second = (open_dashboard(device(), service) for _ in range(2))
    redis.kill()
    try:
        with first.expect_response(lambda response: response.status == 503):
            choose(first, "Apollo")
    finally:
        redis.start()
    expect_saved_project(service, "Apollo")
    expect_project(second, "Apollo")


def test_a_page_from_the_back_forward_cache_shows_the_changes_meanwhile(
    service: Service, device: Device
) -> None:
    here, elsewhere = device(), device()
    page, tab, other = (open_dashboard(each, service) for each in (here, here, elsewhere))
    for changed, project in ((tab, "Apollo"), (other, "Borealis")):
        page.evaluate("window.mark = 'restored'")
        page.goto(f"{service.url}/openapi.json")
        choose(changed, project)
        expect_saved_project(service, project)
        page.go_back(wait_until="commit")
        expect_project(page, project)
        assert page.evaluate("window.mark") == "restored", "the page was loaded anew"
    choose(page, "Cassini")
    for follower in (tab, other):
        expect_project(follower, "Cassini")


def test_without_authorization_the_dashboard_explains_it_and_keeps_the_state_here(
    refusing_service: Service, device: Device, release: Release
) -> None:
    page = open_dashboard(device(), refusing_service, "Access refused")
    expect(page.get_by_role("alert")).to_contain_text("--dev")
    find_violations(page, release)
    choose(page, "Apollo")
    page.reload()
    expect_project(page, "Apollo")
    expect_status(page, "Access refused")


@pytest.fixture
def development_url(release: Release, service: Service, tmp_path: Path) -> Iterator[str]:
    """Run `npm run dev` beside the service, and give the address that it prints."""
    frontend, log = release.copy_frontend(tmp_path), tmp_path / "log"
    config = frontend / "vite.config.ts"
    # The default port may be taken on this machine.
    config.write_text(config.read_text().replace("localhost:8000", f"127.0.0.1:{service.port}"))
    command = ["npm", "run", "dev", "--", "--port", "20173"]  # or a free one above it
    variables = {**os.environ, **release.variables(), "NO_COLOR": "1"}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=frontend, env=variables, stdout=output, start_new_session=True
        ) as process,
    ):
        try:
            wait_until(lambda: "/dashboard/" in log.read_text())
            yield next(word for word in log.read_text().split() if "/dashboard/" in word)
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def test_the_development_server_shows_the_dashboard_beside_the_service(
    development_url: str, service: Service, device: Device
) -> None:
    page, other = (device().new_page() for _ in range(2))
    for each in (page, other):
        each.goto(development_url)
        expect_status(each, "Synchronized")
    choose(page, "Apollo")
    expect_project(other, "Apollo")
    expect_saved_project(service, "Apollo")
    page.reload()
    expect_project(page, "Apollo")


def find_violations(page: Page, release: Release) -> None:
    """Fail if axe finds a violation of its rules of accessibility."""
    page.evaluate(release.axe.read_text())
    result = page.evaluate("axe.run()")
    assert result["passes"]
    assert not result["violations"], json.dumps(result["violations"], indent=2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(
    scheme: Any, service: Service, device: Device, release: Release
) -> None:
    page = open_dashboard(device(), service)
    page.emulate_media(color_scheme=scheme)
    find_violations(page, release)
    press(page, "Refresh")
    expect(page.get_by_text("The service is ready.")).to_be_visible()
    service.kill()
    press(page, "Refresh")
    expect(page.get_by_text("The service was not ready.")).to_be_visible()
    expect_status(page, "Offline")
    find_violations(page, release)


def test_the_keyboard_reaches_and_uses_everything(service: Service, device: Device) -> None:
    page = open_dashboard(device(), service)
    buttons = [page.get_by_role("button", name=name) for name in ("Refresh", "Save now", "Clear")]
    for control in (*buttons, project_of(page)):
        page.keyboard.press("Tab")
        expect(control).to_be_focused()
    page.keyboard.type("B")
    expect_project(page, "Borealis")
    buttons[0].focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("The service is ready.")).to_be_visible()
    expect(buttons[0]).to_be_focused()
    buttons[2].focus()
    page.keyboard.press("Space")
    expect_project(page, "")
    expect(buttons[2]).to_be_focused()
