"""The Chromium of the system."""

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, expect, sync_playwright

# Seconds for whatever comes at last, on a busy machine too: Python in a page, another attempt.
PATIENCE = 60.0

expect.set_options(timeout=PATIENCE * 1000)


@contextlib.contextmanager
def open_chromium() -> Iterator[Browser]:
    """Start the browser, which keeps a page that is left, as users have it.

    Playwright keeps an event loop running, so it must end before other modules start one.
    """
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            ignore_default_args=["--disable-back-forward-cache"],
        ) as browser,
    ):
        yield browser
