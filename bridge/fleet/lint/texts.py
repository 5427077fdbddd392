"""What is odd in one text of a tool: what a person does not see, what speaks to the model past its user, where secrets are. Pure.

Patterns are bounded, so that no text takes long, and looked for in the plain text and in the one without what cannot be seen: "ig<U+200B>nore previous" is found as well.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping

Odd = tuple[str, str, str]  # kind, why, quote

AROUND = 30  # characters quoted on either side
LONGEST = 50_000  # characters of one text that are looked at
GAP, LINES = 60, 12  # as much white space, or as many line ends, put what follows out of sight
# Not all of category Cf, and not only that: fillers of Hangul are letters, and variation selectors are marks, yet nobody sees them.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    "\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e01ef]"
)
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_EMOJI_JOINER = re.compile("(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])")
_GAP = re.compile(r"(?<!\s)\s{12,}(?=\S)")
_PLAIN = re.compile(r"[a-z]{1,20}|[A-Z]?[a-z]{1,20}")  # a word that stands in any text

_PATTERNS = tuple(
    (kind, why, re.compile(pattern, re.IGNORECASE))
    for kind, why, pattern in (
        (
            "instruction",
            "it tells the model to forget what it was told",
            (
                r"\b(ignore|disregard|forget|override|bypass)\b.{0,30}\b(previous|prior|above|earlier|preceding|other|all|any|your|system)\b.{0,30}"
                r"\b(instructions?|prompts?|rules|messages?|directions|guidelines|context)\b"
            ),
        ),
        (
            "instruction",
            "it wants something kept from the user",
            (
                r"\b(do not|don['’]t|never|without)\s{1,5}(\w{1,20}\s{1,5}){0,3}?"
                r"(tell|telling|inform|informing|mention|mentioning|reveal|revealing|show|showing|notify|notifying|alert|alerting|ask|asking)"
                r"\s{1,5}(\w{1,20}\s{1,5}){0,4}?(user|human|person|operator|anyone|anybody)\b"
            ),
        ),
        (
            "instruction",
            "it speaks to the model as whoever runs it would",
            r"\b(system prompt|you are now|new instructions?:|developer mode|act as (an? )?(admin|root|system))\b",
        ),
        (
            "instruction",
            "it marks a part as an order to the model",
            r"<\s{0,5}/?\s{0,5}(important|system|instructions?|secret|hidden|admin|assistant)\b[^>]{0,40}>",
        ),
        (
            "instruction",
            "it says what is to be done before other tools are used, which is not for this tool to say",
            r"\b(before|after|whenever|every time)\b.{0,20}\b(using|calling|invoking|you (use|call|invoke))\b.{0,20}\b(any|another|other|every|all)\b.{0,15}\btools?\b",
        ),
        (
            "instruction",
            "it has what was read passed on as an argument",
            r"\b(read|open|load|get|copy)\b.{0,80}\b(pass|send|include|put|provide|attach)\b.{0,40}\b(contents?|it|them|key|value)\b.{0,20}\b(as|in|into|to)\b",
        ),
        (
            "secret",
            "it names a place where secrets are",
            (
                r"(~|\$HOME|%USERPROFILE%|/home/[\w.-]{1,30}|/root)?[/\\]?\.(ssh|aws|gnupg|kube|azure)[/\\][\w.-]{0,40}|\bid_(rsa|ed25519|ecdsa|dsa)\b|/etc/(passwd|shadow|sudoers)\b"
                r"|\.(netrc|npmrc|pypirc|pgpass|git-credentials)\b|\.docker/config\.json|/proc/(self|\d{1,7})/environ\b|(?<![\w.])\.env\b(?!\.)"
                r"|\b(claude_desktop_config|mcp)\.json\b|\bwallet\.dat\b|\b(login|user) keychain\b|/run/secrets\b|/var/run/docker\.sock"
            ),
        ),
        ("hidden", "it has a comment, which a page would not show", r"<!--.{0,400}?-->|\[//\]: # "),
        ("hidden", "it has an order to a terminal", r"\x1b[\[\]P]|\x9b"),
        ("hidden", "it has a long run of characters that only a program reads (base64?)", r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{120,}"),
    )
)


def odd(text: str, foreign: Mapping[str, str]) -> Iterator[Odd]:
    """What is odd in it. `foreign` are names of other MCPs' tools, with whose they are."""
    if len(text) > LONGEST:
        yield "hidden", f"it has {len(text):,} characters, of which the first {LONGEST:,} were looked at", ""
        text = text[:LONGEST]
    seen = _EMOJI_JOINER.sub("", text)
    if not seen.isascii() or not seen.isprintable():
        yield from _unseen(seen)
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", seen))
    for kind, why, pattern in _PATTERNS:
        if found := pattern.search(plain):
            yield kind, why, _around(plain, found.start(), found.end())
    for gap in _GAP.finditer(plain):
        if len(gap[0]) >= GAP or gap[0].count("\n") >= LINES:
            yield "hidden", "so much white space that what follows is out of sight", _around(plain, gap.end(), gap.end() + 1)
            break
    if foreign:
        for word in dict.fromkeys(re.findall(r"[\w.-]{3,128}", plain)):
            if (mcp := foreign.get(word.strip(".-"))) is not None:
                yield (
                    "other-tool",
                    f"it names the tool {word.strip('.-')} of {mcp}: what is said of that is not for this server to say",
                    word,
                )


def is_distinctive(name: str) -> bool:
    """Whether a tool's name in a text means the tool: `search` may be any search."""
    return _PLAIN.fullmatch(name) is None


def _unseen(text: str) -> Iterator[Odd]:
    for why, pattern in (
        ("it has characters that turn the direction of writing around: it reads otherwise than it is shown", _DIRECTION),
        ("it has characters that nobody sees", _INVISIBLE),
        ("it has control characters", _CONTROL),
    ):
        found = pattern.findall(text)
        if pattern is _INVISIBLE:
            found = [sign for sign in found if not _DIRECTION.match(sign)]
        if found:
            names = ", ".join(f"U+{ord(sign):04X}" for sign in dict.fromkeys(found[:1000]))[:60]
            at = text.index(found[0])
            yield "invisible", f"{why} ({len(found)}: {names})", _around(text, at, at + 1)


def _around(text: str, start: int, end: int) -> str:
    quote = text[max(0, start - AROUND) : min(end, start + 120) + AROUND]
    return ascii(" ".join(quote.split()))[1:-1] if _INVISIBLE.search(quote) or _CONTROL.search(quote) else " ".join(quote.split())
