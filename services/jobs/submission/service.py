"""Use cases of submissions. Whoever changes a job locks its row first, then its items'."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atelier.jobs.v1 import jobs_pb2 as pb

from kit.database import ReadSession, Row, Session, idempotency
from kit.errors import NotFound
from kit.paging import Page, PageRequest
from services.jobs.domain import FINAL, State
from services.jobs.live.record import record
from services.jobs.queue import store as queue
from services.jobs.settle import end_items, open_items
from services.jobs.submission import store
from services.jobs.submission.domain import NewJob

UNKNOWN_CATEGORY_WORKERS = 1


@dataclass(frozen=True)
class Seen:
    """A job as it is shown.

    Attributes:
        job: The row.
        items: Its items, in order.
        ahead: What waits ahead of it.
    """

    job: Row
    items: Sequence[Row]
    ahead: Row | None


async def accept(
    session: Session, job: NewJob, key: idempotency.Key, drive_seconds: float
) -> pb.Job | None:
    """Writes the intent of a submission, or returns the answer that its key was given before.

    Raises:
        IdempotencyKeyReused: The key was used for another request.
        IdempotencyKeyInUse: Its first request is still being answered.
    """
    before = await idempotency.begin(session, key, pb.Job)
    if before is not None:
        return before
    await queue.ensure_category(session, job.category, UNKNOWN_CATEGORY_WORKERS)
    await store.insert(session, job, drive_seconds)
    return None


async def refuse(session: Session, job_id: uuid.UUID, key: idempotency.Key) -> None:
    """Takes back the intent of a submission that was refused; its key is free again."""
    if await store.delete_created(session, job_id):
        await idempotency.free(session, key)


async def enqueue(
    session: Session, job_id: uuid.UUID, held: Mapping[uuid.UUID, Mapping[str, int]]
) -> Seen:
    """Queues a job whose credits are held and whose works exist; again changes nothing.

    Raises:
        NotFound: The job was taken back meanwhile.
    """
    job = await store.lock_job(session, job_id)
    if job is None:
        raise NotFound("the submission was refused")
    if job["state"] != State.CREATED:
        return await _seen(session, job)
    items = await store.items(session, [job_id])
    await store.set_held(session, [{"id": item_id, **pools} for item_id, pools in held.items()])
    if job["cancel_requested"]:
        await end_items(session, job, items, State.CANCELED)
    else:
        await _queue(session, job, items)
    return await _seen(session, await store.job_by_id(session, job_id) or job)


async def _queue(session: Session, job: Row, items: Sequence[Row]) -> None:
    tags: list[dict[str, object]] = []
    for item in items:
        seconds = float(item["estimated_seconds"])
        tag = await store.next_tag(session, job["category"], job["user_id"], seconds)
        tags.append({"id": item["id"], "tag": tag})
    await store.queue_items(session, tags)
    await store.set_state(session, job["id"], State.QUEUED, [State.CREATED], final=False)
    await record(session, job["id"], "queued", State.QUEUED)


async def give_up(session: Session, job_id: uuid.UUID, code: str, message: str) -> None:
    """Fails a created job that was refused after its answer had gone out."""
    job = await store.lock_job(session, job_id)
    if job is None or job["state"] != State.CREATED:
        return
    items = await store.items(session, [job_id])
    await end_items(session, job, items, State.FAILED, error_code=code, error_message=message)


async def get(session: ReadSession, user_id: uuid.UUID, job_id: uuid.UUID) -> Seen:
    """Reads a job.

    Raises:
        NotFound: It is not the user's.
    """
    job = await store.job(session, user_id, job_id)
    if job is None:
        raise NotFound("there is no such job")
    return await _seen(session, job)


async def accepted_by_key(session: ReadSession, user_id: uuid.UUID, key: str) -> Seen | None:
    """Reads the job that an idempotency key made, once it is past ``created``."""
    job = await store.job_by_key(session, user_id, key)
    return await _seen(session, job) if job is not None else None


async def list_jobs(
    session: ReadSession, user_id: uuid.UUID, request: PageRequest, wanted: store.Filter
) -> Page[Seen]:
    """Reads a page of the user's jobs."""
    page = await store.page(session, user_id, request, wanted)
    items = await store.items(session, [row["id"] for row in page.rows])
    seen = [
        Seen(row, [item for item in items if item["job_id"] == row["id"]], None)
        for row in page.rows
    ]
    return Page(seen, page.next_cursor)


async def cancel(session: Session, user_id: uuid.UUID, job_id: uuid.UUID) -> Seen:
    """Cancels what is not final: what waits now, what runs at its next step.

    Raises:
        NotFound: The job is not the user's.
    """
    job = await store.lock_job(session, job_id)
    if job is None or job["user_id"] != user_id:
        raise NotFound("there is no such job")
    if job["state"] not in FINAL:
        await store.request_cancel(session, job_id)
        # A created job is ended by whoever drives it on, once its hold is known.
        if job["state"] != State.CREATED:
            # Locked, since a claim takes an item without its job.
            items = open_items(await store.lock_items(session, job_id))
            running = [item for item in items if item["state"] == State.RUNNING]
            await queue.request_cancel(session, [item["id"] for item in running])
            waiting = [item for item in items if item["state"] != State.RUNNING]
            await end_items(session, job, waiting, State.CANCELED)
    return await _seen(session, await store.job_by_id(session, job_id) or job)


async def _seen(session: ReadSession, job: Row) -> Seen:
    ahead = await store.ahead(session, job["id"]) if job["state"] not in FINAL else None
    return Seen(job, await store.items(session, [job["id"]]), ahead)
