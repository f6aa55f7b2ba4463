"""JobsService over gRPC."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

from atelier.jobs.v1 import jobs_pb2 as pb

from kit.crash import crash_point
from kit.database import Database, Session, idempotency
from kit.errors import IdempotencyKeyInUse
from kit.identity import Identity, Kind, Signer, Verifier, system
from kit.ids import parse_id
from kit.paging import PageRequest
from kit.rows import enum_word, time_of
from kit.rpc.server import Call
from services.jobs.live.stream import follow, follow_batch, follow_user, jobs_of_batch
from services.jobs.live.watch import Doorbells
from services.jobs.messages import job_message
from services.jobs.submission import service, store
from services.jobs.submission.domain import NewJob
from services.jobs.submission.drive import Driver

TICKET_SECONDS = 600
# What a ticket for all jobs of a user names.
EVERYTHING = "events"


class JobsApi:
    """Translates between messages and use cases."""

    def __init__(
        self,
        database: Database,
        driver: Driver,
        doorbells: Doorbells,
        signer: Signer,
        verifier: Verifier,
    ) -> None:
        self._database = database
        self._driver = driver
        self._doorbells = doorbells
        self._signer = signer
        self._verifier = verifier
        self._house = system(database.role)

    async def SubmitJob(self, request: pb.SubmitJobRequest, call: Call) -> pb.Job:
        user_id = call.identity.user
        key = idempotency.Key.of(user_id, "SubmitJob", call.idempotency_key, request)
        before = await self._replay(key)
        if before is not None:
            return before
        job = await self._driver.resolve(user_id, request.submission, key.key)
        if request.dry_run:
            call.answer_status(200)
            return _quote(job)
        answer = await self._driver.submit(job, key)
        if isinstance(answer, pb.Job):
            return answer
        message = self._message(answer)
        await self._database.write(self._house, _keep_answer, key, message)
        crash_point("submit.answer_kept")
        return message

    async def _replay(self, key: idempotency.Key) -> pb.Job | None:
        try:
            return await self._database.read(self._house, idempotency.replay, key, pb.Job)
        except IdempotencyKeyInUse:
            # A crash may have come between the job's queueing and its answer: it is the answer.
            seen = await self._database.read(
                self._house, service.accepted_by_key, key.principal, key.key
            )
            if seen is None:
                raise
            return self._message(seen)

    async def GetJob(self, request: pb.GetJobRequest, call: Call) -> pb.Job:
        job_id = parse_id(request.job_id, "job_id")
        seen = await self._database.read(call.identity, service.get, call.identity.user, job_id)
        return self._message(seen)

    async def ListJobs(self, request: pb.ListJobsRequest, call: Call) -> pb.ListJobsResponse:
        wanted = PageRequest.of(request.limit, request.after)
        page = await self._database.read(
            call.identity, service.list_jobs, call.identity.user, wanted, _filter(request)
        )
        return pb.ListJobsResponse(
            data=[self._message(seen) for seen in page.rows],
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        )

    async def CancelJob(self, request: pb.CancelJobRequest, call: Call) -> pb.Job:
        job_id = parse_id(request.job_id, "job_id")
        seen = await self._database.write(call.identity, service.cancel, call.identity.user, job_id)
        crash_point("cancel.recorded")
        await self._doorbells.ring(job_id)
        for item in seen.items:
            if item["cancel_requested"]:
                await self._doorbells.ring_cancel(item["id"])
        return self._message(seen)

    async def StreamJobEvents(
        self, request: pb.StreamJobEventsRequest, call: Call
    ) -> AsyncIterator[pb.JobEvent]:
        job_id = parse_id(request.job_id, "job_id")
        identity = self._reader(request.ticket, request.job_id, call)
        async for event in follow(
            self._database, self._doorbells, identity, job_id, max(request.after_sequence, 0)
        ):
            yield event

    async def StreamBatchEvents(
        self, request: pb.StreamBatchEventsRequest, call: Call
    ) -> AsyncIterator[pb.JobEvent]:
        batch_id = parse_id(request.batch_id, "batch_id")
        identity = self._reader(request.ticket, f"batch:{batch_id}", call)
        async for event in follow_batch(
            self._database,
            self._doorbells,
            identity,
            batch_id,
            max(request.after_feed_sequence, 0),
        ):
            yield event

    async def StreamEvents(
        self, request: pb.StreamEventsRequest, call: Call
    ) -> AsyncIterator[pb.JobEvent]:
        identity = self._reader(request.ticket, EVERYTHING, call)
        resumes = request.HasField("after_feed_sequence")
        after = max(request.after_feed_sequence, 0) if resumes else None
        async for event in follow_user(self._database, self._doorbells, identity, after):
            yield event

    async def CreateEventsTicket(
        self, request: pb.CreateEventsTicketRequest, call: Call
    ) -> pb.EventsTicket:
        path, thing = "/v1/events", EVERYTHING
        if request.batch_id:
            batch_id = parse_id(request.batch_id, "batch_id")
            await jobs_of_batch(self._database, call.identity, batch_id)
            path, thing = f"/v1/batches/{batch_id}/events", f"batch:{batch_id}"
        ticket = self._signer.ticket(call.identity.user, thing, TICKET_SECONDS)
        return pb.EventsTicket(events_url=f"{path}?ticket={ticket}", expires_in=TICKET_SECONDS)

    def _reader(self, ticket: str, thing: str, call: Call) -> Identity:
        if ticket and call.identity.kind is Kind.NOBODY:
            return self._verifier.verify_ticket(ticket, thing)
        return call.identity

    def _message(self, seen: service.Seen) -> pb.Job:
        ticket = self._signer.ticket(
            uuid.UUID(str(seen.job["user_id"])), str(seen.job["id"]), TICKET_SECONDS
        )
        return job_message(seen.job, seen.items, ticket, seen.ahead)


def _filter(request: pb.ListJobsRequest) -> store.Filter:
    return store.Filter(
        state=enum_word(pb.State.DESCRIPTOR, request.state),
        project_id=parse_id(request.project_id, "project_id") if request.project_id else None,
        batch_id=parse_id(request.batch_id, "batch_id") if request.batch_id else None,
        category=request.category,
        template_id=request.template_id,
        created_from=time_of(request, "created_from"),
        created_to=time_of(request, "created_to"),
    )


async def _keep_answer(session: Session, key: idempotency.Key, message: pb.Job) -> None:
    await idempotency.finish(session, key, message)


def _quote(job: NewJob) -> pb.Job:
    return pb.Job(
        template_id=job.template_id,
        template_version=job.template_version,
        category=job.category,
        project_id=str(job.project_id),
        credits=pb.Credits(quoted=job.quoted),
        estimated_seconds=sum(item.estimated_seconds for item in job.items),
        items=[
            pb.Item(work_type=item.work_type, variation=item.variation, credits=item.credits)
            for item in job.items
        ],
    )
