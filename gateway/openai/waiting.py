"""Waiting for a job on behalf of a client that waits too, within bounds.

A client without an idempotency key cannot come back for its answer: what it does not wait for is
cancelled, so that nobody pays for what nobody gets. With a key the job goes on, and the same
request finds it.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from atelier.jobs.v1 import jobs_pb2
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import problems
from gateway.openai import faults
from gateway.openai.faults import Fault
from gateway.openai.studio import Outcome, Studio
from gateway.sse import Place
from kit.errors import DomainError
from kit.rpc import status

log = logging.getLogger(__name__)

LAST_SECONDS = 10.0
T = TypeVar("T")
Headers = tuple[tuple[bytes, bytes], ...]


class Why(enum.Enum):
    """Why waiting ended before the job did."""

    LEFT = enum.auto()
    CLOSING = enum.auto()
    DEADLINE = enum.auto()


class Unfinished(Exception):
    """The job was not waited for to its end."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.name)
        self.why = why


@dataclass(frozen=True)
class Visit:
    """One request that waits for a job.

    Attributes:
        studio: The studio as the caller has it.
        job: What was accepted.
        place: Among the streams of this replica.
        seconds: To wait at most.
        headers: What the answer carries.
    """

    studio: Studio
    job: jobs_pb2.Job
    place: Place
    seconds: float
    headers: Headers

    async def attend(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns what work gives.

        Raises:
            Unfinished: The client left, this replica closes, or the time is over.
        """
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self.studio.exchange.gone())
        try:
            await asyncio.wait(
                (working, leaving, self.place.closing),
                timeout=self.seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if working.done():
                return working.result()
            if leaving.done():
                raise Unfinished(Why.LEFT)
            raise Unfinished(Why.CLOSING if self.place.closing.done() else Why.DEADLINE)
        finally:
            working.cancel()
            leaving.cancel()

    async def leave(self) -> bool:
        """Cancels the job unless the client can come back; returns whether it had succeeded."""
        if self.studio.idempotency_key:
            return False
        return await self.studio.cancel(self.job.id)

    async def outcome(self) -> Outcome:
        """Follows the job to its end."""
        outcome = Outcome()
        async with aclosing(self.studio.follow(self.job.id, outcome)) as events:
            async for _ in events:
                pass
        return outcome


@dataclass(frozen=True)
class Waiting:
    """The answer that comes when the job has ended: an ASGI application.

    Attributes:
        visit: Who waits for what.
        make: Makes the answer of an outcome.
    """

    visit: Visit
    make: Callable[[Outcome], Awaitable[ASGIApp]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Waits, and answers unless the client left."""
        try:
            answer = await self._answer()
            if answer is not None:
                answer.raw_headers += self.visit.headers
                await answer(scope, receive, send)
        finally:
            self.visit.place.release()

    async def _answer(self) -> Any:
        visit = self.visit
        try:
            return await visit.attend(self._work())
        except Unfinished as ended:
            had_succeeded = await asyncio.shield(visit.leave())
            if ended.why is Why.LEFT:
                return None
            if had_succeeded:  # at the last moment, and it is paid
                return await self._late()
            return unfinished(ended.why, visit).response()
        except Exception as error:  # whatever it is, it has one shape here
            await asyncio.shield(visit.leave())
            return of_error(error).response()

    async def _work(self) -> ASGIApp:
        return await self.make(await self.visit.outcome())

    async def _late(self) -> Any:
        try:
            async with asyncio.timeout(LAST_SECONDS):
                return await self._work()
        except Exception as error:  # as above
            return of_error(error).response()


def unfinished(why: Why, visit: Visit) -> Fault:
    """The fault of a job that was not waited for to its end."""
    kept = (
        "Send it again with the same Idempotency-Key for its answer."
        if visit.studio.idempotency_key
        else "It was cancelled, and nothing is charged."
    )
    if why is Why.CLOSING:
        return Fault(
            503, f"The server is stopping. {kept}", kind="server_error", code="unavailable"
        )
    message = f"Not finished within {visit.seconds:g} seconds. {kept}"
    return Fault(504, message, kind="server_error", code="timeout")


def of_error(error: BaseException) -> Fault:
    """Turns whatever went wrong into what the client sees."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, DomainError):
        return faults.of_refusal(problems.of_error(error))
    if isinstance(error, grpc.aio.AioRpcError):
        return faults.of_refusal(status.decode(error))
    log.error("request failed", exc_info=error)
    return Fault(500, "An unexpected fault.", kind="server_error", code="internal")


def not_made(outcome: Outcome) -> Fault:
    """The fault of a job that gave nothing: that of its first item."""
    for item in outcome.items.values():
        if item.state == jobs_pb2.STATE_FAILED:
            return faults.of_code(item.error_code, item.error_message)
    return Fault(400, "The job was cancelled, and nothing is charged.", code="job_canceled")
