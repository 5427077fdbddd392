"""The integers that the relay mints, found again in what a child wrote."""

import re
from decimal import Decimal

from msgspec import Raw

ENDS = 1024  # bytes of each end of a line that are looked at
_NUMBER = re.compile(rb"([0-9]{1,18})(?:\.([0-9]{1,18}))?(?:[eE]([+-]?[0-9]{1,2}))?")
_NO_ANSWER = re.compile(  # a method or params before anything else but jsonrpc and id, whose ids are the child's own
    rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?(?:"id"\s*:\s*[^,]{1,300},\s*)?(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"(?:method|params)"'
)
_FIRST = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*"?([0-9]{1,18})"?\s*[,}]')
_LAST = re.compile(rb'"id"\s*:\s*"?([0-9]{1,18})"?\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')


def minted(id: Raw) -> int | None:
    """The integer that we minted, which some send back as a string, and those whose numbers are all floats as 1.0 or 1e0."""
    digits = bytes(id)
    if not digits.isdigit():
        digits = digits.strip(b'"')
        if not digits.isdigit():
            return _as_float(digits)
    return int(digits) if len(digits) < 19 else None


def _as_float(text: bytes) -> int | None:
    """A whole number below 10^18 that is written with a point or an exponent."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    whole, fraction, exponent = found[1], found[2] or b"", int(found[3] or 0)
    number = Decimal((whole + fraction).decode()).scaleb(exponent - len(fraction))
    return int(number) if number < 10**18 and number == int(number) else None


def of_answer(head: bytes, tail: bytes) -> int | None:
    """The id in a line that was too long to keep, or no JSON: Python servers write it first, TypeScript servers last."""
    if _NO_ANSWER.match(head):
        return None
    found = _FIRST.match(head) or _LAST.search(tail)
    return int(found[1]) if found else None
