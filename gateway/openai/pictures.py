"""Pictures inside an answer, as base64: the only bytes of works that ever cross the gateway.

They are read from storage piece by piece and sent on at once, so that a picture is never whole in
memory; how large one may be and how many answers carry some at once is bounded.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Self
from urllib.parse import urlsplit

import httpx
import orjson
from atelier.works.v1 import works_pb2
from starlette.types import Receive, Scope, Send

from gateway.openai.faults import Fault

log = logging.getLogger(__name__)

PICTURE_BYTES_MAX = 8 << 20
ANSWERS_MAX = 4
READ_SECONDS = 30.0
# A multiple of three bytes, so that pieces of base64 join without padding.
_PIECE_BYTES = 48 << 10


class Storage:
    """Reads pictures from storage by their presigned addresses.

    Args:
        endpoint: Of the storage, as this process reaches it; empty: nothing is read.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        self.answers = asyncio.Semaphore(ANSWERS_MAX)
        self._client = httpx.AsyncClient(timeout=READ_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    def check(self) -> None:
        """Checks that bytes can be read at all.

        Raises:
            Fault: This gateway is not told where the storage is.
        """
        if not self._endpoint:
            message = "'b64_json' is not available here; ask for 'url'."
            code = "unsupported_parameter"
            raise Fault(400, message, code=code, param="response_format")

    async def open(self, stack: AsyncExitStack, download: works_pb2.Download) -> httpx.Response:
        """Begins to read a picture.

        The address is signed for the host by which clients reach the storage; here it may have
        another one.

        Raises:
            Fault: It is too large, or the storage does not give it.
        """
        if download.size_bytes > PICTURE_BYTES_MAX:
            message = "The picture is too large for b64_json; ask for 'url'."
            raise Fault(500, message, kind="server_error", code="picture_too_large")
        signed = urlsplit(download.url)
        url = f"{self._endpoint}{signed.path}?{signed.query}"
        headers = {"host": signed.netloc, "accept-encoding": "identity"}
        try:
            response = await stack.enter_async_context(
                self._client.stream("GET", url, headers=headers)
            )
        except httpx.HTTPError as error:
            log.warning("storage does not answer", extra={"error": repr(error)})
            raise _away() from None
        if response.status_code != 200:
            log.warning("storage refuses", extra={"status": response.status_code})
            raise _away()
        return response


def _away() -> Fault:
    return Fault(503, "The picture cannot be read now.", kind="server_error", code="unavailable")


class Encoded:
    """An answer with pictures in it: an ASGI application.

    Args:
        storage: From where they are read.
        created: When they were asked for, in Unix seconds.
        pictures: Where each is, and the prompt that it was drawn by.
    """

    def __init__(
        self, storage: Storage, created: int, pictures: Sequence[tuple[works_pb2.Download, str]]
    ) -> None:
        # Named, so that nobody compresses what is compressed already.
        self.raw_headers = [
            (b"content-type", b"application/json"),
            (b"content-encoding", b"identity"),
            (b"cache-control", b"no-store"),
        ]
        self._storage = storage
        self._created = created
        self._pictures = pictures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the pictures one after another; a storage that breaks off breaks the answer."""
        async with self._storage.answers, AsyncExitStack() as stack:
            try:
                first = await self._storage.open(stack, self._pictures[0][0])
            except Fault as fault:
                answer = fault.response()
                answer.raw_headers += self.raw_headers[3:]  # what every answer carries
                await answer(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for piece in self._pieces(first):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _pieces(self, first: httpx.Response) -> AsyncIterator[bytes]:
        yield b'{"created":%d,"data":[' % self._created
        for number, (download, prompt) in enumerate(self._pictures):
            async with AsyncExitStack() as stack:
                response = await self._storage.open(stack, download) if number else first
                yield b',{"b64_json":"' if number else b'{"b64_json":"'
                async for piece in response.aiter_bytes(_PIECE_BYTES):
                    yield binascii.b2a_base64(piece, newline=False)
            yield b'","revised_prompt":%b}' % orjson.dumps(prompt)
        yield b"]}"
