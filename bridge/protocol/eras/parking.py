"""A modern client's call that a legacy child interrupts (2026-07-28, basic/patterns/mrtr).

A modern client is not asked anything: its call is answered with `input_required`, and made again with the answers. A
legacy child does ask, in the middle of a call, and waits. So a `Lease` parks that call: it has a child for itself, collects
what that child asks, and lets the client's retry go on where it stopped. The other direction is `rounds.py`.
"""

import hashlib
from collections.abc import Callable
from secrets import token_urlsafe
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from bridge.budget import Reservation
from bridge.protocol import envelope
from bridge.protocol.asks import NEEDS, is_declared
from bridge.protocol.envelope import Envelope, Meta, ModernParams
from bridge.protocol.eras.caller import Caller
from bridge.protocol.eras.downgrade import Downgrade
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Reason, Refusal, error_body, modern_refusal
from bridge.protocol.exchange import Ask, Exchange, Observer
from bridge.protocol.outbox import ModernOutbox
from bridge.protocol.session import ASKABLE
from bridge.protocol.token import seal_state, unseal_state

if TYPE_CHECKING:
    from bridge.protocol.relay import Relay

METHODS = ("tools/call", "prompts/get", "resources/read")  # that may be answered with input_required
HINT = "mcp-bridge/key"  # in the `_meta` of what a child asks: under which key its client should find it
PARKED = 600.0  # seconds that a parked call waits for its retry


class Ticket(msgspec.Struct, array_like=True, frozen=True):
    """What a `requestState` says, sealed: whose parked call it continues, and that it is that very call."""

    mcp: str
    lease: str
    round: str
    principal: str
    digest: str
    expires: float


def askable(capabilities: Raw) -> dict[str, Raw]:
    """Of what a client declares, that for which a server may ask."""
    declared = envelope.object_or_none(capabilities) or {}
    return {name: declared[name] for name in sorted(declared) if name in ASKABLE}


def digest(method: str, params: Raw) -> str:
    """What a retry must have in common with its call: everything but the answers, however its JSON is written."""
    members = envelope.object_or_none(params) or {}
    said = {name: members[name] for name in sorted(members) if name not in ("_meta", "inputResponses", "requestState")}
    try:
        text = msgspec.json.encode(msgspec.json.decode(envelope.encode(said)), order="sorted")
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        text = envelope.encode(said)
    return hashlib.sha256(method.encode() + b"\0" + text).hexdigest()


class Lease(Caller):
    """A modern call that may be asked things, with a legacy child of its own; the outbox of that call, too.

    `soon(lease)` has `flush` called a moment later: a child may ask several things at once. `over(lease, is_clean)` is called
    when the call is done; clean is a child that still waits for nothing. `hold` is for what its client is asked while it is parked.
    """

    __slots__ = "code declared exchange given is_flushing key last over parked reply round said soon ticket wanted".split()
    answers_cancelled = False
    relay: "Relay"  # it has one whenever it has a call

    def __init__(
        self,
        mcp: str,
        principal: str,
        capabilities: Raw,
        client: Raw,
        key: bytes,
        *,
        soon: Callable[["Lease"], object],
        over: Callable[["Lease", bool], object],
        hold: Reservation | None = None,
    ):
        super().__init__(mcp, principal, capabilities=capabilities, client=client, nonce=f"lease:{token_urlsafe(9)}", own_child=True)
        self.soon, self.over, self.hold = soon, over, hold
        self.key = key  # that seals its states
        self._fresh()

    def _fresh(self) -> None:
        self.declared = self.capabilities  # by the call, and then by its retry
        self.ticket = token_urlsafe(12)
        self.round = ""
        self.said = ""
        self.reply: ModernOutbox | None = None  # of whoever waits now
        self.exchange: Exchange | None = None
        self.wanted: dict[str, tuple[Ask, envelope.Members]] = {}  # what the child waits for, by key
        self.given: dict[str, Raw] = {}  # answers that came with the call itself
        self.next_ask = 1
        self.code = 0  # of the answer, if it is an error: its words say so
        self.last: bytes | None = None  # the answer, if it came while nobody waited
        self.parked = 0.0  # since when nobody waits
        self.is_flushing = False

    # -- the client -----------------------------------------------------------------------------------------------------

    def begin(
        self,
        message: Envelope,
        params: ModernParams,
        token: Raw,
        level: str,
        reply: ModernOutbox,
        now: float,
        trace: str,
        entry: Observer | None = None,
    ) -> None:
        self._fresh()
        self.given = envelope.object_or_none(params.inputResponses or b"{}") or {}
        self.said, self.reply = digest(message.method or "", message.params), reply
        self.exchange = self.relay.call(self, message, params, token, level, self, now, trace, entry)

    def left(self, now: float) -> None:
        """The client closed its connection while it waited for an answer."""
        self.reply = None
        self._break_off(now)

    def resume(
        self, id: bytes, params: ModernParams, meta: Meta, reply: ModernOutbox, now: float, entry: Observer | None = None
    ) -> Refusal | None:
        """The retry: its answers go to the child, and whatever comes next to `reply`, as the retry wants it."""
        answers = envelope.object_or_none(params.inputResponses or b"{}")
        if answers is None:
            return modern_refusal(INVALID_PARAMS, "inputResponses must be an object", reason=Reason.REQUEST)
        for key in self.wanted:
            if key in answers and envelope.object_or_none(answers[key]) is None:
                return modern_refusal(
                    INVALID_PARAMS, f"inputResponses: the answer to {key[:100]!r} must be an object", reason=Reason.REQUEST
                )
        exchange = self.exchange
        assert exchange is not None  # it is parked
        self.reply, exchange.client_id, self.parked, self.round = reply, id, 0.0, ""
        exchange.entry = entry
        if entry is not None:
            entry.sent(exchange.tool)
        exchange.restart(now, self.relay.policy.request_timeout, self.relay.policy.request_timeout_max)
        exchange.token, exchange.level = meta.progressToken or None, envelope.string(meta.level) or "" if meta.level else ""
        self.declared = Raw(envelope.encode(askable(meta.capabilities)))
        for key, (ask, request) in list(self.wanted.items()):
            need = NEEDS[ask.method]
            if key in answers:
                answer = envelope.flat(envelope.result(ask.child_id, answers[key]))
            elif not self._declares(need, request.get("params", {})):
                refusal = self._undeclared(need)
                answer = error_body(ask.child_id, refusal.code, refusal.message)
            else:
                continue
            del self.wanted[key]
            self.asks.pop(ask.id, None)
            self.relay.dispatcher.send(answer + b"\n")
        if self.last is not None:
            last, self.last = self.last, None
            self._deliver(envelope.response(id, envelope.from_child(last)))
        elif self.wanted:
            self._flush_soon()
        return None

    def is_for(self, ticket: Ticket, method: str, params: Raw, principal: str) -> bool:
        """Whether this state belongs to the call as it is parked now."""
        return (
            self.ticket == ticket.lease
            and self.round == ticket.round != ""
            and principal == ticket.principal == self.principal
            and self.said == ticket.digest == digest(method, params)
            and self.parked > 0
        )

    def expire(self, now: float) -> None:
        """Nobody came back: the child is told so, and the call is over."""
        self._break_off(now)

    # -- the child ------------------------------------------------------------------------------------------------------

    def asked(self, message: Envelope, now: float) -> Refusal | None:
        """The child wants to know something of the client. A refusal is for the child."""
        need = NEEDS.get(message.method or "")
        if need is None or self.exchange is None or self.last is not None:
            return Refusal(0, METHOD_NOT_FOUND, "no call is under way whose client could be asked", reason=Reason.REQUEST)
        members = envelope.object_or_none(message.params or b"{}") or {}
        if not self._declares(need, members):
            return self._undeclared(need)
        if self.hold is not None and not self.hold.fits(self.hold.size + len(memoryview(message.params))):
            return Refusal(0, INTERNAL_ERROR, "there is no memory for this request to the client (--memory)", reason=Reason.ROOM)
        hint = envelope.string((envelope.object_or_none(members.get("_meta", b"{}")) or {}).get(HINT, Raw(b"null")))
        ask = Ask(b"%d" % self.next_ask, bytes(message.id), message.method or "", now)
        ask.delivered = True
        self.next_ask += 1
        key = hint if hint and hint not in self.wanted else f"{need}-{ask.id.decode()}"
        if envelope.object_or_none(self.given.get(key, b"")) is not None:  # a client that knows what will be asked
            self.relay.dispatcher.send(envelope.flat(envelope.result(ask.child_id, self.given.pop(key))) + b"\n")
            return None
        self.asks[ask.id] = ask
        members.pop("elicitationId", None)  # the modern era has none
        self.wanted[key] = (ask, {"method": message.method, "params": members} if members else {"method": message.method})
        self._flush_soon()
        return None

    def taken_back(self, ask: Ask) -> None:
        """The child does not wait for this any more."""
        for key in [key for key, (wanted, _) in self.wanted.items() if wanted is ask]:
            del self.wanted[key]

    def flush(self, now: float) -> None:
        """Send the client what was collected, and park the call."""
        self.is_flushing = False
        if self.reply is None or self.exchange is None or not self.wanted:
            return
        self.round, self.parked = token_urlsafe(6), now
        self.exchange.deadline = self.exchange.limit = float("inf")  # it is not the child that takes its time
        downgrade = self.relay.modern_translator
        assert isinstance(downgrade, Downgrade)  # a modern child asks nobody
        ticket = Ticket(downgrade.mcp, self.ticket, self.round, self.principal, self.said, now + PARKED)
        result = envelope.encode(
            {
                "resultType": "input_required",
                "inputRequests": {key: request for key, (_, request) in self.wanted.items()},
                "requestState": seal_state(ticket, self.key),
            }
        )
        reply, self.reply = self.reply, None
        reply.answer(envelope.result(self.exchange.client_id, downgrade.named(result)))

    # -- the outbox of the call ---------------------------------------------------------------------------------------------

    def put(self, message: bytes) -> bool:
        return self.reply.put(message) if self.reply else True  # while it is parked nobody hears it

    def wait(self) -> None:
        if self.reply:
            self.reply.wait()

    def answer(self, message: bytes) -> None:
        if self.reply:
            self._deliver(message)
        elif self.parked:
            self.last = message
        else:
            self._end(False)

    def _deliver(self, message: bytes) -> None:
        reply, self.reply = self.reply, None
        if reply is not None:
            reply.code = self.code
            reply.answer(message)
        self._end(not self.wanted)

    def _break_off(self, now: float) -> None:
        for ask, _ in self.wanted.values():
            self.asks.pop(ask.id, None)
            self.relay.dispatcher.send(_refused(ask))
        self.wanted.clear()
        is_over = self.last is not None
        if self.exchange is not None and not is_over:
            self.relay.cancel(self.exchange, now)
        self._end(is_over)

    def _end(self, is_clean: bool) -> None:
        if self.exchange is not None:
            self.exchange, self.round, self.parked = None, "", 0.0
            if self.hold is not None:
                self.hold.set(0)
            self.over(self, is_clean)

    def _flush_soon(self) -> None:
        if not self.is_flushing:
            self.is_flushing = True
            self.soon(self)

    def _undeclared(self, need: str) -> Refusal:
        if self.exchange is not None:
            self.exchange.missing = {*(self.exchange.missing or ()), need}
        return Refusal(0, METHOD_NOT_FOUND, f"the client has not declared {need}", reason=Reason.REQUEST)

    def _declares(self, need: str, params: envelope.Members) -> bool:
        return is_declared(envelope.object_or_none(self.declared) or {}, need, params)


def unsealed(state: Raw, key: bytes) -> Ticket | None:
    text = envelope.string(state)
    return unseal_state(text, key, Ticket) if text else None


def _refused(ask: Ask) -> bytes:
    """What a child gets that nobody answers any more."""
    if ask.method == "elicitation/create":
        return b'{"jsonrpc":"2.0","id":%b,"result":{"action":"cancel"}}\n' % ask.child_id
    return error_body(ask.child_id, INTERNAL_ERROR, "the client did not come back") + b"\n"
