"""What callers may do with one MCP: which requests of theirs go on, what lists show them, and how often they may ask. Pure.

It decides by what a name is once it is decoded, and `bridge/protocol/spelling.py` has put the message right before: the child
sees one name, spelled once, and it is the one that was looked at. What it does not know (methods that MCP has not, a name that is no
text) needs a rule that says so.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass

import msgspec
from msgspec import Raw

from bridge.callers.caller import Caller, Callers
from bridge.callers.rates import Bucket
from bridge.callers.rules import Level
from bridge.protocol import envelope, spelling
from bridge.protocol.envelope import NOTICE, Envelope, Params
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Reason, Refusal, status_of

OwnName = Callable[[str], str | None]  # what the child calls the tool that clients know by this name; None if they know of none
REMEMBERED = 5000  # callers with what they may, and with how often they asked: JWTs name any number
NO_RESOURCE = -32002  # 2025-11-25, server/resources, "Error Handling"; the modern era has INVALID_PARAMS
LONGEST = 256  # characters of a name that is said again

LISTS = {  # by method: the member that holds them, of what kind they are, and by what they are called
    "tools/list": ("tools", "tool", "name"),
    "prompts/list": ("prompts", "prompt", "name"),
    "resources/list": ("resources", "resource", "uri"),
    "resources/templates/list": ("resourceTemplates", "resource", "uriTemplate"),
}
_OF_RESOURCE = frozenset(("resources/read", "resources/subscribe", "resources/unsubscribe"))
# They name nothing of the MCP: whoever may see some of it may send them. A task is its own caller's (eras/tasks.py).
_OPEN = frozenset(
    (
        *LISTS,
        "initialize",
        "ping",
        "server/discover",
        "logging/setLevel",
        "subscriptions/listen",
        "tasks/get",
        "tasks/result",
        "tasks/list",
        "tasks/cancel",
        "tasks/update",
    )
)
_OPEN_NOTICES = frozenset(
    NOTICE + name for name in ("initialized", "cancelled", "progress", "roots/list_changed", "tasks/status", "message")
)


@dataclass(frozen=True)
class Denial:
    """Why a caller may not, and the rule that says so, which the audit names."""

    refusal: Refusal
    rule: str


class View:
    """One MCP as one caller sees it."""

    def __init__(self, caller: Caller, mcp: str, access: "Access | None" = None):
        self.caller = caller
        self.access = access  # of which this is a part
        self.rules = caller.on(mcp)
        self.is_hidden = self.rules.is_hidden
        is_decided_there = access is not None and access.is_remote
        self.sees_all = (self.rules.allows_everything or is_decided_there) and not self.is_hidden
        self.is_admin = self.rules.of_all.level is Level.ADMIN
        self._callable: dict[
            bytes, tuple[str, str]
        ] = {}  # names as they stand in bodies: of tools that may be called, with their own names

    # -- requests ---------------------------------------------------------------------------------------------------------

    def denial(self, message: Envelope, params: Params, own_name: OwnName, is_modern: bool = False) -> Denial | None:
        """Why this request may not go on. One that listens for resources goes on with those that the caller may see."""
        if self.sees_all:
            return None
        method = message.method or ""
        if self.is_hidden:
            return _denied(METHOD_NOT_FOUND, "Method not found", self.rules.of_all.rule, is_modern)
        if method == "tools/call":
            return self._call(params, own_name, is_modern)
        if method == "prompts/get":
            return self._reading("prompt", envelope.string(params.name), is_modern)
        if method in _OF_RESOURCE:
            return self._reading("resource", envelope.string(params.uri), is_modern)
        if method == "completion/complete":
            return self._completion(message, is_modern)
        if method == "subscriptions/listen":
            self._narrow(message, params)
        if method in _OPEN:
            return None
        decision = self.rules.decide("method", method)
        if decision.level < Level.EXECUTE:
            return _denied(METHOD_NOT_FOUND, "Method not found", decision.rule, is_modern)
        return None

    def may_notify(self, method: str) -> bool:
        """Whether this notification of a client's may go on."""
        return self.sees_all or method in _OPEN_NOTICES or self.rules.decide("method", method).level >= Level.EXECUTE

    def may_read(self, kind: str, name: str) -> bool:
        return self.rules.decide(kind, name).level >= Level.READ

    def _call(self, params: Params, own_name: OwnName, is_modern: bool) -> Denial | None:
        raw = bytes(params.name)
        known = self._callable.get(raw)
        if known is not None and own_name(known[0]) == known[1]:  # which may change, where models need other names
            return None
        shown = envelope.string(raw)
        if shown is None:  # JavaScript takes ["delete_rows"] for "delete_rows" where it looks a tool up
            return _denied(INVALID_PARAMS, "Unknown tool: its name must be a text", "", is_modern)
        name = own_name(shown)
        if name is None:
            return None  # no client can call it: who hides it says so
        decision = self.rules.decide("tool", name)
        if decision.level >= Level.EXECUTE:
            if len(self._callable) < REMEMBERED and len(raw) <= LONGEST:
                self._callable[raw] = shown, name
            return None
        if decision.level is Level.DENY:
            return _denied(INVALID_PARAMS, f"Unknown tool: {shown[:LONGEST]}", decision.rule, is_modern)
        why = (
            f'you may see the tool {shown[:LONGEST]!r} and not call it: the rule that decides is "{decision.rule}", and calls need execute'
        )
        return _denied(INVALID_REQUEST, why, decision.rule, is_modern)

    def _reading(self, kind: str, name: str | None, is_modern: bool) -> Denial | None:
        if name is None:
            return _denied(INVALID_PARAMS, f"a {kind} is named by a text", "", is_modern)
        decision = self.rules.decide(kind, name)
        if decision.level >= Level.READ:
            return None
        if kind == "prompt":
            return _denied(INVALID_PARAMS, f"Unknown prompt: {name[:LONGEST]}", decision.rule, is_modern)
        code = INVALID_PARAMS if is_modern else NO_RESOURCE
        return _denied(code, f"Resource not found: {name[:LONGEST]}", decision.rule, is_modern)

    def _completion(self, message: Envelope, is_modern: bool) -> Denial | None:
        """What an argument may be tells of the prompt or template that it is of (server/utilities/completion)."""
        members = envelope.object_or_none((envelope.object_or_none(message.params) or {}).get("ref", b"")) or {}
        right = spelling.only(members, "type", "name", "uri")
        kinds = {"ref/prompt": ("prompt", "name"), "ref/resource": ("resource", "uri")}
        found = kinds.get(envelope.string(right.get("type", envelope.ABSENT)) or "")
        name = envelope.string(right.get(found[1], envelope.ABSENT)) if found else None
        if found is None or name is None or len(right) != len(members):
            return _denied(INVALID_PARAMS, "ref must be a ref/prompt with a name, or a ref/resource with a uri", "", is_modern)
        whole = envelope.members(message.params)
        message.params = Raw(envelope.encode({**whole, "ref": {"type": right["type"], found[1]: name}}))
        return self._reading(found[0], name, is_modern)

    def _narrow(self, message: Envelope, params: Params) -> None:
        """Take the resources that are hidden out of what a client wants to listen for."""
        raw = getattr(params, "notifications", envelope.ABSENT)
        wishes = spelling.only(envelope.object_or_none(raw) or {}, "resourceSubscriptions")
        if "resourceSubscriptions" in wishes:
            try:
                uris = envelope.strings(wishes["resourceSubscriptions"])
            except ValueError:
                uris = []
            wishes["resourceSubscriptions"] = Raw(envelope.encode([uri for uri in uris if self.may_read("resource", uri)]))
        narrowed = Raw(envelope.encode(wishes))
        message.params = Raw(envelope.encode({**envelope.members(message.params), "notifications": narrowed}))

    # -- lists ------------------------------------------------------------------------------------------------------------

    def shows(self, method: str) -> bool:
        """Whether answers to this method have to be cut."""
        return not self.sees_all and method in LISTS

    def cut(self, method: str, answer: bytes, own_name: OwnName) -> bytes:
        """The answer to a request for a list, without what the caller may not see. Cursors stay, so each page has what is left of it."""
        try:
            whole = envelope.members(answer)
            result = whole.get("result")
            if result is None:
                return answer
            members = envelope.members(result)
            key, kind, naming = LISTS[method]
            items = envelope.array_or_none(members[key]) or []
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
            return _unreadable(answer)
        shown = [item for item in items if self._is_shown(item, kind, naming, own_name)]
        if len(shown) == len(items) and items:
            return answer
        return envelope.encode({**whole, "result": {**members, key: shown}})

    def _is_shown(self, item: Raw, kind: str, naming: str, own_name: OwnName) -> bool:
        name = envelope.string((envelope.object_or_none(item) or {}).get(naming, envelope.ABSENT))
        if name is not None and kind == "tool":
            name = own_name(name)
        return name is not None and self.may_read(kind, name)


class Access:
    """What all callers may do with one MCP, and how often each of them asked, also `before` a reload."""

    def __init__(self, callers: Callers, mcp: str, before: "Access | None" = None, is_remote: bool = False):
        self.callers = callers
        self.is_remote = is_remote  # its own bridge decides: what is decided here is who may know of it, and how often one may ask
        self.mcp = mcp
        everybody = (*callers.by_name.values(), callers.everybody)
        self._limits = {name for caller in everybody for name, most in asdict(caller.limits).items() if most}  # those that anybody has
        self.have_rates = "requests" in self._limits
        self._views: OrderedDict[str, View] = OrderedDict()
        self._buckets: OrderedDict[str, Bucket | None] = OrderedDict()
        for name, bucket in before._buckets.items() if before else ():
            limits = callers.of(name).limits
            if bucket is not None and limits.requests:
                self._buckets[name] = bucket.under(limits.requests, limits.burst)

    def view(self, principal: str) -> View:
        found = self._views.get(principal)
        if found is None:
            found = self._views[principal] = View(self.callers.of(principal), self.mcp, self)
            if len(self._views) > REMEMBERED:
                self._views.popitem(last=False)
        return found

    def too_often(self, caller: str, now: float, amount: int = 1) -> Refusal | None:
        """Take so many requests of this caller's. `caller` is a principal, or the address of who has none."""
        bucket = self._bucket(caller, now)
        wait = bucket.take(now, amount) if bucket is not None and amount else 0.0
        if bucket is None or not wait:
            return None
        why = f"you may ask {bucket.rate:g} times a second here: wait {wait:.1f} s (limits.requests of the callers file)"
        if amount >= bucket.burst:
            why = (
                f"a batch counts as many as it has, and you may ask {bucket.burst:g} times at once here (limits.burst of the callers file)"
            )
        return Refusal(429, INTERNAL_ERROR, why, ((b"retry-after", b"%d" % math.ceil(wait)),), reason=Reason.LIMIT)

    def spend(self, caller: str, amount: int, now: float) -> None:
        """The same for what is never refused: notifications."""
        if amount and (bucket := self._bucket(caller, now)) is not None:
            bucket.spend(now, amount)

    def _bucket(self, caller: str, now: float) -> Bucket | None:
        if caller not in self._buckets:
            limits = self.callers.of(caller).limits
            self._buckets[caller] = Bucket(limits.requests, limits.burst, now) if limits.requests else None
            if len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        return self._buckets[caller]

    def cap(self, what: str) -> Callable[[str], int] | None:
        """How many sessions, children or calls under way a caller may have, 0 if that is not limited for it; None if it is for nobody."""
        return (lambda caller: int(getattr(self.callers.of(caller).limits, what))) if what in self._limits else None


def _denied(code: int, why: str, rule: str, is_modern: bool) -> Denial:
    return Denial(Refusal(status_of(code) if is_modern else 200, code, why, reason=Reason.POLICY), rule)


def _unreadable(answer: bytes) -> bytes:
    """An answer that nobody can read, so nobody can tell what may be shown of it."""
    id = (envelope.object_or_none(answer) or {}).get("id", Raw(b"null"))
    return envelope.encode(
        {"jsonrpc": "2.0", "id": id, "error": {"code": INTERNAL_ERROR, "message": "the server sent a list that is not one"}}
    )
