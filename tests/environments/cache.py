"""The tests' own place for what `made` of the embedded engine makes: see there."""

import os
from collections.abc import Callable
from pathlib import Path

from bridge.fleet.engines import cache as engine


def made(name: str, definition: str, make: Callable[[Path], None]) -> Path:
    """The folder of this definition; `make` fills it if it is not there yet."""
    return engine.made(name, definition, make, within=cache())


def cache() -> Path:
    return Path(os.environ.get("MCP_BRIDGE_TEST_CACHE") or "~/.cache/mcp-bridge-tests").expanduser().resolve()
