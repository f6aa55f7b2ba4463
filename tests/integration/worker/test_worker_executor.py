"""Items are executed against real storage, a queue and inference over gRPC."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from atelier.jobs.v1 import queue_pb2 as pb
from PIL import Image

from kit.blobs import Blobs
from kit.errors import DomainError, InvalidArgument
from services.worker.failures import StepTimeout
from services.worker.nodes.run import Tools
from tests.integration.worker.conftest import Stage, blob_settings


class ModelFailed(DomainError):
    reason = "MODEL_FAILED"


class Overloaded(DomainError):
    reason = "OVERLOADED"


class UnknownModel(DomainError):
    reason = "UNKNOWN_MODEL"


async def test_an_advert_is_delivered_with_its_thumbnail_and_its_recipe(stage: Stage) -> None:
    item = stage.offer(variation=2)
    stage.work()
    delivered = (await stage.queue.end()).delivered
    folder = f"works/{item.user_id}/{item.work_id}/{item.token}"

    assert delivered.file.object_key == f"{folder}/output.jpg"
    assert delivered.file.content_type == "image/jpeg"
    assert (delivered.file.width, delivered.file.height) == (1080, 810)
    data = await stage.blobs.get(delivered.file.object_key)
    assert Image.open(io.BytesIO(data)).size == (1080, 810)
    assert len(data) == delivered.file.size_bytes < 2_000_000

    small = await stage.blobs.get(f"{folder}/thumbnail.jpg")
    assert Image.open(io.BytesIO(small)).size == (320, 240)
    assert delivered.thumbnail.object_key == f"{folder}/thumbnail.jpg"

    recipe = json.loads(delivered.recipe_json)
    assert recipe["prompt"] == "a pink latte glass on a wooden table, cream wall"
    assert recipe["dropped"] == ["신메뉴"]
    assert (recipe["writer"], recipe["model"], recipe["steps"]) == ("offline", "painter", 4)
    assert recipe["seed"] == 8  # the job's 7, and this is the second variation


async def test_inference_is_asked_for_what_the_graph_says(stage: Stage) -> None:
    item = stage.offer()
    stage.work()
    await stage.queue.end()
    (asked,) = stage.inference.requests
    assert asked.prompt == "a pink latte glass on a wooden table, cream wall"
    assert (asked.aspect, asked.seed, asked.previews) == ("4:3", 7, True)
    assert asked.object_key.startswith(f"tmp/{item.job_id}/{item.token}/")
    assert asked.object_key.endswith(".png")


async def test_copy_is_delivered_as_a_document_without_a_thumbnail(stage: Stage) -> None:
    stage.offer(output="marketing_copy")
    stage.work()
    delivered = (await stage.queue.end()).delivered
    assert delivered.file.content_type == "application/json"
    assert not delivered.HasField("thumbnail")
    copy = json.loads(await stage.blobs.get(delivered.file.object_key))
    assert "딸기 라떼" in copy["headline"]
    assert copy["writer"] == "offline"
    assert stage.inference.requests == []


async def test_progress_grows_through_the_steps_with_previews(stage: Stage) -> None:
    stage.offer()
    stage.inference.gate = asyncio.Event()
    stage.work()
    await asyncio.wait_for(stage.inference.drawing.wait(), 60)
    stage.inference.gate.set()
    await stage.queue.end()
    reported = stage.queue.progress
    percents = [report.progress for report in reported]
    assert percents == sorted(percents)
    assert percents[-1] <= 99
    assert [report.step for report in reported][:1] == ["prompt"]
    assert "generate" in {report.step for report in reported}
    assert b"jpeg" in {report.preview for report in reported}


async def test_items_of_a_job_share_their_steps(stage: Stage) -> None:
    stage.slots = 1
    first = stage.offer()
    stage.offer(job_id=first.job_id)
    stage.work()
    recipes = [(await stage.queue.end()).delivered.recipe_json for _ in range(2)]
    assert recipes[0] == recipes[1]
    assert len(stage.inference.requests) == 1


async def test_an_item_waits_for_a_step_that_another_one_runs(stage: Stage) -> None:
    stage.inference.gate = asyncio.Event()
    stage.offer()
    stage.offer()
    stage.work()
    await asyncio.wait_for(stage.queue.waited.wait(), 60)
    stage.inference.gate.set()
    await stage.queue.end()
    await stage.queue.end()
    assert len(stage.inference.requests) == 1


async def test_a_retry_resumes_after_the_last_finished_step(stage: Stage) -> None:
    stage.inference.failure = ModelFailed("crashed")
    first = stage.offer()
    claims = stage.work()
    failed = (await stage.queue.end()).failed
    assert (failed.failure_class, failed.code) == (pb.FAILURE_CLASS_INFRA, "model_failed")
    assert failed.message == "crashed"
    stage.inference.failure = None
    stage.queue.running.clear()
    kept = dict(stage.queue.kept)
    stage.queue.begun.clear()
    retry = stage.item(item_id=first.item_id, work_id=first.work_id, attempt=2)
    stage.queue.runnable.append(retry)
    claims.wake()
    assert (await stage.queue.end()).delivered.file.size_bytes
    assert len(kept) == 1  # the prompt
    assert stage.queue.begun == ["prompt", "generate", "copy"]
    assert kept.items() <= stage.queue.kept.items()


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Overloaded("full"), (pb.FAILURE_CLASS_INFRA, "overloaded")),
        (StepTimeout("late"), (pb.FAILURE_CLASS_TRANSIENT, "timeout")),
        (UnknownModel("no such"), (pb.FAILURE_CLASS_USER, "unknown_model")),
        (InvalidArgument.of("aspect", "no"), (pb.FAILURE_CLASS_USER, "invalid_argument")),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_refusal_of_inference_is_classified(
    stage: Stage, failure: DomainError, expected: tuple[int, str]
) -> None:
    stage.inference.failure = failure
    stage.offer()
    stage.work()
    failed = (await stage.queue.end()).failed
    assert (failed.failure_class, failed.code) == expected


async def test_a_storage_that_is_away_is_no_attempt(stage: Stage) -> None:
    away = Blobs(blob_settings(stage.layout, "http://127.0.0.1:9"))
    tools = stage.tools
    stage.tools = Tools(tools.writer, tools.artist, away, tools.faces)
    stage.offer(output="marketing_copy")
    stage.work()
    failed = (await stage.queue.end()).failed
    assert (failed.failure_class, failed.code) == (pb.FAILURE_CLASS_INFRA, "unavailable")
    assert "127.0.0.1" not in failed.message


async def test_a_graph_that_is_not_valid_fails_for_good(stage: Stage) -> None:
    stage.offer(graph_json="{}")
    stage.work()
    failed = (await stage.queue.end()).failed
    assert (failed.failure_class, failed.code) == (pb.FAILURE_CLASS_USER, "invalid_graph")
