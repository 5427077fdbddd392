"""What the four pairs of eras have in common, and the two pairs that relay bytes."""

from collections.abc import Mapping
from types import MappingProxyType

from bridge.protocol import envelope, litellm_results, rules, spelling
from bridge.protocol.envelope import Envelope, Params
from bridge.protocol.era import LEGACY, MODERN
from bridge.protocol.eras.tasks import Tasks
from bridge.protocol.errors import code_of, error_body
from bridge.protocol.exchange import Exchange
from bridge.protocol.link import Link
from bridge.protocol.policy import Policy
from bridge.protocol.rules import After, Rule
from bridge.protocol.tools import cut


class Translator:
    """How requests of `client`'s era are put to a child of `child`'s era, and its answers to the client."""

    client = LEGACY
    child = LEGACY
    before: Mapping[str, Rule] = MappingProxyType({})  # rules for requests before the child has them, and after: rules.py
    after: Mapping[str, After] = MappingProxyType({})

    def params(self, exchange: Exchange, message: Envelope, params: Params) -> bytes:
        """What the child is told: the client's bytes, with our own progress token in them."""
        if exchange.token:
            return with_token(message.params, params.meta, exchange.id)
        if params.meta and spelling.may_hold_token(params.meta):
            return with_token(message.params, params.meta, None)
        return message.params

    def answer(self, exchange: Exchange, message: Envelope) -> bytes | None:
        """What the client is told. None: the exchange is not over, its words have put it on its way once more."""
        return envelope.response(exchange.client_id, message)

    def failure(self, exchange: Exchange, code: int, why: str) -> bytes:
        """The same of an answer that the child never gave."""
        return error_body(exchange.client_id, code, why)


class Same(Translator):
    """Both have handshakes: in the words of the operator's profile."""

    after = rules.AFTER

    def __init__(self, policy: Policy):
        self.answer = policy.profile.answer  # type: ignore[method-assign]  # the very method, as it is called for each answer
        self.failure = policy.profile.failure  # type: ignore[method-assign]  # likewise
        self.before = with_calls(rules.BEFORE, policy)


class Verbatim(Translator):
    """Both are modern: byte for byte. An error has a status of its own."""

    client = MODERN
    child = MODERN

    def __init__(self, policy: Policy, link: Link, tasks: Tasks):
        self._link, self._tasks = link, tasks
        self.is_litellm = policy.profile.is_litellm
        self.tools = policy.tools

    def answer(self, exchange: Exchange, message: Envelope) -> bytes | None:
        if self.tools and exchange.method == "tools/list":
            message = cut(message, self.tools)
        if message.error:
            if self.is_litellm and exchange.method == "tools/call":
                return self.failure(exchange, 0, litellm_results.error_text(message.error))
            exchange.outbox.code = code_of(message.error)
        elif exchange.method == "tools/call":
            self._tasks.record_call(exchange.session.principal, message.result, self._link.last_received)
        elif exchange.method == "tasks/get":
            self._tasks.record_status(message.result, self._link.last_received)
        return envelope.response(exchange.client_id, message)

    def failure(self, exchange: Exchange, code: int, why: str) -> bytes:
        if self.is_litellm and exchange.method == "tools/call":
            return envelope.result(exchange.client_id, b'{"resultType":"complete",' + litellm_results.failed_call(why)[1:])
        exchange.outbox.code = code
        return error_body(exchange.client_id, code, why)


def with_calls(before: Mapping[str, Rule], policy: Policy) -> Mapping[str, Rule]:
    """The same rules, with that for `tools/call` of the operator's profile and choice of tools."""
    rule = policy.profile.call or (policy.tools.call if policy.tools else None)
    return before if rule is None else {**before, "tools/call": rule}


def with_token(params: bytes, meta: bytes, token: int | None) -> bytes:
    """`params` with our own progress token in its `_meta`, or with none; everything else as it came."""
    inner = envelope.object_or_none(meta)
    if inner is None:
        return params
    if token is None:
        inner = spelling.without_tokens(inner)
    elif len(inner) == 1:  # as nearly always
        inner = {"progressToken": token}
    else:
        inner = {**spelling.only(inner, "progressToken"), "progressToken": token}
    members = envelope.members(params)
    members["_meta"] = inner
    return envelope.encode(members)
