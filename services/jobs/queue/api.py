"""QueueService over gRPC."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from atelier.jobs.v1 import queue_pb2 as pb

from kit.crash import crash_point
from kit.database import Database, Row
from kit.errors import InvalidArgument
from kit.identity import system
from kit.ids import parse_id
from kit.rows import enum_word
from kit.rpc.server import Call
from services.jobs.domain import FailureClass
from services.jobs.live.record import Written
from services.jobs.live.watch import Doorbells
from services.jobs.queue import service, store
from services.jobs.queue.store import Lease

SLOTS_MAX = 64


class QueueApi:
    """Translates between messages and use cases."""

    def __init__(self, database: Database, doorbells: Doorbells, lease_seconds: float) -> None:
        self._database = database
        self._doorbells = doorbells
        self._lease_seconds = lease_seconds
        self._house = system(database.role)

    async def Claim(self, request: pb.ClaimRequest, call: Call) -> pb.ClaimResponse:
        if not 1 <= request.slots <= SLOTS_MAX:
            raise InvalidArgument.of("slots", f"must be 1 to {SLOTS_MAX}")
        rows = await self._database.write(
            self._house,
            store.claim,
            list(request.pools),
            request.worker_id,
            request.slots,
            self._lease_seconds,
        )
        crash_point("claim.leased")
        await self._note_started(rows)
        items = [_claimed(row) for row in rows]
        return pb.ClaimResponse(items=items, lease_seconds=self._lease_seconds)

    async def _note_started(self, rows: Sequence[Row]) -> None:
        for row in rows:
            lease = Lease(row["id"], row["token"])
            await self._database.write(self._house, service.note_started, lease)
            crash_point("claim.shown")
            await self._doorbells.ring(row["job_id"])

    async def Heartbeat(self, request: pb.HeartbeatRequest, call: Call) -> pb.HeartbeatResponse:
        leases = [_lease(lease) for lease in request.leases]
        beat = await self._database.write(
            self._house, service.heartbeat, leases, self._lease_seconds
        )
        return pb.HeartbeatResponse(
            cancel_item_ids=[str(item_id) for item_id in beat.canceled],
            lost_item_ids=[str(item_id) for item_id in beat.lost],
        )

    async def ReportProgress(
        self, request: pb.ReportProgressRequest, call: Call
    ) -> pb.ReportProgressResponse:
        job_id, cancel_requested = await self._database.write(
            self._house,
            service.progress,
            _lease(request.lease),
            request.progress,
            request.step,
            request.preview,
            Written(request.text, request.text_at),
        )
        await self._doorbells.ring(job_id)
        return pb.ReportProgressResponse(cancel_requested=cancel_requested)

    async def BeginStep(self, request: pb.BeginStepRequest, call: Call) -> pb.BeginStepResponse:
        turn, output = await self._database.write(
            self._house,
            service.begin_step,
            _lease(request.lease),
            request.step,
            request.content_hash,
        )
        return pb.BeginStepResponse(turn=turn, output_json=output)

    async def FinishStep(self, request: pb.FinishStepRequest, call: Call) -> pb.FinishStepResponse:
        await self._database.write(
            self._house,
            service.finish_step,
            _lease(request.lease),
            request.content_hash,
            request.output_json,
        )
        crash_point("step.recorded")
        return pb.FinishStepResponse()

    async def FinishItem(self, request: pb.FinishItemRequest, call: Call) -> pb.FinishItemResponse:
        job_id = await self._finish(request)
        crash_point("finish.recorded")
        await self._doorbells.ring(job_id)
        return pb.FinishItemResponse()

    async def _finish(self, request: pb.FinishItemRequest) -> uuid.UUID:
        lease = _lease(request.lease)
        outcome = request.WhichOneof("outcome")
        if outcome == "delivered":
            return await self._database.write(
                self._house, service.deliver, lease, request.delivered
            )
        if outcome == "stopped":
            return await self._database.write(self._house, service.stop, lease)
        if outcome == "failed":
            failed = request.failed
            word = enum_word(pb.FailureClass.DESCRIPTOR, failed.failure_class)
            failure = FailureClass(word or "transient")
            return await self._database.write(
                self._house, service.fail, lease, failure, failed.code, failed.message
            )
        raise InvalidArgument.of("outcome", "is required")


def _lease(message: pb.Lease) -> Lease:
    return Lease(parse_id(message.item_id, "lease.item_id"), message.token)


def _claimed(row: Row) -> pb.ClaimedItem:
    return pb.ClaimedItem(
        item_id=str(row["id"]),
        job_id=str(row["job_id"]),
        work_id=str(row["work_id"]),
        user_id=str(row["user_id"]),
        token=row["token"],
        attempt=row["attempts"],
        output=row["work_type"],
        variation=row["variation"],
        graph_json=row["graph_json"],
        inputs_json=row["inputs_json"],
        seed=row["seed"],
        category=row["category"],
        template_id=row["template_id"],
        pool=row["pool"],
        traceparent=row["traceparent"],
    )
