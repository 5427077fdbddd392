"""One member of a group: the MCP's service, the steps that a message for it goes through, and whether lists wait for it."""

from bridge.child.lifecycle import State
from bridge.http.admission import Admission
from bridge.protocol.facts import Facts
from bridge.protocol.known_lists import LISTS
from bridge.service import Service


class Member:
    """`absent` says why lists do not wait for it; empty while they do."""

    def __init__(self, name: str, service: Service):
        self.name = name
        self.service = service
        tables = Admission(service)
        # What a message for this MCP goes through that comes to its own address on a connection, and what a modern one does once its
        # headers, which have the group's name of a tool, are known to be right.
        self.steps = tables.connected_request
        self.modern_steps = tuple(step for step in tables.modern_request if step != tables.modern.envelope_and_headers)
        self.absent = ""
        self.pending = 0  # lists that it was asked for, and that nobody waits for any more

    @property
    def facts(self) -> Facts | None:
        return self.service.children.shared.relay.facts

    @property
    def is_dead(self) -> bool:
        return self.service.state == State.FATAL

    @property
    def reason(self) -> str:
        """Why it cannot be used; empty if it can."""
        return str(self.service.readiness(False)["reason"])

    def offers(self, method: str) -> bool:
        """Whether it has this list, as far as is known."""
        facts = self.facts
        return facts is None or method not in LISTS or facts.offers(LISTS[method])

    def has_told(self) -> bool:
        """Whether it is there, and what it offers is known."""
        relay, facts = self.service.children.shared.relay, self.facts
        if self.reason or facts is None:
            return False
        return all(relay.lists.answer(method, b"") is not None for method in ("tools/list",) if facts.offers("tools"))
