"""A browser, and the MCP server that drives it."""

import shutil
from pathlib import Path

from .cache import made
from .packages import npm
from .processes import run
from .servers import node_command

PLAYWRIGHT = "@playwright/mcp"
WRAPPER = """\
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH={libraries} FONTCONFIG_PATH="$here/etc/fonts"
exec "$here/usr/lib/chromium/chromium" "$@"
"""


def playwright() -> list[str]:
    """The command of Playwright's server with a browser that needs no screen. RuntimeError where no browser can be had."""
    browser = chromium()
    folder = npm("playwright", f"{PLAYWRIGHT}@0.0.83")
    return [*node_command(folder, PLAYWRIGHT), "--executable-path", str(browser), "--headless", "--isolated", "--no-sandbox"]


def chromium() -> Path:
    """The one on PATH, else Debian's, unpacked with the libraries that this machine lacks, without installing anything."""

    def make(folder: Path) -> None:
        apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/apt", "-o", "Debug::NoLocking=1"]
        (folder / "lists/partial").mkdir(parents=True)
        (folder / "apt/archives/partial").mkdir(parents=True)
        run([*apt, "update"])
        run([*apt, "install", "--yes", "--download-only", "--no-install-recommends", "chromium"])
        for package in folder.glob("apt/archives/*.deb"):
            run(["dpkg", "-x", package, folder])
        for leftover in ("lists", "apt"):
            shutil.rmtree(folder / leftover)
        libraries = sorted({str(file.parent.relative_to(folder)) for file in folder.glob("usr/lib/*-linux-gnu*/**/*.so*")})
        wrapper = folder / "browser"
        wrapper.write_text(WRAPPER.format(libraries=":".join(f'"$here/{path}"' for path in libraries)))
        wrapper.chmod(0o755)
        run([wrapper, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "data:text/html,works"], timeout=60)

    if found := shutil.which("chromium"):
        return Path(found)
    if not shutil.which("apt-get"):
        raise RuntimeError("chromium is not on PATH, and there is no apt-get to fetch it with")
    return made("chromium", Path("/etc/os-release").read_text() + WRAPPER, make) / "browser"
