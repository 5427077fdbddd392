"""Debian's Chromium, put where programs look for a browser: run once, while the image is made.

It has no display, nor a sandbox of its own, which needs rights that a container has not: the container is the sandbox.
Playwright looks for the revision that it was made with, which its `browsers.json` names (so do its forks).
"""

import json
from pathlib import Path

BROWSER = "opt/browser/chromium"
OF_DEBIAN = ("usr/bin/chromium", "usr/bin/chromium-headless-shell")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OF_PLAYWRIGHT = ("chromium", "chromium-headless-shell")
WITHIN = (
    "chrome-linux/chrome",
    "chrome-linux64/chrome",
    "chrome-linux/headless_shell",
    "chrome-headless-shell-linux64/chrome-headless-shell",
)


def put(root: Path) -> None:
    debian = next(path for path in OF_DEBIAN if (root / path).exists())
    browser = root / BROWSER
    browser.parent.mkdir(parents=True)
    browser.write_text(f'#!/bin/sh\nexec /{debian} --headless --no-sandbox --disable-dev-shm-usage "$@"\n')
    browser.chmod(0o755)
    places = [root / "opt/google/chrome/chrome", *(root / "usr/local/bin" / name for name in PROGRAMS)]
    for listing in (root / "opt/server").rglob("browsers.json"):
        for one in json.loads(listing.read_text()).get("browsers", []):
            if one["name"] in OF_PLAYWRIGHT:
                folder = browser.parent / f"{one['name'].replace('-', '_')}-{one['revision']}"
                places += [folder / name for name in WITHIN]
    for place in dict.fromkeys(places):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(f"/{BROWSER}")


if __name__ == "__main__":
    put(Path("/"))
