"""A request's head comes whole, soon and in bounds, or its connection is closed; so is one that idles for long.

uvicorn waits for a head without end and collects whatever comes of it, so that a few clients who send a byte now and
then (slowloris) would hold all file descriptors. The time runs from the connection's first moment, and later from the
first bytes of a head that has not come whole. A request that comes in one piece, as nearly all do, is not timed.

A connection has one timer, which is not set anew for each request: when it fires it looks at what is due. uvicorn sets and
cancels one after every answer, which costs as much as parsing the message, and forgets it when anything comes, even the rest
of a body whose request was refused long ago.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 1 << 16  # bytes of a request's head beside those of its first read
NEVER = float("inf")


class HeadsProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, impatient with heads. Who inherits it says when `head_begins` and when `head_is_whole`.

    `bridge.head_timeout` is the patience in seconds; 0 is no limit. That with idle connections is uvicorn's `timeout_keep_alive`.
    """

    def __init__(self, *args, bridge, **kwargs):
        super().__init__(*args, **kwargs)
        self.bridge = bridge
        self.in_head = False
        self.head_size = 0
        self.head_due = NEVER  # when a head that is owed must be whole
        self.idle_due = NEVER  # when the next request must have begun
        self.timer = None
        self.looks = NEVER  # when it fires

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self._owe_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head = self.in_head
        super().data_received(data)
        if self.in_head:
            self._owe_head()
            if was_in_head:  # uvicorn would collect it without end
                self.head_size += len(data)
                if self.head_size > MAX_HEAD:
                    self.in_head = False
                    self.send_400_response("The head of the request is too long.")

    def on_response_complete(self) -> None:
        """As uvicorn's, but for the timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.idle_due = self.loop.time() + self.timeout_keep_alive
            if self.idle_due < self.looks:
                self._set_timer()

    def head_begins(self) -> None:
        self.in_head, self.head_size, self.idle_due = True, 0, NEVER

    def head_is_whole(self) -> None:
        self.in_head, self.head_due = False, NEVER

    def _owe_head(self) -> None:
        if self.head_due == NEVER and self.bridge.head_timeout and not self.transport.is_closing():
            self.head_due = self.loop.time() + self.bridge.head_timeout
            self._set_timer()

    def _set_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.looks = min(self.head_due, self.idle_due)
        self.timer = self.loop.call_at(self.looks, self._look)

    def _look(self) -> None:
        """Something was due when the timer was set, and perhaps is no more."""
        self.timer, self.looks = None, NEVER
        now = self.loop.time()
        if self.head_due <= now and self._is_answering():  # the head of a request that was sent behind another one
            self.head_due = now + self.bridge.head_timeout
        due = min(self.head_due, self.idle_due)
        if due <= now:
            self.transport.close()
        elif due < NEVER:
            self._set_timer()

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or self.cycle is not None and not self.cycle.response_complete
