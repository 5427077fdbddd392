"""Bytes in, server-sent events out.

Not httpx's iter_lines: that one splits at U+2028 too, which JSON may carry. Comments come out as events
named "comment", so that tests can count keep-alives.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Event(NamedTuple):
    id: str | None
    event: str
    data: str | None  # None: no data line at all
    retry: int | None = None


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines(chunks):
        if line.startswith(":"):
            yield Event(None, "comment", line[1:].strip())
        elif line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields['data']}\n{value}" if name == "data" and "data" in fields else value
        elif fields:
            retry = int(fields["retry"]) if "retry" in fields else None
            yield Event(fields.get("id"), fields.get("event", "message"), fields.get("data"), retry)
            fields = {}


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    r"""Lines end with \r\n, \n or \r. A \r at the end of a chunk waits for what follows it."""
    parts: list[bytes] = []
    for chunk in chunks:
        if b"\n" not in chunk and b"\r" not in chunk and not (parts and parts[-1].endswith(b"\r")):
            parts.append(chunk)  # one long event in many chunks: do not join it again for each
            continue
        *whole, rest = re.split(rb"\r\n|\n|\r(?!\Z)", b"".join([*parts, chunk]))
        parts = [rest]
        for line in whole:
            yield line.decode()
