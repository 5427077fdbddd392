"""What a service says of itself: to probes, to people, and to Prometheus."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Raw

from bridge.budget import Budget
from bridge.callers.audit import Audit
from bridge.callers.credentials import caller_of
from bridge.child.lifecycle import State
from bridge.child.usage import usage
from bridge.log import Event
from bridge.pins.changes import GONE, NEW, Change
from bridge.printable import shortened
from bridge.protocol.envelope import Envelope
from bridge.protocol.known_lists import LISTS
from bridge.protocol.replay import Replay
from bridge.protocol.session import Sessions
from bridge.redact import redacted
from bridge.service.children import Children
from bridge.service.history import History, errors
from bridge.service.setup import Setup
from bridge.service.streams import Streams

SHOWN = 200  # characters of a name that the child made up
SHOWN_CALLERS = 50


class Report:
    def __init__(self, setup: Setup, children: Children, sessions: Sessions, streams: Streams, replay: Replay, audit: Audit | None = None):
        self.name = setup.name
        self.counts = setup.counts
        self.memory = setup.memory
        self.is_draining = False
        self.audit = audit
        self.is_waiting = False  # for its turn to start
        self._setup = setup
        self._children = children
        self._sessions = sessions
        self._streams = streams
        self._replay = replay
        self.history = History(setup.counts, setup.now())

    @property
    def state(self) -> str:
        """That of the shared child, or of the one that does its work."""
        state = self._children.at_work.state
        return State.STARTING if self.is_waiting and state == State.STOPPED else state

    @property
    def in_flight(self) -> int:
        """Requests of clients that have no answer yet."""
        return self.counts.in_flight

    @property
    def streams(self) -> int:
        return len(self._streams)

    def readiness(self, is_shown: bool = True) -> dict[str, Any]:
        """Why it can be used or not: a handshake with the child was made and it lives. `is_shown`: what the child wrote, too."""
        child, is_draining = self._children.at_work, self.is_draining
        relay = child.relay
        # One that is restarted because it speaks the other era has not shown yet that it works.
        is_asleep = relay.is_asleep and not (child.is_restarting and relay.facts is None)
        is_ready = (relay.is_open or is_asleep) and not is_draining
        why = relay.link.reason
        reason = "" if is_ready else "the bridge is shutting down" if is_draining else str(why) if is_shown else why.text
        if self.is_waiting and not is_ready:
            reason = "others are started before it"
        return {"status": "ready" if is_ready else "not ready", "state": self.state, "reason": reason, "mcp": self.name}

    def status(self, is_shown: bool = True) -> dict[str, Any]:
        """All that there is to see, for people and machines. `is_shown`: what the child wrote, too."""
        setup, children, counts = self._setup, self._children, self.counts
        shared = children.shared
        facts, supervisor = shared.relay.facts, shared.supervisor
        histogram = counts.latency.get("tools/call")
        calls = sum(histogram.counts) if histogram else 0
        return {
            **self.readiness(is_shown),
            "server": redacted(shortened(facts.title, SHOWN)) if facts else "",
            "revision": facts.revision if facts else "",
            "child_era": children.eras.child_era,
            "pid": supervisor.pid,
            "restarts": counts.restarts,
            "profile": setup.profile.name,
            "isolation": setup.settings.isolation,
            "children": len(self._pids()),
            "sessions": len(self._sessions),
            "streams": len(self._streams),
            "in_flight": self.in_flight,
            "calls": calls,
            "mean_call_seconds": round(histogram.sum / calls, 6) if histogram and calls else 0.0,
            "p95_call_seconds": round(histogram.quantile(0.95), 6) if histogram else 0.0,
            "errors": errors(counts),
            "history": self.history.told(),
            **({"callers": self._callers()} if is_shown else {}),
            "memory_bytes": self.usage()[0],
            "last_event": next(self._events(list(setup.log.events.last)[-1:], is_shown), {}),
            "troubles": list(self._events(setup.log.events.troubles, is_shown)),
            "processes": [child.status(setup.now()) for child in children],
            "waits": counts.waits,
            "wakes": counts.wakes,
            "recycled": counts.recycled,
            "spares": children.pool.spares,
            "tools": self._tools(),
            **({"renamed": renamed} if (renamed := self._renamed()) else {}),
            "pin": setup.policy.pins.mode if setup.policy.pins else "off",
            "unapproved": [redacted(shortened(str(Change(name, what)), SHOWN)) for name, what in sorted(self.unapproved().items())],
            "stderr": list(supervisor.stderr.tail) if is_shown else [],
        }

    def _callers(self) -> dict[str, int]:
        """Who asked most, and how often: without tokens the addresses."""
        asked: Counter[str] = Counter()
        for principal, count in self.counts.callers.items():
            asked[caller_of(principal)] += count
        return {redacted(shortened(caller, SHOWN)): count for caller, count in asked.most_common(SHOWN_CALLERS)}

    def _events(self, events: Iterable[Event], is_shown: bool) -> Iterator[dict[str, str]]:
        for one in events:
            when = datetime.fromtimestamp(one.time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            why = {"why": redacted(shortened(one.why, SHOWN))} if is_shown and one.why else {}
            yield {"time": when, "level": one.level, "event": one.event, **why}

    def offers(self, method: str) -> list[bytes]:
        """The pages of one of its lists (results, as clients see them). None for a list that it does not have.

        Raises LookupError where that is not known: the child has not said it yet.
        """
        relay, tools = self._children.shared.relay, self._setup.tools
        pages = relay.lists.pages(method)
        if not pages and (relay.facts is None or (relay.facts.offers(LISTS[method]) and relay.lists.answer(method, b"") is None)):
            raise LookupError
        if method != "tools/list":
            return pages
        listed = [relay.pinned.cut(Envelope(result=Raw(page))) for page in pages]
        return [bytes(tools.page(page.result) if tools else page.result) for page in listed]

    def open_sessions(self) -> dict[tuple[str, str], int]:
        result: dict[tuple[str, str], int] = {}
        for session in self._sessions:
            key = (session.transport, session.revision)
            result[key] = result.get(key, 0) + 1
        return result

    def children_by_state(self) -> dict[tuple[str, str], int]:
        result: dict[tuple[str, str], int] = {}
        for child in self._children:
            result[(child.role, child.state)] = result.get((child.role, child.state), 0) + 1
        return result

    def usage(self) -> tuple[int, float]:
        """Resident bytes and CPU seconds of all its processes."""
        return usage(self._pids())

    def budgets(self) -> list[tuple[str, Budget]]:
        return [
            ("bytes", self.memory),
            ("calls", self.counts.calls),
            ("sessions", self._sessions.pot),
            ("streams", self._streams.budget),
            ("children", self._children.budget),
        ]

    def drops(self) -> dict[str, int]:
        audit = {"audit": self.audit.lost} if self.audit is not None else {}
        return {**self.counts.drops, "replay_buffer": self._replay.forgotten, **audit}

    def child_start_time(self) -> float:
        """When the shared child was started, in Unix time; 0 if none runs."""
        supervisor = self._children.shared.supervisor
        return time.time() - (self._setup.now() - supervisor.started) if supervisor.pid else 0.0

    def unapproved(self) -> dict[str, tuple[str, ...]]:
        """The tools of any of its children that are not as they were approved, and how they differ."""
        found: dict[str, tuple[str, ...]] = {}
        for child in self._children:
            found.update(child.relay.pinned.changes)
        return found

    def unapproved_by_kind(self) -> dict[str, int]:
        kinds = {NEW: 0, "changed": 0, GONE: 0} if self._setup.policy.pins else {}
        for what in self.unapproved().values():
            kinds[what[0] if what[0] in kinds else "changed"] += 1
        return kinds

    def _pids(self) -> list[int]:
        return [child.pid for child in self._children if child.pid]

    def _renamed(self) -> dict[str, str]:
        """The child's names of tools that clients know by others: rules for callers are about these."""
        profile = self._setup.profile
        names = {name: profile.own_name(name) for name in (*self._tools(), *profile.listed())}
        return {shortened(name, SHOWN): shortened(own, SHOWN) for name, own in names.items() if own and own != name}

    def _tools(self) -> list[str]:
        """As clients see them."""
        tools, catalogue = self._setup.tools, self._children.shared.relay.catalogue
        names = catalogue.names.values()
        shown = filter(None, map(tools.shown, names)) if tools else names
        return sorted(redacted(shortened(name, SHOWN)) for name in shown)
