"""The outbox of one POST: its answer as a JSON body, or as an event stream once something has to precede it.

JSON is the default because it has no size limit at the clients (SDK 2.x refuses a single event over 1 MiB) and costs one
write. The choice is made late: by the first message that is not the answer, or by a sign of life for an answer that
takes long.
"""

from typing import ClassVar

from msgspec import Struct

from bridge.callers.access import OwnName, View
from bridge.http.request import Response
from bridge.http.service import Entry, Service
from bridge.http.stream import COMMENT, Stream, frame, open_stream
from bridge.protocol.outbox import Outbox
from bridge.protocol.replay import Recording
from bridge.protocol.revisions import has_priming
from bridge.protocol.session import Session


class Reply(Struct, eq=False):
    """What one POST waits for, and in which form its client takes it. `response` is how it leaves."""

    service: Service
    session: Session
    takes_json: bool
    takes_events: bool
    response: Response
    stream: Stream | None = None
    recording: Recording | None = None
    entry: Entry | None = None
    _is_over: bool = False
    answers_cancelled: ClassVar[bool] = True

    def put(self, message: bytes) -> bool:
        if not self.takes_events or self._is_over:
            return False
        self._event(message)
        return True

    def answer(self, message: bytes) -> None:
        self._is_over = True
        if self.entry is not None:
            self.entry.end("ok", len(message))
        if self.recording is None and self.takes_json:
            self.service.counts.bytes_out += len(message)
            self.response.json(message)
        else:
            self._event(message)
            if self.stream:
                self.stream.close()
        if not self.session.id:  # it was for this request
            self.service.end(self.session)

    def wait(self) -> None:
        if self.takes_events and self.recording is None and not self._is_over:
            self._become_stream()
            if self.stream:
                self.stream.push(COMMENT)

    def resume(self, stream: Stream) -> None:
        """The client came back for this stream: what follows goes to its new response."""
        if self.stream:
            self.stream.close()
        self.stream = stream
        stream.is_standing = False
        if self._is_over:
            stream.close()

    def _become_stream(self) -> Recording:
        if self.recording is not None:
            return self.recording
        service = self.service
        recording = self.recording = service.replay.open(self.session, self)
        self.stream = open_stream(service, self.session.principal, self.session.caller)
        self.stream.is_standing = False
        if has_priming(self.session.revision):
            # 2025-11-25, basic/transports: an event id at once, so that the stream can be resumed from its start.
            self.stream.push(b"id: %b\ndata: \n\n" % service.replay.add(recording, b"").encode())
        self.response.events(self.stream)
        return recording

    def _event(self, message: bytes) -> None:
        event_id = self.service.replay.add(self._become_stream(), message)
        if self.stream and not self.stream.push(frame(message, event_id)):
            self.stream = None


class BatchOutbox:
    """The outbox of a batch's requests: one answer for all of them (2025-03-26, basic: "Batching")."""

    __slots__ = ("missing", "outbox", "parts")
    answers_cancelled = True

    def __init__(self, outbox: Outbox, count: int):
        self.outbox = outbox
        self.missing = count
        self.parts: list[bytes] = []

    def put(self, message: bytes) -> bool:
        return self.outbox.put(message)

    def answer(self, message: bytes) -> None:
        self.parts.append(message)
        if len(self.parts) == self.missing:
            self.outbox.answer(b"[" + b",".join(self.parts) + b"]")

    def wait(self) -> None:
        self.outbox.wait()


class OutboxWrapper:
    """An outbox around another one, for who wants to see, or to change, the answer on its way."""

    __slots__ = ("outbox",)

    def __init__(self, outbox: Outbox):
        self.outbox = outbox

    @property
    def answers_cancelled(self) -> bool:
        return self.outbox.answers_cancelled

    def put(self, message: bytes) -> bool:
        return self.outbox.put(message)

    def answer(self, message: bytes) -> None:
        self.outbox.answer(message)

    def wait(self) -> None:
        self.outbox.wait()


class FilteredOutbox(OutboxWrapper):
    """The outbox of a request for a list, of which its caller may not see everything."""

    __slots__ = ("method", "own_name", "view")

    def __init__(self, outbox: Outbox, view: View, method: str, own_name: OwnName):
        super().__init__(outbox)
        self.view, self.method, self.own_name = view, method, own_name

    def answer(self, message: bytes) -> None:
        super().answer(self.view.cut(self.method, message, self.own_name))


class StreamOutbox:
    """The outbox of a session's GET stream: unrelated messages, each with an event id."""

    __slots__ = ("recording", "service", "session", "stream")
    answers_cancelled = False

    def __init__(self, service: Service, session: Session, stream: Stream):
        self.service = service
        self.session = session
        self.stream = stream
        self.recording = service.replay.open(session, self)

    def put(self, message: bytes) -> bool:
        if self.stream.closed:
            return False
        return self.stream.push(frame(message, self.service.replay.add(self.recording, message)))

    answer = put

    def wait(self) -> None:
        pass

    def close(self) -> None:
        self.session.unlisten(self)
        self.stream.close()
        self.service.replay.close(self.recording)
