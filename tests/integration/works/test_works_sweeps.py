"""Objects that nobody needs go away; those in use stay."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid

from atelier.jobs.v1 import events_pb2, queue_pb2

from kit.blobs import Blobs
from kit.database import Database, ReadSession
from kit.identity import system
from kit.testing.databases import move_clock
from services.works.projects import service as projects
from services.works.works import events, service, store
from services.works.works.sweep import sweeps
from tests.databases import Urls

HOUSE = system("works")
TWO_DAYS_SECONDS = 48 * 3_600.0


async def test_what_was_only_passing_through_is_removed_when_it_is_old(
    database: Database, blobs: Blobs, urls: Urls
) -> None:
    await blobs.put("tmp/job/1/a.png", b"x", "image/png")
    await blobs.put("works/a.jpg", b"x", "image/jpeg")
    orphans = sweeps(database, blobs, TWO_DAYS_SECONDS)["orphans"]
    assert await orphans() == 0
    await move_clock(urls.owner, dt.timedelta(days=3))
    # Two at once do no harm: an object may be removed twice.
    await asyncio.gather(orphans(), orphans())
    assert await orphans() == 0
    assert await blobs.older("", await database.read(HOUSE, ReadSession.now), 10) == ["works/a.jpg"]


async def test_an_upload_in_parts_that_nobody_ends_is_aborted(
    database: Database, blobs: Blobs, urls: Urls
) -> None:
    begun = blobs._client._create_multipart_upload(blobs.bucket, "works/big.mp4", {})
    assert begun
    uploads = sweeps(database, blobs, TWO_DAYS_SECONDS)["uploads"]
    assert await uploads() == 0
    await move_clock(urls.owner, dt.timedelta(days=3))
    assert await uploads() == 1
    assert await uploads() == 0


async def test_the_object_of_a_deleted_work_is_removed_and_the_end_of_one_may_be_told_twice(
    database: Database, blobs: Blobs
) -> None:
    owner, work = uuid.uuid4(), uuid.uuid4()
    project = await database.write(HOUSE, projects.ensure_first, owner, "ko")
    batch = service.NewBatch(
        job_id=uuid.uuid4(),
        batch_id=uuid.uuid4(),
        project_id=project["id"],
        owner_id=owner,
        category="eats",
        template_id="t",
        inputs_json="{}",
        text="a latte",
        works=[(work, "promotional_image", 1)],
    )
    await database.write(HOUSE, service.create, batch)
    picture = await blobs.put("works/a.jpg", b"picture", "image/jpeg")
    artifact = queue_pb2.Artifact(
        object_key=picture.key,
        content_type="image/jpeg",
        size_bytes=picture.size_bytes,
        sha256=picture.sha256,
        width=8,
        height=8,
    )
    finished = events_pb2.ItemFinished(
        work_id=str(work),
        outcome=events_pb2.ITEM_OUTCOME_SUCCEEDED,
        delivery=queue_pb2.Delivery(file=artifact),
    )
    for _ in range(2):
        await database.write(HOUSE, events.item_finished, finished)
    shown = await database.read(HOUSE, store.one, owner, work)
    assert shown is not None
    assert (shown["state"], shown["object_key"]) == ("completed", "works/a.jpg")

    files = sweeps(database, blobs, TWO_DAYS_SECONDS)["files"]
    assert await files() == 0
    await database.write(HOUSE, service.delete, owner, work)
    assert sorted(await asyncio.gather(files(), files())) == [0, 1]
    assert await blobs.older("", await database.read(HOUSE, ReadSession.now), 10) == []
