"""The studio as one caller of this face has it: jobs and works, with the caller's own token."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from atelier.jobs.v1 import jobs_pb2
from atelier.jobs.v1.jobs_pb2_grpc import JobsServiceStub
from atelier.templates.v1 import templates_pb2
from atelier.templates.v1.templates_pb2_grpc import TemplatesServiceStub
from atelier.works.v1 import works_pb2
from atelier.works.v1.works_pb2_grpc import WorksServiceStub
from google.protobuf import json_format, struct_pb2

from gateway.exchange import Exchange
from gateway.keys import Keys
from kit import telemetry
from kit.errors import InvalidArgument
from kit.ids import uuid7
from kit.rpc import status
from kit.rpc.client import bridged

log = logging.getLogger(__name__)

CALL_SECONDS = 30.0
CANCEL_SECONDS = 5.0
# A work is filled by an event soon after its item has ended.
FILL_SECONDS = 60.0
_PAUSES = (0.02, 0.5)
_RECONNECT_SECONDS = 0.2
_FINAL = (
    jobs_pb2.STATE_SUCCEEDED,
    jobs_pb2.STATE_FAILED,
    jobs_pb2.STATE_CANCELED,
    jobs_pb2.STATE_EXPIRED,
)
R = TypeVar("R")


@dataclass(frozen=True)
class Wanted:
    """What is to be made.

    Attributes:
        template_id: By which template.
        work_type: Which of its works.
        variations: How many.
        inputs: Of its form.
    """

    template_id: str
    work_type: str
    variations: int
    inputs: Mapping[str, Any]


@dataclass
class Outcome:
    """What is known of a job's items, by their id.

    Attributes:
        items: The items that have ended.
        recipes: How they were made.
    """

    items: dict[str, jobs_pb2.Item] = field(default_factory=dict)
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def note(self, item: jobs_pb2.Item, recipe_json: str) -> None:
        """Notes the end of an item."""
        self.items[item.id] = item
        self.recipes[item.id] = json.loads(recipe_json) if recipe_json else {}

    def delivered(self) -> list[jobs_pb2.Item]:
        """Returns the items that were made, in the order of their variations."""
        made = [each for each in self.items.values() if each.state == jobs_pb2.STATE_SUCCEEDED]
        return sorted(made, key=lambda each: each.variation)


@dataclass(frozen=True)
class Studio:
    """What a caller does with the studio.

    Attributes:
        channels: By domain.
        keys: Turns an API key into a fresh token.
        exchange: The caller's request.
    """

    channels: Mapping[str, grpc.aio.Channel]
    keys: Keys
    exchange: Exchange

    async def templates(self) -> list[templates_pb2.Template]:
        """Returns the templates on the shelf, at most a hundred."""
        stub = TemplatesServiceStub(self.channels["templates"])
        request = templates_pb2.ListTemplatesRequest(limit=100)
        answer = await self._call("templates", stub.ListTemplates, request)
        return list(answer.data)

    async def submit(self, wanted: Wanted) -> jobs_pb2.Job:
        """Submits a job; the client's idempotency key is the job's."""
        values = struct_pb2.Struct()
        json_format.ParseDict(dict(wanted.inputs), values)
        submission = jobs_pb2.Submission(
            template_id=wanted.template_id,
            outputs=[wanted.work_type],
            variations=wanted.variations,
            inputs=values,
        )
        request = jobs_pb2.SubmitJobRequest(submission=submission)
        key = self.idempotency_key or str(uuid7())
        stub = JobsServiceStub(self.channels["jobs"])
        job: jobs_pb2.Job = await self._call(
            "jobs", stub.SubmitJob, request, ("idempotency-key", key)
        )
        return job

    @property
    def idempotency_key(self) -> str:
        """The client's own, or empty."""
        return self.exchange.headers.get("idempotency-key", "")

    async def follow(
        self, job_id: str, outcome: Outcome
    ) -> AsyncGenerator[jobs_pb2.JobEvent, None]:
        """Yields the events of a job until it is final, and fills its outcome.

        A service that restarts is waited for; of a job whose events are gone only the outcome is
        found.
        """
        stub = JobsServiceStub(self.channels["jobs"])
        seen = 0
        while True:
            request = jobs_pb2.StreamJobEventsRequest(job_id=job_id, after_sequence=seen)
            stream = stub.StreamJobEvents(request, metadata=await self._metadata())
            try:
                async for event in stream:
                    seen = event.sequence
                    if event.type == "item_finished":
                        outcome.note(event.item, event.recipe_json)
                    yield event
                    if event.type == "finished":
                        return
            except grpc.aio.AioRpcError as error:
                if status.decode(error).failure.reason == "EVENTS_GONE":
                    break
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(_RECONNECT_SECONDS)
            finally:
                stream.cancel()
        await self._look(job_id, outcome)

    async def _look(self, job_id: str, outcome: Outcome) -> None:
        """Reads the outcome of a job that ended long ago."""
        stub = JobsServiceStub(self.channels["jobs"])
        job = await self._call("jobs", stub.GetJob, jobs_pb2.GetJobRequest(job_id=job_id))
        works = WorksServiceStub(self.channels["works"])
        for item in job.items:
            recipe = ""
            if item.state == jobs_pb2.STATE_SUCCEEDED:
                request = works_pb2.GetWorkRequest(work_id=item.work_id)
                recipe = (await self._call("works", works.GetWork, request)).recipe_json
            outcome.note(item, recipe)

    async def cancel(self, job_id: str) -> bool:
        """Cancels a job that nobody waits for; returns whether it had succeeded already.

        Never raises: what cannot be cancelled ends by itself.
        """
        stub = JobsServiceStub(self.channels["jobs"])
        request = jobs_pb2.CancelJobRequest(job_id=job_id)
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                job = await self._call("jobs", stub.CancelJob, request)
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            log.warning("a job was not cancelled", extra={"job_id": job_id, "error": repr(error)})
            return False
        return bool(job.state in _FINAL and job.succeeded_items)

    async def download(self, work_id: str) -> works_pb2.Download:
        """Returns where a finished picture is, once its work is filled."""
        stub = WorksServiceStub(self.channels["works"])
        request = works_pb2.DownloadWorkRequest(work_id=work_id)
        pause, longest = _PAUSES
        async with asyncio.timeout(FILL_SECONDS):
            while True:
                try:
                    found: works_pb2.Download = await self._call(
                        "works", stub.DownloadWork, request
                    )
                except grpc.aio.AioRpcError as error:
                    if status.decode(error).failure.reason != "WRONG_STATE":
                        raise
                else:
                    return found
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)

    async def _call(
        self,
        domain: str,
        method: Callable[..., Awaitable[R]],
        request: Any,
        *more: tuple[str, str],
    ) -> R:
        metadata = (*await self._metadata(), *more)
        start: Any = lambda: method(request, metadata=metadata, timeout=CALL_SECONDS)  # noqa: E731
        _, answer = await bridged(self.channels[domain], start)
        result: R = answer
        return result

    async def _metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns what goes along with a call; a key's token is fresh for each.

        Raises:
            InvalidArgument: A header has characters that gRPC does not carry.
        """
        refused = await self.keys.open(self.exchange)
        if refused is not None:
            raise refused
        headers = self.exchange.headers
        for name in ("authorization", "idempotency-key"):
            value = headers.get(name, "")
            if not (value.isascii() and value.isprintable()):
                raise InvalidArgument.of(name.title(), "must be printable ASCII")
        given = headers.get("authorization", "")
        authorization = (("authorization", given),) if given else ()
        own = ("x-request-id", self.exchange.request_id)
        return (*authorization, own, *telemetry.carrier().items())
