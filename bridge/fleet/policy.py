"""Which options of `serve` a stanza may set for its child, checked as `serve` would check them."""

from dataclasses import fields
from typing import Any

from bridge.settings import Settings, UsageError, check_replicas

PER_MCP = {item.name: item for item in fields(Settings) if item.metadata["per_mcp"]}


def check_policy(values: dict[str, Any]) -> dict[str, Any]:
    """`values` with '_' for '-' in their names. Raises ValueError that names the option and the way out."""
    checked = {}
    together: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in PER_MCP:
            raise ValueError(f"{key}: unknown option; there are {', '.join(sorted(PER_MCP))}")
        checked[name] = value
        meta = PER_MCP[name].metadata
        if meta["repeat"]:
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        try:
            parsed = meta["type"](text)
        except ValueError as error:
            why = (
                f"must be a number, not {value!r}" if "literal for int" in str(error) or "convert string to float" in str(error) else error
            )
            raise ValueError(f"{key}: {why}") from None
        if meta["choices"] and parsed not in meta["choices"]:
            raise ValueError(f"{key}: must be one of {', '.join(meta['choices'])}, not {value!r}")
        together[name] = parsed
    try:
        check_replicas(Settings(**together))
    except UsageError as error:
        raise ValueError(str(error)) from None
    return checked
