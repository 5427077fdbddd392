"""A group's tables. They are those of every service (`http/admission.py`), but for what a message's member looks at.

Rules for callers, how often they may call and room for a call have no rows here: a message goes through all of its member's own. What the
audit has of the group is what it answers or refuses by itself: a message that goes on to a member is in that one's lines (`Call.is_passed_on`).
"""

from bridge.group.service import Group
from bridge.http.admission import Admission
from bridge.http.call import Step, Steps
from bridge.http.modern import Modern, without_envelope
from bridge.http.record import record, record_modern
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
    open_connection,
    other_method,
    revision,
    session,
    size,
    split,
    stream_left,
    tell,
    well_formed,
)


class GroupAdmission(Admission):
    def __init__(self, group: Group):
        self.modern = modern = Modern()
        route, rate = group.routes.route, group.routes.rate

        def table(first: Step, *steps: Step) -> Steps:
            return steps if group.audit is None else (first, *steps)

        batch = Batch(request=table(record, route), notification=(tell,))

        self.unreadable = (size, content, well_formed)

        self.request = table(record, revision, not_draining, session, route)
        self.initialize = table(record, revision, not_draining, rate, initialize)
        self.notification = (revision, not_draining, session, notification)
        self.batch = (batch_of_handshake_era, revision, not_draining, session, split, batch)
        self.listen = (handshake_era, accepts_events, revision, not_draining, rate, stream_left, session)
        self.delete = (handshake_era, revision, session, end)
        self.other = (handshake_era, other_method)

        self.modern_request = table(record_modern, modern.envelope_and_headers, not_draining, route)
        self.modern_notification = (without_envelope,)

        self.connect = (not_draining, rate, stream_left)
        self.connected_request = table(record, not_draining, connection_session, route)
        self.connected_initialize = table(record, rate, open_connection)
        self.connected_notification = (notification,)
        self.connected_batch = (is_open, split, batch)
