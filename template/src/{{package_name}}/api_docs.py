"""Show the API in a browser, with Swagger UI, from files that the service has itself.

The package `fastapi-swagger` contains the files of Swagger UI. The page loads nothing from other
sites, so it works offline and under a content security policy, and its URLs are relative, so it
works behind a proxy that adds a prefix.
"""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

PAGE = Path(__file__).with_suffix(".html")


def serve_docs(app: FastAPI) -> None:
    """Add the page to an application, at `/docs`."""
    page = PAGE.read_text(encoding="utf-8")
    headers = {
        "Content-Security-Policy": _policy(page),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }

    @app.get("/docs", include_in_schema=False)
    async def show_docs() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    app.mount("/docs/assets", StaticFiles(packages=[("fastapi_swagger", "resources")]))


def explain_no_docs(app: FastAPI, setting: str) -> None:
    """Let the problem at `/docs` name the setting that adds the page."""

    @app.get("/docs", include_in_schema=False)
    async def refuse_docs() -> None:
        detail = "The page of the API is missing, because host names of other machines are allowed"
        raise HTTPException(404, f"{detail}; {setting} adds it.")


def _policy(page: str) -> str:
    """Return a policy that allows the scripts of the page, by their hashes, and no others."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in scripts]
    hashes = "".join(f" 'sha256-{digest.decode()}'" for digest in digests)
    # Swagger UI has styles in its elements, and icons in its style sheet.
    return (
        f"default-src 'none'; script-src 'self'{hashes}; connect-src 'self';"
        " style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
