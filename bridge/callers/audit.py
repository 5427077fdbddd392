"""What is written down of a call: one object of JSON a line. What is secret of a call is not in it: its arguments are there by a hash,
whose key is the bridge's, so two calls with the same arguments can be told and no arguments guessed.

An entry begins when a request comes in and ends once: with its answer, with a refusal, or when its client leaves.
"""

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar, Protocol

import msgspec
from msgspec import Raw, Struct

from bridge.callers.credentials import caller_of
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope, Params
from bridge.protocol.errors import Reason, Refusal
from bridge.redact import is_secret_name, redacted

LONGEST = 256  # characters of what a client made up
MOST_ARGUMENTS = 16384  # bytes of arguments that are written out
SHOWN = "[redacted]"
# Where a gateway says for whom it calls, if its operator has it do so (extra_headers). Nobody verifies it.
USER = (b"x-litellm-user-id", b"x-litellm-user", b"x-litellm-end-user-id", b"x-litellm-customer-id")
TEAM = (b"x-litellm-team-id", b"x-litellm-team")
NAMED = {"tools/call": "tool", "prompts/get": "prompt"}
OF_RESOURCE = ("resources/read", "resources/subscribe", "resources/unsubscribe")
LIMITED = "limited"
OUTCOMES = {Reason.POLICY: "denied", Reason.LIMIT: LIMITED}
QUOTE = ord('"')


class Line(Struct, omit_defaults=True):
    """As it is written. `ms` is from the request to its answer; `rule` is that of the callers file, or what kind of refusal it was; `count` makes it
    a sum (audit_sums.py)."""

    time: str = ""
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

    def note(self, line: Line, *kind: str) -> bool: ...


class Prefix(Struct, frozen=True, eq=False):
    """What lines of requests with one head have in common, in JSON: who calls, by what client, for whom, and its trace."""

    client: Raw
    who: bytes
    trace: bytes


class Memory(Protocol):
    """Of one head on one connection."""

    prefix: Prefix | None


class Asked(Protocol):
    """What an entry needs to know of an HTTP request."""

    principal: str
    address: str

    @property
    def headers(self) -> Mapping[bytes, bytes]: ...

    @property
    def memory(self) -> Memory: ...


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

    def begin(self, message: Envelope, request: Asked, size: int, params: Params | None = None) -> "Entry":
        """`params` are the message's, where somebody has looked at them already. What the entry says of them is settled now: later a tool
        may be named as its server names it."""
        params = params or envelope.peek(message.params)
        what = _what(message.method or "", params)
        return Entry(self, request, size, what, params.arguments, time.time(), time.perf_counter())

    def write(self, entry: "Entry", outcome: str, rule: str, size: int) -> None:
        """One line: `ms` is from the request to its answer, `rule` that of the callers file, or what kind of refusal it was."""
        memory, whole = entry.request.memory, int(entry.time)
        prefix = memory.prefix
        if prefix is None or prefix.client is not entry.client:
            prefix = memory.prefix = self._prefix(entry)
        more = prefix.trace
        if entry.arguments:
            more = b',"arguments_hash":"%b"%b' % (self.hash(entry.arguments), more)
            if self._shows_arguments:
                more += b',"arguments":%b' % self.arguments(entry.arguments)
        if rule:
            more += b',"rule":%b' % encode(rule)
        microseconds = int((time.perf_counter() - entry.began) * 1e6)
        line = b'{"time":"%b.%03dZ",%b%b,"outcome":"%b","ms":%d.%03d,"bytes_in":%d,"bytes_out":%d%b}\n' % (
            _second(whole),
            (entry.time - whole) * 1000,
            prefix.who,
            entry.what,
            outcome.encode(),
            microseconds // 1000,
            microseconds % 1000,
            entry.size,
            size,
            more,
        )
        if outcome == LIMITED and self.sums is not None:
            is_kept = self.sums.note(msgspec.json.decode(line, type=Line), outcome, rule, self.mcp)
        else:
            is_kept = self.sink.write(line)
        if not is_kept:
            self.lost += 1

    def _prefix(self, entry: "Entry") -> Prefix:
        request, headers = entry.request, entry.request.headers
        user, team = _first(headers, USER), _first(headers, TEAM)
        who = Line("", caller_of(request.principal), request.address, *_client(bytes(entry.client)), user, team, self.mcp)
        trace = Line(traceparent=headers.get(b"traceparent", b"")[:LONGEST].decode("latin-1"))
        return Prefix(entry.client, _inner(who), _further(trace))

    def hash(self, arguments: bytes | Raw) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(arguments)
        return keyed.hexdigest().encode()

    def arguments(self, raw: Raw) -> Raw:
        """The arguments to be written out, without what looks like a secret."""
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
    request: Asked
    size: int
    what: bytes
    arguments: Raw
    time: float
    began: float
    client: Raw = envelope.ABSENT  # what it says of itself
    outcome: str = ""
    is_taken: bool = False  # whether somebody else ends it, who gets the answer
    is_over: bool = False
    trace: ClassVar[str] = ""

    def refuse(self, refusal: Refusal, rule: str = "") -> None:
        self.end(OUTCOMES.get(refusal.reason, "refused"), rule=rule or refusal.reason.value)

    def sent(self, tool: str) -> None:
        """Of when it went to the child there is nothing to write down."""

    def ended(self, outcome: str, is_answered: bool, code: int = 0) -> None:
        """The relay is done with it; if nobody is told, this is the end."""
        self.outcome = outcome
        if not is_answered:
            self.end(outcome)

    def end(self, outcome: str, size: int = 0, rule: str = "") -> None:
        if not self.is_over:
            self.is_over = True
            self.audit.write(self, self.outcome or outcome, rule, size)


encode = msgspec.json.Encoder().encode


def _what(method: str, params: Params) -> bytes:
    """What is called, with a comma before it where there is anything to say."""
    if method == "tools/call" and 2 < len(params.name) < LONGEST and memoryview(params.name)[0] == QUOTE:
        return b',"method":"tools/call","tool":%b' % params.name  # as nearly always: it is JSON already
    what = Line(method=method[:LONGEST])
    if method in OF_RESOURCE:
        what.resource = redacted((envelope.string(params.uri) or "")[: 16 * LONGEST])[:LONGEST]
    elif method in NAMED:
        setattr(what, NAMED[method], (envelope.string(params.name) or "")[:LONGEST])
    return _further(what)


def _inner(said: Line) -> bytes:
    """The members of an object, without its braces."""
    return encode(said)[1:-1]


def _further(said: Line) -> bytes:
    """The same behind others."""
    inner = _inner(said)
    return b"," + inner if inner else b""


@lru_cache(512)
def _client(raw: bytes) -> tuple[str, str]:
    """Its name and version: the same with each call of a session."""
    members = (envelope.object_or_none(raw) if raw else None) or {}
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
    return f"{_second(whole).decode()}.{int((now - whole) * 1000):03d}Z"


@lru_cache(8)
def _second(whole: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)).encode()


def _without_secrets(value: object, is_secret: bool = False) -> object:
    if isinstance(value, dict):
        return {name: _without_secrets(inner, is_secret or is_secret_name(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets(inner, is_secret) for inner in value]
    if is_secret and value is not None and not isinstance(value, bool):
        return SHOWN
    return redacted(value) if isinstance(value, str) else value
