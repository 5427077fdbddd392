"""How a client comes to its session: it opens one, names one that it has, or is given one (LiteLLM)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

import msgspec
from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.era import MODERN
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, Reason, Refusal
from bridge.protocol.facts import Facts
from bridge.protocol.revisions import HANDSHAKE, WITHOUT_HEADER, of_header
from bridge.protocol.session import COST, NO_OBJECT, Session, Sessions, can_be_asked
from bridge.service.child import child_of, relay_of
from bridge.service.children import Children
from bridge.service.setup import Setup

LONGEST_SELF = 1 << 20  # bytes of what a client says of itself, which is kept for as long as its session; icons may be in it
LITELLM_PATIENCE = 4.0  # seconds that LiteLLM may wait for `initialize`: one slow server delays all of its list
STREAMABLE = "streamable-http"

Opened = tuple[Session | None, bytes | Refusal]


class InitializeParams(msgspec.Struct):
    protocolVersion: str
    capabilities: Raw = NO_OBJECT
    clientInfo: Raw = NO_OBJECT


@dataclass(frozen=True)
class Initialize:
    """What a client asks for when it opens its session. Without a revision it asked for one that we do not know."""

    revision: str | None
    capabilities: Raw
    client: Raw

    @property
    def size(self) -> int:
        return COST + len(memoryview(self.capabilities)) + len(memoryview(self.client))

    @classmethod
    def of(cls, message: Envelope) -> "Initialize | Refusal":
        try:
            params = msgspec.json.decode(message.params, type=InitializeParams)
            for raw in (params.capabilities, params.clientInfo):
                if len(memoryview(raw)) > LONGEST_SELF:
                    return Refusal(
                        200,
                        INVALID_PARAMS,
                        f"initialize: capabilities and clientInfo may have {LONGEST_SELF} bytes each",
                        reason=Reason.SIZE,
                    )
                envelope.members(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return Refusal(
                200, INVALID_PARAMS, f"initialize: {error}" if message.params else "initialize needs params", reason=Reason.REQUEST
            )
        wanted = params.protocolVersion
        # Copies: the session keeps them, and a slice would keep the whole body.
        return cls(wanted if wanted in HANDSHAKE else None, params.capabilities.copy(), params.clientInfo.copy())


class Opening:
    """`end` ends a session whose client did not wait until it was open."""

    def __init__(self, setup: Setup, sessions: Sessions, children: Children, end: Callable[[Session], None]):
        settings = setup.settings
        self._sessions = sessions
        self._children = children
        self._end = end
        self._now = setup.now
        self._counts = setup.counts
        self._log = setup.log
        self._is_litellm = setup.is_litellm
        self._isolation = settings.isolation
        self._is_serial = settings.max_in_flight == 1
        ready_wait = setup.policy.ready_wait
        self._patience = min(LITELLM_PATIENCE, ready_wait) if setup.is_litellm else ready_wait

    def initialize(
        self, transport: str, message: Envelope, principal: str, session: Session | None, caller: str
    ) -> Opened | Awaitable[Opened]:
        """Open a session, or greet one again on its own connection. It comes with its answer, or a refusal instead of both; at
        once where nothing has to be waited for."""
        asked = Initialize.of(message)
        if isinstance(asked, Refusal):
            return None, asked
        if session is not None:
            session.revision, answer = self._agree(session, asked)
            return session, envelope.result(message.id, answer)
        if not self._sessions.make_room(caller, self._now(), asked.size):
            return None, self.softened(self._sessions.no_room(caller))
        # Nobody can use it before it is greeted, which may take its child's whole start: until then it does not idle.
        session = self._sessions.open(
            transport,
            float("inf"),
            revision=asked.revision or WITHOUT_HEADER,
            capabilities=asked.capabilities,
            client=asked.client,
            principal=principal,
            own_child=self.gets_own_child(asked),
            caller=caller,
        )
        relay = self._children.shared.relay
        if session.own_child or self._children.is_by_principal or relay.facts is None:
            return self._connect(session, asked, message)
        relay.join(session)
        return session, self._greet(session, asked, message)

    def find(self, id: bytes | None, principal: str, headers: Mapping[bytes, bytes]) -> tuple[Session | None, Refusal | None]:
        """The session that a request names (basic/transports, "Session Management"). One without a relay is to be connected."""
        sessions, text, now = self._sessions, (id or b"").decode("latin-1"), self._now()
        session = sessions.find(text, principal, now) if text else None
        if session is not None:
            return session, None
        if self._is_litellm:
            return self.adopt(STREAMABLE, principal, headers, text if text and sessions.may_adopt(text, principal, now) else ""), None
        return None, sessions.missing(id, principal, now)

    def seat(self, guest: Session, principal: str) -> Session | Refusal:
        """A session here for a client that has one with a group; it is to be connected, and ends with that one."""
        asked = Initialize(guest.revision, guest.capabilities, guest.client)
        if not self._sessions.make_room(guest.caller, self._now(), asked.size):
            return self._sessions.no_room(guest.caller)
        self._counts.sessions[(guest.transport, guest.revision)] += 1
        return self._sessions.open(
            guest.transport,
            self._now(),
            revision=guest.revision,
            capabilities=asked.capabilities,
            client=asked.client,
            principal=principal,
            own_child=self.gets_own_child(asked),
            caller=guest.caller,
        )

    def adopt(self, transport: str, principal: str, headers: Mapping[bytes, bytes] | None = None, id: str = "") -> Session:
        """A session for a client that has none, or one that we do not know. Without an id it is for one request."""
        session = self._sessions.adopt(transport, id, of_header(headers or {}), principal, self._now())
        relay = self._children.child_for(session).relay
        if session.id or transport != STREAMABLE:
            relay.join(session)
        else:  # for one request: news are not for it, and nothing of it stays
            session.relay = relay
        return session

    def softened(self, refusal: Refusal) -> Refusal:
        return refusal.softened() if self._is_litellm else refusal

    async def _connect(self, session: Session, asked: Initialize, message: Envelope) -> Opened:
        try:
            refusal = await self._children.connect(session)
            if not refusal and (why := await child_of(session).known(self._patience)):
                refusal = Refusal(200, INTERNAL_ERROR, why, reason=Reason.CHILD)
        except asyncio.CancelledError:  # its connection is gone
            self._end(session)
            raise
        if refusal:
            self._end(session)
            return None, self.softened(refusal)
        return session, self._greet(session, asked, message)

    def _greet(self, session: Session, asked: Initialize, message: Envelope) -> bytes:
        """Agree on a revision, seal that into the session's id, and answer."""
        session.touched = self._now()
        session.revision, answer = self._agree(session, asked)
        self._sessions.seal(session)
        self._counts.sessions[(session.transport, session.revision)] += 1
        if self._log.is_debug:
            self._log.debug(
                "session opened",
                session=session.label,
                transport=session.transport,
                revision=session.revision,
                own_child=session.own_child,
                client=_client_name(asked.client),
            )
        return envelope.result(message.id, answer)

    def _agree(self, session: Session, asked: Initialize) -> tuple[str, bytes]:
        facts = cast(Facts, relay_of(session).facts)  # it was waited for
        return facts.answer(asked.revision, hide_tasks=not session.own_child, hide_list_changed=self._is_litellm)

    def gets_own_child(self, asked: Initialize) -> bool:
        if self._children.eras.main == MODERN:
            return False  # a modern child keeps nothing of a client, and asks through the bridge
        if self._isolation == "auto":
            return not self._is_serial and can_be_asked(asked.capabilities)
        return self._isolation == "session"


def _client_name(client: Raw) -> str:
    info = envelope.members(client)
    return (envelope.string(info.get("name", Raw(b'""'))) or "")[:80]
