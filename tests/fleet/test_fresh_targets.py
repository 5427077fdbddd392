"""The committed files are those that the stanzas make, and nothing in them is secret."""

import re
import subprocess
from pathlib import Path

from bridge.fleet import Fleet
from bridge.fleet.files import stale

ROOT = Path(__file__).parents[2]


def test_every_generated_file_is_fresh():
    """If this fails: `mcp-bridge render`, and commit what changed."""
    assert stale(ROOT, Fleet.load(ROOT / "images").render()) == []


def test_no_generated_file_is_left_over():
    made = {file.path for file in Fleet.load(ROOT / "images").render()}
    found = {str(path.relative_to(ROOT)) for path in (*ROOT.glob("compose/*.yaml"), *ROOT.glob("images/*/Dockerfile"))}

    assert found <= made


def test_local_state_is_never_committed():
    for path in ("compose/.env", "compose/secrets/bridge_token", "compose/state/litellm.yaml"):
        assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode == 0


def test_no_registry_and_no_key_stands_in_a_generated_file():
    for file in Fleet.load(ROOT / "images").render():
        assert not re.search(r"\bsk-(?!loopback-only|1234\b)\w|BEGIN [A-Z ]*PRIVATE KEY", file.text)


def test_what_the_bridge_needs_is_what_its_lock_has():
    """If this fails: `mcp-bridge lock`, and commit images/bridge.lock."""
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", (ROOT / "images/bridge.lock").read_text(), re.MULTILINE))
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        needed = Requirement(line)

        assert needed.specifier.contains(locked.get(canonicalize_name(needed.name), "0")), line
