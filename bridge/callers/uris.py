"""The ways to write one URI that a server may take for the same: a rule about one holds for all of them.

`file:///srv/public/../secret` and `file:///srv/%73ecret` both name a file that a rule about `file:///srv/secret` is meant for. A pattern is
compared with what the client wrote, and with what is left of that once it is decoded and resolved (RFC 3986, 6.2.2); and so that
a rule may say `my%20notes.txt` or `memo://Insights` as a list does, the pattern is decoded and resolved for the second, too.
"""

import re
from urllib.parse import unquote

DECODED = 3  # times: some servers decode what their framework has decoded
_DROPPED = str.maketrans("", "", "\t\r\n")
_AROUND = "".join(map(chr, range(0x21)))
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)


def plain(uri: str) -> str:
    """The URI as it may be meant. Parsers drop tabs and line ends, and white space around it (WHATWG URL, 4.4)."""
    decoded = uri.translate(_DROPPED).strip(_AROUND)
    for _ in range(DECODED):
        decoded = unquote(decoded)
    return _resolved(decoded.replace("\\", "/"))


def bare(uri: str) -> tuple[str, ...]:
    """What is left of a plain URI for servers that look at its path alone, as those of files do: only denials hold for that, too."""
    path = re.split(r"[?#]", uri, maxsplit=1)[0]
    return tuple({path, path.rstrip("/")} - {uri})


def plain_pattern(text: str) -> str:
    """A pattern to compare plain URIs with; its stars are the ones that it had."""
    parts = text.split("*")
    for _ in range(DECODED):
        parts = [unquote(part) for part in parts]
    if any("*" in part for part in parts):
        return text
    decoded = "*".join(parts)
    return _resolved(decoded) if _SCHEME.fullmatch(decoded) else decoded


def _resolved(uri: str) -> str:
    """Scheme and authority in lower case, the path without `.`, `..` and empty segments."""
    found = _SCHEME.fullmatch(uri)
    scheme, rest = (found[1].lower() + ":", found[2]) if found else ("", uri)
    authority = ""
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        authority, rest = f"//{authority.lower()}", slash + path
    if scheme == "file:" and rest.startswith("/") and authority in ("", "//localhost"):
        authority = "//"  # RFC 8089, 2: all of these are this machine's
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
