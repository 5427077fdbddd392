"""Real MCP servers, as the command that starts the server itself: never npx or uvx, whose own processes would be tested."""

import json
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .cache import made
from .clients import sdk1, sdk2
from .packages import node22, npm, venv
from .processes import START_PATIENCE, run, start, stop

FROM_PYPI = {"time": "mcp-server-time==2026.10.19", "git": "mcp-server-git==2026.10.19", "fetch": "mcp-server-fetch==2026.10.24"}
FROM_NPM = {
    "everything": "@modelcontextprotocol/server-everything",
    "filesystem": "@modelcontextprotocol/server-filesystem",
    "memory": "@modelcontextprotocol/server-memory",
}
FORKS = Path(__file__).with_name("forks.py")
NPM_VERSION = "2026.8.31"
SERVERS = (*FROM_PYPI, *FROM_NPM)


def server(name: str) -> list[str]:
    """The command of one of SERVERS; arguments (filesystem's folders, git's --repository) are the caller's."""
    if name in FROM_PYPI:
        return [str(venv(f"server-{name}", FROM_PYPI[name]).with_name(f"mcp-server-{name}"))]
    folder = npm("servers", *(f"{package}@{NPM_VERSION}" for package in FROM_NPM.values()))
    return node_command(folder, FROM_NPM[name])


def node_command(folder: Path, package: str) -> list[str]:
    """How to run the one executable of a package in a node_modules folder."""
    home = folder / "node_modules" / package
    [script] = json.loads((home / "package.json").read_text())["bin"].values()
    return [str(node22()), str((home / script).resolve())]


@dataclass(frozen=True)
class EverythingServer:
    """The Python SDK's example server that the conformance suite is written for; only the SDK's sdist contains it."""

    python: Path
    launcher: Path

    @property
    def stdio(self) -> list[str]:
        return [str(self.python), str(self.launcher)]

    def http(self, port: int) -> list[str]:
        """The same server by the SDK's own HTTP transport, at /mcp: what a bridge's results are compared with."""
        return [*self.stdio, "--port", str(port)]

    @contextmanager
    def forks(self) -> Iterator[list[str]]:
        """The command of the same server, started without its imports: forks.py."""
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
            path = f"{folder}/socket"
            process = start([self.python, FORKS, "serve", path, self.launcher.parent], output)
            try:
                deadline = time.monotonic() + START_PATIENCE
                while not Path(path).exists():
                    if process.poll() is not None or time.monotonic() > deadline:
                        output.seek(0)
                        raise RuntimeError(f"{FORKS} does not start\n{output.read()[-3000:]}")
                    time.sleep(0.05)
                yield [str(self.python), "-I", "-S", str(FORKS), path]
            finally:
                stop(process)


def everything_sdk1() -> EverythingServer:
    return _everything(sdk1(), "1.30.0")


def everything_sdk2() -> EverythingServer:
    return _everything(sdk2(), "2.3.0")


LAUNCHER = """\
import sys
from mcp_everything_server.server import main, mcp
main() if sys.argv[1:] else mcp.run(transport="stdio")
"""


def _everything(python: Path, version: str) -> EverythingServer:
    def make(folder: Path) -> None:
        # Only pip can download an sdist, and an environment made by uv has no pip.
        pip = [venv("pip", "pip"), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "mcp"]
        run([*pip, "--dest", folder, f"mcp=={version}"])
        archive = folder / f"mcp-{version}.tar.gz"
        with tarfile.open(archive) as sdist:
            inside = f"mcp-{version}/examples/servers/everything-server/"
            for member in sdist.getmembers():
                if member.name.startswith(inside + "mcp_everything_server/"):
                    member.name = member.name.removeprefix(inside)
                    sdist.extract(member, folder, filter="data")
        archive.unlink()
        (folder / "everything.py").write_text(LAUNCHER)

    return EverythingServer(python, made(f"everything-{version}", version + LAUNCHER, make) / "everything.py")
