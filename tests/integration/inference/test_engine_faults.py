"""Faults of the engine and of those who host it: the right reason, and recovery without a hand."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
from atelier.inference.v1 import inference_pb2 as pb

from kit.rpc import status
from tests.integration.inference.unit import Unit
from tests.studio import eventually

RECOVERY_SECONDS = 180.0
SLOW = 100  # steps, so that a picture is still being drawn when the test acts


def lives(pid: int) -> bool:
    """Whether the process still holds memory: neither gone nor a name in its parent's list."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


async def begun(unit: Unit) -> list[AsyncIterator[pb.GenerateImageResponse]]:
    """Rows of one batch, each of which has done a step."""
    batch = [aiter(unit.call(steps=SLOW, seed=seed)) for seed in range(8)]
    await asyncio.gather(*(anext(events) for events in batch))
    return batch


async def all_end(batch: list[AsyncIterator[pb.GenerateImageResponse]]) -> None:
    """Every row ends, and those that were not done say why."""

    async def end(events: AsyncIterator[pb.GenerateImageResponse]) -> str:
        try:
            async for _ in events:
                pass
        except grpc.aio.AioRpcError as failed:
            return status.decode(failed).failure.reason
        return "PICTURE"

    ends = await asyncio.gather(*map(end, batch))
    assert "MODEL_FAILED" in ends
    assert set(ends) <= {"MODEL_FAILED", "PICTURE"}


def gone(unit: Unit) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return not await unit.serving()

    return look


async def test_a_killed_triton_fails_its_calls_and_comes_back(unit: Unit) -> None:
    assert (await unit.states())["sdxl"] == "MODEL_STATE_READY"
    batch = await begun(unit)
    await unit.supervisor.kill("triton")
    await all_end(batch)
    await eventually(gone(unit))
    assert set((await unit.states()).values()) == {"MODEL_STATE_FAILED"}
    await eventually(unit.serving, RECOVERY_SECONDS)
    await unit.draw(steps=2)


async def test_a_model_process_that_died_is_started_anew(unit: Unit) -> None:
    batch = await begun(unit)
    for child in unit.model_processes:
        os.kill(child, signal.SIGKILL)
    await all_end(batch)
    await eventually(gone(unit))
    await eventually(unit.serving, RECOVERY_SECONDS)
    await unit.draw(steps=2)


async def test_a_model_process_that_hangs_is_noticed_and_started_anew(unit: Unit) -> None:
    batch = await begun(unit)
    stopped = unit.model_processes
    for child in stopped:
        os.kill(child, signal.SIGSTOP)
    await all_end(batch)
    await eventually(unit.serving, RECOVERY_SECONDS)
    assert not any(lives(child) for child in stopped)
    await unit.draw(steps=2)


async def test_a_model_of_nan_and_one_that_is_broken_fail_alone(either: Unit) -> None:
    neighbour = asyncio.create_task(either.draw(steps=30))
    nan = await either.refused(model="poisoned", steps=2)
    assert nan.failure.reason == "MODEL_FAILED"
    assert "no picture" in nan.message
    broken = await either.refused(model="broken")
    assert broken.failure.reason == "MODEL_FAILED"
    again = await either.refused(model="broken")
    assert again.retry_after_seconds
    await neighbour
    assert (await either.states())["broken"] == "MODEL_STATE_FAILED"


async def test_a_full_line_refuses_with_a_delay_and_takes_more_when_it_is_shorter(
    either: Unit,
) -> None:
    calls = [either.call(uuid.uuid4(), steps=SLOW, seed=seed) for seed in range(90)]
    refusals: list[status.Refusal] = []

    async def begin(call: grpc.aio.UnaryStreamCall) -> None:
        try:
            await anext(aiter(call))
        except grpc.aio.AioRpcError as error:
            refusals.append(status.decode(error))

    begun = [asyncio.create_task(begin(call)) for call in calls]

    async def refused() -> bool:
        return bool(refusals)

    await eventually(refused)
    assert refusals[0].failure.reason == "OVERLOADED"
    assert refusals[0].retry_after_seconds
    for call in calls:
        call.cancel()
    await asyncio.gather(*begun, return_exceptions=True)

    async def taken() -> bool:
        try:
            await either.draw(steps=2)
        except grpc.aio.AioRpcError as error:
            if status.decode(error).failure.reason != "OVERLOADED":
                raise
            return False
        return True

    await eventually(taken)
