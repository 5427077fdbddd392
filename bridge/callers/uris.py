"""The ways to write one URI that a server may take for the same: a rule about one holds for all of them.

`file:///srv/public/../secret` and `file:///srv/%73ecret` both name a file that a rule about `file:///srv/secret` is meant for. A pattern is
compared with what the client wrote, and with what is left of that once it is decoded and resolved (RFC 3986, 6.2.2).
"""

import re
from urllib.parse import unquote

DECODED = 3  # times: some servers decode what their framework has decoded
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)


def spellings(uri: str) -> tuple[str, ...]:
    """The URI as it is, then as it may be meant, where that is another one."""
    plain = uri
    for _ in range(DECODED):
        plain = unquote(plain)
    plain = _resolved(plain.replace("\\", "/"))
    return (uri,) if plain == uri else (uri, plain)


def _resolved(uri: str) -> str:
    """Scheme and authority in lower case, the path without `.`, `..` and empty segments."""
    found = _SCHEME.fullmatch(uri)
    scheme, rest = (found[1].lower() + ":", found[2]) if found else ("", uri)
    authority = ""
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        authority, rest = f"//{authority.lower()}", slash + path
    path, mark, query = _parted(rest)
    if "//" not in path and "/." not in path and not path.startswith("."):
        return f"{scheme}{authority}{path}{mark}{query}"
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    begin = "/" if path.startswith("/") else ""
    end = "/" if segments and path.endswith("/") else ""
    return f"{scheme}{authority}{begin}{'/'.join(segments)}{end}{mark}{query}"


def _parted(rest: str) -> tuple[str, str, str]:
    found = re.search(r"[?#]", rest)
    return (rest[: found.start()], found[0], rest[found.end() :]) if found else (rest, "", "")
