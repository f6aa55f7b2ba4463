"""One request to the API, as the transcoder reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive, Scope

from kit.errors import DomainError

BODY_BYTES_MAX = 1 << 20
DEPTH_MAX = 32
_JSON = "application/json"


class MalformedBody(DomainError):
    """The body is not JSON, or ended early."""

    reason = "MALFORMED_BODY"


class BodyTooLarge(DomainError):
    """The body is larger than ``BODY_BYTES_MAX``."""

    reason = "BODY_TOO_LARGE"


class BodyTooDeep(DomainError):
    """The body is nested deeper than ``DEPTH_MAX``."""

    reason = "BODY_TOO_DEEP"


class RequestTimeout(DomainError):
    """The body did not arrive in time."""

    reason = "REQUEST_TIMEOUT"


class UnsupportedMediaType(DomainError):
    """The body is of a type that is not read here."""

    reason = "UNSUPPORTED_MEDIA_TYPE"


class Exchange:
    """A request's parts, each read once.

    Attributes:
        verb: The method in capitals; HEAD is shown as GET.
        headers: By lower-case name.
        request_id: The id in logs and problems.
        api_key: The API key with which the caller came, or empty.
    """

    api_key = ""

    def __init__(self, scope: Scope, receive: Receive, body_seconds: float) -> None:
        self.scope = scope
        self.verb: str = "GET" if scope["method"] == "HEAD" else scope["method"]
        self.headers: Mapping[str, str] = scope["state"]["headers"]
        self.request_id: str = scope["state"]["request_id"]
        self._receive = receive
        self._body_seconds = body_seconds

    @property
    def address(self) -> str:
        """The client's address, behind trusted proxies the one that they name."""
        client = self.scope.get("client")
        return client[0] if client else ""

    def query(self) -> dict[str, list[str]]:
        """Returns the parameters of the query with all their values."""
        found: dict[str, list[str]] = {}
        text = self.scope["query_string"].decode("latin-1")
        for name, value in parse_qsl(text, keep_blank_values=True) if text else ():
            found.setdefault(name, []).append(value)
        return found

    async def json(self) -> Any:
        """Reads the body; without one an empty object.

        Raises:
            UnsupportedMediaType: It is said to be something else than JSON.
            BodyTooLarge: It is larger than ``BODY_BYTES_MAX``.
            RequestTimeout: It did not arrive in time.
            MalformedBody: It is not JSON, or ended early.
            BodyTooDeep: It is nested deeper than ``DEPTH_MAX``.
        """
        _check_type(self.headers.get("content-type", _JSON))
        length = self.headers.get("content-length", "")
        if length.isdecimal() and int(length) > BODY_BYTES_MAX:
            raise _too_large()
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._read()
        except TimeoutError:
            message = f"the body did not arrive within {self._body_seconds:g} seconds"
            raise RequestTimeout(message) from None
        return _parse(body) if body else {}

    async def _read(self) -> bytes:
        body: bytes = b""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise MalformedBody("the body ended early")
            body += message.get("body", b"")
            if len(body) > BODY_BYTES_MAX:
                raise _too_large()
            if not message.get("more_body"):
                return body

    async def gone(self) -> None:
        """Returns when the client has closed the connection; the body must have been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {BODY_BYTES_MAX} bytes", limit=BODY_BYTES_MAX)


def _check_type(given: str) -> None:
    media = given.partition(";")[0].strip().lower()
    if media != _JSON and not (media.startswith("application/") and media.endswith("+json")):
        raise UnsupportedMediaType(f"send the body as {_JSON}")


def _parse(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The parser has a limit of its own, far above ours.
        if "depth limit" in error.msg:
            raise _too_deep() from None
        raise MalformedBody(f"the body is not JSON: {error.msg}") from None
    # Brackets bound the depth from above: only a body with many is walked.
    if body.count(b"{") + body.count(b"[") > DEPTH_MAX and _is_deep(value):
        raise _too_deep()
    return value


def _too_deep() -> BodyTooDeep:
    return BodyTooDeep(f"the body is nested deeper than {DEPTH_MAX} levels", limit=DEPTH_MAX)


def _is_deep(value: Any) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
