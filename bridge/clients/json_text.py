"""Where things stand in a JSON text, with comments or without: for lines in messages and for changes in place. Pure.

It reads tokens and checks nothing: a text comes here when it has been parsed.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(
    r""" (?P<text> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' ) | (?P<comment> //[^\n]* | /\*.*?\*/ )
                       | (?P<mark> [{}\[\],:] ) | (?P<word> [^\s{}\[\],:"'/]+ ) """,
    re.DOTALL | re.VERBOSE,
)
Keys = tuple[str | int, ...]  # where a value stands: names of fields, numbers of items


@dataclass(frozen=True)
class Member:
    start: int  # of its name
    end: int
    comma: int = -1  # where the comma after it stands; -1 without one


@dataclass(frozen=True)
class Container:
    """An object or a list: where its braces stand, and the members that have names."""

    open: int
    close: int
    members: dict[str, Member]


def containers(text: str) -> Iterator[tuple[Keys, Container]]:
    """All objects and lists of a JSON text with their paths, inner ones first."""
    frames: list[tuple[int, dict[str, Member]]] = []  # open containers
    path: list[Any] = []
    starts: list[int] = []
    last = None  # the token before
    end = 0  # where the value before a comma or brace ended

    def close_member(comma: int) -> None:
        if starts[-1] >= 0:
            frames[-1][1][str(path[-1])] = Member(starts[-1], end, comma)
            starts[-1] = -1

    for token in TOKEN.finditer(text):
        word = token.group()
        if token["comment"]:
            continue
        if word == ":" and last is not None and path:
            path[-1], starts[-1] = key_of(last.group()), last.start()
        elif word in "{[":
            frames.append((token.start(), {}))
            path.append("" if word == "{" else 0)
            starts.append(-1)
        elif word in "}]" and frames:
            close_member(-1)
            opened, members = frames.pop()
            path.pop()
            starts.pop()
            end = token.end()
            yield tuple(path), Container(opened, token.start(), members)
        elif word == "," and path:
            close_member(token.start())
            if isinstance(path[-1], int):
                path[-1] += 1
        if word not in ",:" and word not in "{[":
            end = token.end()
        last = token


def key_of(word: str) -> str:
    try:
        return str(json.loads(word))
    except ValueError:
        return word.strip("'")
