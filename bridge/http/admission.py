"""Which rules a message goes through, in which order, on each way in: all of them, as lists.

Before a body is read, for every request of every kind (`gate.py`, `headers.py`): no header twice that decides something, Host and Origin
are ours, the token names a caller (`Request.principal`). What follows stands in the tables below, whose rows are steps: `call.py` says what
one may say, `steps.py`, `modern.py` and `service/modern.py` have them. The adapters (`streamable.py`, `sse.py`, `websocket.py`, and `fast.py`
under the first two) build a `Call`, choose its table by what kind of message it is, and say how an answer or a refusal leaves
(`Response`); they decide nothing.

**A rule about the caller** (what it may do, how often, what is written down of it) is one of `caller_rows`: they come
where the caller (`call.request.principal`, `.caller`), its session and its message are known and nothing has been done for it yet, once for
each message, those of a batch included, on every way in and in both eras. Such a row returns None or a Refusal with
`Reason.POLICY` or `Reason.LIMIT`; every refusal of every row is seen by `call._refused`. One that wants to hear of the answer puts an outbox of its
own around that of the call (`Call.outbox`, see `protocol/outbox.py`): `answer(message)` is called once, with the whole answer.
"""

from bridge.http.call import Steps
from bridge.http.modern import Modern, without_envelope
from bridge.http.service import Service
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


class Admission:
    """The tables of one service."""

    def __init__(self, service: Service, caller_rows: Steps = ()):
        rows = caller_rows
        self.modern = modern = Modern()
        calls = service.modern
        batch = Batch(request=(*rows, request), notification=(*rows, tell))

        # What cannot be read as a message, on all ways in. (One that can has been looked at for these.)
        self.unreadable: Steps = (size, content, well_formed)

        # Streamable HTTP of the handshake era.
        self.request: Steps = (revision, not_draining, session, *rows, room, request)
        self.initialize: Steps = (revision, not_draining, *rows, initialize)
        self.notification: Steps = (revision, not_draining, older_service, session, *rows, room, notification)
        self.batch: Steps = (batch_of_handshake_era, revision, not_draining, session, split, room, batch)
        self.listen: Steps = (handshake_era, accepts_events, revision, not_draining, stream_left, session, *rows)
        self.delete: Steps = (handshake_era, revision, session, *rows, end)
        self.other: Steps = (handshake_era, other_method)

        # Streamable HTTP of the modern era.
        self.modern_request: Steps = (
            modern.envelope_and_headers,
            not_draining,
            *rows,
            calls.find_child,
            calls.tool,
            calls.special,
            calls.room,
            calls.send,
        )
        self.modern_notification: Steps = (without_envelope,)

        # HTTP+SSE and WebSocket: the connection itself, and each message on it.
        self.connect: Steps = (not_draining, stream_left, *rows)
        self.connected_request: Steps = (not_draining, connection_session, *rows, room, request)
        self.connected_initialize: Steps = (*rows, open_connection)
        self.connected_notification: Steps = (*rows, room, notification)
        self.connected_batch: Steps = (is_open, split, room, batch)
