"""uvicorn's workers would have several truths, so the service refuses to be one of them."""

import os
import subprocess
import sys
from pathlib import Path

from live.conftest import PACKAGE


def test_several_workers_of_uvicorn_are_refused_with_a_way_out(
    live_source: Path, tmp_path: Path
) -> None:
    app = tmp_path / "application.py"
    app.write_text(
        "from fastapi import FastAPI\n"
        f"from {PACKAGE}.live import Live\n"
        "app, live = FastAPI(), Live()\n"
        "live.mount(app)\n"
    )
    command = [sys.executable, "-m", "uvicorn", "application:app", "--port", "0", "--workers", "2"]
    paths = os.pathsep.join([str(live_source), str(tmp_path)])
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        lines = iter(server.stderr.readline, "")
        try:
            assert any("start one worker" in line for line in lines)
        finally:
            server.terminate()
