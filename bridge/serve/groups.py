"""The groups that are served: made from the configuration, changed by a reload."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Protocol

from bridge import log
from bridge.budget import Budget
from bridge.callers.audit import Audit
from bridge.group.admission import GroupAdmission
from bridge.group.plan import Plan
from bridge.group.service import Group
from bridge.http.admission import Admission
from bridge.http.service import Service as Served
from bridge.service import Service
from bridge.settings import Settings


class Endpoints(Protocol):
    """Where requests for a group come in."""

    def open(self, name: str, service: Served, admission: Admission) -> None: ...

    def unmount(self, name: str) -> None: ...


class Groups:
    """By name. `services` are the MCPs of now; `memory` is for all groups together: what their clients hold of the members counts there."""

    def __init__(
        self,
        services: Mapping[str, Service],
        settings: Settings,
        key: bytes,
        memory: Budget,
        audit: Callable[[str], Audit | None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ):
        self._given = services, settings, key, memory
        self._audit = audit  # of the service of a name
        self._spawn = spawn
        self.current: dict[str, Group] = {}

    def __iter__(self) -> Iterator[Group]:
        return iter(self.current.values())

    def read(self, plans: Mapping[str, Plan], endpoints: Endpoints) -> None:
        """Serve these. Sessions with a group that stays go on, but where a member has changed of which they held more."""
        for name in [name for name in self.current if name not in plans]:
            endpoints.unmount(name)
            self._spawn(self._retire(self.current.pop(name)))
        for name, plan in plans.items():
            if name in self.current:
                self.current[name].renew(plan)
            else:
                services, settings, key, memory = self._given
                group = self.current[name] = Group(plan, services, settings, key, memory, log.Log(group=name), self._audit(name))
                endpoints.open(name, group, GroupAdmission(group))

    async def _retire(self, group: Group) -> None:
        """Let a group that is no more finish what it began."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + group.settings.drain_timeout
        await group.finish(lambda: loop.time() >= deadline, for_good=True)
        group.close()
        await group.stop()
