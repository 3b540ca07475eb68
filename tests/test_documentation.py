"""The emitted guides as their readers use them: pasted at Python's prompt, and on a page."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from answers import everything, label, nothing
from support import ProjectEnvironment, render, render_once, run

KINDS = [everything(kind) for kind in ("web_service", "state_server")]
# A page has this many columns in a window of 1280 pixels.
COLUMNS = 88
BLOCK = re.compile(r"(?ms)^```(\w+)\n(.*?)^```$")
SHOWN = re.compile(r"(?m)^ *# > (.*)$")


def blocks_of(page: Path, language: str = r"\w+") -> list[str]:
    return [code for name, code in BLOCK.findall(page.read_text()) if re.fullmatch(language, name)]


def squeeze(text: str) -> str:
    """Remove white space: a page wraps long lines of output."""
    return "".join(text.split())


@pytest.mark.parametrize("answers", KINDS, ids=label)
def test_the_first_block_of_each_guide_can_be_pasted_at_the_prompt(
    answers: dict[str, Any], environment: ProjectEnvironment, shared: Path, tmp_path: Path
) -> None:
    project = render_once(shared, **answers)
    pages = sorted((project / "user-docs/how-to").glob("*.md"))
    first_blocks = [(page.stem, *blocks_of(page, "python")[:1]) for page in pages]
    pasted = [(page, *block) for page, *block in first_blocks if block]
    assert len(pasted) >= 5
    for page, block in pasted:
        said = subprocess.run(
            [environment.tool("python"), "-i", "-q", "-u"],
            input=f'import sys; sys.ps1 = sys.ps2 = ""\n{block}\nprint("The end")\n',
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(project / "src"), "PYTHONSTARTUP": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        ).stdout
        assert not re.search("SyntaxError|IndentationError", said), f"{page}:\n{said}"
        rest = squeeze(said)
        for line in [*SHOWN.findall(block), "The end"]:
            _, found, rest = rest.partition(squeeze(line))
            assert found, f"{page}: {line!r} is not in\n{said}"


@pytest.mark.parametrize("answers", KINDS, ids=label)
def test_the_blocks_of_a_guide_fit_its_column(answers: dict[str, Any], shared: Path) -> None:
    pages = (render_once(shared, **answers) / "user-docs/how-to").glob("*.md")
    lines = [(page.name, line) for page in pages for line in "".join(blocks_of(page)).splitlines()]
    assert lines
    assert [(page, line) for page, line in lines if len(line) > COLUMNS] == []


RIGHT = "print(1, 2)\n# > 1 2\n1 / 0\n# > ZeroDivisionError: division by zero\n"
WRONG = {
    "value": ("x = 1\nprint(x)\n# > 2\n", 5, "2", "1"),
    "unshown": ("print(1)\n", 4, "(nothing)", "1"),
    "silent": ("x = 1\n# > 1\n", 4, "1", "(nothing)"),
    "error": ("int('a')\n# > TypeError\n", 4, "TypeError", "ValueError: invalid literal for"),
    "loop": ("for x in 'ab':\n    print(x)\n    # > a\n", 5, "a", "a\n# > b"),
    "apart": ("if True:\n    print(1)\n\n# > 1\n", 5, "(nothing)", "1"),
}


def run_blocks(project: Path) -> str:
    """Test the pages of a project without its configuration, which needs more plugins."""
    options = ("-q", "-p", "no:cacheprovider", "-c", os.devnull)
    path = {"PYTHONPATH": str(project / "src")}
    command = (sys.executable, "-m", "pytest", *options, "tests/test_guides.py")
    return run(*command, cwd=project, env=path, check=False).stdout


def test_a_wrong_output_fails_with_its_line_and_the_real_output(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", **nothing("library", include_docs=True))
    pages = project / "user-docs"
    for name, block in {"right": RIGHT, **{name: each[0] for name, each in WRONG.items()}}.items():
        (pages / f"{name}.md").write_text(f"# Page\n\n```python\n{block}```\n")
    (pages / "uncaught.md").write_text("```python\n\n1 / 0\n```\n")
    said = run_blocks(project)
    for name, (_, line, shown, real) in WRONG.items():
        expected = (
            f"{name}.md:{line}: the page shows\n# > {shown}\nbut this is printed:\n# > {real}"
        )
        assert expected in said, said
    assert "uncaught.md:3: ZeroDivisionError" in said
    assert f"{len(WRONG) + 1} failed" in said


RUN = ['```python title="a.py"', '```python hl_lines="1"', "```python ", "``` python", "~~~python"]
REFUSED = [
    "```python3",
    "```{.python}",
    "```{ .python .x }",
    "```Python",
    "```{.py}",
    "> ```python",
]
LEFT_OUT = ["```py", '```py title="a.py"', "```pycon", "```{.yaml}", "````md\n```python"]


def test_a_python_block_is_run_or_refused_with_a_way_out(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", **nothing("library", include_docs=True))
    pages = project / "user-docs"
    for number, start in enumerate([*RUN, *REFUSED, *LEFT_OUT]):
        prefix, end = re.findall(r"^(\W*?)([`~]{3,})", start)[0]
        (pages / f"page{number}.md").write_text(f"# P\n\n{start}\n{prefix}1 / 0\n{prefix}{end}\n")
    (pages / "open.md").write_text("# P\n\n    ```python\n    1 / 0\n  ```\n")
    said = run_blocks(project)
    for number in range(len(RUN)):
        assert f"page{number}.md:4: ZeroDivisionError" in said, said
    for number, start in enumerate(REFUSED, len(RUN)):
        info = start.strip("> `")
        assert f"page{number}.md:3: the block {info!r} is not run: begin it with ```py" in said, (
            said
        )
    assert "open.md:3: the block 'python' is not closed: end it with ``` in the same col" in said
    assert f"{len(RUN + REFUSED) + 1} failed" in said


def test_the_links_of_the_readme_work_on_pypi(tmp_path: Path) -> None:
    project = render(tmp_path / "sample", **everything("cli_tool", repository_owner="ada"))
    links = re.findall(r"\]\(([^)]+)\)", (project / "README.md").read_text())
    files = "https://github.com/ada/sample/blob/main/"
    own = [link.removeprefix(files) for link in links if link.startswith(files)]
    assert [link for link in links if not link.startswith("https://")] == []
    assert {"LICENSE", "CONTRIBUTING.md"} <= {*own}
    assert [name for name in own if not (project / name).is_file()] == []
    assert "repository_owner=" not in (project / "CONTRIBUTING.md").read_text()
    without = render(tmp_path / "without", **everything("cli_tool", repository_owner=""))
    assert "--data repository_owner=NAME" in (without / "CONTRIBUTING.md").read_text()
