"""The words of others, fit for a terminal, a log and a page: they may not move the cursor, set a title or turn a line around."""

import re

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """Line breaks and tabs stay; other controls, those for the direction of writing and lone surrogates become U+FFFD."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "…"
