"""What of a running MCP's tools is not as it was approved: its bridge says what the server says, uncut, and the lock what was approved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.fleet.ask import Http, NoResponse
from bridge.pins.changes import shown
from bridge.pins.lock import FILE, BadLock, Lock

PATIENCE = 20.0  # seconds: some lists have hundreds of kilobytes


class NotListed(Exception):
    """The tools are not to be had; the message says why."""


def tools(http: Http, url: str, headers: Mapping[str, str]) -> list[dict[str, Any]]:
    """The tools of the MCP at `url`, as its server says them. Raises NotListed."""
    try:
        said = http.get(f"{url}/tools.json", headers, PATIENCE)
    except NoResponse as silence:
        raise NotListed(f"{silence}: is it up? (mcp-bridge ps)") from None
    listed = said.json().get("tools")
    if said.status != 200 or not isinstance(listed, list):
        raise NotListed(str(said.json().get("error") or said.words))
    return [tool for tool in listed if isinstance(tool, dict)]


def difference(folder: Path, http: Http, url: str, headers: Mapping[str, str], hides: bool = False) -> list[str]:
    """Lines for people; none where all is as it was approved, or nothing ever was. `hides`: then nothing is served."""
    try:
        lock = Lock.read(folder / FILE)
        if lock is None:
            return ["nothing was ever approved, so nothing is served (pin: hide)"] * hides
        return shown(lock, tools(http, url, headers))
    except (BadLock, NotListed) as why:
        return [f"its tools cannot be compared with what was approved: {why}"]
