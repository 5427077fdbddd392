"""The integers that the relay mints, found again in what a child wrote."""

import re

from msgspec import Raw

ENDS = 1024  # bytes of each end of a line that are looked at
_NO_ANSWER = re.compile(  # a method or params before anything else but jsonrpc and id, whose ids are the child's own
    rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?(?:"id"\s*:\s*[^,]{1,300},\s*)?(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"(?:method|params)"')
_FIRST = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*"?([0-9]{1,18})"?\s*[,}]')
_LAST = re.compile(rb'"id"\s*:\s*"?([0-9]{1,18})"?\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')


def minted(id: Raw) -> int | None:
    """The integer that we minted, which some SDKs send back as a string."""
    digits = bytes(id)
    if not digits.isdigit():
        digits = digits.strip(b'"')
        if not digits.isdigit():
            return None
    return int(digits) if len(digits) < 19 else None


def of_answer(head: bytes, tail: bytes) -> int | None:
    """The id in a line that was too long to keep, or no JSON: Python servers write it first, TypeScript servers last."""
    if _NO_ANSWER.match(head):
        return None
    found = _FIRST.match(head) or _LAST.search(tail)
    return int(found[1]) if found else None
