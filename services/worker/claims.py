"""Claims and leases: what this worker has, how long it may act on it, and how it lets go.

The worker claims when rung, when a slot frees, and by itself every few seconds. A heartbeat renews
all leases. An item whose lease could not be renewed is let go before the lease ends: after that
somebody else may have it, and whatever is still done here must have no effect.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import grpc
from atelier.jobs.v1 import queue_pb2 as pb

from kit import metrics, telemetry
from kit.crash import crash_point
from services.worker.failures import INFRA, Failed, classify
from services.worker.held import Fate, Held
from services.worker.progress import Progress, Update
from services.worker.queue import LeaseLost, Queue

log = logging.getLogger(__name__)

# Let go this share of the lease before its end: clocks run apart and a call takes time.
MARGIN_SHARE = 0.15
BEAT_AGAIN_SECONDS = 0.5
HAND_BACK_SECONDS = 2.0
_STOPPED_HERE = Failed(INFRA, "unavailable", "The worker was stopped; the item is run again.")

Execute = Callable[[pb.ClaimedItem, Progress], Awaitable[pb.Delivery]]


@dataclass(frozen=True)
class Limits:
    """How a worker claims.

    Attributes:
        slots: Items at once.
        heartbeat_seconds: Between renewals.
        poll_seconds: Between looks without a doorbell; varied by a quarter.
        grace_seconds: For running items when the worker stops.
    """

    slots: int
    heartbeat_seconds: float
    poll_seconds: float
    grace_seconds: float


class Claims:
    """Everything that this worker has claimed, by fencing token."""

    def __init__(
        self,
        queue: Queue,
        execute: Execute,
        worker_id: str,
        open_pools: Callable[[], list[str]],
        limits: Limits,
    ) -> None:
        self._queue = queue
        self._execute = execute
        self._worker_id = worker_id
        self._open_pools = open_pools
        self._limits = limits
        self._held: dict[int, Held] = {}
        self._lease_seconds = 0.0
        self._wake = asyncio.Event()
        self._beat = asyncio.Event()
        self._stopping = False
        self._claiming_ended = asyncio.Event()
        metrics.SLOTS.set(limits.slots)

    def wake(self) -> None:
        """Looks for work now."""
        self._wake.set()

    def look_at(self, item_id: str) -> None:
        """Asks now whether an item is canceled: the doorbell is no proof, the queue is."""
        if any(held.item.item_id == item_id for held in self._held.values()):
            self._beat.set()

    async def claim_forever(self) -> None:
        """Claims until drained."""
        try:
            while not self._stopping:
                self._wake.clear()
                await self._claim()
                jitter = random.uniform(0.75, 1.25)  # noqa: S311
                await _wait(self._wake, self._limits.poll_seconds * jitter)
        finally:
            self._claiming_ended.set()

    async def _claim(self) -> None:
        pools, slots = self._open_pools(), self._limits.slots - len(self._held)
        if not pools or slots <= 0:
            return
        began = asyncio.get_running_loop().time()
        try:
            reply = await self._queue.claim(self._worker_id, pools, slots)
        except grpc.aio.AioRpcError as error:
            log.warning("nothing claimed", extra={"error": error.code().name})
            return
        self._lease_seconds = reply.lease_seconds
        if reply.items:
            crash_point("claim.taken")
        for item in reply.items:
            self._take(item, began)

    def _take(self, item: pb.ClaimedItem, began: float) -> None:
        held = Held(item, self._lapse_timer(item.token, began))
        self._held[item.token] = held
        metrics.SLOTS_BUSY.set(len(self._held))
        held.attending = asyncio.create_task(self._attend(held), name=f"item-{item.item_id}")
        # Not a `finally` of the task: one that is canceled before it begins runs nothing of itself,
        # and its slot and its lease would be kept for ever.
        held.attending.add_done_callback(lambda _: self._let_go(held))

    def _let_go(self, held: Held) -> None:
        held.end(Fate.ABANDONED)
        held.lapse.cancel()
        del self._held[held.item.token]
        metrics.SLOTS_BUSY.set(len(self._held))
        self._wake.set()

    def _lapse_timer(self, token: int, began: float) -> asyncio.TimerHandle:
        """Measured from before the call that gave or renewed the lease, on the monotonic clock."""
        ends = began + self._lease_seconds * (1 - MARGIN_SHARE)
        return asyncio.get_running_loop().call_at(ends, self._abandon, token)

    def _abandon(self, token: int) -> None:
        held = self._held.get(token)
        if held is None:
            return
        log.warning("the lease is lost; the item is let go", extra=held.labels)
        held.end(Fate.ABANDONED)
        if held.attending:
            held.attending.cancel()  # it may be reporting: that too has no effect any more

    async def _attend(self, held: Held) -> None:
        with telemetry.labelled(held.labels), telemetry.span("worker/item", carrier=held.trace):
            try:
                held.work = asyncio.create_task(self._work(held))
                if held.fate is not Fate.NONE:  # ended before it began
                    held.work.cancel()
                await asyncio.wait([held.work])
                await self._report_end(held, held.work)
            except LeaseLost:
                log.warning("the lease was lost")
            except grpc.aio.AioRpcError as error:
                log.warning("the end was not reported", extra={"error": error.code().name})
            except Exception:
                log.exception("attending an item failed")

    async def _work(self, held: Held) -> pb.Delivery:
        async def send(update: Update) -> None:
            await self._send(held, update)

        async with Progress(send) as progress:
            return await self._execute(held.item, progress)

    async def _send(self, held: Held, update: Update) -> None:
        request = pb.ReportProgressRequest(
            lease=held.lease,
            progress=update.percent,
            step=update.step,
            preview=update.preview,
            text=update.text,
            text_at=update.text_at,
        )
        try:
            if await self._queue.report_progress(request):
                held.end(Fate.CANCELED)
        except LeaseLost:
            self._abandon(held.item.token)

    async def _report_end(self, held: Held, work: asyncio.Task[pb.Delivery]) -> None:
        request = pb.FinishItemRequest(lease=held.lease)
        if work.cancelled():
            if held.fate is Fate.CANCELED:
                request.stopped.SetInParent()
            elif held.fate is Fate.HANDED_BACK:
                request.failed.CopyFrom(_STOPPED_HERE.as_proto())
            else:
                return
        elif error := work.exception():
            if isinstance(error, LeaseLost):
                raise error
            request.failed.CopyFrom(classify(error).as_proto())
        else:
            request.delivered.CopyFrom(work.result())
        outcome = str(request.WhichOneof("outcome"))
        item = held.item
        metrics.ITEMS.labels(item.category, item.template_id, item.pool, outcome).inc()
        crash_point("finish.unreported")
        await self._queue.finish_item(request)
        crash_point("finish.reported")
        log.info("item ended", extra={"outcome": outcome, "code": request.failed.code})

    async def heartbeat_forever(self) -> None:
        """Renews all leases until cancelled."""
        pause = self._limits.heartbeat_seconds
        while True:
            await _wait(self._beat, pause)
            self._beat.clear()
            renewed = await self._heartbeat() if self._held else True
            usual = self._limits.heartbeat_seconds
            pause = usual if renewed else min(usual, BEAT_AGAIN_SECONDS)

    async def _heartbeat(self) -> bool:
        asked = [held for held in self._held.values() if held.fate is not Fate.ABANDONED]
        began = asyncio.get_running_loop().time()
        try:
            reply = await self._queue.heartbeat(self._worker_id, [held.lease for held in asked])
        except grpc.aio.AioRpcError as error:
            log.warning("leases were not renewed", extra={"error": error.code().name})
            return False
        self._renew(asked, set(reply.lost_item_ids), set(reply.cancel_item_ids), began)
        return True

    def _renew(
        self, asked: Iterable[Held], lost: set[str], canceled: set[str], began: float
    ) -> None:
        for held in asked:
            token, item_id = held.item.token, held.item.item_id
            if token not in self._held:
                continue
            if item_id in lost:
                self._abandon(token)
                continue
            held.lapse.cancel()
            held.lapse = self._lapse_timer(token, began)
            if item_id in canceled:
                held.end(Fate.CANCELED)

    async def drain(self) -> None:
        """Stops claiming, lets running items end within the grace, hands back the others."""
        self._stopping = True
        self._wake.set()
        await self._claiming_ended.wait()
        await self._ended(self._limits.grace_seconds)
        for held in list(self._held.values()):
            held.end(Fate.HANDED_BACK)
        await self._ended(HAND_BACK_SECONDS)
        for held in list(self._held.values()):
            self._abandon(held.item.token)

    async def _ended(self, seconds: float) -> None:
        tasks = [held.attending for held in self._held.values() if held.attending]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
