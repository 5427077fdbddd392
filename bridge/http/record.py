"""The steps of admission that have each request written down (--audit), from its first step to its answer, refusal or end.

What a line says is in `bridge/callers/audit.py`. An entry ends once, wherever that is known first: in `call.py`, where the request was
refused or answered on the way; in `Reply` or `AuditedOutbox`, which got the answer; or in the relay, which knows how a call ended.
"""

from msgspec import Raw

from bridge.http.call import Call, ModernCall, params_of
from bridge.http.modern import ModernReply
from bridge.http.reply import BatchOutbox, OutboxWrapper, Reply
from bridge.http.service import Entry
from bridge.protocol import envelope
from bridge.protocol.errors import INTERNAL_ERROR, Reason, Refusal
from bridge.protocol.outbox import Outbox
from bridge.protocol.outcome import Outcome
from bridge.protocol.session import Session

RETRY = ((b"retry-after", b"2"),)


def record(call: Call) -> Outcome:
    """What becomes of it is written down, or it does not go on where it must be (--audit-required)."""
    audit, request = call.service.audit, call.request
    assert audit is not None
    if not audit.may_go_on():
        why = "calls are refused while the audit cannot be written (--audit-required)"
        return Refusal(503, INTERNAL_ERROR, why, RETRY, reason=Reason.ROOM)
    size = len(request.content) if not isinstance(call.outbox, BatchOutbox) else len(memoryview(call.message.params))
    # What `initialize` says is not for a child, and stays as it is.
    params = params_of(call) if call.message.method != "initialize" else None
    call.entry = audit.begin(call.message, request, size, params)
    if params is None:
        call.entry.client = _client(call)
    return None


def record_modern(call: Call) -> Outcome:
    """The same for a call whose reply is its own, and ends the entry."""
    refusal = record(call)
    if refusal is None and call.entry is not None:
        assert isinstance(call, ModernCall) and isinstance(call.outbox, ModernReply)
        call.entry.client, call.entry.is_taken, call.outbox.entry = call.meta.client, True, call.entry
    return refusal


def written_down(entry: Entry, session: Session, outbox: Outbox) -> Outbox:
    """The outbox of a session's request whose answer ends its entry."""
    entry.client, entry.is_taken = session.client, True
    if isinstance(outbox, Reply):
        outbox.entry = entry
        return outbox
    return AuditedOutbox(outbox, entry)


class AuditedOutbox(OutboxWrapper):
    """The outbox of a request whose answer ends its entry."""

    __slots__ = ("entry",)

    def __init__(self, outbox: Outbox, entry: Entry):
        super().__init__(outbox)
        self.entry = entry

    def answer(self, message: bytes) -> None:
        self.entry.end("ok", len(message))
        super().answer(message)


def _client(call: Call) -> Raw:
    """What a client says of itself as it opens a session, which knows it from then on."""
    members: dict[str, Raw] = envelope.object_or_none(call.message.params) or {}
    return members.get("clientInfo", envelope.ABSENT)
