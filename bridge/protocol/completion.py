"""How a client's request ends: answered once, given back to the budgets, counted and logged."""

import re

from msgspec import Raw

from bridge.counts import Counts
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import code_of
from bridge.protocol.exchange import Exchange
from bridge.protocol.interfaces import Child
from bridge.protocol.known_lists import LISTS, KnownLists
from bridge.protocol.link import Event, Link, State
from bridge.protocol.pinned import Pinned

SMALL = 4096  # bytes of a call that are not counted as memory
WORK = ("tools/call", "prompts/get", "resources/read")  # what a child is there for; a crashing one may well answer lists
KNOWN_METHODS = frozenset(
    """
    tools/call tools/list resources/list resources/read resources/templates/list resources/subscribe resources/unsubscribe
    prompts/list prompts/get completion/complete logging/setLevel ping initialize server/discover subscriptions/listen
    tasks/update tasks/get tasks/result tasks/list tasks/cancel
    """.split()
)
END = 250  # bytes of each end of an answer in which `isError` is looked for
_MARK = b'"isError"'
_IS_ERROR = re.compile(rb'"isError"\s*:\s*true')
_SERVING = State.SERVING


class Completion:
    """`unfinished` are the ids of exchanges whose child has answered in part: `complete_late` takes them out."""

    def __init__(self, child: Child, link: Link, lists: KnownLists, pinned: Pinned, counts: Counts):
        self._child, self._link, self._lists, self._pinned, self._counts = child, link, lists, pinned, counts
        self._is_debug = link.log.is_debug
        self.unfinished: set[int] = set()

    def begin(self, exchange: Exchange) -> None:
        """It is under way, until `end`. Its bytes count where they are many: the number of calls bounds the others."""
        counts, caller = self._counts, exchange.session.caller
        counts.calls.take(caller)
        size = len(exchange.line or b"") + len(exchange.token or b"")
        if size > SMALL:
            exchange.size = size if exchange.message is None else 2 * size
            counts.memory.take(caller, exchange.size)

    def end(self, exchange: Exchange) -> None:
        counts, caller = self._counts, exchange.session.caller
        counts.calls.give(caller)
        if exchange.size:
            counts.memory.give(caller, exchange.size)
            exchange.size = 0

    def complete(self, exchange: Exchange, message: Envelope, line: bytes, now: float) -> None:
        """The child answered it."""
        session = exchange.session
        if session is None:
            if exchange.on_answer is not None:
                exchange.on_answer(message)
            return
        # Clients see what is approved of a list; what is known of it is what the child said.
        answer = exchange.translator.answer(exchange, self._pinned.cut(message) if exchange.method == "tools/list" else message)
        if answer is None:
            return
        link = self._link
        del session.exchanges[exchange.key]
        session.touched = link.used = now
        self.end(exchange)
        self.count(exchange, _outcome(exchange, message, line), now, message.error)
        if exchange.then:
            exchange.then(bool(message.result))
        if link.state is not _SERVING and message.result and exchange.method in WORK:
            link.on(Event.SERVED)
            self._child.served()
        if exchange.method in LISTS:
            self._lists.record_answer(exchange.method, message)
        exchange.outbox.answer(answer)

    def complete_late(self, exchange: Exchange, message: Envelope) -> None:
        """The same for an answer that its translator could not give at once, unless nobody waits for it any more."""
        self.unfinished.discard(exchange.id)
        if exchange.session.exchanges.get(exchange.key) is exchange:
            self.complete(exchange, message, b"", self._link.last_received)

    def complete_known(self, exchange: Exchange, known: Envelope, now: float) -> None:
        """The same for what the child need not be asked."""
        exchange.session.touched = now
        self.count(exchange, "error" if known.error else "ok", now, known.error)
        seen = self._pinned.cut(known) if exchange.method == "tools/list" else known
        exchange.outbox.answer(exchange.translator.answer(exchange, seen))

    def fail(self, exchange: Exchange, outcome: str, code: int, why: str, now: float) -> None:
        """Answer an exchange that the child did not answer."""
        if exchange.hold is not None and outcome == "lost":
            return  # answered long ago
        session = exchange.session
        if session is None:
            if exchange.on_answer is not None:
                exchange.on_answer(Envelope(error=Raw(b'{"message":%b}' % envelope.encode(why))))
            return
        session.exchanges.pop(exchange.key, None)
        session.touched = now
        if exchange.then:
            exchange.then(False)
        self.end(exchange)
        self.count(exchange, outcome, now, code=code)
        if outcome != "cancelled":
            self._link.log.warning(
                "call failed",
                method=exchange.method,
                tool=exchange.tool,
                outcome=outcome,
                why=why,
                session=session.label,
                exchange=exchange.id,
                seconds=round(now - exchange.created, 3),
                trace=exchange.trace,
            )
        if outcome != "cancelled" or exchange.outbox.answers_cancelled:
            exchange.outbox.answer(exchange.translator.failure(exchange, code, why))

    def count(self, exchange: Exchange, outcome: str, now: float, error: Raw = envelope.ABSENT, code: int = 0) -> None:
        method = exchange.method if exchange.method in KNOWN_METHODS else "other"
        translator = exchange.translator
        if exchange.entry is not None:
            is_answered = outcome != "cancelled" or exchange.outbox.answers_cancelled
            exchange.entry.ended(outcome, is_answered, code_of(error) if error else code)
        counts = self._counts
        counts.requests[(method, exchange.tool, outcome, translator.client, translator.child)] += 1
        counts.latency[method].add(now - exchange.created)
        counts.callers[exchange.session.caller] += 1
        if self._is_debug:
            self._link.log.debug(
                "call",
                method=exchange.method,
                tool=exchange.tool,
                outcome=outcome,
                exchange=exchange.id,
                session=exchange.session.label,
                seconds=round(now - exchange.created, 6),
                trace=exchange.trace,
            )


def _outcome(exchange: Exchange, message: Envelope, line: bytes) -> str:
    if message.error:
        return "error"
    # SDKs write it first or last; inside a string its quotes would be escaped.
    if (
        exchange.method == "tools/call"
        and (line.find(_MARK, -END) >= 0 or (len(line) > END and line.find(_MARK, 0, END) >= 0))
        and (_IS_ERROR.search(line[-END:]) or _IS_ERROR.search(line[:END]))
    ):
        return "tool_error"
    return "ok"
