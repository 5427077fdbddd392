"""A legacy client of whom a modern child wants something (2026-07-28, basic/patterns/mrtr).

The child answers a call with `input_required` and forgets it. A `Round` asks the client by real requests, as a legacy
server would, and makes the call again with what it answered. The other direction is `parking.py`.
"""

from functools import partial
from secrets import token_urlsafe
from typing import Any

import msgspec
from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.asks import LIMIT, NEEDS, is_declared
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import INTERNAL_ERROR, METHOD_NOT_FOUND, code_of
from bridge.protocol.exchange import Exchange

ROUNDS = 10  # what the SDKs take for a server that will never be content


class Round:
    """What a modern child wants to know before it goes on with a legacy client's call."""

    @classmethod
    def begin(cls, exchange: Exchange, members: dict[str, Raw], now: float) -> bytes | None:
        """Ask the client. Returns an answer for it if it cannot be asked, else None: the call goes on later."""
        relay, session = exchange.relay, exchange.session

        def failure(why: str) -> bytes:
            answer: bytes = exchange.translator.failure(exchange, INTERNAL_ERROR, why)
            return answer

        requests = envelope.object_or_none(members.get("inputRequests", b"{}")) or {}
        exchange.rounds += 1
        if exchange.rounds > ROUNDS:
            return failure(f"the server wanted more of the client {ROUNDS} times, and is not content")
        if not requests and "requestState" not in members:
            return failure("the server wants something of the client and does not say what")
        if len(session.asks) + len(requests) > LIMIT:
            return failure(f"{LIMIT} requests to the client have no answer yet")
        declared = envelope.object_or_none(session.capabilities) or {}
        wishes = {key: _wish(raw) for key, raw in requests.items()}
        for wish in wishes.values():
            need = NEEDS.get(wish.method)
            if need is None:
                return failure(f"the server wants {wish.method[:100]!r} of the client, which is nothing we know")
            if not is_declared(declared, need, wish.members) or (need == "roots" and relay.policy.withhold_roots):
                mode = " for URLs" if wish.is_url else ""
                return failure(f"this needs a client with the capability {need!r}{mode}, which it has not declared")
        asking = cls(relay, exchange, members.get("requestState"), set(wishes))
        relay.asks.suspended[exchange.id] = exchange
        if not wishes:
            relay.asks.postpone(asking.again)
        for key, wish in wishes.items():
            relay.asks.ask(session, exchange, wish.method, wish.for_session(), partial(asking.answered, key), now)
        return None

    def __init__(self, relay: Any, exchange: Exchange, state: Raw | None, missing: set[str]):
        self.relay, self.exchange, self.state, self.missing = relay, exchange, state, missing
        self.answers: dict[str, Raw] = {}

    def answered(self, key: str, message: Envelope, now: float) -> None:
        """The client answered one of the requests."""
        relay, exchange = self.relay, self.exchange
        if exchange.id not in relay.asks.suspended or key not in self.missing:
            return
        self.missing.discard(key)
        if message.result:
            self.answers[key] = message.result
        elif message.method == "elicitation/create":
            self.answers[key] = Raw(b'{"action":"decline"}' if code_of(message.error) != METHOD_NOT_FOUND else b'{"action":"cancel"}')
        else:
            why = f"the client refused {message.method}: {bytes(message.error).decode(errors='replace')[:300]}"
            relay.asks.withdraw(exchange, "the call has failed")
            relay.completion.fail(exchange, "error", INTERNAL_ERROR, why, now)
            return
        if not self.missing:
            self.again(now)

    def again(self, now: float) -> None:
        """Call once more, with what the client said."""
        relay, exchange = self.relay, self.exchange
        if relay.asks.suspended.pop(exchange.id, None) is None:
            return
        members = envelope.object_or_none(exchange.message.params or b"{}") or {}
        if self.answers:
            members["inputResponses"] = self.answers
        if self.state is not None:
            members["requestState"] = self.state
        heir = relay.heir
        exchange.id = heir.dispatcher.mint()
        exchange.progressed(now, heir.policy.request_timeout)
        original = exchange.message
        heir.reword(exchange, Envelope(id=original.id, method=exchange.method, params=Raw(envelope.encode(members))))
        exchange.message = original
        heir.dispatcher.submit(exchange)


class _Wish(msgspec.Struct):
    method: str = ""
    params: Raw = Raw()

    @property
    def members(self) -> envelope.Members:
        return envelope.object_or_none(self.params or b"{}") or {}

    @property
    def is_url(self) -> bool:
        return envelope.string(self.members.get("mode", b"")) == "url"

    def for_session(self) -> Raw:
        """The params as 2025-11-25 has them: there an elicitation by URL has an id, and SDKs refuse one without."""
        if not self.is_url:
            return self.params
        return Raw(envelope.encode({"elicitationId": token_urlsafe(12)} | self.members))


def _wish(raw: Raw) -> _Wish:
    try:
        return msgspec.json.decode(raw, type=_Wish)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Wish()
