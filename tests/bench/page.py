"""What the page for people costs a bridge of forty MCPs: how long it takes to load, and the processor time of the bridge while it is open.

    python tests/bench/page.py [--mcps N] [--seconds N] [--loads N]

Forty children that do next to nothing, a real Chromium, and the bridge's own time from /proc (not its children's), for as long without the page
as with it. A load is from the address being opened until all MCPs stand in the table with their state; each is of a browser context of its own, so
nothing of it is in a cache. Half of the MCPs are called once before, so that their graphs have something in them. Judges nothing.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).parents[1])]

import install
from support import Bridge, Http
from support.browser import Browser, Page

TOLD = "[...document.querySelectorAll('.mcps tbody .pill.fine')].length == %d"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mcps", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each look at the processor time")
    parser.add_argument("--loads", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = install.child()
        mcps = {f"mcp-{number:02}": {"command": command[0], "args": command[1:]} for number in range(options.mcps)}
        Path(folder, "mcps.json").write_text(json.dumps({"mcpServers": mcps}))
        with Bridge(None, "--config", Path(folder, "mcps.json")) as bridge, Browser(Path(folder, "browser")) as browser:
            for name in list(mcps)[::2]:
                with Http(f"{bridge.url}/{name}", listen=False) as client:
                    client.call("echo", text="hello")
            closed = _busy(bridge.process.pid, options.seconds)
            loads = [_load(browser, bridge.url, options.mcps) for _ in range(options.loads)]
            print(f"load: {median(loads):.2f} s ({min(loads):.2f} to {max(loads):.2f}); load of the machine {os.getloadavg()[0]:.1f}")
            page = browser.open(bridge.url)  # the others are closed
            page.until(TOLD % options.mcps)
            opened = _busy(bridge.process.pid, options.seconds, page)
            assert page.text.count("ready") >= options.mcps, "the page was not open"
            size = len(bridge.get("/status.json").content)
            print(
                f"of one core: {closed:.2%} closed, {opened:.2%} open: the page costs {opened - closed:.2%}; status.json has {size} bytes"
            )
    return 0


def _load(browser: Browser, url: str, mcps: int) -> float:
    page = browser.open(url)
    milliseconds = page.until(f"{TOLD % mcps} && performance.now()")  # since the navigation began
    page.send("Page.close")
    return milliseconds / 1000


def _busy(pid: int, seconds: float, page: Page | None = None) -> float:
    before, began = _spent(pid), time.monotonic()
    while time.monotonic() < began + seconds:
        time.sleep(1)
        if page is not None:
            page.run("1")  # which reads what the browser tells of the page's requests
    return (_spent(pid) - before) / (time.monotonic() - began)


def _spent(pid: int) -> float:
    """Seconds of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    raise SystemExit(main())
