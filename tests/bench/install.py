"""What a run needs and the checkout does not have: the compiled child, wrk, and the three peers.

Everything goes into a cache folder and is made once. Nothing here is measured.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("MCP_BRIDGE_TEST_CACHE") or "~/.cache/mcp-bridge-tests").expanduser() / "bench"

PYPI_MCP_PROXY = "0.13.0"
SUPERGATEWAY = "4.0.0"
NPM_MCP_PROXY = "6.7.19"


def child() -> list[str]:
    """The command of the echo child: compiled where there is a C compiler, else in Python."""
    source = HERE / "echo.c"
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return [sys.executable, "-S", "-E", str(HERE / "echo.py")]
    with _locked():
        binary = CACHE / "echo"
        if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
            _run(compiler, "-O2", "-o", str(binary), str(source))
    return [str(binary)]


def wrk() -> list[str]:
    """The command of wrk: the installed one, or the Debian package unpacked into the cache."""
    if installed := shutil.which("wrk"):
        return [installed]
    folder = CACHE / "wrk"
    with _locked(), _once(folder) as missing:
        if missing:
            _run("apt-get", "download", "wrk", "libluajit-5.1-2", "libluajit-5.1-common", cwd=folder)
            for package in folder.glob("*.deb"):
                _run("dpkg", "-x", str(package), str(folder))
    libraries = ":".join(str(path) for path in folder.glob("usr/lib/*/"))
    return ["env", f"LD_LIBRARY_PATH={libraries}", str(folder / "usr/bin/wrk")]


def pypi_mcp_proxy() -> list[str]:
    folder = CACHE / f"pypi-mcp-proxy-{PYPI_MCP_PROXY}"
    with _locked(), _once(folder) as missing:
        if missing:
            _run(sys.executable, "-m", "venv", str(folder))
            _run(str(folder / "bin/python"), "-m", "pip", "install", "-q", f"mcp-proxy=={PYPI_MCP_PROXY}")
    return [str(folder / "bin/mcp-proxy")]


def supergateway() -> list[str]:
    return _npm("supergateway", SUPERGATEWAY)


def npm_mcp_proxy() -> list[str]:
    return _npm("mcp-proxy", NPM_MCP_PROXY)


def _npm(name: str, version: str) -> list[str]:
    folder = CACHE / f"npm-{name}-{version}"
    with _locked(), _once(folder) as missing:
        if missing:
            _run("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", f"{name}@{version}", cwd=folder)
    return [str(folder / "node_modules/.bin" / name)]


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, timeout=240, stdin=subprocess.DEVNULL, stdout=sys.stderr)


@contextmanager
def _locked():
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _once(folder: Path):
    """Says whether the folder is still to be filled; a half-filled one from an interrupted run is emptied first."""
    finished = folder / ".finished"
    missing = not finished.exists()
    if missing:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    yield missing
    finished.touch()
