"""HTTP/1.1 as uvicorn reads it, with limits on what comes before the application is asked.

Uvicorn bounds neither headers nor the time that they take; both end here as problem documents.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway import problems
from kit.ids import uuid7

URI_BYTES_MAX = 8 << 10
HEADER_BYTES_MAX = 32 << 10
HEADERS_MAX = 100
# What is still read of a body after its request was answered; then the connection is cut.
DISCARDED_BYTES_MAX = 8 << 20


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
    """

    header_seconds = 10.0
    _reason = "MALFORMED_REQUEST"
    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _unfinished_bytes = 0
    _discarded_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
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

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # ours says what is wrong
        self._headers_came()
        self.transport.write(_problem(self._reason))
        self.transport.close()

    def _refuse(self, reason: str) -> None:
        self._reason = reason
        raise _Refused(reason)

    def _expect_headers(self) -> None:
        self._deadline = self.loop.call_later(self.header_seconds, self._too_slow)

    def _headers_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._reason = "REQUEST_TIMEOUT"
        self.send_400_response("")


def protocol(header_seconds: float) -> type[Wire]:
    """Makes the protocol class that a server is given."""
    return type("Wire", (Wire,), {"header_seconds": header_seconds})


def _problem(reason: str) -> bytes:
    refusal = problems.of_reason(reason, _TEXTS[reason])
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
