"""A safety check by HTTP: a moderation service of one's own, or an adapter to somebody's.

The picture goes as JPEG in a POST, its prompt beside it; the answer is a JSON object::

    POST <url>  {"image": "<base64 JPEG>", "prompt": "..."}
    200         {"allowed": true, "score": 0.98, "flags": []}
"""

from __future__ import annotations

import asyncio
import base64
from types import TracebackType
from typing import Self

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from inference.engine.errors import CheckFailed
from inference.engine.pictures import files as pictures
from inference.engine.safety.port import Verdict

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 20.0
TRIES = 2
ANSWER_BYTES_MAX = 64 << 10
FLAGS_MAX = 32


class _Answer(BaseModel):
    allowed: bool
    score: float = Field(ge=0, le=1)
    flags: list[str] = Field(default_factory=list, max_length=FLAGS_MAX)


class External:
    """Asks an address for a verdict.

    Args:
        url: Where it takes POSTs.
        answer_seconds: How long one try may take, to the last byte of its answer.
    """

    def __init__(self, url: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._url = url
        self._answer_seconds = answer_seconds
        timeout = httpx.Timeout(answer_seconds, connect=CONNECT_SECONDS)
        self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def judge(self, pixels: NDArray[np.uint8], prompt: str) -> Verdict:
        """Judges one picture; a check that does not answer is asked once more.

        Raises:
            CheckFailed: It cannot be reached, is too slow, or says no verdict.
        """
        jpeg = await asyncio.to_thread(pictures.encode_jpeg, pixels)
        body = {"image": base64.b64encode(jpeg).decode(), "prompt": prompt}
        reason = ""
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(self._answer_seconds):
                    status, answer = await self._ask(body)
            except (httpx.HTTPError, TimeoutError) as error:
                reason = type(error).__name__
                continue
            if status == httpx.codes.OK:
                return _verdict(answer)
            reason = f"HTTP {status}"
        raise CheckFailed(f"the safety check gave no verdict: {reason}")

    async def _ask(self, body: dict[str, str]) -> tuple[int, bytes]:
        """The status of an answer, and as much of it as is read of any.

        It is asked for as it is, because a small packed one may be a large one.
        """
        said, asked_for = bytearray(), {"accept-encoding": "identity"}
        async with self._client.stream("POST", self._url, json=body, headers=asked_for) as answer:
            async for part in answer.aiter_raw():
                said += part
                if len(said) > ANSWER_BYTES_MAX:
                    break
            return answer.status_code, bytes(said)


def _verdict(body: bytes) -> Verdict:
    if len(body) > ANSWER_BYTES_MAX:
        raise CheckFailed("the safety check's answer is too long")
    try:
        said = _Answer.model_validate_json(body)
    except ValidationError as error:
        raise CheckFailed("the safety check's answer is no verdict") from error
    return Verdict(said.allowed, said.score, tuple(said.flags), "external")
