"""The MCPs that are served: made from the configuration, replaced where a reload changes it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from bridge import log, redact
from bridge.budget import Budget, share_of
from bridge.callers.access import Access
from bridge.callers.audit import Audit
from bridge.callers.audit_log import AuditLog
from bridge.callers.audit_sums import Sums
from bridge.callers.forwarded import Forwarded
from bridge.callers.keys import Keys
from bridge.child.lifecycle import State
from bridge.container import STARTS, memory_limit
from bridge.group.service import Group
from bridge.protocol.spans import Tracing
from bridge.serve.configuration import Configuration
from bridge.serve.listener import is_private
from bridge.service import Service
from bridge.settings import Settings

STARTING = (State.STARTING, State.HANDSHAKING)
GROUPS_PART = 8  # the groups' part of the memory
SLOW = 10.0  # seconds after which one that still starts keeps the next no longer
LOOK, IDLE = 1.0, 0.05  # nor does one that for so many seconds used less than this part of a processor: it waits for something, or hangs

_log = logging.getLogger("mcp-bridge")


class Endpoints(Protocol):
    """Where requests for an MCP come in."""

    def mount(self, name: str, service: Service) -> None: ...

    def unmount(self, name: str) -> None: ...


@dataclass
class Start:
    """One that starts, and what it was seen to use of the processors."""

    since: float
    looked: float
    cpu: float = 0.0

    def is_busy(self, service: Service, now: float) -> bool:
        if now - self.since >= SLOW:
            return False
        if (passed := now - self.looked) < LOOK:
            return True
        before, self.cpu, self.looked = self.cpu, service.report.usage()[1], now
        return abs(self.cpu - before) > IDLE * passed  # it falls when a process of it ends


class Services:
    """`current` are those of now, by name; `leaving` were replaced or removed, and still finish what they began."""

    def __init__(
        self,
        settings: Settings,
        configuration: Configuration,
        key: bytes,
        on_fatal: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        audit_log: AuditLog | None = None,
        sums: Sums | None = None,
        tracing: Tracing | None = None,
    ):
        self._settings = settings
        self._key = key
        self._on_fatal = on_fatal
        self._spawn = spawn
        self.configuration = configuration
        self._audit_log, self._sums, self._tracing = audit_log, sums, tracing
        self.leaving: list[Service] = []
        self._waiting: list[Service] = []  # to be started; a request starts one before
        self._starting: dict[Service, Start] = {}
        self.current: dict[str, Service] = {}
        for name in configuration.mcps:
            self.current[name] = self._service(name)

    def __iter__(self) -> Iterator[Service]:
        return iter((*self.current.values(), *self.leaving))

    def _service(self, name: str, before: Service | None = None) -> Service:
        configuration, ours = self.configuration, self._settings
        command, settings = configuration.mcps[name]
        redact.know(command.environment, argv=command.argv)
        its_log = log.Log(mcp=name) if ours.config else log.Log()
        memory = self._memory // max(len(configuration.mcps), 1)
        is_fair = self._is_fair
        given = (name, command, settings, self._key, its_log, self._on_fatal)
        rules = self._access(name, before)
        audit, keys = self.audit_of(name), Forwarded(command.remote, self._key) if command.remote is not None else None
        return Service(*given, memory=memory, is_fair=is_fair, access=rules, audit=audit, tracing=self._tracing, credentials=keys)

    def audit_of(self, name: str) -> Audit | None:
        return Audit(self._audit_log, name, self._key, self._settings.audit_arguments, self._sums) if self._audit_log is not None else None

    @property
    def _memory(self) -> int:
        """Bytes, for all of them."""
        whole = self._settings.memory or share_of(memory_limit())
        return whole - whole // GROUPS_PART if self.configuration.groups else whole

    @property
    def _is_fair(self) -> bool:
        # Without tokens all who come from one address are one caller, and on loopback there is just one.
        ours, tokens = self._settings, self.configuration.tokens
        return (not tokens.has_one_caller if tokens else not is_private(ours)) or bool(ours.oidc_issuer or ours.jwks)

    def memory_of_groups(self) -> Budget:
        whole = self._settings.memory or share_of(memory_limit())
        return Budget(whole // GROUPS_PART, self._is_fair)

    def _access(self, name: str, before: Service | None) -> Access | None:
        """The rules for this MCP, with what was spent under those before them. Whether there are any is an option of this process, which no reload changes."""
        tokens = self.configuration.tokens
        if not isinstance(tokens, Keys):
            return None
        is_remote = self.configuration.mcps[name][0].remote is not None if name in self.configuration.mcps else False
        return Access(tokens.callers, name, before.access if before else None, is_remote)

    def start(self, services: Iterable[Service]) -> None:
        """Start these, no more at a time than the machine can bear."""
        for service in services:
            service.report.is_waiting = True
            self._waiting.append(service)
        self._start_some(asyncio.get_running_loop().time())

    def _start_some(self, now: float) -> None:
        self._starting = {one: start for one, start in self._starting.items() if one.state in STARTING and start.is_busy(one, now)}
        while self._waiting and len(self._starting) < STARTS:
            service = self._waiting.pop(0)
            service.report.is_waiting = False
            if service is self.current.get(service.name):
                service.start()
                self._starting[service] = Start(now, now)

    def reload(self, configuration: Configuration, endpoints: Endpoints) -> dict[str, list[str]]:
        """What did not change goes on; the rest finishes and is replaced, and so is what was given up, which is tried again.
        Returns the names by what became of them."""
        before, self.configuration = self.configuration.mcps, configuration
        mcps = configuration.mcps
        same = [name for name in mcps if before.get(name) == mcps[name] and self.current[name].state != State.FATAL]
        became = {
            "added": [name for name in mcps if name not in before],
            "changed": [name for name in mcps if name in before and name not in same],
            "removed": [name for name in before if name not in mcps],
            "unchanged": same,
        }
        replaced = {name: self.current.pop(name) for name in (*became["changed"], *became["removed"])}
        for service in replaced.values():
            self.leaving.append(service)
            self._spawn(self._retire(service))
        for service in self:  # those that go on, and those that finish what they began
            if (access := self._access(service.name, service)) is not None:
                service.hold_to(access)
        for name in became["removed"]:
            endpoints.unmount(name)
        for name in (*became["changed"], *became["added"]):
            service = self.current[name] = self._service(name, replaced.get(name))
            if name in replaced:
                service.succeed(replaced[name])
            endpoints.mount(name, service)
        self.start([self.current[name] for name in (*became["changed"], *became["added"])])
        return became

    async def _retire(self, service: Service) -> None:
        """Let a service finish what it began, then end its streams and its children."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.drain_timeout
        try:
            await service.finish(lambda: loop.time() >= deadline, "the server was changed or removed by a reload")
            service.streams.close()
            await service.stop()
        except Exception:  # the other MCPs go on
            _log.exception("bug in the bridge", extra={"facts": {"mcp": service.name}})
        self.leaving.remove(service)
        for other in self.current.values():
            if other.older is service:
                other.older = None

    def sweep(self, now: float, groups: Iterable[Group] = ()) -> None:
        self._start_some(now)
        for served in (*self, *groups):
            try:
                served.sweep(now)
            except Exception:  # what is due for the others must not wait for a bug of ours
                _log.exception("bug in the bridge", extra={"facts": {"mcp": served.name}})
