"""``Prefer: wait=N`` (RFC 7240): an answer that may come later is waited for, within bounds.

Who waits has a place among the streams, not among the requests in work: a few callers who wait for
a minute each must not shut the door to all others.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping

import grpc
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.exchange import Exchange
from gateway.sse import Place, Streams, TooManyStreams
from kit.errors import DomainError

WAIT_SECONDS_MAX = 60
_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)

Outcome = Callable[[], Awaitable[Response]]


def wait_seconds(headers: Mapping[str, str]) -> int | None:
    """Returns how long the client would wait, at most ``WAIT_SECONDS_MAX``.

    A preference that cannot be read is no preference.
    """
    found = _WAIT.search(headers.get("prefer", ""))
    return min(int(found[1]), WAIT_SECONDS_MAX) if found else None


def heeded(
    seconds: int,
    accepted: Response,
    outcome: Outcome,
    exchange: Exchange,
    streams: Streams,
    caller: str,
) -> Response | Awaited:
    """Returns what waits for an outcome and answers with it, or with what was accepted.

    What was accepted stands: where no place is free, or no time given, it is the answer at once,
    and ``Preference-Applied`` says whether the preference was heeded.
    """
    place = None
    if seconds:
        try:
            place = streams.admit(caller)
        except TooManyStreams:
            return accepted
    accepted.headers["preference-applied"] = f"wait={seconds}"
    return Awaited(accepted, outcome, exchange, seconds, place) if place else accepted


class Awaited:
    """The answer that comes when what was accepted is final: an ASGI application.

    Args:
        accepted: The answer where that does not come in time.
        outcome: Makes the answer when it is final.
        exchange: The request.
        seconds: To wait at most.
        place: Among the streams of this replica.
    """

    def __init__(
        self,
        accepted: Response,
        outcome: Outcome,
        exchange: Exchange,
        seconds: float,
        place: Place,
    ) -> None:
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self._accepted = accepted
        self._outcome = outcome
        self._exchange = exchange
        self._seconds = seconds
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Waits until the outcome, the end of the time, or the gateway's, and answers."""
        try:
            answer = await self._final() or self._accepted
        finally:
            self._place.release()
        answer.raw_headers += self.raw_headers
        await answer(scope, receive, send)

    async def _final(self) -> Response | None:
        """Returns the final answer if it comes in time and the client stays, else None.

        What fails meanwhile is no failure of the request: it was accepted, and its answer says so.
        """
        waiting = asyncio.ensure_future(self._outcome())
        leaving = asyncio.ensure_future(self._exchange.gone())
        try:
            await asyncio.wait(
                (waiting, leaving, self._place.closing),
                timeout=self._seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not waiting.done():
                return None
            final = waiting.result()
            final.headers["preference-applied"] = f"wait={self._seconds}"
            return final
        except (grpc.aio.AioRpcError, DomainError):
            return None
        finally:
            waiting.cancel()
            leaving.cancel()
