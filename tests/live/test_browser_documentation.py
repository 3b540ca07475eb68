"""The documentation of a project, built as a site and read in Chromium."""

import functools
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from support import ProjectEnvironment

PAGES = ("", "how-to/improve-error-messages/", "reference/python-patterns/")
# Faults in the markup of the theme; a style cannot correct them.
OF_THE_THEME = {"aria-dialog-name", "landmark-unique", "scrollable-region-focusable"}


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class names it
        """Print nothing."""


@pytest.fixture(scope="module")
def site(
    live_project: Path, environment: ProjectEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Build the site of the project, serve it, and return its address."""
    project = shutil.copytree(live_project, tmp_path_factory.mktemp("site") / "sample")
    environment.run("mkdocs", "build", "--strict", cwd=project)
    handler = functools.partial(Handler, directory=project / "site")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


MakeContext = Callable[..., BrowserContext]


def open_page(make_context: MakeContext, width: int, scheme: str = "light") -> Page:
    size = {"width": width, "height": 900}
    return make_context(viewport=size, color_scheme=scheme).new_page()


def test_a_page_loads_nothing_from_another_server(site: str, make_context: MakeContext) -> None:
    page = open_page(make_context, 1280)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    for path in PAGES:
        page.goto(f"{site}{path}", wait_until="networkidle")
    assert requests
    assert [each for each in requests if not each.startswith((site, "data:"))] == []


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_pages_do_not_scroll_sideways_and_blocks_fit(
    width: int, site: str, make_context: MakeContext
) -> None:
    page = open_page(make_context, width)
    page.goto(f"{site}{PAGES[1]}")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    too_wide = (
        "[...document.querySelectorAll('pre code')].filter(e => e.scrollWidth > e.clientWidth)"
    )
    assert width < 1280 or page.evaluate(f"{too_wide}.map(e => e.innerText)") == []
    # The longest identifier of the table stays in one piece: a line is 17 pixels high.
    code = page.locator("td code", has_text="InvalidCombinationError").first
    assert code.evaluate("e => e.getClientRects().length") == 1


def test_pages_lead_to_the_next_one_and_to_their_source(
    site: str, make_context: MakeContext
) -> None:
    page = open_page(make_context, 1280)
    page.goto(site)
    page.get_by_role("link", name="Next").click()
    page.wait_for_url(f"{site}how-to/**")
    expect(page.get_by_role("link", name="Previous")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_only_the_faults_of_the_theme(
    scheme: str, site: str, make_context: MakeContext, axe: Path
) -> None:
    page = open_page(make_context, 1280, scheme)
    for path in PAGES:
        page.goto(f"{site}{path}")
        page.evaluate(axe.read_text())
        result: dict[str, Any] = page.evaluate("axe.run()")
        assert result["passes"]
        found = [each for each in result["violations"] if each["id"] not in OF_THE_THEME]
        assert found == [], json.dumps(found, indent=2)
