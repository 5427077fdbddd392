"""What is written down of a call: one object of JSON a line. What is secret of a call is not in it: its arguments are there by a hash,
whose key is the bridge's, so two calls with the same arguments can be told and no arguments guessed.

An entry begins when a request comes in and ends once: with its answer, with a refusal, or when its client leaves.
"""

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import Reason, Refusal
from bridge.redact import is_secret_name, redacted

LONGEST = 256  # characters of what a client made up
MOST_ARGUMENTS = 16384  # bytes of arguments that are written out
SHOWN = "[redacted]"
# Where a gateway says for whom it calls, if its operator has it do so (extra_headers). Nobody verifies it.
USER = (b"x-litellm-user-id", b"x-litellm-user", b"x-litellm-end-user-id", b"x-litellm-customer-id")
TEAM = (b"x-litellm-team-id", b"x-litellm-team")
OF_RESOURCE = ("resources/read", "resources/subscribe", "resources/unsubscribe")
LIMITED = "limited"
OUTCOMES = {Reason.POLICY: "denied", Reason.LIMIT: LIMITED}


class Line(Struct, omit_defaults=True):
    """As it is written. `ms` is from the request to its answer; `rule` is that of the callers file, or what kind of refusal it was; `count` makes it
    a sum (audit_sums.py)."""

    time: str
    caller: str = ""
    address: str = ""
    client: str = ""
    client_version: str = ""
    user: str = ""
    team: str = ""
    mcp: str = ""
    method: str = ""
    tool: str = ""
    prompt: str = ""
    resource: str = ""
    outcome: str = ""
    rule: str = ""
    why: str = ""
    count: int = 0
    ms: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    arguments_hash: str = ""
    arguments: Raw = envelope.ABSENT
    traceparent: str = ""


class Sink(Protocol):
    """Where lines go. False where one was lost."""

    def write(self, line: bytes) -> bool: ...

    def may_go_on(self) -> bool:
        """Whether calls are let through."""


class Summing(Protocol):
    """What may come in a flood: `audit_sums.Sums`."""

    def note(self, line: Line, kind: tuple[str, ...]) -> None: ...


class Audit:
    """What is written down of the calls of one MCP."""

    def __init__(self, sink: Sink, mcp: str, key: bytes, shows_arguments: bool = False, sums: Summing | None = None):
        self.sink = sink
        self.sums = sums
        self.mcp = mcp
        self.may_go_on = sink.may_go_on
        self.lost = 0
        self._keyed = hashlib.blake2b(key=hashlib.sha256(b"audit" + key).digest(), digest_size=16)
        self._shows_arguments = shows_arguments
        self._headers: Mapping[bytes, bytes] = {}  # the last ones, and what they say: a connection's are the same for each request
        self._said = ("", "", "")

    def begin(self, message: Envelope, caller: str, address: str, headers: Mapping[bytes, bytes], size: int) -> "Entry":
        entry = Entry(self, message.method or "", caller, address, headers, size, time.time(), time.perf_counter())
        if message.params:
            entry.params = message.params
        return entry

    def write(self, line: Line) -> None:
        if line.outcome == LIMITED and self.sums is not None:
            self.sums.note(line, (line.outcome, line.rule, line.mcp, line.caller, line.address))
        elif not self.sink.write(encode(line) + b"\n"):
            self.lost += 1

    def said(self, headers: Mapping[bytes, bytes]) -> tuple[str, str, str]:
        """The user, the team and the trace that headers name."""
        if headers is not self._headers:
            self._headers = headers
            trace = headers.get(b"traceparent", b"")[:LONGEST].decode("latin-1")
            self._said = _first(headers, USER), _first(headers, TEAM), trace
        return self._said

    def hash(self, arguments: bytes | Raw) -> str:
        keyed = self._keyed.copy()
        keyed.update(arguments)
        return keyed.hexdigest()

    def arguments(self, raw: Raw) -> Raw:
        """The arguments to be written out: nothing without --audit-arguments, else without what looks like a secret."""
        if not self._shows_arguments:
            return envelope.ABSENT
        size = len(memoryview(raw))
        if size > MOST_ARGUMENTS:
            return Raw(b'"(%d bytes)"' % size)
        try:
            return Raw(envelope.encode(_without_secrets(msgspec.json.decode(raw))))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Raw(b'"(unreadable)"')


class Entry(Struct, eq=False):
    """One request, from its first line of code to its last."""

    audit: Audit
    method: str
    caller: str
    address: str
    headers: Mapping[bytes, bytes]
    size: int
    time: float
    began: float
    params: Raw = envelope.ABSENT
    client: Raw = envelope.ABSENT  # what it says of itself
    outcome: str = ""
    is_taken: bool = False  # whether somebody else ends it, who gets the answer
    is_over: bool = False

    def refuse(self, refusal: Refusal, rule: str = "") -> None:
        self.end(OUTCOMES.get(refusal.reason, "refused"), rule=rule or refusal.reason.value)

    def ended(self, outcome: str, is_answered: bool) -> None:
        """The relay is done with it; if nobody is told, this is the end."""
        self.outcome = outcome
        if not is_answered:
            self.end(outcome)

    def end(self, outcome: str, size: int = 0, rule: str = "") -> None:
        if self.is_over:
            return
        self.is_over = True
        audit, method, tool, prompt, resource, hash, arguments = self.audit, self.method, "", "", "", "", envelope.ABSENT
        name, version = _client(bytes(self.client)) if self.client else ("", "")
        user, team, trace = audit.said(self.headers)
        if self.params:
            found = envelope.peek(self.params)
            if method == "tools/call":
                tool = (envelope.string(found.name) or "")[:LONGEST]
            elif method == "prompts/get":
                prompt = (envelope.string(found.name) or "")[:LONGEST]
            elif method in OF_RESOURCE:
                resource = redacted((envelope.string(found.uri) or "")[: 16 * LONGEST])[:LONGEST]
            if found.arguments:
                hash, arguments = audit.hash(found.arguments), audit.arguments(found.arguments)
        ms = round((time.perf_counter() - self.began) * 1000, 3)
        who = (clock(self.time), self.caller, self.address, name, version, user, team, audit.mcp)
        what = (method[:LONGEST], tool, prompt, resource, self.outcome or outcome, rule)
        audit.write(Line(*who, *what, "", 0, ms, self.size, size, hash, arguments, trace))


encode = msgspec.json.Encoder().encode


@lru_cache(512)
def _client(raw: bytes) -> tuple[str, str]:
    """Its name and version: the same with each call of a session."""
    members = envelope.object_or_none(raw) or {}
    name, version = (envelope.string(members.get(member, envelope.ABSENT)) or "" for member in ("name", "version"))
    return name[:LONGEST], version[:LONGEST]


def _first(headers: Mapping[bytes, bytes], names: tuple[bytes, ...]) -> str:
    for name in names:
        if name in headers:
            return headers[name][:LONGEST].decode("latin-1")
    return ""


def clock(now: float) -> str:
    """RFC 3339, in UTC, with milliseconds."""
    whole = int(now)
    return f"{_second(whole)}.{int((now - whole) * 1000):03d}Z"


@lru_cache(8)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def _without_secrets(value: object, is_secret: bool = False) -> object:
    if isinstance(value, dict):
        return {name: _without_secrets(inner, is_secret or is_secret_name(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets(inner, is_secret) for inner in value]
    if is_secret and value is not None and not isinstance(value, bool):
        return SHOWN
    return redacted(value) if isinstance(value, str) else value
