"""Which rules a message goes through, in which order, on each way in: all of them, as lists.

Before a body is read, for every request of every kind (`gate.py`, `headers.py`): no header twice that decides something, Host and Origin
are ours, the token names a caller (`Request.principal`). What follows stands in the tables below, whose rows are steps: `call.py` says what
one may say, `steps.py`, `modern.py` and `service/modern.py` have them. The adapters (`streamable.py`, `sse.py`, `websocket.py`, and `fast.py`
under the first two) build a `Call`, choose its table by what kind of message it is, and say how an answer or a refusal leaves
(`Response`); they decide nothing.

**What a callers file says of the caller** (`permission.py`) has its rows in all of them: `rate` before anything is done, `permit` as the last one
before a request goes on, because what it decides by must be what the child gets. Behind it stands `approved` where tools are hidden that
nobody has approved (`--pin hide`), and nowhere else. `record` (`record.py`) and `trace` (`traces.py`) come first, so that
all of them are written down; `tell_child`, which puts our span into its words, comes last. Every refusal of every row is seen by `call._refused`. A row that
wants to hear of the answer puts an outbox of its own around that of the call, as `permission.shown` does.
"""

from bridge.http.call import Step, Steps
from bridge.http.modern import Modern, without_envelope
from bridge.http.permission import approved, credentials, permit, permit_modern, permit_notice, permit_part, rate, rate_of_batch
from bridge.http.record import record, record_modern
from bridge.http.service import McpService
from bridge.http.steps import (
    Batch,
    accepts_events,
    batch_of_handshake_era,
    connection_session,
    content,
    end,
    handshake_era,
    initialize,
    is_open,
    not_draining,
    notification,
    older_service,
    open_connection,
    other_method,
    request,
    revision,
    room,
    session,
    size,
    split,
    stream_left,
    tell,
    well_formed,
)
from bridge.http.traces import tell_child, trace


class Admission:
    """The tables of one service, without the rows that have nothing to say there: about rules for callers, the audit, traces, what callers
    bring along, and tools that are to be approved. Whether it has them is settled when the service is made, before its tables are; a
    reload only puts other rules in place of rules (`Service.hold_to`), so no table without these rows serves where there are any."""

    def __init__(self, service: McpService):
        self.modern = modern = Modern()
        calls = service.modern
        silent: set[Step] = set()
        if service.access is None:
            silent |= {rate, rate_of_batch, permit, permit_notice, permit_part, permit_modern}
        if service.audit is None:
            silent |= {record, record_modern}
        if service.tracing is None:
            silent |= {trace, tell_child}
        if service.credentials is None:
            silent.add(credentials)
        if service.pins is None or not service.pins.hides:
            silent.add(approved)

        def table(*steps: Step) -> Steps:
            return tuple(step for step in steps if step not in silent)

        batch = Batch(
            request=table(record, trace, permit, approved, credentials, tell_child, request), notification=table(permit_part, tell)
        )

        # What cannot be read as a message, on all transports. (One that can has been looked at for these.)
        self.unreadable = table(size, content, well_formed)

        # Streamable HTTP of the handshake era.
        self.request = table(record, trace, revision, not_draining, rate, session, room, permit, approved, credentials, tell_child, request)
        self.initialize = table(record, trace, revision, not_draining, rate, initialize)
        self.notification = table(revision, not_draining, older_service, session, room, permit_notice, notification)
        self.batch = table(batch_of_handshake_era, revision, not_draining, rate, session, split, rate_of_batch, room, batch)
        self.listen = table(handshake_era, accepts_events, revision, not_draining, rate, stream_left, session)
        self.delete = table(handshake_era, revision, session, end)
        self.other = table(handshake_era, other_method)

        # Streamable HTTP of the modern era.
        self.modern_request = table(
            record_modern,
            trace,
            modern.envelope_and_headers,
            not_draining,
            rate,
            calls.find_child,
            permit_modern,
            approved,
            credentials,
            calls.tool,
            tell_child,
            calls.special,
            calls.room,
            calls.send,
        )
        self.modern_notification = table(without_envelope)

        # HTTP+SSE and WebSocket: the connection itself, and each message on it.
        self.connect = table(not_draining, rate, stream_left)
        self.connected_request = table(
            record, trace, not_draining, rate, connection_session, room, permit, approved, credentials, tell_child, request
        )
        self.connected_initialize = table(record, trace, rate, open_connection)
        self.connected_notification = table(room, permit_notice, notification)
        self.connected_batch = table(is_open, rate, split, rate_of_batch, room, batch)
