"""HTTP/1.1 as uvicorn reads it, with limits on what comes before the application is asked.

Uvicorn bounds neither headers nor the time that they take; both end here as problem documents. Nor
does it close a connection on which something comes after an answer that is no request, or whose
client does not read what it asked for.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway import problems
from kit import metrics
from kit.ids import uuid7

URI_BYTES_MAX = 8 << 10
HEADER_BYTES_MAX = 32 << 10
HEADERS_MAX = 100
# What is still read of a body after its request was answered; then the connection is cut.
DISCARDED_BYTES_MAX = 8 << 20
# What metrics call a request that was refused before it could be read.
_UNREAD = "unread"


class _Refused(Exception):
    """Ends the parsing of a request; its answer is on record."""


_TEXTS = {
    "URI_TOO_LONG": f"the address is longer than {URI_BYTES_MAX} bytes",
    "HEADERS_TOO_LARGE": f"more than {HEADER_BYTES_MAX} bytes or {HEADERS_MAX} fields of headers",
    "REQUEST_TIMEOUT": "the headers did not arrive in time",
    "MALFORMED_REQUEST": "the request is not HTTP/1.1",
}


class Wire(HttpToolsProtocol):
    """A connection whose headers are bounded in size, number and time.

    Attributes:
        header_seconds: For the headers of one request, from its first byte; for a new connection
            from its opening.
        write_seconds: In which a client must take some of what waits for it to read.
    """

    header_seconds = 10.0
    write_seconds = 30.0
    _reason = "MALFORMED_REQUEST"
    _deadline: asyncio.TimerHandle | None = None
    _next_deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None
    _unread_bytes = 0
    _expected_at = 0.0
    _header_bytes = 0
    _unfinished_bytes = 0
    _discarded_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        self._next_came()
        self._was_read()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._next_came()
        self._header_bytes = self._unfinished_bytes = self._discarded_bytes = 0
        if self._deadline is None:
            self._expect_headers()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > URI_BYTES_MAX:
            self._refuse("URI_TOO_LONG")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADER_BYTES_MAX or len(self.headers) > HEADERS_MAX:
            self._refuse("HEADERS_TOO_LARGE")

    def on_headers_complete(self) -> None:
        self._headers_came()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > DISCARDED_BYTES_MAX:
                self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        were_expected = self._deadline is not None
        super().data_received(data)
        # The parser reports a header when it is whole: one that never ends is bounded here.
        if were_expected and self._deadline is not None:
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > URI_BYTES_MAX + HEADER_BYTES_MAX:
                self._reason = "HEADERS_TOO_LARGE"
                self.send_400_response("")
        if self._is_idle():
            self._expect_next()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # ours says what is wrong
        self._headers_came()
        self.transport.write(_problem(self._reason, self.loop.time() - self._expected_at))
        self._close()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._was_read()

    def _refuse(self, reason: str) -> None:
        self._reason = reason
        raise _Refused(reason)

    def _expect_headers(self) -> None:
        self._expected_at = self.loop.time()
        self._deadline = self.loop.call_later(self.header_seconds, self._too_slow)

    def _headers_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_idle(self) -> bool:
        """Whether the last request was answered, and the next has not begun."""
        answered = self.cycle is not None and self.cycle.response_complete
        return answered and self._deadline is None and not self.transport.is_closing()

    def _expect_next(self) -> None:
        """Closes the connection unless a request begins; more of anything else wins no time.

        Whatever comes ends uvicorn's own timer, and after an answer nothing sets it again: the rest
        of a body that was refused, or a blank line, would keep the connection for ever.
        """
        if self._next_deadline is None:
            self._next_deadline = self.loop.call_later(self.timeout_keep_alive, self._close)

    def _next_came(self) -> None:
        if self._next_deadline is not None:
            self._next_deadline.cancel()
            self._next_deadline = None

    def _close(self) -> None:
        """Closes the connection; what is still to be read is waited for within bounds."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._expect_reading()

    def _expect_reading(self) -> None:
        """Cuts the connection unless something is read in time, and again until all is."""
        self._was_read()
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._write_deadline = self.loop.call_later(self.write_seconds, self._look_at_reading)

    def _look_at_reading(self) -> None:
        if self.transport.get_write_buffer_size() < self._unread_bytes:
            self._expect_reading()
        else:
            self.transport.abort()

    def _was_read(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _too_slow(self) -> None:
        self._reason = "REQUEST_TIMEOUT"
        self.send_400_response("")


def protocol(header_seconds: float, write_seconds: float) -> type[Wire]:
    """Makes the protocol class that a server is given."""
    return type("Wire", (Wire,), {"header_seconds": header_seconds, "write_seconds": write_seconds})


def _problem(reason: str, seconds: float) -> bytes:
    refusal = problems.of_reason(reason, _TEXTS[reason])
    metrics.HTTP_SECONDS.labels(_UNREAD, refusal.failure.http_status).observe(seconds)
    metrics.HTTP_REFUSALS.labels(refusal.failure.code).inc()
    request_id = str(uuid7())
    body = orjson.dumps(problems.document(refusal, request_id))
    fields: dict[str, Any] = {
        "content-type": problems.MEDIA_TYPE,
        "content-length": len(body),
        "x-request-id": request_id,
        "connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return bytes(STATUS_LINE[refusal.failure.http_status] + head.encode() + b"\r\n" + body)
