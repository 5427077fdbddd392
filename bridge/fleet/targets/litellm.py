"""litellm/config.yaml: the operator's own settings (litellm/base.yaml) and an entry for each MCP, in the words that the
chosen version of LiteLLM understands.

A version ignores what it does not know, so a key is written only where it works. What a sidecar's stanza asks for and this
version cannot do, the bridge does for every client (tools, names, tokens). What is left is told in `warnings`, which stand
at the top of the file.
"""

from collections.abc import Callable, Iterator
from typing import Any

from bridge.fleet.files import File, generated_yaml
from bridge.fleet.model import PORT, Fleet, LiteLLM
from bridge.fleet.stanza import Stanza

# The first release whose config takes the key (wheels compared: 1.77.3, .5, .7, 1.78.7, 1.79.3, 1.80.17, 1.81.16, 1.83.14, 1.90.7).
SINCE = {
    "allowed_tools": (1, 77, 7),
    "disallowed_tools": (1, 77, 7),
    "extra_headers": (1, 77, 7),
    "static_headers": (1, 79, 3),
    "allow_all_keys": (1, 80, 17),
    "timeout": (1, 90, 7),
}
KEY_AS_HEADER = {"X-API-Key": "os.environ/BRIDGE_TOKEN"}  # a caller's own, in Authorization, comes first at the bridge
# Before it, a sidecar that is away when a call comes wedges LiteLLM's Streamable HTTP client, but not its SSE client.
HTTP_SINCE = (1, 80, 0)


def render(fleet: Fleet) -> Iterator[File]:
    """What starts by itself (LiteLLM asks all its servers for every list, an absent one too), and a file with all."""
    always = fleet.model_copy(update={"stanzas": [stanza for stanza in fleet.stanzas if not stanza.profile]})
    others = [stanza.name for stanza in fleet.stanzas if stanza.profile]
    note = ""
    if others:
        note = (
            f"\nNot here, because they do not start by themselves: {', '.join(others)}.\n"
            "`mcp-bridge up` makes a config of what it starts; by hand: LITELLM_CONFIG=../litellm/config-all.yaml"
        )
    yield generated_yaml("litellm/config.yaml", config(always), _note(always) + note)
    yield generated_yaml("litellm/config-all.yaml", config(fleet), _note(fleet))


def _note(fleet: Fleet) -> str:
    lines = [f"For LiteLLM {fleet.litellm.version}. Models and settings come from litellm/base.yaml: write them there."]
    return "\n".join(lines + [f"Warning: {warning}" for warning in warnings(fleet)])


def config(fleet: Fleet, base: Callable[[Stanza], str] = lambda stanza: f"http://{stanza.name}:{PORT}") -> dict[str, Any]:
    """LiteLLM's config as data. `base` gives a sidecar's address as LiteLLM sees it."""
    own = fleet.litellm.base
    models = [*(own.get("model_list") or []), *fleet.litellm.models]
    document = {**own, "model_list": models} if models else dict(own)
    document["general_settings"] = {"master_key": "os.environ/LITELLM_MASTER_KEY", **(own.get("general_settings") or {})}
    entries = {stanza.litellm_name: _entry(stanza, fleet, base) for stanza in fleet.stanzas if stanza.litellm.enabled}
    document["mcp_servers"] = entries | (own.get("mcp_servers") or {})
    return document


def warnings(fleet: Fleet) -> list[str]:
    """What a stanza asks for and this version of LiteLLM does not do, one line each."""
    version, found = fleet.litellm.version, []
    for stanza in fleet.stanzas:
        if not stanza.litellm.enabled:
            continue
        if stanza.litellm_name in (fleet.litellm.base.get("mcp_servers") or {}):
            found.append(f"{stanza.name}: litellm/base.yaml has an mcp_servers entry {stanza.litellm_name!r} of its own, which is used")
        found += [
            f"{stanza.name}: LiteLLM {version} does not know '{key}' ({_number(SINCE[key])} is the first): {_WITHOUT[key]}"
            for key in _unknown(stanza, fleet.litellm)
        ]
        if fleet.litellm.database and fleet.callers and _is_for_all_keys(stanza, fleet):
            found.append(f"{stanza.name}: allow_all_keys: every LiteLLM key may use it, whatever its caller may")
        if fleet.litellm.database and fleet.callers and not fleet.litellm.holds_keys_to_grants and stanza.is_remote:
            found.append(
                f"{stanza.name}: LiteLLM {version} lets every key call it, and it has no bridge that would refuse: leave it out, or take a newer LiteLLM"
            )
        if stanza.is_remote and stanza.tools.rename:
            found.append(f"{stanza.name}: LiteLLM does not rename the tools of a remote MCP: they keep their names")
    return found


def not_in_force(stanza: Stanza, litellm: LiteLLM) -> list[str]:
    """The filters of a remote MCP that this version of LiteLLM does not know: it shows all tools."""
    filters = {"allowed_tools": "tools.allow", "disallowed_tools": "tools.deny"}
    return [filters[key] for key in _unknown(stanza, litellm) if key in filters]


_WITHOUT = {
    "allowed_tools": "all tools of this remote MCP are shown",
    "disallowed_tools": "all tools of this remote MCP are shown",
    "extra_headers": "the client's headers are not passed on",
    "static_headers": "these headers are not sent",
    "allow_all_keys": "which keys see it depends on that version alone",
    "timeout": "a call may take as long as the bridge lets it",
}


def _unknown(stanza: Stanza, litellm: LiteLLM) -> list[str]:
    """The keys without which LiteLLM cannot do what the stanza says, as far as this version does not know them."""
    registration, tools = stanza.litellm, stanza.tools
    asked = {
        "allowed_tools": stanza.is_remote and tools.allow,
        "disallowed_tools": stanza.is_remote and tools.deny,
        "extra_headers": registration.extra_headers or stanza.secret_headers,
        "static_headers": registration.static_headers,
        "timeout": registration.timeout,
    }
    return [key for key, value in asked.items() if value and litellm.release < SINCE[key]]


def _entry(stanza: Stanza, fleet: Fleet, base: Callable[[Stanza], str]) -> dict[str, Any]:
    release, registration = fleet.litellm.release, stanza.litellm
    own = stanza.secret_headers
    entry = {**_reached(stanza, release, base), "description": stanza.description, "access_groups": registration.access_groups}
    newer = {
        "allowed_tools": stanza.tools.allow if stanza.is_remote else [],
        "disallowed_tools": stanza.tools.deny if stanza.is_remote else [],
        "extra_headers": list(dict.fromkeys([*registration.extra_headers, *own])),
        "static_headers": registration.static_headers | (KEY_AS_HEADER if own else {}),
        "allow_all_keys": _is_for_all_keys(stanza, fleet),
        "timeout": registration.timeout,
    }
    entry |= {key: value for key, value in newer.items() if release >= SINCE[key]}
    if own and release >= SINCE["static_headers"]:
        entry |= {"auth_type": "none", "auth_value": ""}  # with bearer_token newer ones take nothing but Authorization from callers
    entry["mcp_info"] = _shown(stanza)
    return {key: value for key, value in entry.items() if value or value is False}


def _is_for_all_keys(stanza: Stanza, fleet: Fleet) -> bool:
    """Without a database there are no grants. With one a key has what it was granted, unless the stanza says otherwise."""
    is_said = "allow_all_keys" in stanza.litellm.model_fields_set
    return stanza.litellm.allow_all_keys and (is_said or not fleet.litellm.database)


def _reached(stanza: Stanza, release: tuple[int, ...], base: Callable[[Stanza], str]) -> dict[str, Any]:
    if not stanza.is_remote:
        way = "http" if release >= HTTP_SINCE else "sse"
        return {
            "url": f"{base(stanza)}/{'mcp' if way == 'http' else 'sse'}",
            "transport": way,
            "auth_type": "bearer_token",
            "auth_value": "os.environ/BRIDGE_TOKEN",
        }
    reached = {"url": stanza.url, "transport": stanza.transport}
    if stanza.auth and stanza.auth.type != "none":
        value = f"os.environ/{stanza.auth.value_env}" if stanza.auth.value_env else stanza.auth.value
        reached |= {"auth_type": stanza.auth.type, "auth_value": value}
    return reached


def _shown(stanza: Stanza) -> dict[str, Any]:
    """What LiteLLM shows of it, and what a call costs."""
    shown: dict[str, Any] = {"server_name": stanza.litellm_name, "description": stanza.description, "logo_url": stanza.litellm.logo_url}
    if cost := stanza.litellm.cost:
        names = {} if stanza.is_remote else stanza.tools.rename
        by_tool = {names.get(tool, tool): price for tool, price in cost.tools.items()}
        shown["mcp_server_cost_info"] = ({"default_cost_per_query": cost.default} if cost.default is not None else {}) | (
            {"tool_name_to_cost_per_query": by_tool} if by_tool else {}
        )
    return {key: value for key, value in shown.items() if value} if cost or shown["logo_url"] else {}


def _number(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))
