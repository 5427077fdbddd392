# Made by `mcp-bridge render`; do not edit: write images/NAME/stanza.yaml and render again.
"""Makes the fleet's keys where the operator named none, and lays each where only those who need it find it.

Runs to its end before everything else, at each `docker compose up`: what was made once stays. /said has what the operator
said (in compose/.env, '=' before it), /keys a volume for each reader, /names the MCPs. These get hashes, with which they can
open nothing. What the operator, LiteLLM and Prometheus send is known to the door, which sends a key of that one MCP instead: an
MCP that took its bridge's place would learn what opens itself. All these follow from one, BRIDGE_TOKEN.
"""

import hashlib
import hmac
import os
import secrets
import sys
from pathlib import Path
from urllib.parse import quote

KNOWN = ("sk-1234", "sk-loopback-only", "loopback-only", "known-to-everybody")  # they stand in public files
SAID, KEYS, NAMES = Path("/said"), Path("/keys"), Path("/names")
AUDIT = Path("/audit")  # where the fleet writes down calls: a volume for each MCP
MADE = {
    "LITELLM_MASTER_KEY": ("litellm", lambda: f"sk-{secrets.token_hex(24)}"),
    "BRIDGE_TOKEN": ("litellm", lambda: secrets.token_hex(24)),
    "POSTGRES_PASSWORD": ("database", lambda: secrets.token_hex(16)),
    "POSTGRES_READER_PASSWORD": ("database", lambda: secrets.token_hex(16)),
    "LITELLM_SALT_KEY": ("litellm", lambda: f"sk-{secrets.token_hex(24)}"),
    "LITELLM_DATABASE_PASSWORD": ("database", lambda: secrets.token_hex(16)),
}
OF_DATABASE = ("LITELLM_SALT_KEY", "LITELLM_DATABASE_PASSWORD")  # said only where LiteLLM has a database


def main() -> None:
    said = {path.name: path.read_text().removeprefix("=").removesuffix("\n") for path in SAID.iterdir()}
    values = {}
    for name, (reader, make) in MADE.items():
        if name in OF_DATABASE and name not in said:
            continue
        place = KEYS / reader / name
        values[name] = said.pop(name, "") or (place.read_text() if place.exists() else make())
        if values[name] in KNOWN or len(values[name]) < (16 if name == "BRIDGE_TOKEN" else 1):
            sys.exit(f"compose/.env: {name} is known to everybody or can be guessed: take the line out, and a random one is made")
        keep(place, values[name])
    if password := values.get("LITELLM_DATABASE_PASSWORD"):
        said["DATABASE_URL"] = f"postgresql://litellm:{quote(password, safe='')}@database:5432/litellm"
    elif "DATABASE_URL" not in said:
        (KEYS / "litellm" / "DATABASE_URL").unlink(missing_ok=True)  # it has none any more, and goes on without
    for name, value in said.items():  # what LiteLLM's config names beside those
        keep(KEYS / "litellm" / name, value)
    for place in AUDIT.glob("*"):
        place.chmod(0o777)  # a new volume is root's; no other MCP sees it
    token = values["BRIDGE_TOKEN"]
    watch = derived(token, "prometheus")
    keep(KEYS / "prometheus" / "PROMETHEUS_TOKEN", watch)
    own = []  # what the door sends in place of what it was sent
    for line in (line for line in NAMES.read_text().splitlines() if line and not line.startswith("#")):
        name, *groups = line.split()  # the bridge before the bridges has the names of its groups behind its own
        places = {"operator": [f"/{place}" for place in groups or [name]], "litellm": [name], "prometheus": [name]}
        keys = {reader: derived(token, f"{reader} {name}") for reader in places}
        # By itself that bridge may ask an MCP what it is. For the operator and LiteLLM it derives a key for each MCP from the one that it is sent.
        discovery = derived(token, f"groups {name}")
        through = {reader: derived(derived(token, f"{reader} groups"), name) for reader in ("operator", "litellm")}
        lines = [*keys.items(), ("groups", discovery), *through.items()]
        keep(KEYS / "mcp" / name, "".join(f"{reader} {hashed(key)}\n" for reader, key in lines))
        if name != "groups" and (KEYS / "groups").is_dir():
            keep(KEYS / "groups" / name, discovery)
        own += [f'"{reader} {place}" {key};' for reader, key in keys.items() for place in places[reader]]
    pattern = "".join(char if char.isalnum() else f"\\x{ord(char):02x}" for char in token)  # a map's plain words match in any case
    keep(KEYS / "door" / "inside.conf",
         f'map "$http_authorization $http_x_api_key" $sender {{ default ""; "~^(Bearer )?{pattern} " ours; "~^ {pattern}$" ours; '
         f'"~^Bearer {watch} $" prometheus; }}\n'
         f'map $http_x_api_key $api_key {{ default $http_x_api_key; "~^{pattern}$" ""; }}\n'
         f'map "$reader $server_name$prefix" $own_key {{ default ""; {" ".join(own)} }}\n')


def derived(token: str, what: str) -> str:
    return hmac.new(token.encode(), what.encode(), "sha256").hexdigest()


def hashed(token: str) -> str:
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def keep(path: Path, value: str) -> None:
    """In its place whole or not at all, for any user of the only containers that see the volume."""
    if path.exists() and path.read_text() == value:
        return
    beside = path.with_name(f".{path.name}")
    beside.write_text(value)
    beside.chmod(0o444)
    os.replace(beside, path)


if __name__ == "__main__":
    main()
