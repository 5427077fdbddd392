"""A child's notifications: which sessions hear of them, and on which stream.

Progress has an address (the token that the relay minted), news of lists and resources are for whoever wants them; log
messages and what we do not know carry no word of whose they are, and `Audience.owner_of_the_moment` decides.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw

from bridge.counts import Counts
from bridge.protocol import envelope, subscriptions
from bridge.protocol.asks import Asks
from bridge.protocol.audience import Audience
from bridge.protocol.envelope import Envelope
from bridge.protocol.exchange import Exchange
from bridge.protocol.ids import minted
from bridge.protocol.link import Link
from bridge.protocol.policy import Policy
from bridge.protocol.session import Session

UPDATED = "notifications/resources/updated"
MOMENT, MUCH = 0.1, 2000  # seconds, and how many sessions are told something in them before what comes next has to wait
LATER = 4096  # pieces of news that wait, and bytes of each
_COMPLETE = "notifications/elicitation/complete"
LIST_CHANGES = {f"notifications/{kind}/list_changed": kind for kind in ("tools", "prompts", "resources")}


class Notices:
    """The notifications of one child. `forget(capability, now)` is called when its lists are not what they were."""

    def __init__(self, audience: Audience, link: Link, asks: Asks, policy: Policy, counts: Counts, forget: Callable[[str, float], None]):
        self._audience, self._link, self._asks, self._policy, self._counts, self._forget = audience, link, asks, policy, counts, forget
        self._since = float("-inf")  # when this moment began
        self._sent = 0  # in it: how many sessions how often
        self._later: dict[str | tuple[str, str], Envelope] = {}  # news that wait for the next sweep

    def notified(self, message: Envelope, now: float) -> None:
        """One that is not for a modern client's own listen."""
        method = message.method or ""
        if method == "notifications/progress":
            self._progress(message, now)
        elif method in LIST_CHANGES:
            self._forget(LIST_CHANGES[method], now)
            self._spread(method, message, now)
        elif method == UPDATED:
            self._spread((method, envelope.string(envelope.peek(message.params).uri) or ""), message, now)
        elif method == "notifications/cancelled":
            self._asks.cancelled(message)
        else:
            self._unowned(message, now)

    def _spread(self, key: str | tuple[str, str], message: Envelope, now: float) -> None:
        """News for all sessions that want them, now or, where there were many just now, with the next sweep; the newest of a key do."""
        if self._is_much(now):
            if key in self._later or (len(self._later) < LATER and len(message.params) <= LATER):
                self._later[key] = message
            else:
                self._counts.drops["flood"] += 1
        elif message.method in LIST_CHANGES:
            self.changed(LIST_CHANGES[message.method], message.params)
        else:
            text = envelope.notification(message.method or "", message.params)  # one for all who wait for it
            for session in subscriptions.holders(self._audience, key[1]):
                self._announce(session, key, text)

    def _is_much(self, now: float) -> bool:
        """Whether the child has sent so much to so many that others must have their turn first: a line of 60 bytes that goes
        to ten thousand sessions takes longer than a thousand calls, and there may be a thousand lines in what it writes at once."""
        if now - self._since >= MOMENT:
            self._since, self._sent = now, 0
        is_much = self._sent > 0 and self._sent + len(self._audience.sessions) > MUCH
        if not is_much:
            self._sent += len(self._audience.sessions)
        return is_much

    def sweep(self, now: float) -> None:
        later, self._later = self._later, {}
        for key, message in later.items():
            self._spread(key, message, now)

    def changed(self, kind: str, params: bytes = b"") -> None:
        """Tell every session that a list is not what it was."""
        method = f"notifications/{kind}/list_changed"
        text, kept = envelope.notification(method, params), envelope.notification(method, b"")
        for session in self._audience:
            if self._policy.profile.is_litellm and not session.is_modern:
                continue  # not advertised: LiteLLM 1.109 opens four times the sessions when it is
            self._announce(session, method, text, kept)

    def _progress(self, message: Envelope, now: float) -> None:
        exchange = self._audience.exchanges.get(minted(envelope.peek(message.params).progressToken) or 0)
        if exchange is None or exchange.hold is not None or exchange.token is None:
            self._counts.strays["progress"] += 1
            return
        exchange.progressed(now, self._policy.request_timeout)
        members = envelope.members(message.params)
        if exchange.is_safe and not _goes_on(exchange, members):
            return
        members["progressToken"] = exchange.token
        text = envelope.notification("notifications/progress", envelope.encode(members))
        if not exchange.session.deliver(text, exchange):
            self._counts.drops["no_stream"] += 1

    def _announce(self, session: Session, key: object, message: bytes, kept: bytes = b"") -> None:
        """News that any stream of the session will do for, and that waits for one. Sent again, it is still one piece.

        `kept` is what waits in the message's place: the child's own params may be megabytes, and mean nothing by then.
        """
        if not any(outbox.put(message) for outbox in reversed(session.streams)):
            session.keep(key, kept or message)

    def _unowned(self, message: Envelope, now: float) -> None:
        audience = self._audience
        is_for_all = not audience.exchanges and len(audience.sessions) > 1
        if is_for_all and self._is_much(now):
            self._counts.drops["flood"] += 1
            return
        text = envelope.notification(message.method or "", message.params)
        level = envelope.string(envelope.peek(message.params).level) if message.method == "notifications/message" else None
        exchange, sessions = audience.only_listener() if self._link.is_modern and level else audience.owner_of_the_moment()
        if audience.has_many_callers or (exchange is None and len(sessions) != 1 and audience.has_clients_waiting):
            # Several sessions' requests are under way: to give it to all would show one client another's business.
            self._counts.drops["unattributable"] += 1
            return
        if len(sessions) > 1 and not is_for_all and self._is_much(now):
            self._counts.drops["flood"] += 1
            return
        for session in sessions:
            if session.is_modern and exchange is not None:
                if message.method == _COMPLETE:
                    self._counts.strays["elicitation_complete"] += 1  # that era has no ids for it
                elif message.method != "notifications/message" or subscriptions.is_wanted(exchange.level, level):
                    exchange.outbox.put(text)
                continue
            if not subscriptions.lets_through(session, level, audience.level is not None):
                continue
            if session.deliver(text, exchange):
                continue
            if audience.owner is not None:
                session.keep(object(), text)
            else:
                self._counts.drops["no_stream"] += 1


def _goes_on(exchange: Exchange, members: dict[str, Raw]) -> bool:
    """Whether progress increases, as it must (utilities, "Progress"): a second child begins anew with a call that is tried again."""
    try:
        progress = msgspec.json.decode(members.get("progress", b"0"), type=float)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return True  # the client's to judge
    if exchange.is_second_try and progress <= exchange.progress:
        return False
    exchange.progress = progress
    return True
