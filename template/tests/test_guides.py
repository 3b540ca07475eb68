"""Every Python block of the documentation runs, page by page."""

import re
import textwrap
from pathlib import Path

import pytest

PAGES = sorted(Path(__file__).parents[1].glob("user-docs/**/*.md"))
BLOCK = re.compile(
    r"^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_blocks_of_a_page_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": page.stem}
    for block in BLOCK.finditer(text):
        # Empty lines in front, so that a traceback names the line of the page.
        above = "\n" * text.count("\n", 0, block.start("code"))
        code = compile(above + textwrap.dedent(block["code"]), str(page), "exec")
        exec(code, names)  # noqa: S102 - running them is the point
