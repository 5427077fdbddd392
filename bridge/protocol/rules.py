"""Requests that the bridge has a say in, because on a shared child one session's wish is not another's.

`BEFORE[method](relay, session, message, params)` answers (bytes), refuses (a Refusal) or lets pass (None, perhaps with
other params). `AFTER[method](session, message, is_done)` hears how the child took it; the session may have another
relay by then.
"""

from collections.abc import Callable

import msgspec

from bridge.protocol import envelope, subscriptions
from bridge.protocol.envelope import Envelope, Params
from bridge.protocol.errors import INVALID_PARAMS, METHOD_NOT_FOUND, Reason, Refusal
from bridge.protocol.interfaces import Context
from bridge.protocol.outbox import Outbox
from bridge.protocol.session import Session

Later = Callable[[Outbox, float], None]  # what is to be done about a request, to be answered by that
Rule = Callable[[Context, Session, Envelope, Params], bytes | Refusal | Later | None]
After = Callable[[Session, Envelope, bool], None]


def ping(relay: Context, session: Session, message: Envelope, params: Params) -> bytes:
    return envelope.result(message.id, b"{}")


def set_level(relay: Context, session: Session, message: Envelope, params: Params) -> Refusal | None:
    """The child is told the most talkative level that any session wants; each session hears what it asked for."""
    if not relay.link.offers("logging"):
        return None
    level = envelope.string(params.level)
    if level not in subscriptions.LEVELS:
        return Refusal(200, INVALID_PARAMS, f"level must be one of {', '.join(subscriptions.LEVELS)}", reason=Reason.REQUEST)
    session.level = level
    needed = subscriptions.level_needed(relay.audience, level)
    if needed != level:
        members = envelope.members(message.params)
        members["level"] = needed
        message.params = msgspec.Raw(envelope.encode(members))
    return None


def level_set(session: Session, message: Envelope, is_done: bool) -> None:
    relay, level = session.relay, envelope.string(envelope.peek(message.params).level)
    if not is_done or relay is None or level is None:
        return
    relay.audience.level = level  # the message holds what all sessions need, which `set_level` has put there
    for other in relay.replicas or ():
        if other is not relay:
            other.log_from(level, relay.link.last_received)


def subscribe(relay: Context, session: Session, message: Envelope, params: Params) -> bytes | Refusal | None:
    # From the wish on, not from its answer: else another session that leaves in between would end it.
    if uri := envelope.string(params.uri):
        if why := subscriptions.too_much(session, uri):
            return Refusal(200, INVALID_PARAMS, why, reason=Reason.REQUEST)
        session.subscriptions.add(uri)
        session.fits()
        if any(listen.is_modern and listen.streams and uri in listen.subscriptions for listen in relay.audience):
            return envelope.result(message.id, b"{}")  # the child has been asked in a modern client's name
    return None


def subscribed(session: Session, message: Envelope, is_done: bool) -> None:
    if not is_done:
        session.subscriptions.discard(envelope.string(envelope.peek(message.params).uri))


def unsubscribe(relay: Context, session: Session, message: Envelope, params: Params) -> bytes | None:
    uri = envelope.string(params.uri)
    session.subscriptions.discard(uri)
    session.fits()
    if subscriptions.is_held(relay.audience, uri):
        return envelope.result(message.id, b"{}")
    return None


def tasks(relay: Context, session: Session, message: Envelope, params: Params) -> Refusal | None:
    if relay.audience.owner is not None:
        return None
    return Refusal(
        200,
        METHOD_NOT_FOUND,
        "tasks need a child of their own (--isolation session): their ids would be open to every client of a shared one",
        reason=Reason.REQUEST,
    )


def list_tools(relay: Context, session: Session, message: Envelope, params: Params) -> bytes | None:
    """A list that the child is late with is not asked for a second time, nor waited for where the child is gone."""
    cursor = bytes(params.cursor)
    return relay.policy.profile.last_list(bytes(message.id), cursor) if cursor in relay.late_lists.cursors or relay.link.is_gone else None


BEFORE: dict[str, Rule] = {
    "tools/list": list_tools,
    "ping": ping,
    "logging/setLevel": set_level,
    "resources/subscribe": subscribe,
    "resources/unsubscribe": unsubscribe,
    **dict.fromkeys(("tasks/get", "tasks/result", "tasks/list", "tasks/cancel"), tasks),
}
AFTER: dict[str, After] = {"resources/subscribe": subscribed, "logging/setLevel": level_set}
