"""LiteLLM from PyPI, in an environment of its own, as its image would have it.

1.77.3 gets the packages of its image (litellm-1.77.3.txt): with newer ones its gateway does not start, or does not
behave as it does there. Other versions get what their requirements say.
"""

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.fleet.engines.packages import OURS, environment, interpreter
from bridge.fleet.engines.reason import why
from bridge.fleet.model import release
from bridge.fleet.targets.compose import named_in

PYTHONS = ("3.11", "3.12", "3.13")  # that it has wheels for
PINNED = Path(__file__).parent
SERVER = Path(__file__).parent.parent / "targets/templates/litellm_server.py"
OLD = (1, 81)
OURS_TOO = ("PATH", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
REFUSES = 3  # the exit code of litellm_server.py --take
REFUSED = "it does not take its configuration, and goes on with the one before"
WITH_OLD = ("pydantic<2.12", "anyio<4.14")  # newer ones break the MCP gateway of 1.77 to 1.80


def requirements(version: str) -> list[str]:
    pins = PINNED / f"litellm-{version}.txt"
    if pins.exists():
        return pins.read_text(encoding="utf-8").split()
    return [f"litellm[proxy]=={version}", *(WITH_OLD if release(version) < OLD else ())]


def executable(version: str) -> Path:
    """The `litellm` of an environment with this version, made if missing. Raises Failed."""
    python = sys.executable if OURS in PYTHONS else interpreter(PYTHONS[-1])
    return environment(f"litellm-{version}", *requirements(version), python=python).with_name("litellm")


def serves(config: Path, home: Path) -> bool:
    """Whether the one that runs serves this configuration, as it is now; one that cannot be told was started with it."""
    try:
        said = (home / "litellm-served").read_text().split()[-1]
    except (FileNotFoundError, IndexError):
        return False
    return said in ("-", hashlib.sha256(config.read_bytes()).hexdigest())


def refusal(config: Path, home: Path) -> str:
    """Why the one that runs did not take this configuration; empty if it did, or has not said so."""
    try:
        digest, _, said = (home / "litellm-refused").read_text(encoding="utf-8", errors="replace").partition("\n")
    except FileNotFoundError:
        return ""
    return refused(said) if digest == hashlib.sha256(config.read_bytes()).hexdigest() else ""


def refused(said: str) -> str:
    return f"{REFUSED}: {why(said) or 'it does not say why'} (litellm/base.yaml, or `litellm` in a stanza)"


def variables(config: dict[str, Any], said: Mapping[str, str], home: Path) -> dict[str, str]:
    """Its environment: what its config names, and little of ours: a key in somebody's shell would change what it does."""
    ours = {name: os.environ[name] for name in OURS_TOO if name in os.environ}
    named = {name: said[name] for name in ("TZ", "LITELLM_MASTER_KEY", "BRIDGE_TOKEN", *named_in(config)) if name in said}
    return {**ours, "HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "True", **named, "PYTHONUNBUFFERED": "1"}
