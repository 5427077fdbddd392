r"""Secrets in words that people and clients get to read: logs, a server's last words, reasons of failures, pages.

Values that the operator gave to a server as secrets are known exactly (`know`); besides, whatever looks like a secret is one: the
user and password of a URL, what stands behind `key=`, `"token":` and their like, `Bearer …`, private keys, and keys with the
prefixes that their makers gave them. What a server says in a result is its client's, and is not touched.

Linear in the length of the text, because who writes it may be hostile: a pattern starts where a word starts, and each word is
looked at once.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote, unquote

SHOWN = "[redacted]"
SHORTEST, SHORTEST_NAMED = 4, 6  # characters of a value: of one that the operator calls a secret, and of one that has a name like it
MOST = 500  # values that are known; the first ones stay

_values: dict[str, None] = {}
_known: re.Pattern[str] | None = None

_SECRET_NAME = re.compile(
    r"(?i:(?:passw(?:or)?d|passphrase|secret|token|credential|(?:api|access|private|auth|account)key|authorization|signature"
    r"|(?:^|[_.-])(?:key|pass|pwd|auth|cookie|sig|dsn))s?(?:$|[_.-]))"
    r"|[a-z0-9](?:Key|Pass|Pwd|Auth|Cookie|Token|Secret|Password|Credential)s?(?:$|[A-Z_.-])"
)
_NO_SECRET = re.compile(
    r"[0-9.]{0,9}|true|false|none|null|undefined|yes|no|on|off|(?-i:[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)|(?:~|\.)?(?:/[\w.-]+)+/?", re.IGNORECASE
)
_NAMED = re.compile(r"(?<![\w.-])([\w.-]+)(\\?[\"']?\s{0,2}[=:]\s{0,2})")
_VALUE = re.compile(r"\\?\"[^\"]*\"?|'[^']*'?|(?:(?:bearer|basic|token)\s{1,2})?[^\s,;&\"'<>(){}\[\]\\]+", re.IGNORECASE)
_URL = re.compile(r"://([^\s\"'<>`]+)")
_PORT = re.compile(r":\d{1,5}$")
_SCHEME = re.compile(r"\b(bearer|basic|token)(\s{1,3})([A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
_LONG_WORD = re.compile(r"[A-Za-z0-9_.-]{16,}")
_PREFIXES = (
    *"sk- sk_ pk_live_ rk_live_ whsec_ gho_ ghp_ ghs_ ghu_ ghr_ github_pat_ glpat- gldt- glrt- xox xapp- AKIA ASIA AIza ya29.".split(),
    *"npm_ pypi- hf_ SG. dop_v1_ shpat_ shpss_ lin_api_ secret_ ntn_ tvly- gsk_ xai- r8_ pplx- figd_ ATATT AGE-SECRET-KEY-".split(),
    "eyJ",  # a JSON Web Token, or another object in base64
)
_HINTS = ("key", "pass", "pwd", "auth", "token", "secret", "credential", "cookie", "sig", "dsn")
_PERCENT = re.compile("%[0-9A-F]{2}")
_PEM = re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[^-]*")


def know(environment: Mapping[str, str], secrets: Iterable[str] = (), argv: Sequence[str] = ()) -> None:
    """Take note of what a server is given: its variables `secrets`, those with names like API_KEY, what follows such options, and
    the passwords in all URLs."""
    global _known
    for name in secrets:
        _learn(environment.get(name, ""), SHORTEST)
    named = [value for name, value in environment.items() if _SECRET_NAME.search(name)]
    for word, following in zip(argv, (*argv[1:], ""), strict=False):
        option, equals, value = word.partition("=")
        if _SECRET_NAME.search(option.lstrip("-")) and (equals or option.startswith("-")):
            named.append(value if equals else following)
    for text in (*environment.values(), *argv):
        named += [password for found in _URL.finditer(text) if (password := found[1].rpartition("@")[0].partition(":")[2])]
    for value in named:
        if not _NO_SECRET.fullmatch(value) and not value.startswith("--"):
            _learn(value, SHORTEST_NAMED)
    _known = re.compile("|".join(map(re.escape, sorted(_values, key=len, reverse=True)))) if _values else None


def is_secret_name(name: str) -> bool:
    """Whether what has this name is a secret."""
    return _SECRET_NAME.search(name) is not None


def redacted(text: str) -> str:
    """The text with each secret in it replaced."""
    if _known is not None:
        text = _known.sub(SHOWN, text)
    if "://" in text:
        text = _URL.sub(_without_user, text)
    if "-----BEGIN" in text:
        text = _PEM.sub(rf"\1{SHOWN}", text)
    lower = text.lower()
    if any(hint in lower for hint in _HINTS):  # saves looking at each word of nearly every line
        text = _without_values(text)
    if any(scheme in lower for scheme in ("bearer", "basic", "token")):
        text = _SCHEME.sub(lambda found: f"{found[1]}{found[2]}{SHOWN}" if _is_random(found[3]) else found[0], text)
    return _LONG_WORD.sub(lambda found: SHOWN if found[0].startswith(_PREFIXES) else found[0], text)


def _learn(value: str, shortest: int) -> None:
    for part in {value, *value.split("\n")}:  # a log has a line of a private key at a time
        part = part.strip()
        for spelled in _spellings(part):
            if len(spelled) >= shortest and len(_values) < MOST:
                _values[spelled] = None


def _spellings(part: str) -> Iterator[str]:
    """As it is, and as programs write it: in URLs (with what each leaves as it is), in JSON (of Go, and of PHP)."""
    yield part
    yield unquote(part)
    for safe in ("", "/", "!'()*", "!'()*;/?:@&=+$,#"):
        quoted = quote(part, safe=safe, errors="surrogateescape")
        yield from (quoted, quoted.replace("%20", "+"), _PERCENT.sub(lambda found: found[0].lower(), quoted))
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    yield from (
        escaped,
        html.escape(part),
        escaped.replace("/", "\\/"),
        escaped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
    )


def _without_user(found: re.Match[str]) -> str:
    """The rest of a URL, or of several in one word, without users and passwords, which may hold any sign as it is."""
    parts = found[1].split("://")
    for index, part in enumerate(parts):
        authority = re.split(r"[/?#]", part, maxsplit=1)[0]
        user, at, _ = authority.rpartition("@")
        if ":" in user or (not at and ":" in authority and not _PORT.search(authority)):
            user, at, _ = part.rpartition("@")  # a password with a slash in it
        if at:
            parts[index] = f"{SHOWN}@{part[len(user) + 1 :]}"
    return "://" + "://".join(parts)


def _without_values(text: str) -> str:
    """The text without what stands behind the name of a secret."""
    pieces, done = [], 0
    for found in _NAMED.finditer(text):
        if found.start() < done or not _SECRET_NAME.search(found[1]):
            continue
        value = _VALUE.match(text, found.end())
        if value and _is_value(found[2], value[0]):
            pieces += [text[done : found.end()], SHOWN]
            done = value.end()
    return "".join((*pieces, text[done:])) if pieces else text


def _is_value(between: str, value: str) -> bool:
    """`password=x` and `"key": "x"` say that what follows is a value; of `token: expected` it may be the next word of a sentence."""
    bare = value.strip("\\\"'")
    if not bare or SHOWN in bare or _NO_SECRET.fullmatch(bare):
        return False
    return "=" in between or between[0] in "\\\"'" or _is_random(bare)


def _is_random(word: str) -> bool:
    """Whether it is no word of a sentence."""
    return len(word) >= 24 or any(char.isdigit() for char in word)
