"""Claims, leases, cancelling and stopping, against a queue over gRPC."""

from __future__ import annotations

import asyncio

from atelier.jobs.v1 import queue_pb2 as pb

from deploy.local import stores
from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from kit.bus import Bus
from kit.process import Process
from services.worker import doorbell
from services.worker.__main__ import compose
from services.worker.artist import Readiness
from services.worker.config import WorkerSettings
from tests.integration.worker.conftest import Stage
from tests.patience import growing

SECONDS = 60.0


async def _drawing(stage: Stage) -> None:
    await asyncio.wait_for(stage.inference.drawing.wait(), SECONDS)


async def test_a_doorbell_makes_it_claim_at_once(stage: Stage) -> None:
    claims = stage.work()
    await asyncio.wait_for(stage.queue.claimed.wait(), SECONDS)
    stage.offer(output="marketing_copy")
    claims.wake()  # its own next look would be in ten minutes
    assert (await stage.queue.end()).WhichOneof("outcome") == "delivered"


async def test_without_a_doorbell_it_looks_by_itself(stage: Stage) -> None:
    stage.poll_seconds = 0.05
    stage.work()
    await asyncio.wait_for(stage.queue.claimed.wait(), SECONDS)
    stage.offer(output="marketing_copy")
    assert (await stage.queue.end()).WhichOneof("outcome") == "delivered"


async def test_it_claims_no_more_than_its_slots_and_again_when_one_frees(stage: Stage) -> None:
    stage.slots = 2
    stage.inference.gate = asyncio.Event()
    for seed in range(3):
        stage.offer(seed=100 * seed)
    stage.work()
    await _drawing(stage)
    assert len(stage.queue.runnable) == 1
    stage.inference.gate.set()
    for _ in range(3):
        assert (await stage.queue.end()).WhichOneof("outcome") == "delivered"
    assert stage.queue.claims[0].slots == 2


async def test_the_gpu_pool_is_claimed_only_while_inference_serves(stage: Stage) -> None:
    readiness = Readiness(stage.artists.channel)
    stage.pools = lambda: ["gpu", "text"] if readiness.is_serving else ["text"]
    claims = stage.work()
    await asyncio.wait_for(stage.queue.claimed.wait(), SECONDS)
    assert list(stage.queue.claims[0].pools) == ["text"]
    serving = asyncio.Event()

    def woken() -> None:
        serving.set()
        claims.wake()

    watching = asyncio.create_task(readiness.watch_forever(woken))
    stage.opened.callback(watching.cancel)
    stage.queue.claimed.clear()
    await asyncio.wait_for(serving.wait(), SECONDS)
    await asyncio.wait_for(stage.queue.claimed.wait(), SECONDS)
    assert list(stage.queue.claims[-1].pools) == ["gpu", "text"]


async def test_an_item_canceled_by_its_owner_is_stopped_and_so_is_the_sampler(
    stage: Stage,
) -> None:
    stage.inference.gate = asyncio.Event()
    stage.queue.tells_in_progress = False
    item = stage.offer()
    claims = stage.work()
    await _drawing(stage)
    stage.queue.canceled.add(item.item_id)
    claims.look_at(item.item_id)  # the doorbell; the next heartbeat would be in ten minutes
    assert (await stage.queue.end()).WhichOneof("outcome") == "stopped"
    await asyncio.wait_for(stage.inference.abandoned.wait(), SECONDS)


async def test_the_answer_to_a_progress_report_stops_an_item_too(stage: Stage) -> None:
    stage.inference.gate = asyncio.Event()
    item = stage.offer()
    stage.queue.canceled.add(item.item_id)
    stage.work()
    assert (await stage.queue.end()).WhichOneof("outcome") == "stopped"


async def test_a_doorbell_for_an_item_that_is_not_canceled_stops_nothing(stage: Stage) -> None:
    stage.inference.gate = asyncio.Event()
    item = stage.offer()
    claims = stage.work()
    await _drawing(stage)
    claims.look_at(item.item_id)
    assert await asyncio.wait_for(stage.queue.heartbeats.get(), SECONDS) == [item.item_id]
    stage.inference.gate.set()
    assert (await stage.queue.end()).WhichOneof("outcome") == "delivered"


async def test_a_lost_item_is_abandoned_without_a_word(stage: Stage) -> None:
    stage.slots = 1
    stage.heartbeat_seconds = 0.05
    stage.inference.gate = asyncio.Event()
    item = stage.offer()
    other = stage.offer(output="marketing_copy")
    stage.work()
    await _drawing(stage)
    stage.queue.lost.add(item.item_id)
    await asyncio.wait_for(stage.inference.abandoned.wait(), SECONDS)
    assert (await stage.queue.end()).lease.item_id == other.item_id  # its slot is free again


async def test_a_step_refused_for_a_lost_lease_ends_the_item_silently(stage: Stage) -> None:
    stage.slots = 1
    item = stage.offer()
    other = stage.offer(output="marketing_copy")
    stage.queue.lost.add(item.item_id)
    stage.work()
    assert (await stage.queue.end()).lease.item_id == other.item_id
    assert stage.inference.requests == []


async def test_it_lets_go_before_a_lease_ends_that_cannot_be_renewed(stage: Stage) -> None:
    stage.queue.deaf = True
    stage.heartbeat_seconds = 0.1
    stage.inference.gate = asyncio.Event()
    claims = stage.work()
    for seconds in growing(3.0):
        stage.queue.lease_seconds = seconds
        stage.offer()
        claims.wake()
        try:
            await asyncio.wait_for(stage.inference.drawing.wait(), seconds)
            break
        except TimeoutError:  # the lease ended before there was anything to let go
            assert stage.queue.ended.empty()
    await asyncio.wait_for(stage.inference.abandoned.wait(), SECONDS)
    assert stage.queue.ended.empty()


async def test_heartbeats_hold_a_lease_that_is_shorter_than_the_work(stage: Stage) -> None:
    stage.queue.lease_seconds = 5.0
    stage.heartbeat_seconds = 0.1
    stage.inference.gate = asyncio.Event()
    stage.offer()
    stage.work()
    await _drawing(stage)
    clock = asyncio.get_running_loop().time
    began = clock()
    while clock() < began + 1.1 * stage.queue.lease_seconds:
        await asyncio.wait_for(stage.queue.heartbeats.get(), SECONDS)
    stage.inference.gate.set()
    assert (await stage.queue.end()).WhichOneof("outcome") == "delivered"


async def test_an_end_is_reported_after_a_restart_of_jobs(stage: Stage) -> None:
    stage.inference.gate = asyncio.Event()
    stage.offer()
    stage.work()
    await _drawing(stage)
    await stage.jobs_stack.aclose()
    stage.inference.gate.set()
    await asyncio.wait_for(stage.inference.painted.wait(), SECONDS)
    await stage.start_jobs()
    assert (await stage.queue.end()).WhichOneof("outcome") == "delivered"


async def test_stopping_lets_running_items_end(stage: Stage) -> None:
    stage.inference.gate = asyncio.Event()
    stage.offer()
    stage.grace_seconds = SECONDS
    claims = stage.work()
    await _drawing(stage)
    stopping = asyncio.create_task(claims.drain())
    stage.inference.gate.set()
    await asyncio.wait_for(stopping, SECONDS)
    assert (await stage.queue.end()).WhichOneof("outcome") == "delivered"
    stage.offer()
    claims.wake()
    assert len(stage.queue.runnable) == 1  # nothing is claimed any more


async def test_stopping_hands_back_what_does_not_end_in_time(stage: Stage) -> None:
    stage.grace_seconds = 0.05
    stage.inference.gate = asyncio.Event()
    stage.offer()
    claims = stage.work()
    await _drawing(stage)
    await asyncio.wait_for(claims.drain(), SECONDS)
    failed = (await stage.queue.end()).failed
    assert failed.failure_class == pb.FAILURE_CLASS_INFRA
    await asyncio.wait_for(stage.inference.abandoned.wait(), SECONDS)


async def test_doorbells_are_heard_once_the_broker_is_there(
    places: tuple[Layout, Supervisor],
) -> None:
    made, supervisor = places
    url = f"nats://{made.address('nats')}"
    woken, canceled = asyncio.Event(), asyncio.Queue[str]()
    listening = asyncio.create_task(
        doorbell.listen_forever(url, "w", ["gpu"], woken.set, canceled.put_nowait)
    )
    try:
        await supervisor.start([stores.nats(made)])
        await asyncio.wait_for(woken.wait(), SECONDS)  # on connecting, for what was rung before
        woken.clear()
        async with Bus(url, "test") as bus:
            await bus.ring("jobs.wake.gpu")
            await asyncio.wait_for(woken.wait(), SECONDS)
            await bus.ring("jobs.cancel.item-1")
            assert await asyncio.wait_for(canceled.get(), SECONDS) == "item-1"
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_the_process_runs_without_a_broker(stage: Stage) -> None:
    stage.offer()
    run = f"unix:{stage.layout.run}"
    settings = WorkerSettings(
        service="worker",
        keys_dir=stage.layout.keys,
        listen=f"{run}/worker-test.sock",
        jobs_target=f"{run}/jobs-test.sock",
        inference_target=f"{run}/inference-test.sock",
        nats_url="nats://127.0.0.1:9",
        poll_seconds=0.1,
        s3_endpoint=f"http://{stage.layout.address('s3')}",
        s3_access_key=stage.layout.secrets["s3:access"],
        s3_secret_key=stage.layout.secrets["s3:secret"],
    )
    async with Process() as running:
        await compose(running, settings)
        assert (await stage.queue.end()).WhichOneof("outcome") == "delivered"
    assert not running.failed


async def test_a_lease_that_ends_before_its_item_begins_keeps_neither_slot_nor_lease(
    stage: Stage,
) -> None:
    stage.slots = 1
    claims = stage.work()
    late = stage.item(output="marketing_copy")
    claims._take(late, asyncio.get_running_loop().time())
    claims._abandon(late.token)  # a loop may run a timer that is due before a task that is new
    stage.offer(output="marketing_copy")
    ended = await stage.queue.end()
    assert ended.lease.item_id != late.item_id
