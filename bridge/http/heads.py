"""A request's head comes whole, soon and in bounds, or its connection is closed.

uvicorn waits for a head without end and collects whatever comes of it, so that a few clients who send a byte now and
then (slowloris) would hold all file descriptors. The clock runs from the connection's first moment, and later from the
first bytes of a head that has not come whole. A request that comes in one piece, as nearly all do, starts no clock.
Idle connections between two requests have uvicorn's own limit (`timeout_keep_alive`).
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 1 << 16  # bytes of a request's head beside those of its first read
_NEWLINE = 13  # \r; \n is smaller. A parser skips any number of them before a request


class HeadsProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, impatient with heads. Who inherits it says when `head_begins` and when `head_is_whole`.

    `bridge.head_timeout` is the patience in seconds; 0 is no limit.
    """

    def __init__(self, *args, bridge, **kwargs):
        super().__init__(*args, **kwargs)
        self.bridge = bridge
        self.in_head = False
        self.head_size = 0
        self.clock = None  # runs while a head is owed

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head = self.in_head
        super().data_received(data)
        if self.in_head:
            self._start_clock()
            if was_in_head:  # uvicorn would collect it without end
                self.head_size += len(data)
                if self.head_size > MAX_HEAD:
                    self.in_head = False
                    self.send_400_response("The head of the request is too long.")
        elif data[0] <= _NEWLINE and self.timeout_keep_alive_task is None and not self._is_answering():
            self._start_clock()  # uvicorn has stopped its own for an empty line

    def head_begins(self) -> None:
        self.in_head, self.head_size = True, 0

    def head_is_whole(self) -> None:
        self.in_head = False
        if self.clock is not None:
            self._stop_clock()

    def _start_clock(self) -> None:
        if self.clock is None and self.bridge.head_timeout and not self.transport.is_closing():
            self.clock = self.loop.call_later(self.bridge.head_timeout, self._overdue)

    def _stop_clock(self) -> None:
        if self.clock is not None:
            self.clock.cancel()
            self.clock = None

    def _overdue(self) -> None:
        self.clock = None
        if self._is_answering():  # the head of a request that was sent behind another one
            self._start_clock()
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or self.cycle is not None and not self.cycle.response_complete
