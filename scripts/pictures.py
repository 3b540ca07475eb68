"""Make the pictures of the README from real runs: a terminal, a guide and a chat in a browser.

`docs/images/inputs.json` has a hash of the files of which each picture was made. With `--check`,
nothing is made, and a picture of other files than those of now is an error.
"""

import base64
import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from support import REPOSITORY, UV, run

from scripts.demo import ChatAct, Demo, StoppedError

IMAGES = REPOSITORY / "docs" / "images"
INPUTS = IMAGES / "inputs.json"
PACKAGE = "template/src/{{package_name}}"
# The files that a picture shows, or whose output it shows.
SOURCES = {
    "demo.svg": (
        "scripts/demo.py",
        f"{PACKAGE}/cli.py*",
        f"{PACKAGE}/registry.py*",
        f"{PACKAGE}/server/cli.py*",
        f"{PACKAGE}/server/domains/tracks.py*",
        f"{PACKAGE}/utils/cli_adapter.py*",
        f"{PACKAGE}/utils/errors.py*",
        f"{PACKAGE}/utils/validation.py*",
    ),
    "guide.png": (
        "includes/guides.jinja",
        "template/mkdocs.yml*",
        "template/user-docs/extra.css",
        "template/user-docs/how-to/persist-application-state.md*",
    ),
    "chat.png": (
        f"{PACKAGE}/chat.py*",
        f"{PACKAGE}/live/static/bind.js*",
        f"{PACKAGE}/pages/**/*.*",
    ),
}
COLUMNS = 93
GUIDE = "how-to/persist-application-state/"
WINDOW = (1280, 900)
CHAT_WINDOW: ViewportSize = {"width": 560, "height": 480}
CONVERSATION = (
    (0, "Hello! Can you see this?"),
    (1, "Yes, at once. My window is dark."),
    (0, "One point for each of us, then."),
)
# The two windows beside each other.
FRAME = """\
<style>
body {{ display: flex; gap: 20px; margin: 20px; background: #7a7f87; }}
img {{ border-radius: 10px; }}
</style>
{images}
"""
LARGEST = 250_000  # bytes; a README is read over slow connections too

# It has its own background, and an edge that is visible on a light page and on a dark one. Its
# fonts are installed ones: rich's own frame would fetch one from another server.
TERMINAL = """\
<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}"
  viewBox="0 0 {width} {height}">
<title>make demo, in a terminal</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
}}
{styles}
</style>
<defs>
{lines}
</defs>
<rect x="1" y="1" width="99.8%" height="99.8%" rx="10" fill="#161b22" stroke="#7a7f87"/>
<g class="{unique_id}-matrix" transform="translate(20, 24)">
{backgrounds}
{matrix}
</g>
</svg>
"""
# Black, red, green, yellow, blue, magenta, cyan, white.
_COLOURS = [
    (110, 118, 129),
    (255, 123, 114),
    (86, 211, 100),
    (227, 179, 65),
    (121, 192, 255),
    (210, 168, 255),
    (121, 192, 255),
    (201, 209, 217),
]
THEME = TerminalTheme((22, 27, 34), (201, 209, 217), _COLOURS)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # The same picture with and without a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def record_demo() -> tuple[Demo, str]:
    """Play the demo in the current folder, and return it with an SVG image of its terminal."""
    console = Console(
        record=True,
        file=io.StringIO(),
        width=COLUMNS,
        color_system="truecolor",
        force_terminal=True,
        force_interactive=False,
    )
    console.print("[dim]$[/] [cyan]make demo", highlight=False)
    demo = Demo(Path("demo"), console)
    demo.play()
    return demo, console.export_svg(theme=THEME, code_format=TERMINAL, unique_id="demo")


def check_privacy(picture: str) -> None:
    """Refuse a picture that reveals on which machine it was made."""
    for place in (REPOSITORY, Path.home(), Path.cwd()):
        if str(place) in picture:
            raise StoppedError(f"The picture shows {place}.")


def photograph_guide(project: Path, picture: Path) -> None:
    """Build the project's documentation, and take a picture of the top of its guide."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        site = Path(temporary, "site")
        mkdocs = project / ".venv/bin/mkdocs"
        environment = {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": ""}
        run(mkdocs, "build", "--strict", "--site-dir", site, cwd=project, env=environment)
        with serve(site) as address:
            photograph(f"{address}/{GUIDE}", picture, profile=Path(temporary, "profile"))


def photograph_chat(chat: ChatAct, picture: Path) -> None:
    """Let two windows share the chat of a project, and take a picture of both."""
    tools = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    run("make", "pyodide", cwd=chat.project, env=tools)
    with (
        tempfile.TemporaryDirectory() as folder,
        chat.serving(Path(folder)) as address,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=find_browser(), args=FLAGS) as browser,
    ):
        windows = [_open(browser, address, scheme) for scheme in ("light", "dark")]
        for window, name in zip(windows, ("Ada", "Grace"), strict=True):
            window.get_by_label("Name").fill(name)
        for speaker, text in CONVERSATION:
            windows[speaker].get_by_label("Message").fill(text)
            windows[speaker].keyboard.press("Enter")
            for window in windows:
                window.get_by_text(text).wait_for(timeout=60_000)
        for window in windows:
            window.get_by_role("button", name="+1").click()
        for window in windows:
            window.get_by_text("2 points").wait_for()
        shots = [base64.b64encode(window.screenshot()).decode() for window in windows]
        images = "\n".join(f'<img alt="" src="data:image/png;base64,{shot}">' for shot in shots)
        page = browser.new_page(viewport={"width": 1180, "height": 520})
        page.set_content(FRAME.format(images=images))
        page.screenshot(path=picture)


def _open(browser: Browser, address: str, scheme: Literal["light", "dark"]) -> Page:
    context = browser.new_context(color_scheme=scheme, viewport=CHAT_WINDOW)
    page = context.new_page()
    page.goto(address)
    return page


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder to this machine alone.

    Yields:
        The address, without a slash at its end.
    """

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class names it
            """Print nothing."""

    handler = functools.partial(Handler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def photograph(address: str, picture: Path, profile: Path) -> None:
    """Take a picture of a page with a browser that has never been used before."""
    run(
        find_browser(),
        *FLAGS,
        f"--user-data-dir={profile}",
        f"--window-size={WINDOW[0]},{WINDOW[1]}",
        f"--screenshot={picture}",
        address,
        cwd=profile.parent,
    )


def find_browser() -> Path:
    """Return a browser that takes pictures without a screen."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return Path(found)
    raise StoppedError(f"The guide's picture needs one of {', '.join(BROWSERS)} on the PATH.")


def hash_inputs(picture: str) -> str:
    """Return a hash of the files of which a picture is made, with their names."""
    digest = hashlib.sha256()
    for source in SOURCES[picture]:
        paths = sorted(REPOSITORY.glob(source))
        if not paths:
            raise StoppedError(f"{source} of {picture} does not exist: correct it in {__name__}.")
        for path in paths:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(REPOSITORY)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def check_inputs() -> None:
    """Refuse pictures that were made of other files than those of now."""
    known = json.loads(INPUTS.read_text())
    if stale := [name for name in SOURCES if known.get(name) != hash_inputs(name)]:
        names = ", ".join(stale)
        raise StoppedError(f"Older than the files that they show: {names}. Run `make pictures`.")


def make_pictures() -> None:
    """Write every picture, from one run of the demo in a folder of its own."""
    find_browser()
    # With uv on the PATH, the demo does not print its path on this machine.
    os.environ["PATH"] = f"{UV.parent}{os.pathsep}{os.environ['PATH']}"
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        print("Playing the demo ...", flush=True)
        demo, terminal = record_demo()
        check_privacy(terminal)
        (IMAGES / "demo.svg").write_text(terminal)
        print("Taking a picture of the guide ...", flush=True)
        photograph_guide(demo.project, IMAGES / "guide.png")
        print("Taking a picture of the chat ...", flush=True)
        photograph_chat(demo.chat, IMAGES / "chat.png")
    inputs = {name: hash_inputs(name) for name in SOURCES}
    INPUTS.write_text(json.dumps(inputs, indent=2) + "\n")


def check_sizes() -> None:
    """Refuse a picture that makes a page slow, and show the sizes of the others."""
    for picture in (IMAGES / name for name in SOURCES):
        size = picture.stat().st_size
        if size > LARGEST:
            raise StoppedError(f"{picture} has {size} bytes, more than {LARGEST}.")
        print(f"{picture.relative_to(REPOSITORY)}: {size / 1000:.0f} kB")


def main() -> int:
    try:
        if "--check" in sys.argv[1:]:
            check_inputs()
        else:
            make_pictures()
            check_sizes()
    except (StoppedError, AssertionError, OSError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
