"""Is this a secret? By its name, by its look, by what stands before it. Pure.

A wrong yes costs an operator a line in compose/.env; a wrong no writes a key into a file that is committed. So whatever
is on its way into a stanza or a message is looked at wherever it stands: arguments, URLs, headers, JSON, connection strings.
"""

import itertools
import re
from urllib.parse import unquote

from bridge.clients.variables import as_name
from bridge.fleet.adding.draft import is_blank, is_secret

_LOOKS = re.compile(
    r"""-----BEGIN[ A-Z]*PRIVATE\ KEY | \b(?:bearer|basic)\s+(?!auth\b)[\w.~+/=-]{6,} | \beyJ[\w-]{16,}
  | \b(?:sk|pk|rk)[-_][\w-]{12,} | \bgh[opsur]_\w{10,} | \bgithub_pat_\w{10,} | \bglpat-[\w-]{8,} | \bxox[a-z]-[\w-]{8,} | \bxapp-[\w-]{8,}
  | \b(?:AKIA|ASIA|AROA)[A-Z0-9]{12,} | \bAIza[\w-]{20,} | \bya29\.[\w-]{10,} | \b(?:npm|hf|ntn|secret|lin_api|figd|shpat|gsk|r8|sbp|dop_v1|whsec|pat)_[A-Za-z0-9]{16,}
  | \b(?:pypi|tvly|xai|nvapi|pplx|PMAK|fc)-[\w-]{16,} | \bSG\.[\w-]{16,} | \bATATT\w{10,}""",
    re.VERBOSE | re.IGNORECASE,
)
_WITH_PASSWORD = re.compile(r"\b[a-z][a-z0-9+.-]*://[^/@\s:]*:(?!\d+/)[^@\s]+@|\bhttps?://[^/@\s]+@", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"""(?<![\w-])(?<!//)-{0,2}([A-Za-z_][\w-]*)(?=["'\\]*\s*[:=]\s*\[?["'\\]*(?:(?:bearer|basic|token|apikey)\s+)?([^\s"'&;,{}\[\]\\]+))""",
    re.IGNORECASE,
)
_SCHEMES = ("bearer", "basic", "token", "apikey", "true", "false", "null", "none", "yes", "no")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DIGEST = re.compile(r"sha(?:256|512)[:-][0-9A-Za-z+/=]+")
REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-[^}]*)?\}")
_PATH = re.compile(r"(?:~|\.{0,2}/|[A-Za-z]:[\\/])")


def reveals(text: str) -> bool:
    """Would somebody who reads this text know a secret? References to compose/.env are none; their defaults may be one."""
    text = _DIGEST.sub("", re.sub(r"\$\{[A-Za-z_]\w*(?::-([^}]*))?\}", lambda found: found[1] or "", text))
    return any(map(_reveals, {text, unquote(text), re.sub(r"\\+u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)}))


def looks_secret(text: str) -> bool:
    """Is it of a form that only keys have?"""
    return bool(_LOOKS.search(text))


def _reveals(text: str) -> bool:
    if _LOOKS.search(text) or _WITH_PASSWORD.search(text):
        return True
    for found in _ASSIGNED.finditer(text):
        joined = found[0].startswith("-") and not found[0].startswith("--")  # -eNAME=value, -HName:value
        if (
            found[2].lower() not in _SCHEMES
            and not is_blank(found[2])
            and (secret_name(found[1]) or (joined and secret_name(found[1][1:])))
        ):
            return True
    if any(_has_key(url) for url in re.findall(r"\bhttps?://[^\s\"'<>]+", text)):
        return True
    return not _PATH.match(text) and any(map(_is_random, re.findall(r"[A-Za-z0-9+=]{16,}", text)))


def url_reveals(url: str) -> bool:
    """The same of an address, whatever its scheme."""
    return reveals(url) or _has_key(url)


def _has_key(url: str) -> bool:
    """Is there a part in its path that nobody could have thought up? Then whoever knows the address may use it."""
    rest = url.partition("://")[2].partition("/")[2]
    return any(_UUID.fullmatch(part) or _is_random(part, 12) for part in re.split(r"[/?&=#;]", rest))


def secret_name(name: str) -> bool:
    """In any spelling: apiKey, x-api-key, API_KEY."""
    return is_secret(as_name(name))


def safe(text: str) -> str:
    """For messages."""
    return "(not shown: there may be a secret in it)" if reveals(text) else text


def _is_random(word: str, least: int = 16) -> bool:
    """Long, and letters and digits in no order that a person would write: names and versions change seldom between them."""
    if len(word) < least:
        return False
    changes = sum(one.isdigit() != other.isdigit() for one, other in itertools.pairwise(word))
    cases = sum(one.islower() and other.isupper() for one, other in itertools.pairwise(word))
    return changes >= 4 or (len(word) >= 24 and cases >= 5)
