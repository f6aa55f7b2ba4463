"""What an item writes and how it was made are told with its events."""

from __future__ import annotations

import uuid

import pytest
from atelier.jobs.v1 import jobs_pb2, queue_pb2

from kit.database import Database
from kit.errors import InvalidArgument
from services.jobs.live import store as live
from services.jobs.live.record import Written
from services.jobs.queue import service
from services.jobs.settle import RECIPE_BYTES_MAX
from tests.integration.jobs.test_queue import HOUSE, claim, lease_of, queue_job


async def events(database: Database, job_id: uuid.UUID) -> list[jobs_pb2.JobEvent]:
    kept = await database.read(HOUSE, live.after, job_id, 0, 100)
    return [jobs_pb2.JobEvent.FromString(each) for each in kept]


async def test_a_piece_of_text_is_told_with_its_place_and_its_attempt(database: Database) -> None:
    job = await queue_job(database)
    [row] = await claim(database)
    lease = lease_of(row)
    for written in (Written("딸기 ", 0), Written("라떼", 3)):
        await database.write(HOUSE, service.progress, lease, 10, "chat", b"", written)
    told = [each for each in await events(database, job.id) if each.text]
    assert [(each.text, each.text_at, each.item.attempts) for each in told] == [
        ("딸기 ", 0, 1),
        ("라떼", 3, 1),
    ]


@pytest.mark.parametrize("written", [Written("x" * 4_001, 0), Written("x", -1)])
async def test_a_piece_that_is_too_long_or_nowhere_is_refused(
    database: Database, written: Written
) -> None:
    await queue_job(database)
    [row] = await claim(database)
    with pytest.raises(InvalidArgument):
        await database.write(HOUSE, service.progress, lease_of(row), 10, "chat", b"", written)


@pytest.mark.parametrize(("length", "is_told"), [(20, True), (RECIPE_BYTES_MAX + 1, False)])
async def test_how_it_was_made_is_told_at_the_end_unless_it_is_long(
    database: Database, length: int, is_told: bool
) -> None:
    job = await queue_job(database)
    [row] = await claim(database)
    recipe = '{"prompt":"' + "x" * (length - 13) + '"}'
    delivery = queue_pb2.Delivery(file=queue_pb2.Artifact(object_key="k"), recipe_json=recipe)
    await database.write(HOUSE, service.deliver, lease_of(row), delivery)
    [ended] = [each for each in await events(database, job.id) if each.type == "item_finished"]
    assert ended.recipe_json == (recipe if is_told else "")
    others = [each for each in await events(database, job.id) if each.type != "item_finished"]
    assert not any(each.recipe_json for each in others)
