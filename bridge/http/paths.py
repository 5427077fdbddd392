"""Paths that are nearly right: what people and proxies make of an address, and which one of ours they plainly mean.

Doubled slashes (`http://host:8000/` + `/mcp`), capitals, a doubled part (`/mcp/mcp`, `/time/time/mcp`), a prefix that the proxy did not
take off (`--root-path`), and the address of an MCP without `/mcp` (for anything but a person's GET).
"""

from collections.abc import Collection


def meant(path: str, known: Collection[str], root_path: str, is_page: bool) -> str | None:
    """The path among `known` that is meant; None if none is, plainly. `is_page`: a browser asks for something to look at."""
    parts = [part for part in path.split("/") if part]
    for tried in (
        parts,
        _without(root_path, parts),
        parts[1:] if parts[:1] == parts[1:2] else parts,
        parts[:-1] if parts[-1:] == parts[-2:-1] else parts,
    ):
        found = _find("/" + "/".join(tried), known)
        if found is None and not is_page:
            found = _find("/".join(["", *tried, "mcp"]), known)
        if found is not None:
            return found
    return None


def _find(path: str, known: Collection[str]) -> str | None:
    if path in known:
        return path
    alike = [other for other in known if other.lower() == path.lower()]
    return alike[0] if len(alike) == 1 else None


def _without(root_path: str, parts: list[str]) -> list[str]:
    root = [part for part in root_path.split("/") if part]
    return parts[len(root) :] if root and parts[: len(root)] == root else parts
