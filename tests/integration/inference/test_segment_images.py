"""Masks and rules through everything that is real: the gRPC service, Triton, the engine, S3."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from atelier.inference.v1 import inference_pb2 as pb
from atelier.inference.v1 import inference_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray
from PIL import Image

from deploy.local import probes, stack, stores, triton
from deploy.local.layout import ROOT, Layout, environment_bin
from deploy.local.part import Part
from deploy.local.supervisor import Supervisor
from inference.engine.pictures.masks import from_rle
from inference.training.world.layouts import Layout as Plan
from inference.training.world.layouts import Placed
from inference.training.world.scenes import render
from kit.blobs import Blobs
from kit.config import BlobSettings
from kit.identity import Signer
from kit.rpc import status
from kit.rpc.client import ServiceChannel, open_channel
from kit.rpc.server import LIVE
from kit.rpc.status import Refusal
from tests.grounds import ground
from tests.integration.inference.worker import open_worker
from tests.studio import eventually

BUNDLED = triton.MODELS / "sam3"
RECOVERY_SECONDS = 180.0
READY = "MODEL_STATE_READY"


@dataclass
class Unit:
    """Inference, the segmenter behind it, and its storage."""

    layout: Layout
    supervisor: Supervisor
    channel: ServiceChannel
    blobs: Blobs

    @property
    def stub(self) -> Any:
        return inference_pb2_grpc.InferenceServiceStub(self.channel.channel)

    async def put(self, *pictures: NDArray[np.uint8]) -> list[str]:
        keys = [f"uploads/{uuid.uuid4()}.png" for _ in pictures]
        for key, picture in zip(keys, pictures, strict=True):
            await self.blobs.put(key, png(picture), "image/png")
        return keys

    def call(self, keys: list[str], *concepts: str, **more: Any) -> Any:
        asked = {"key_prefix": f"tmp/{uuid.uuid4()}/1/", "score_min": 0.0} | more
        request = pb.SegmentImagesRequest(image_keys=keys, concepts=concepts, **asked)
        return self.stub.SegmentImages(request, metadata=self.channel.metadata(None))

    async def segment(
        self, keys: list[str], *concepts: str, **more: Any
    ) -> list[pb.SegmentImagesResponse]:
        images = [image async for image in self.call(keys, *concepts, **more)]
        return sorted(images, key=lambda image: image.index)

    async def apply(self, **asked: Any) -> pb.ApplyRulesResponse:
        given = {"result_key": f"tmp/{uuid.uuid4()}/1/result.png"} | asked
        request = pb.ApplyRulesRequest(**given)
        reply: pb.ApplyRulesResponse = await self.channel.call(self.stub.ApplyRules, request)
        return reply

    async def picture(self, key: str) -> NDArray[np.uint8]:
        return np.array(Image.open(io.BytesIO(await self.blobs.get(key))))

    async def state(self) -> str:
        reply = await self.channel.call(self.stub.ListModels, pb.ListModelsRequest())
        (state,) = (model.state for model in reply.models if model.name == "sam3")
        return pb.ModelState.Name(state)

    def becomes(self, state: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return await self.state() == state

        return look

    def process(self) -> int:
        """The process of the model `segment`."""
        server = self.supervisor.pid("triton")
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        model = b"/models/segment/"
        named = (pid for pid in children if model in Path(f"/proc/{pid}/cmdline").read_bytes())
        return int(max(named, key=int))  # one that was given up may still be there


def png(picture: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def noise(seed: int, width: int = 60, height: int = 40) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    resized = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(resized)


async def refused(work: Coroutine[Any, Any, Any]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await work
    return status.decode(failed.value)


def _live(target: str) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        async with grpc.aio.insecure_channel(target) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            reply = await check(health_pb2.HealthCheckRequest(service=LIVE), timeout=2)
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


_SAVE = """
import sys
from pathlib import Path
from tests.unit.inference import tiny, tiny_sam3
tiny_sam3.save(Path(sys.argv[1]) / "sam3")
tiny.build().save_pretrained(Path(sys.argv[1]) / "sdxl")
"""


async def _save_models(folder: Path) -> None:
    python = str(environment_bin(".venv-models") / "python")
    saving = await asyncio.create_subprocess_exec(python, "-c", _SAVE, str(folder), cwd=ROOT)
    assert await saving.wait() == 0


def _triton(places: Layout, models: Path) -> Part:
    """Triton with the segmenter alone; inference itself has the other model loaded."""
    part = triton.part(places, models)
    command = [each for each in part.command if each != "--load-model=generate"]
    address = f"http://{places.address('triton_http')}/v2/models/segment/ready"
    return replace(part, command=command, probe=probes.http(address))


def _inference(places: Layout, models: Path, name: str, **settings: str) -> Part:
    environment = stack.service_environment(places, "inference")
    environment |= {"ATELIER_LISTEN": places.socket(name)} | settings
    part = triton.inference_part(places, environment, models)
    # Pictures are drawn by another model, for which nobody here waits.
    return replace(part, name=name, probe=_live(places.socket(name)))


def _blob_settings(places: Layout) -> BlobSettings:
    return BlobSettings(
        keys_dir=places.keys,
        s3_endpoint=f"http://{places.address('s3')}",
        s3_access_key=places.secrets["s3:access"],
        s3_secret_key=places.secrets["s3:secret"],
    )


@pytest.fixture(scope="module")
async def unit() -> AsyncIterator[Unit]:
    async with (
        ground("segment") as (places, supervisor),
        open_channel(places.socket("inference")) as channel,
    ):
        models = places.data / "models"
        await _save_models(models)
        parts = [
            stores.s3(places),
            _triton(places, models),
            _inference(places, models, "inference"),
        ]
        await supervisor.start(parts)
        blobs = Blobs(_blob_settings(places))
        await blobs.ensure_bucket()
        signed = ServiceChannel(channel, "inference", Signer("worker", places.keys))
        unit = Unit(places, supervisor, signed, blobs)
        await eventually(unit.becomes(READY), RECOVERY_SECONDS)
        yield unit


async def _beside(unit: Unit, name: str, models: Path, **settings: str) -> AsyncIterator[Unit]:
    """Another inference, unless told otherwise with its engine in its own process."""
    part = _inference(unit.layout, models, name, **({"ATELIER_TRITON_GRPC": ""} | settings))
    await unit.supervisor.start([part])
    async with open_channel(unit.layout.socket(name)) as channel:
        yield replace(unit, channel=replace(unit.channel, channel=channel))
    await unit.supervisor.stop(name)


@pytest.fixture(scope="module")
async def alone(unit: Unit) -> AsyncIterator[Unit]:
    """The same without Triton."""
    async for beside in _beside(unit, "alone", unit.layout.data / "models"):
        await eventually(beside.becomes(READY), RECOVERY_SECONDS)
        yield beside


@pytest.fixture(params=["unit", "alone"])
def either(request: pytest.FixtureRequest, unit: Unit, alone: Unit) -> Unit:
    return unit if request.param == "unit" else alone


async def test_concepts_of_several_pictures_are_found_and_kept(either: Unit) -> None:
    pictures = [noise(1), noise(2, 33, 50)]
    keys = await either.put(*pictures)
    images = await either.segment(keys, "a mug", "벽", instance_files=True)
    assert [image.index for image in images] == [0, 1]
    for image, picture in zip(images, pictures, strict=True):
        height, width = picture.shape[:2]
        assert (image.width, image.height, image.model) == (width, height, "sam3")
        assert image.sha256 == hashlib.sha256(png(picture)).hexdigest()
        assert [each.concept for each in image.concepts] == ["a mug", "벽"]
        for concept in image.concepts:
            assert 0 < concept.presence < 1
            assert (len(concept.instances), concept.left_out) == (4, 0)
            scores = [instance.score for instance in concept.instances]
            assert scores == sorted(scores, reverse=True)
            for mask in (concept.union, *(each.mask for each in concept.instances)):
                read = from_rle(mask.rle, height, width)
                assert np.array_equal(await either.picture(mask.object_key), read.whole() != 0)
                assert mask.area == read.area > 0
                box = mask.box
                assert read.box == (box.x, box.y, box.width, box.height)


async def test_words_are_new_but_the_picture_is_known(either: Unit) -> None:
    keys = await either.put(noise(int(uuid.uuid4()) % 2**32))
    (first,) = await either.segment(keys, "a mug")
    (second,) = await either.segment(keys, "a lamp")
    assert (first.was_known, second.was_known) == (False, True)
    (again,) = await either.segment(keys, "a mug")
    assert again.concepts[0].union.rle == first.concepts[0].union.rle
    assert second.concepts[0].union.rle != first.concepts[0].union.rle


async def test_instances_have_files_only_where_they_are_asked_for(unit: Unit) -> None:
    (image,) = await unit.segment(await unit.put(noise(1)), "a mug")
    (concept,) = image.concepts
    assert concept.union.object_key.endswith("/0/0.png")
    assert {each.mask.object_key for each in concept.instances} == {""}


async def test_both_engines_find_the_same(unit: Unit, alone: Unit) -> None:
    keys = await unit.put(noise(4), noise(5, 90, 70))
    found = []
    for each in (unit, alone):
        images = await each.segment(keys, "a mug", "the floor", "벽")
        found.append(
            [
                [(concept.union.rle, *(one.mask.rle for one in concept.instances))]
                for image in images
                for concept in image.concepts
            ]
        )
    assert found[0] == found[1]


async def test_a_serverless_worker_finds_and_changes_the_same(unit: Unit) -> None:
    picture = noise(13)
    (key,) = await unit.put(picture)
    (image,) = await unit.segment([key], "벽", "a mug")
    named = [pb.ConceptMasks(concept=each.concept, masks=[each.union]) for each in image.concepts]
    done = await unit.apply(image_key=key, rule=RULE, masks=named)
    sent = {each.concept: [{"rle": each.union.rle}] for each in image.concepts}
    asked = {"task": "segment", "image": picture, "concepts": ["벽", "a mug"], "score_min": 0}
    async with open_worker(unit.layout) as worker:
        _, found = await worker.job(asked)
        _, made = await worker.job(
            {"task": "apply_rule", "image": picture, "rule": RULE, "masks": sent}
        )
        _, refused = await worker.job(asked | {"model": "none"})
    for one, other in zip(found["segmentation"]["concepts"], image.concepts, strict=True):
        assert one["union"]["rle"] == other.union.rle
        assert [each["rle"] for each in one["instances"]] == [
            each.mask.rle for each in other.instances
        ]
        assert one["presence"] == other.presence
    assert made["result"]["sha256"] == done.result.sha256
    assert made["result"]["proof"]["protected_pixels"] == done.proof.protected_pixels
    assert (refused["reason"], refused["field"]) == ("UNKNOWN_MODEL", "model")


async def test_what_cannot_be_found_is_refused_by_reason(either: Unit) -> None:
    keys = await either.put(noise(1))
    unknown = await refused(either.segment(keys, "wall", model="none"))
    assert unknown.failure.reason == "UNKNOWN_MODEL"
    empty = await refused(either.segment(keys, "wall", " "))
    assert empty.violations[0].field == "concepts[1]"
    elsewhere = await refused(either.segment(keys, "wall", key_prefix="works/"))
    assert elsewhere.violations[0].field == "key_prefix"
    missing = await refused(either.segment([*keys, "uploads/none.png"], "wall"))
    assert missing.failure.reason == "NOT_FOUND"
    assert missing.violations[0].field == "image_keys[1]"
    await either.blobs.put("uploads/text.png", b"no picture", "image/png")
    unreadable = await refused(either.segment([*keys, "uploads/text.png"], "wall"))
    assert unreadable.failure.reason == "INVALID_ARGUMENT"
    assert unreadable.violations[0].field == "image_keys[1]"
    late = await refused(either.segment(await either.put(noise(77)), "wall", timeout_seconds=1e-9))
    assert late.failure.reason == "TIMEOUT"


async def test_pictures_beyond_what_may_be_held_are_sent_away_with_a_delay(unit: Unit) -> None:
    keys = await unit.put(*(noise(seed) for seed in range(16)))
    answers = await asyncio.gather(
        *(unit.segment(keys, "wall") for _ in range(6)), return_exceptions=True
    )
    failures = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert 0 < len(failures) < 6
    for failure in failures:
        refusal = status.decode(failure)
        assert refusal.failure.reason == "OVERLOADED"
        assert refusal.retry_after_seconds
    assert len(await unit.segment(keys[:2], "wall")) == 2


RULE = {
    "concepts": [{"concept": "벽", "change": "replace", "colour": "#2f6fb0", "feather_px": 3}],
    "protect": ["a mug"],
}


async def test_a_rule_changes_what_was_found_and_proves_what_was_kept(either: Unit) -> None:
    (key,) = await either.put(noise(6))
    (image,) = await either.segment([key], "벽", "a mug", instance_files=True)
    wall, mug = image.concepts
    masks = [
        pb.ConceptMasks(concept="벽", masks=[wall.union]),
        pb.ConceptMasks(
            concept="a mug",
            masks=[pb.Mask(object_key=each.mask.object_key) for each in mug.instances],
        ),
    ]
    jpeg_key = f"tmp/{uuid.uuid4()}/1/result.jpg"
    done = await either.apply(image_key=key, rule=RULE, masks=masks, jpeg_key=jpeg_key)
    before, after = noise(6), await either.picture(done.result.object_key)
    kept = np.any([from_rle(each.mask.rle, 40, 60).whole() != 0 for each in mug.instances], axis=0)
    area = (from_rle(wall.union.rle, 40, 60).whole() != 0) & ~kept
    assert np.array_equal(after[kept], before[kept])
    assert not np.array_equal(after[area], before[area])
    assert done.changed_pixels[0] >= area.sum()
    proof = done.proof
    assert (proof.protected_pixels, proof.changed_pixels) == (kept.sum(), 0)
    assert proof.result_delta_e == 0 < proof.jpeg_delta_e
    stored = await either.blobs.get(done.jpeg.object_key)
    assert hashlib.sha256(stored).hexdigest() == done.jpeg.sha256
    assert stored.startswith(b"\xff\xd8")
    assert (done.width, done.height, done.has_alpha) == (60, 40, False)


async def test_what_a_rule_lacks_is_named(unit: Unit) -> None:
    (key,) = await unit.put(noise(7))
    bad = {"concepts": [{"concept": "벽", "change": "recolour", "colour": "blue"}], "keep": []}
    wrong = await refused(unit.apply(image_key=key, rule=bad))
    assert {each.field for each in wrong.violations} == {"rule.concepts[0].colour", "rule.keep"}
    lacking = await refused(unit.apply(image_key=key, rule=RULE))
    assert lacking.violations[0].field == "masks"
    masks = [pb.ConceptMasks(concept=name) for name in ("벽", "a mug")]
    gone = await refused(unit.apply(image_key="uploads/none.png", rule=RULE, masks=masks))
    assert gone.failure.reason == "NOT_FOUND"
    masks[0].masks.add(rle="zzz")
    broken = await refused(unit.apply(image_key=key, rule=RULE, masks=masks))
    assert broken.violations[0].field == "masks"
    many = [pb.ConceptMasks(concept=str(at), masks=[pb.Mask(rle="0")] * 64) for at in range(5)]
    crowded = await refused(unit.apply(image_key=key, rule=RULE, masks=many))
    assert (crowded.violations[0].field, "256 at most" in crowded.message) == ("masks", True)
    elsewhere = await refused(unit.apply(image_key=key, rule=RULE, result_key="works/1.png"))
    assert elsewhere.violations[0].field == "result_key"


async def test_rules_beyond_what_may_wait_are_sent_away_with_a_delay(unit: Unit) -> None:
    (key,) = await unit.put(noise(12, 900, 700))
    masks = [pb.ConceptMasks(concept=name) for name in ("벽", "a mug")]
    answers = await asyncio.gather(
        *(unit.apply(image_key=key, rule=RULE, masks=masks) for _ in range(30)),
        return_exceptions=True,
    )
    failures = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert 0 < len(failures) <= 14
    for failure in failures:
        refusal = status.decode(failure)
        assert refusal.failure.reason == "OVERLOADED"
        assert refusal.retry_after_seconds


async def test_a_rule_whose_concept_was_not_found_changes_nothing(unit: Unit) -> None:
    (key,) = await unit.put(noise(8))
    masks = [pb.ConceptMasks(concept=name) for name in ("벽", "a mug")]
    done = await unit.apply(image_key=key, rule=RULE, masks=masks)
    assert list(done.changed_pixels) == [0]
    assert np.array_equal(await unit.picture(done.result.object_key), noise(8))


async def test_without_a_segmenter_it_says_so_and_rules_go_on(unit: Unit, tmp_path: Path) -> None:
    address = unit.layout.address("triton_grpc")
    async for bare in _beside(unit, "bare", tmp_path, ATELIER_TRITON_GRPC=address):
        (key,) = await bare.put(noise(9))
        refusal = await refused(bare.segment([key], "wall"))
        assert refusal.failure.reason == "UNKNOWN_MODEL"
        assert "no segmenter is installed" in refusal.message
        masks = [pb.ConceptMasks(concept=name) for name in ("벽", "a mug")]
        assert (await bare.apply(image_key=key, rule=RULE, masks=masks)).width == 60


async def test_a_killed_segmenter_fails_its_calls_and_comes_back(unit: Unit) -> None:
    keys = await unit.put(noise(10))
    server, old = unit.supervisor.pid("triton"), unit.process()
    os.kill(old, signal.SIGSTOP)  # so that the call is on its way when the process dies
    answer = asyncio.create_task(unit.segment(keys, "wall"))
    os.kill(old, signal.SIGKILL)
    refusal = await refused(answer)  # type: ignore[arg-type]
    assert refusal.failure.reason == "MODEL_FAILED"
    await eventually(unit.becomes(READY), RECOVERY_SECONDS)
    assert len(await unit.segment(keys, "wall")) == 1
    assert unit.supervisor.pid("triton") == server
    assert unit.process() != old


async def test_a_segmenter_that_hangs_is_given_up_while_pictures_are_drawn(unit: Unit) -> None:
    async def drawing() -> bool:
        request = pb.GenerateImageRequest(
            prompt="a mug", steps=3, object_key=f"tmp/{uuid.uuid4()}/1/a.png"
        )
        call = stub.GenerateImage(request, metadata=unit.channel.metadata(None))
        try:
            return bool([event async for event in call][-1].image.sha256)
        except grpc.aio.AioRpcError:
            return False

    stub = unit.stub
    await eventually(drawing, RECOVERY_SECONDS)
    keys = await unit.put(noise(11))
    hung = unit.process()
    os.kill(hung, signal.SIGSTOP)
    try:
        refusal = await refused(unit.segment(keys, "wall"))
        assert refusal.failure.reason == "MODEL_FAILED"
        assert await drawing()
        await eventually(unit.becomes(READY), RECOVERY_SECONDS)
        assert await drawing()
        assert len(await unit.segment(keys, "wall")) == 1
    finally:
        os.kill(hung, signal.SIGKILL)


async def test_the_bundled_segmenter_finds_what_is_named_in_both_languages(unit: Unit) -> None:
    folder = unit.layout.data / "bundled"
    shutil.copytree(BUNDLED, folder / "sam3", dirs_exist_ok=True)
    plan = Plan((Placed("handbag", "red"),), "white_table", "gray")
    scene = render(plan, np.random.default_rng(5), 256, 256)
    truth = scene.instances[0].mask
    async for bundled in _beside(unit, "bundled", folder):
        await eventually(bundled.becomes(READY), RECOVERY_SECONDS)
        keys = await bundled.put(scene.image)
        more = {"score_min": 0.5}
        (image,) = await bundled.segment(keys, "red handbag", "빨간 가방", "blue sneaker", **more)
        for concept in image.concepts[:2]:
            found = from_rle(concept.instances[0].mask.rle, 256, 256).whole() != 0
            assert (found & truth).sum() / (found | truth).sum() > 0.7
        assert image.concepts[2].union.area == 0
