"""Use cases of workers. A report whose token is not the item's own changes nothing."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from atelier.jobs.v1 import events_pb2, queue_pb2

from kit.database import Row, Session
from kit.errors import InvalidArgument
from services.jobs.domain import FailureClass, LeaseLost, RetryPolicy, State
from services.jobs.live.record import NOTHING_WRITTEN, Shown, Written, record
from services.jobs.queue import store
from services.jobs.queue.store import Lease
from services.jobs.settle import end_items
from services.jobs.submission import store as submissions

STEP_OUTPUT_BYTES_MAX = 256 << 10
PREVIEW_BYTES_MAX = 32 << 10
TEXT_LENGTH_MAX = 4_000
MESSAGE_LENGTH_MAX = 500
RETRIES = RetryPolicy()


@dataclass(frozen=True)
class Beat:
    """What a heartbeat says of a worker's leases."""

    canceled: list[uuid.UUID]
    lost: list[uuid.UUID]


@dataclass(frozen=True)
class Expired:
    """An item whose worker fell silent."""

    job_id: uuid.UUID
    item_id: uuid.UUID


async def heartbeat(session: Session, leases: Sequence[Lease], lease_seconds: float) -> Beat:
    """Renews leases; the answer names what is to be stopped."""
    kept = {row["id"]: row for row in await store.heartbeat(session, leases, lease_seconds)}
    return Beat(
        canceled=[item_id for item_id, row in kept.items() if row["cancel_requested"]],
        lost=[lease.item_id for lease in leases if lease.item_id not in kept],
    )


async def note_started(session: Session, lease: Lease) -> None:
    """Shows that an item was claimed; nothing where the claim is over already."""
    job = await store.lock_job_of(session, lease.item_id)
    item = await store.leased(session, lease)
    if job is None or item is None:
        return
    await submissions.set_state(session, job["id"], State.RUNNING, [State.QUEUED], final=False)
    await session.publish(
        events_pb2.ItemStarted(
            item_id=str(item["id"]), job_id=str(job["id"]), work_id=str(item["work_id"])
        )
    )
    await record(session, job["id"], "started", State.RUNNING, item_id=item["id"])


async def progress(
    session: Session,
    lease: Lease,
    percent: int,
    step: str,
    preview: bytes,
    written: Written = NOTHING_WRITTEN,
) -> tuple[uuid.UUID, bool]:
    """Notes how far an item is; returns its job and whether its owner canceled it.

    Raises:
        InvalidArgument: The percentage, the preview or the text is out of its limits.
        LeaseLost: The claim is over.
    """
    if not 0 <= percent <= 99:
        raise InvalidArgument.of("progress", "must be 0 to 99")
    if len(preview) > PREVIEW_BYTES_MAX:
        raise InvalidArgument.of("preview", f"at most {PREVIEW_BYTES_MAX} bytes")
    if len(written.text) > TEXT_LENGTH_MAX or written.at < 0:
        raise InvalidArgument.of("text", f"at most {TEXT_LENGTH_MAX} characters, from 0 on")
    job, item = await _hold_lease(session, lease)
    # Reports may overtake one another.
    await store.progress(session, item["id"], max(percent, item["progress"]), step)
    shown = Shown(preview=preview, written=written)
    await record(session, job["id"], "progress", State.RUNNING, item_id=item["id"], shown=shown)
    return job["id"], bool(item["cancel_requested"])


async def begin_step(
    session: Session, lease: Lease, name: str, content_hash: str
) -> tuple[queue_pb2.StepTurn.ValueType, str]:
    """Says what to do about a step, and its output where it is done.

    Raises:
        LeaseLost: The claim is over.
    """
    job, _ = await _hold_lease(session, lease)
    step = await store.step(session, job["id"], content_hash)
    if step is not None and step["output_json"] is not None:
        return queue_pb2.STEP_TURN_DONE, step["output_json"]
    if step is not None and step["is_held"] and step["token"] != lease.token:
        return queue_pb2.STEP_TURN_WAIT, ""
    await store.take_step(session, job["id"], content_hash, name, lease)
    return queue_pb2.STEP_TURN_RUN, ""


async def finish_step(session: Session, lease: Lease, content_hash: str, output: str) -> None:
    """Keeps a step's output.

    Raises:
        InvalidArgument: The output is too large.
        LeaseLost: The claim is over.
    """
    if len(output.encode()) > STEP_OUTPUT_BYTES_MAX:
        raise InvalidArgument.of("output_json", f"at most {STEP_OUTPUT_BYTES_MAX} bytes")
    job, _ = await _hold_lease(session, lease)
    await store.finish_step(session, job["id"], content_hash, output)


async def deliver(session: Session, lease: Lease, delivery: queue_pb2.Delivery) -> uuid.UUID:
    """Ends an item with what it made; returns its job.

    Raises:
        LeaseLost: The claim is over.
    """
    job, item = await _hold_lease(session, lease)
    await end_items(session, job, [item], State.SUCCEEDED, delivery=delivery)
    return uuid.UUID(str(job["id"]))


async def stop(session: Session, lease: Lease) -> uuid.UUID:
    """Ends an item that its owner canceled; returns its job.

    Raises:
        LeaseLost: The claim is over.
    """
    job, item = await _hold_lease(session, lease)
    await end_items(session, job, [item], State.CANCELED)
    return uuid.UUID(str(job["id"]))


async def fail(
    session: Session, lease: Lease, failure: FailureClass, code: str, message: str
) -> uuid.UUID:
    """Ends an attempt that gave nothing: another one follows, or the item fails.

    Raises:
        LeaseLost: The claim is over.
    """
    job, item = await _hold_lease(session, lease)
    await _retry_or_fail(session, job, item, failure, code, message[:MESSAGE_LENGTH_MAX])
    return uuid.UUID(str(job["id"]))


async def expire_next(session: Session) -> Expired | None:
    """Ends the attempt of a worker that fell silent; None where there is none."""
    found = await store.lock_expired(session)
    if found is None:
        return None
    job = await submissions.lock_job(session, found["job_id"])
    item = await store.still_expired(session, Lease(found["id"], found["token"]))
    if job is None or item is None:  # it reported at the last moment
        return None
    message = "the worker did not report back"
    await _retry_or_fail(session, job, item, FailureClass.INFRA, "attempts_exhausted", message)
    return Expired(job["id"], item["id"])


async def _retry_or_fail(
    session: Session, job: Row, item: Row, failure: FailureClass, code: str, message: str
) -> None:
    if item["cancel_requested"]:
        await end_items(session, job, [item], State.CANCELED)
        return
    jitter = random.random()  # noqa: S311
    delay = RETRIES.delay(failure, item["attempts"], item["infra_failures"], jitter)
    if delay is None:
        await end_items(session, job, [item], State.FAILED, error_code=code, error_message=message)
        return
    await store.requeue(session, item["id"], delay, infra=failure is FailureClass.INFRA)
    await record(session, job["id"], "retrying", State.RUNNING, item_id=item["id"])


async def _hold_lease(session: Session, lease: Lease) -> tuple[Row, Row]:
    job = await store.lock_job_of(session, lease.item_id)
    item = await store.leased(session, lease)
    if job is None or item is None:
        raise LeaseLost("the lease is over", item_id=lease.item_id)
    return job, item
