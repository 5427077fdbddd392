"""A request's body, whole or refused."""

import re
from dataclasses import dataclass

from starlette.types import Receive

from bridge.budget import Reservation
from bridge.http.service import Service
from bridge.protocol.errors import INVALID_REQUEST, Reason, Refusal

KEPT = 2048  # bytes kept of each end of a body that is too long
_ID = re.compile(rb'"id"\s*:\s*(-?[0-9]{1,18}|"[^"\\]{0,200}")')


class Disconnected(Exception):
    """The client went away in the middle of its request."""


@dataclass
class TooLong:
    """A body over the limit: its two ends, for the id of the request that it was."""

    head: bytes
    tail: bytes
    is_refused: bool = False  # for want of memory, whatever its length

    @property
    def id(self) -> bytes | None:
        """The request's id if it stands at either end, where SDKs write it."""
        found = _ID.search(self.tail.rpartition(b"}")[0][-200:]) or _ID.search(self.head[:200])
        return found[1] if found else None

    @property
    def is_call(self) -> bool:
        return b'"tools/call"' in self.head or b'"tools/call"' in self.tail


def refusal(service: Service, body: TooLong, caller: str) -> Refusal:
    """Why a body was not read."""
    if body.is_refused:
        return service.no_memory(caller)
    return Refusal(413, INVALID_REQUEST, f"the body is longer than {service.settings.max_body} bytes (--max-body)", reason=Reason.SIZE)


async def read(
    receive: Receive, headers: dict[bytes, bytes], limit: int, hold: Reservation, *, to_the_end: bool = False
) -> bytes | TooLong:
    """The body, at most `limit` bytes of it. A longer one is read to its end only if its client must not be cut off.
    `hold` is what it takes of the memory; one for which there is no room is as good as too long.

    Raises Disconnected.
    """
    message = await receive()
    body = message.get("body", b"")
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit and not to_the_end:
        return TooLong(body[:KEPT], b"")
    if not hold.fits(len(body)) or (declared.isdigit() and not hold.may_be(min(int(declared), limit))):
        return TooLong(body[:KEPT], body[-KEPT:], True)
    if not message.get("more_body") and message["type"] == "http.request":
        return body if len(body) <= limit else TooLong(body[:KEPT], body[-KEPT:])
    kept, size, head = bytearray(body), len(body), b""
    body = part = b""  # what comes in may be large, and must not be kept twice while the next is waited for
    while True:
        if size > limit:
            head = head or bytes(kept[:KEPT])
            del kept[:-KEPT]
            if not to_the_end or size > 16 * limit:
                break
        if not message.get("more_body"):
            break
        message["body"] = part = b""
        message = await receive()
        part = message.get("body", b"")
        kept += part
        size += len(part)
        if not head and not hold.fits(kept.__alloc__()):
            return TooLong(bytes(kept[:KEPT]), bytes(kept[-KEPT:]), True)
    if message["type"] == "http.disconnect":
        raise Disconnected
    return TooLong(head, bytes(kept)) if head else bytes(kept)
