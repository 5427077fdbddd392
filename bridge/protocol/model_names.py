"""Names of tools that models take: letters, digits, `_` and `-`, 64 in all with what LiteLLM puts before them.

A name that fits stays. Any other gets `_` for each sign that is refused; one that is too long, or would then be another tool's,
ends in a short digest of the child's name, so it is the same after each start.
"""

import hashlib
import re
from collections.abc import Iterable

LONGEST = 64
SEPARATOR = "-"  # LiteLLM's, between its name of the server and that of the tool
SHORTEST = 16  # what is left of a name, however long the server's is
_REFUSED = re.compile(r"[^A-Za-z0-9_-]")


def room(server: str) -> int:
    """How long a tool's name may be with this server."""
    return max(SHORTEST, LONGEST - len(server) - len(SEPARATOR)) if server else LONGEST


def fits(name: str, longest: int) -> bool:
    return 0 < len(name) <= longest and not _REFUSED.search(name)


def mended(names: Iterable[str], longest: int) -> dict[str, str]:
    """What each of a child's tools is called, for those that cannot keep their names."""
    names = list(dict.fromkeys(names))
    taken = {name for name in names if fits(name, longest)}
    result: dict[str, str] = {}
    for name in names:
        if name in taken:
            continue
        plain = _REFUSED.sub("_", name)
        if not fits(plain, longest) or plain in taken:
            digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]
            plain = f"{plain[: longest - 7]}_{digest}"
        taken.add(plain)
        result[name] = plain
    return result
