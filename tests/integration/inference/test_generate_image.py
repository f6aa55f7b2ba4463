"""Pictures through everything that is real: the gRPC service, Triton, the engine, S3."""

from __future__ import annotations

import asyncio
import hashlib
import uuid

import grpc
import pytest
from atelier.inference.v1 import inference_pb2 as pb
from atelier.inference.v1 import inference_pb2_grpc

from kit.identity import Kind, Signer
from tests.integration.inference.leaving import leaves_in_time, stopped
from tests.integration.inference.unit import Unit
from tests.patience import growing

SLOW = 100  # steps, so that a picture is still being drawn when the test acts


async def test_progress_comes_step_by_step_and_then_a_picture_lies_in_storage(either: Unit) -> None:
    progress, image = await either.draw(seed=1, steps=6, aspect="4:3", previews=True)
    assert [(one.step, one.steps) for one in progress] == [(step, 6) for step in range(1, 7)]
    assert progress[1].preview.startswith(b"\xff\xd8")
    png = await either.blobs.get(image.object_key)
    assert hashlib.sha256(png).hexdigest() == image.sha256
    assert png.startswith(b"\x89PNG")
    assert (image.width, image.height) == (64, 48)
    assert (image.model, image.seed, image.steps, image.guidance_scale) == ("sdxl", 1, 6, 4.0)
    assert image.seconds > 0


async def test_the_same_seed_gives_the_same_bytes(either: Unit) -> None:
    pictures = [await either.draw(seed=seed, steps=4) for seed in (3, 3, 4)]
    first, again, other = (image.sha256 for _, image in pictures)
    assert first == again != other


async def test_rows_of_two_users_are_drawn_side_by_side(either: Unit) -> None:
    told: list[int] = []

    async def watch(seed: int) -> None:
        async for _ in either.call(uuid.uuid4(), seed=seed, steps=SLOW):
            told.append(seed)  # noqa: PERF401  # as it happens, between the other's

    await asyncio.gather(watch(1), watch(2))
    last_of_the_first = len(told) - 1 - told[::-1].index(told[0])
    other = 3 - told[0]
    assert told.index(other) < last_of_the_first
    assert told.count(1) == told.count(2) == SLOW + 1


async def test_ending_the_call_stops_the_sampler(either: Unit) -> None:
    log = either.layout.logs / f"{either.engine}.log"

    async def leave(own: int) -> None:
        call = either.call(steps=own)
        await anext(aiter(call))
        call.cancel()

    await leaves_in_time(leave, log)


async def test_a_deadline_ends_the_sampler_too(either: Unit) -> None:
    log, own = either.layout.logs / f"{either.engine}.log", SLOW - 20
    for seconds in growing(0.05):
        own -= 1  # by which the log tells this row from others
        try:
            async for _ in either.call(steps=own, deadline_seconds=seconds):
                pass
        except grpc.aio.AioRpcError as failed:
            assert failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # noqa: PT017
        if await stopped(log, own):  # else it had not begun, or it was done
            return
    pytest.fail("no row was stopped by its deadline")


async def test_what_cannot_be_drawn_is_refused_by_reason(either: Unit) -> None:
    unknown = await either.refused(model="none")
    assert unknown.failure.reason == "UNKNOWN_MODEL"
    invalid = await either.refused(aspect="2:1")
    assert invalid.failure.reason == "INVALID_ARGUMENT"
    assert invalid.violations[0].field == "aspect"
    elsewhere = await either.refused(object_key="works/1.png")
    assert elsewhere.violations[0].field == "object_key"
    late = await either.refused(steps=SLOW, timeout_seconds=0.001)
    assert late.failure.reason == "TIMEOUT"


async def test_a_person_may_not_call_it(unit: Unit) -> None:
    token = Signer("accounts", unit.layout.keys)
    bearer = token.user_token(uuid.uuid4(), Kind.ADMINISTRATOR, 60)
    stub = inference_pb2_grpc.InferenceServiceStub(unit.channel.channel)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.ListModels(
            pb.ListModelsRequest(), metadata=(("authorization", f"Bearer {bearer}"),)
        )
    assert failed.value.code() is grpc.StatusCode.PERMISSION_DENIED
