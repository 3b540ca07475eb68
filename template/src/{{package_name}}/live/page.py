"""Pages with live state: their head, their headers, and the files that they load."""

import hashlib
import html as markup
import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
# `make pyodide` writes it; git ignores it.
PYODIDE = STATIC / "pyodide"
_PYODIDE_MODULE = "pyodide.mjs"
_PYODIDE_IS_MISSING = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pyodide is missing</title>
<h1>Pyodide is missing</h1>
<p>This page has client functions in Python, which the browser runs with Pyodide.
<p>Run <code>make pyodide</code>, or name another folder or a URL: <code>Live(pyodide=…)</code>.
"""
# Loaded only where there are functions for it.
_PYTHON_MODULE = "python.js"
_MODULES = [file.name for file in sorted(STATIC.glob("*.js"))]
# The tables of the system may lack them, or know others.
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".py": "text/x-python",
    ".ts": "text/plain",
    ".wasm": "application/wasm",
    ".zip": "application/zip",
}
_POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
_DIRECTIVE = re.compile(r"[a-z][a-z-]*")
# Where the head ends; in a page that does not say it, where its content begins.
_HEAD_ENDS = (re.compile(r"</head\s*>", re.IGNORECASE), re.compile(r"<body[\s>]", re.IGNORECASE))
_PREAMBLE = re.compile(
    r"\ufeff?(?:\s|<!--.*?-->|<!doctype[^>]*>|<html(?:\s[^>]*)?>|<head(?:\s[^>]*)?>)*",
    re.IGNORECASE | re.DOTALL,
)
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}


@dataclass(frozen=True)
class PageConfig:
    """The description of the states that the browser gets with a page.

    Attributes:
        path: The path of the WebSocket and of the files, such as `/live`.
        shared: The marks of each shared state. Its values are not in the page, because a request
            for the page has not passed `authorize`.
        local: The values of each local state, and whether they persist.
        functions: The source of each client function, and of the classes that they use.
        pyodide: A folder or a URL; None for the folder of `make pyodide`.
    """

    path: str
    shared: Mapping[str, Mapping[str, Any]]
    local: Mapping[str, tuple[Mapping[str, Any], bool | str]]
    functions: Mapping[str, str]
    pyodide: str | Path | None = None

    @property
    def pyodide_url(self) -> str | None:
        """The URL of Pyodide on another site, with a slash at its end."""
        if isinstance(self.pyodide, str) and re.match(r"https?://", self.pyodide):
            return self.pyodide.rstrip("/") + "/"
        return None

    @property
    def pyodide_folder(self) -> Path:
        """The folder of Pyodide, which may be missing."""
        return PYODIDE if self.pyodide is None else Path(self.pyodide)

    @property
    def lacks_pyodide(self) -> bool:
        """Whether there are client functions, and no Pyodide to run them."""
        return (
            bool(self.functions)
            and self.pyodide_url is None
            and not (self.pyodide_folder / _PYODIDE_MODULE).is_file()
        )

    def to_json(self, script: str | None = None) -> str:
        """Return it as JSON that may stand in a script element.

        Raises:
            ValueError: A value of a local state is NaN or infinite.
        """
        config: dict[str, Any] = {
            "path": self.path,
            "shared": {name: {"marks": marks} for name, marks in self.shared.items()},
            "local": {
                name: {"values": values, "persist": persist}
                for name, (values, persist) in self.local.items()
            },
            "functions": self.functions,
        }
        if self.functions:
            config["pyodide"] = self.pyodide_url or f"{self.path}/pyodide/"
        if script is not None:
            config["script"] = script
        try:
            text = json.dumps(config, allow_nan=False, separators=(",", ":"))
        except ValueError as error:
            names = ", ".join(self.local)
            raise ValueError(
                f"A local state ({names}) contains NaN or an infinite number, which JSON does not"
                " have: use None"
            ) from error
        return text.translate(_ESCAPES)


class Head(str):
    """HTML for the head of a page, which template engines insert without escaping it."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the HTML."""
        return str(self)


def head_of(config: PageConfig, script: str | None = None) -> Head:
    """Return the elements that connect a page with its states.

    Args:
        config: The states.
        script: The URL of a module whose exported functions are handlers.
    """
    modules = [name for name in _MODULES if config.functions or name != _PYTHON_MODULE]
    urls = [f"{config.path}/{name}" for name in modules] + ([] if script is None else [script])
    return Head(
        "\n".join(
            (
                f'<script type="application/json" id="live">{config.to_json(script)}</script>',
                *(f'<link rel="modulepreload" href="{markup.escape(url)}">' for url in urls),
                f'<script type="module" src="{markup.escape(config.path)}/live.js"></script>\n',
            )
        )
    )


def render_page(
    html: str | Path,
    config: PageConfig,
    *,
    script: str | None = None,
    csp: Mapping[str, str] | None = None,
) -> Response:
    """Return a page with the head and the headers that live state needs.

    Args:
        html: The HTML, or the path of a file with it, in UTF-8.
        config: The states.
        script: The URL of a module whose exported functions are handlers.
        csp: Directives of the content security policy, which replace those of the same name.

    Raises:
        OSError: The file cannot be read.
        ValueError: `html` is a text without an element, or `csp` is not valid.
    """
    text = html.read_text(encoding="utf-8") if isinstance(html, Path) else html
    if "<" not in text and isinstance(html, str):
        raise ValueError(f"{html!r} is not HTML: for a file, write Path({html!r})")
    headers = {
        "Content-Security-Policy": _policy(config, csp or {}),
        "X-Content-Type-Options": "nosniff",
        # `no-store` would keep the page out of the back/forward cache.
        "Cache-Control": "private, no-cache",
    }
    if config.lacks_pyodide:
        logger.error("Pyodide is not in %s: run `make pyodide`", config.pyodide_folder)
        return HTMLResponse(_PYODIDE_IS_MISSING, 500, headers)
    return HTMLResponse(_insert(head_of(config, script), text), headers=headers)


def asset_routes(config: PageConfig) -> list[BaseRoute]:
    """Return the routes of the files that pages load; none of them is that of the WebSocket."""
    routes = {config.path + "/{file}": STATIC}
    if config.pyodide_url is None:
        routes[config.path + "/pyodide/{file}"] = config.pyodide_folder
    return [Route(path, _serve_folder(folder)) for path, folder in routes.items()]


class _Assets(StaticFiles):
    """Files that a browser compares with its copies at each use, by their content.

    Times and lengths are not enough: files in packages may all have the same time.
    """

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return a file, or the answer that the browser has it already."""
        response = FileResponse(
            full_path,
            status_code,
            {
                "ETag": _etag(os.fspath(full_path), stat_result.st_mtime_ns, stat_result.st_size),
                "Cache-Control": "no-cache",
                "X-Content-Type-Options": "nosniff",
            },
            _TYPES.get(Path(full_path).suffix, "application/octet-stream"),
            stat_result=stat_result,
        )
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response


def _serve_folder(folder: Path) -> Any:
    files = _Assets(directory=folder, check_dir=False)

    async def serve(request: Request) -> Response:
        return await files.get_response(request.path_params["file"], request.scope)

    return serve


@lru_cache(maxsize=64)
def _etag(path: str, modified: int, size: int) -> str:
    """Return the tag of a file; its time and size show when it has to be read again."""
    return f'"{hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]}"'


def _policy(config: PageConfig, replaced: Mapping[str, str]) -> str:
    """Return the content security policy of a page."""
    directives = dict(_POLICY)
    if config.functions:
        source = f" {config.pyodide_url}" if config.pyodide_url else ""
        directives["script-src"] += f"{source} 'wasm-unsafe-eval'"
        directives["connect-src"] += source
    for name, value in replaced.items():
        if not _DIRECTIVE.fullmatch(name) or not re.fullmatch(r"[ -:<-~]*", value):
            raise ValueError(
                f"{name!r}: {value!r} is not a directive of a content security policy:"
                " use a name such as 'img-src', and sources separated by spaces"
            )
        directives[name] = value
    return "; ".join(f"{name} {value}".rstrip() for name, value in directives.items())


def _insert(head: str, text: str) -> str:
    """Insert elements at the end of the head; a page without a doctype gets one."""
    for pattern in _HEAD_ENDS:
        if found := pattern.search(text):
            return text[: found.start()] + head + text[found.start() :]
    preamble = _PREAMBLE.match(text)
    end = preamble.end() if preamble else 0
    doctype = "" if "<!doctype" in text[:end].lower() else "<!doctype html>\n"
    return doctype + text[:end] + head + text[end:]
