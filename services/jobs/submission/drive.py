"""Driving a submission on: resolve, write the intent, hold, create works, queue.

Every step can be repeated, so that a sweeper ends what a crash interrupted. A refusal before the
answer leaves nothing; an unknown outcome leaves the job ``created`` for the sweeper.
"""

from __future__ import annotations

import json
import logging
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import grpc
from atelier.accounts.v1 import credits_pb2, credits_pb2_grpc
from atelier.jobs.v1 import jobs_pb2 as pb
from atelier.templates.v1 import templates_pb2, templates_pb2_grpc
from atelier.works.v1 import projects_pb2, projects_pb2_grpc, works_pb2, works_pb2_grpc

from kit.bus import Bus
from kit.crash import crash_point
from kit.database import Database, ReadSession, Row, idempotency
from kit.identity import system
from kit.ids import parse_id, uuid7
from kit.rows import enum_word, enum_words
from kit.rpc import status
from kit.rpc.client import ServiceChannel
from services.jobs.submission import service, store
from services.jobs.submission.domain import SEED_BITS, NewItem, NewJob, seed_of, text_of

log = logging.getLogger(__name__)

# These say nothing about whether the call took effect.
_UNKNOWN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    # Of the last try: an earlier one may have taken effect before its connection broke.
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}
_WORK_TYPE = enum_words(works_pb2.WorkType.DESCRIPTOR)
HOLD_SECONDS = 5.0


@dataclass(frozen=True)
class Neighbours:
    """The services that a submission needs."""

    accounts: ServiceChannel
    works: ServiceChannel
    templates: ServiceChannel


class Driver:
    """Takes submissions from request to queue."""

    def __init__(
        self, database: Database, bus: Bus, neighbours: Neighbours, drive_seconds: float
    ) -> None:
        self._database = database
        self._bus = bus
        self._house = system(database.role)
        self._drive_seconds = drive_seconds
        self._neighbours = neighbours
        self._credits = credits_pb2_grpc.CreditsServiceStub(neighbours.accounts.channel)
        self._projects = projects_pb2_grpc.ProjectsServiceStub(neighbours.works.channel)
        self._works = works_pb2_grpc.WorksServiceStub(neighbours.works.channel)
        self._templates = templates_pb2_grpc.TemplatesServiceStub(neighbours.templates.channel)

    async def resolve(self, user_id: uuid.UUID, submission: pb.Submission, key: str) -> NewJob:
        """Checks and prices a submission; nothing is written.

        Raises:
            grpc.aio.AioRpcError: The refusal of templates or of works, as it is.
        """
        if submission.project_id:
            parse_id(submission.project_id, "submission.project_id")
        resolved = await self._neighbours.templates.call(
            self._templates.ResolveSubmission,
            templates_pb2.ResolveSubmissionRequest(
                template_id=submission.template_id,
                category=submission.category,
                outputs=submission.outputs,
                variations=submission.variations,
                inputs=submission.inputs,
            ),
            on_behalf_of=user_id,
        )
        project = await self._neighbours.works.call(
            self._projects.ResolveProject,
            projects_pb2.ResolveProjectRequest(
                user_id=str(user_id), project_id=submission.project_id
            ),
        )
        return _new_job(user_id, resolved, project, key)

    async def submit(self, job: NewJob, key: idempotency.Key) -> service.Seen | pb.Job:
        """Accepts a submission; returns the job, or the answer that its key was given before.

        Raises:
            grpc.aio.AioRpcError: The hold was refused; nothing is left.
        """
        before = await self._database.write(
            self._house, service.accept, job, key, self._drive_seconds
        )
        if before is not None:
            return before
        intent = await self._intent(job.id)
        try:
            held = await self._hold(intent)
        except grpc.aio.AioRpcError as error:
            if error.code() in _UNKNOWN:
                return await self._later(job)
            crash_point("submit.refused")
            await self._database.write(self._house, service.refuse, job.id, key)
            raise
        try:
            return await self._drive_held(intent, held)
        except grpc.aio.AioRpcError:
            # Credits are held: without the job nobody would release them.
            return await self._later(job)

    async def _later(self, job: NewJob) -> service.Seen:
        log.warning("submission goes on later", extra={"job": str(job.id)})
        return await self._database.read(self._house, service.get, job.user_id, job.id)

    async def drive(self, job_id: uuid.UUID) -> service.Seen:
        """Holds, creates works and queues; what was done before is not done again.

        Raises:
            grpc.aio.AioRpcError: A neighbour refused or could not be reached.
        """
        intent = await self._intent(job_id)
        return await self._drive_held(intent, await self._hold(intent))

    async def _intent(self, job_id: uuid.UUID) -> _Intent:
        crash_point("submit.intent_written")
        return await self._database.read(self._house, _intent, job_id)

    async def _drive_held(
        self, intent: _Intent, held: Mapping[uuid.UUID, Mapping[str, int]]
    ) -> service.Seen:
        crash_point("submit.held")
        await self._create_works(intent)
        crash_point("submit.works_created")
        seen = await self._database.write(self._house, service.enqueue, intent.job["id"], held)
        crash_point("submit.queued")
        for pool in {item["pool"] for item in seen.items}:
            await self._bus.ring(f"jobs.wake.{pool}")
        return seen

    async def resume(self, job_id: uuid.UUID, *, is_last: bool) -> None:
        """Drives on a created job that was taken over; a refusal now fails the job.

        Args:
            job_id: The job.
            is_last: Whether it fails too where nothing is known; what may be held is released.
        """
        try:
            await self.drive(job_id)
        except grpc.aio.AioRpcError as error:
            if error.code() in _UNKNOWN and not is_last:
                return
            refusal = status.decode(error)
            code = refusal.failure.code
            await self._database.write(self._house, service.give_up, job_id, code, refusal.message)

    async def _hold(self, intent: _Intent) -> dict[uuid.UUID, dict[str, int]]:
        job, items = intent
        lines = [
            credits_pb2.HoldLine(
                item_id=str(item["id"]), work_id=str(item["work_id"]), amount=item["credits"]
            )
            for item in items
        ]
        reply = await self._neighbours.accounts.call(
            self._credits.HoldCredits,
            credits_pb2.HoldCreditsRequest(
                job_id=str(job["id"]), payer_id=str(job["payer_id"]), lines=lines
            ),
            timeout_seconds=HOLD_SECONDS,
            waits=False,
        )
        return {uuid.UUID(hold.item_id): _by_pool(hold.by_pool) for hold in reply.holds}

    async def _create_works(self, intent: _Intent) -> None:
        job, items = intent
        await self._neighbours.works.call(
            self._works.CreateWorks,
            works_pb2.CreateWorksRequest(
                job_id=str(job["id"]),
                batch_id=str(job["batch_id"]),
                project_id=str(job["project_id"]),
                user_id=str(job["user_id"]),
                category=job["category"],
                template_id=job["template_id"],
                inputs_json=job["inputs_json"],
                text=text_of(json.loads(job["inputs_json"])),
                works=[
                    works_pb2.NewWork(
                        work_id=str(item["work_id"]),
                        type=_WORK_TYPE[item["work_type"]],
                        variation=item["variation"],
                    )
                    for item in items
                ],
            ),
            waits=False,
        )


class _Intent(NamedTuple):
    """A submission as it was written; it does not change any more."""

    job: Row
    items: Sequence[Row]


async def _intent(session: ReadSession, job_id: uuid.UUID) -> _Intent:
    job = await store.job_by_id(session, job_id)
    if job is None:
        raise LookupError(f"job {job_id} was taken back")
    return _Intent(job, await store.items(session, [job_id]))


def _by_pool(amounts: Sequence[credits_pb2.PoolAmount]) -> dict[str, int]:
    pools = {"subscription": 0, "purchased": 0}
    for amount in amounts:
        pools[enum_word(credits_pb2.Pool.DESCRIPTOR, amount.pool)] = amount.amount
    return pools


def _new_job(
    user_id: uuid.UUID,
    resolved: templates_pb2.ResolvedSubmission,
    project: projects_pb2.ResolveProjectResponse,
    key: str,
) -> NewJob:
    inputs = json.loads(resolved.inputs_json)
    return NewJob(
        id=uuid7(),
        user_id=user_id,
        payer_id=uuid.UUID(project.payer_id),
        project_id=uuid.UUID(project.project_id),
        batch_id=uuid7(),
        template_id=resolved.template_id,
        template_version=resolved.template_version,
        category=resolved.category,
        inputs_json=resolved.inputs_json,
        graph_json=resolved.graph_json,
        text=text_of(inputs),
        seed=seed_of(inputs, secrets.randbits(SEED_BITS)),
        idempotency_key=key,
        items=[
            NewItem(
                id=uuid7(),
                work_id=uuid7(),
                work_type=item.work_type,
                variation=item.variation,
                credits=item.credits,
                estimated_seconds=item.estimated_seconds,
                pool=item.pool,
            )
            for item in resolved.items
        ],
    )
