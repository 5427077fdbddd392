"""Who there is beside the operator: `callers:` of images/fleet.yaml, and what every bridge is told of it. Pure.

The form is that of `serve --callers`, and so is the parser. A bridge knows keys by hash only. Four callers are the fleet's own, and their keys
follow from BRIDGE_TOKEN (targets/templates/keys.py): `operator`, who may do everything; `litellm`, which stands for all who come through LiteLLM without a
key of their own, and may call everything unless images/fleet.yaml says less; `prometheus`, which reads metrics and nothing else; `groups`, the bridge
before the bridges, which by itself asks what each of them is. Every bridge of Docker's has the last one, also where there are no groups:
a key that a file of callers does not name may do everything.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.callers import file as callers_file
from bridge.callers.caller import Callers
from bridge.callers.tokens import Tokens
from bridge.clients.document import Document
from bridge.settings import UsageError

OPERATOR, LITELLM, PROMETHEUS = "operator", "litellm", "prometheus"
OF_GROUPS = "groups"  # what has the groups of MCPs: by itself it may ask what each is
KEYS = ("token_sha256", "token_file", "basic", "jwt")
EVERYTHING = {"default": "execute"}
TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SHIPPED = "callers.yaml"  # in a folder of its own: what is mounted as a file stays the old one


def check(callers: object, path: str = "images/fleet.yaml", text: str = "") -> Callers:
    """Raises UsageError with the line."""
    if isinstance(callers, dict):
        for name in (OPERATOR, PROMETHEUS, OF_GROUPS):
            if name in callers:
                raise UsageError(f"{path}: callers.{name}: it is the fleet's own: call yours something else")
        of_litellm = callers.get(LITELLM)
        if isinstance(of_litellm, dict) and (own := [word for word in KEYS if word in of_litellm]):
            raise UsageError(f"{path}: callers.{LITELLM}: {own[0]}: the fleet makes LiteLLM's key: say here what it may do")
    if isinstance(callers, dict):
        for name, entry in callers.items():
            if isinstance(entry, dict) and "team" in entry and not (isinstance(entry["team"], str) and TEAM.fullmatch(entry["team"])):
                raise UsageError(f"{path}: callers.{name}: team: expected a name: letters, digits, '_', '.' and '-'")
        callers = {name: _without_team(entry) for name, entry in callers.items()}
    document = Document(path, text or json.dumps({"callers": callers}), {"callers": callers, "default": "read"})
    known = callers_file.of(document, Tokens({bytes(32): LITELLM}))
    if known.have_claims:
        raise UsageError(f"{path}: callers: jwt: the bridges of a fleet ask no issuer: give this caller a token")
    return known


def with_hashes(callers: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same without files of tokens, which bridges do not see. `folder` is where they are named from. Raises UsageError."""
    return {name: _with_hashes(entry, folder) for name, entry in callers.items()}


def _with_hashes(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    said = dict(entry)
    files, hashes = said.pop("token_file", []), said.get("token_sha256", [])
    if not files:
        return said
    found = [digest.hex() for file in _list(files) for digest in Tokens.read(str(folder / Path(file).expanduser())).digests]
    return said | {"token_sha256": sorted({*_list(hashes), *found})}


def shipped(
    callers: Mapping[str, Any], with_prometheus: bool = True, litellm_may: Mapping[str, Any] = EVERYTHING, with_groups: bool = False
) -> dict[str, Any]:
    """What every bridge is told."""
    own: dict[str, Any] = {OPERATOR: {"may": {"*/*": "admin"}}, LITELLM: dict(litellm_may)}
    if with_prometheus:
        own[PROMETHEUS] = {"metrics": True}
    if with_groups:
        own[OF_GROUPS] = {"may": {"*/method:server/discover": "execute"}}
    return {"callers": own | {name: _without_team(entry) for name, entry in callers.items()}}


def team_of(entry: Mapping[str, Any]) -> str:
    """The team in LiteLLM, which bridges know nothing of; empty for none."""
    return str(entry.get("team") or "")


def _without_team(entry: Any) -> Any:
    return {word: value for word, value in entry.items() if word != "team"} if isinstance(entry, dict) else entry


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
