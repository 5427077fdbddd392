"""`mcp-bridge audit` without a file: what the bridges of the fleet wrote down (`audit: true` in images/fleet.yaml), merged by time."""

import argparse
import tempfile
from pathlib import Path

from bridge.callers.audit_reader import run as read
from bridge.fleet.commands.common import progress
from bridge.fleet.engines import EngineError
from bridge.fleet.engines.choice import running
from bridge.fleet.project import Project
from bridge.settings import UsageError

NONE = "nothing was written down: write `audit: true` into images/fleet.yaml, then `mcp-bridge up` (what a fleet that is down has written can be read after the next one)"


def run(arguments: argparse.Namespace) -> int:
    """Raises UsageError."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            engine, _ = running(Project.find(arguments.project), progress())
            arguments.files = list(map(str, engine.audits(Path(folder))))
        except EngineError as error:
            raise UsageError(str(error)) from None
        if not arguments.files:
            raise UsageError(NONE)
        return read(arguments)
