"""The steps of admission that hold a caller to its callers file: how often it may ask, what it may do, and what lists show it.

The rules themselves are in `bridge/callers/`. Without --callers a service has no `access`, and these steps are in none of its tables.
"""

from functools import partial

from bridge.callers.access import LISTS, LONGEST, Access, OwnName
from bridge.http.call import Call, ModernCall, params_of
from bridge.http.modern import ModernReply
from bridge.http.reply import FilteredOutbox
from bridge.protocol import envelope
from bridge.protocol.errors import INVALID_PARAMS, INVALID_REQUEST, Reason, Refusal
from bridge.protocol.outbox import Outbox
from bridge.protocol.outcome import DONE, Outcome

OPENING = (None, "initialize", "ping", "tools/list")  # what LiteLLM asks before a call; None: a connection, or a stream
OF_ALL = frozenset(("ping", "server/discover", *LISTS))  # what the shared child answers, or we


def rate(call: Call) -> Outcome:
    """The caller has not asked too often. LiteLLM opens a session for each call, and 1.77.3 does not survive it if that is refused: it counts,
    and is let through."""
    access = call.service.access
    assert access is not None
    if not access.have_rates:
        return None
    if call.service.is_litellm and call.message.method in OPENING and not call.messages and not isinstance(call, ModernCall):
        access.spend(_name(call), 1, call.service.loop.time())
        return None
    return access.too_often(_name(call), call.service.loop.time())


def rate_of_batch(call: Call) -> Outcome:
    """A batch counts as many as it has requests, the first of which `rate` has counted."""
    requests = sum(message.is_request for message in call.messages)
    return _access(call).too_often(_name(call), call.service.loop.time(), max(0, requests - 1))


def permit(call: Call) -> Outcome:
    """Its caller may do this. The last thing that is asked: what it decides by is what the child gets."""
    access, memory = call.service.access, call.request.memory
    assert access is not None
    view = memory.view
    if view is None or view.access is not access:
        view = memory.view = access.view(call.request.principal)
    if view.sees_all or (denial := view.denial(call.message, params_of(call), _own_name(call))) is None:
        return None
    call.rule = denial.rule
    return denial.refusal


def approved(call: Call) -> Outcome:
    """The tool is as it was approved (--pin hide). Its name is decided by as the child gets it, and by what the child says now."""
    if call.message.method != "tools/call":
        return None
    relay = call.child.relay if isinstance(call, ModernCall) and call.child is not None else call.session and call.session.relay
    assert relay
    given = envelope.string(params_of(call).name)
    own = None if given is None else relay.policy.profile.own_name(given)
    if relay.pinned.may_call(own):
        return None
    why = "it is new, or the server says something else of it, and nobody has approved that yet (mcp-bridge approve)"
    return Refusal(200, INVALID_PARAMS, f"the tool {(given or '')[:LONGEST]!r} is not served: {why}", reason=Reason.POLICY)


def credentials(call: Call) -> Outcome:
    """Its caller has brought along what the server needs of each (`--caller-secret`): for what reaches the server, not for lists."""
    known, method = call.service.credentials, call.message.method
    assert known is not None
    if method in OF_ALL or not (missing := known.missing(call.request.principal)):
        return None
    why = f"this server works with your own credentials, and there are none: {missing}"
    return Refusal(200, INVALID_REQUEST, why, reason=Reason.POLICY)


def permit_notice(call: Call) -> Outcome:
    """A notification goes on, or to nobody: its client is not told what becomes of it."""
    if _may_tell(call):
        return None
    call.response.accepted()
    return DONE


def permit_part(call: Call) -> Outcome:
    """The same for one in a batch, which is answered as a whole."""
    return None if _may_tell(call) else DONE


def shown(call: Call, outbox: Outbox) -> Outbox:
    """The outbox of a request, which shows its caller no more of a list than it may see."""
    access, method = call.service.access, call.message.method
    if access is None or method is None or method not in LISTS:
        return outbox
    view = access.view(call.request.principal)
    return FilteredOutbox(outbox, view, method, _own_name(call)) if view.shows(method) else outbox


def permit_modern(call: Call) -> Outcome:
    """`permit`, and what lists show, for a call of the modern era."""
    view, method = _access(call).view(call.request.principal), call.message.method
    if view.sees_all:
        return None
    assert isinstance(call, ModernCall) and isinstance(call.outbox, ModernReply) and call.child is not None
    own_name: OwnName = call.child.relay.policy.profile.own_name
    if method is not None and view.shows(method):
        call.outbox.cut = partial(view.cut, method, own_name=own_name)
    denial = view.denial(call.message, call.params, own_name, is_modern=True)
    if denial is None:
        return None
    call.rule = denial.rule
    return denial.refusal


def _may_tell(call: Call) -> bool:
    access, service, method = _access(call), call.service, call.message.method
    if method is None:
        return True
    access.spend(_name(call), 1, service.loop.time())
    if access.view(call.request.principal).may_notify(method):
        return True
    service.counts.strays["denied"] += 1
    return False


def _access(call: Call) -> Access:
    access = call.service.access
    assert access is not None
    return access


def _name(call: Call) -> str:
    """What requests are counted by."""
    return call.request.caller or call.request.principal


def _own_name(call: Call) -> OwnName:
    session = call.session
    assert session is not None and session.relay is not None
    own_name: OwnName = session.relay.policy.profile.own_name
    return own_name
