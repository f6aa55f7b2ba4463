"""Files from announcement to sweep: what is stored, once, for whom, and what every crash leaves."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import random
import uuid

import pytest

from kit.database import Session
from kit.errors import DomainError, NotFound, WrongState
from kit.paging import PageRequest
from kit.testing.databases import move_clock
from services.works.files import confirm, remains, service, store
from services.works.files.checker import Bounds
from services.works.files.confirm import new_attempt
from services.works.files.domain import (
    FileInCheck,
    FileRefused,
    UploadExpired,
    UploadNotReceived,
)
from services.works.files.sweep import doom, sweeps
from tests.databases import Urls
from tests.integration.security.hostile.honest import document, encoded, saved, scene
from tests.integration.works.shelf import HOUSE, Shelf, member, shelf
from tests.studio import eventually

PNG = encoded(scene(), "PNG")
PDF = saved(document(3))
NEWEST = PageRequest.of(100, "")


async def test_what_was_sent_and_confirmed_is_ready_and_its_bytes_are_what_it_says(
    files: Shelf,
) -> None:
    owner = member()
    row = await files.upload(owner, PNG, "image/png")
    assert (row["state"], row["width"], row["height"]) == ("ready", 96, 64)
    data = await files.blobs.get(row["object_key"])
    assert (len(data), hashlib.sha256(data).hexdigest()) == (row["size_bytes"], row["sha256"])
    assert (await files.blobs.get(row["thumbnail_key"])).startswith(b"\xff\xd8\xff")
    assert sorted(await files.objects()) == sorted([row["object_key"], row["thumbnail_key"]])
    document_row = await files.upload(owner, PDF, "application/pdf")
    assert (document_row["pages"], document_row["thumbnail_key"]) == (3, None)
    assert await files.blobs.get(document_row["object_key"]) == PDF


async def test_confirming_again_tells_the_same(files: Shelf) -> None:
    owner = member()
    row = await files.upload(owner, PNG, "image/png")
    assert await files.confirm(owner, row["id"]) == row
    bad = await files.sent(owner, PNG, "image/jpeg")
    for _ in range(2):
        with pytest.raises(FileRefused) as refused:
            await files.confirm(owner, bad)
        assert refused.value.reason == "FILE_TYPE_MISMATCH"
    shown = await files.read(owner, bad)
    assert (shown["state"], shown["error_code"]) == ("refused", "file_type_mismatch")
    assert await files.objects("quarantine/") == []


async def test_a_file_that_was_not_sent_can_be_sent_and_confirmed_later(files: Shelf) -> None:
    owner = member()
    file_id = await files.create(owner, "image/png", len(PNG))
    with pytest.raises(UploadNotReceived):
        await files.confirm(owner, file_id)
    assert await files.send(owner, file_id, PNG, "image/png") in (200, 201, 204)
    assert (await files.confirm(owner, file_id))["state"] == "ready"


async def test_the_storage_takes_no_other_size_type_or_key_than_was_announced(
    files: Shelf,
) -> None:
    owner = member()
    file_id = await files.create(owner, "image/png", len(PNG))
    other = service.quarantine_key(owner.user, uuid.uuid4())
    for changes in ({"key": other}, {"Content-Type": "text/html"}):
        assert await files.send(owner, file_id, PNG, "image/png", **changes) in (400, 403)
    form = files.blobs.presign_post("quarantine/x", "image/png", 10, dt.timedelta(seconds=-1))
    assert await files.send(owner, file_id, PNG, "image/png", **form) in (400, 403)
    assert await files.objects() == []


@pytest.mark.parametrize("announced", [len(PNG) - 1, len(PNG) + 1])
async def test_storage_that_took_another_size_is_not_believed(files: Shelf, announced: int) -> None:
    owner = member()
    file_id = await files.create(owner, "image/png", announced)
    await files.blobs.put(service.quarantine_key(owner.user, file_id), PNG, "image/png")
    with pytest.raises(FileRefused) as refused:
        await files.confirm(owner, file_id)
    assert refused.value.reason == ("FILE_TOO_LARGE" if announced < len(PNG) else "FILE_DAMAGED")


async def test_the_same_bytes_of_one_owner_are_stored_once_and_go_with_the_last_file(
    files: Shelf,
) -> None:
    owner = member()
    first = await files.upload(owner, PNG, "image/png")
    second = await files.upload(owner, PNG, "image/png")
    assert first["id"] != second["id"]
    assert first["object_key"] == second["object_key"]
    assert len(await files.objects("files/")) == 2  # the picture and its thumbnail
    await files.delete(owner, first["id"])
    await files.sweep()
    assert len(await files.objects("files/")) == 2
    await files.delete(owner, second["id"])
    await files.sweep()
    assert await files.objects() == []
    assert await files.count("SELECT count(*) FROM content") == 0


async def test_the_same_bytes_of_two_owners_are_two_things_and_neither_learns_of_the_other(
    files: Shelf,
) -> None:
    ours, theirs = member(), member()
    one = await files.upload(ours, PNG, "image/png")
    other = await files.upload(theirs, PNG, "image/png")
    assert one["sha256"] == other["sha256"]
    assert one["object_key"] != other["object_key"]
    with pytest.raises(NotFound):
        await files.read(theirs, one["id"])
    with pytest.raises(NotFound):
        await files.delete(theirs, one["id"])
    page = await files.database.read(
        theirs, store.page, theirs.user, NEWEST, store.Filter("", "", "")
    )
    assert [row["id"] for row in page.rows] == [other["id"]]


async def test_two_at_once_with_the_same_bytes_end_with_one_object(files: Shelf) -> None:
    owner = member()
    sent = [await files.sent(owner, PNG, "image/png") for _ in range(4)]
    rows = await asyncio.gather(*(files.confirm(owner, each) for each in sent))
    assert {row["state"] for row in rows} == {"ready"}
    assert len({row["object_key"] for row in rows}) == 1
    await files.sweep()
    assert len(await files.objects("files/")) == 2


async def test_a_file_is_checked_by_one_confirmation_at_a_time(files: Shelf) -> None:
    owner, slow = (
        member(),
        shelf(files.database, files.blobs, Bounds(at_once=1, waiting_seconds=100)),
    )
    file_id = await files.sent(owner, PNG, "image/png")
    async with slow.checker.turn():  # so that the one which is first is under way until all came
        asked = [asyncio.create_task(slow.confirm(owner, file_id)) for _ in range(5)]
        for _, refused in zip(range(4), asyncio.as_completed(asked), strict=False):
            with pytest.raises(FileInCheck):
                await refused
    await asyncio.gather(*asked, return_exceptions=True)
    assert (await files.read(owner, file_id))["state"] == "ready"
    assert len(await files.objects("files/")) == 2


async def test_the_sweeper_waits_for_an_upload_that_is_taking_the_bytes_it_came_for(
    files: Shelf,
) -> None:
    """The race of a deletion's sweep against a new upload of the same bytes, step by step."""
    owner = member()
    old = await files.upload(owner, PNG, "image/png")
    file_id = await files.sent(owner, PNG, "image/png")
    await files.delete(owner, old["id"])
    taken, go_on = asyncio.Event(), asyncio.Event()
    attempt = new_attempt(owner, file_id)
    made = service.Made("image/png", old["size_bytes"], old["sha256"], 96, 64, 0, True)

    async def take(session: Session) -> None:
        await service.begin(session, attempt, 60)
        assert await service.settle(session, attempt, made, files.quota_bytes) is None
        taken.set()
        await go_on.wait()

    taking = asyncio.create_task(files.database.write(owner, take))
    await taken.wait()
    sweeping = asyncio.create_task(sweeps(files.database, files.blobs)["contents"]())
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    async def waits_or_has_gone_on() -> bool:
        return sweeping.done() or await files.count(waits) > 0

    await eventually(waits_or_has_gone_on)
    go_on.set()
    await taking
    await sweeping
    row = await files.read(owner, file_id)
    assert (row["state"], row["object_key"]) == ("ready", old["object_key"])
    assert await files.blobs.get(row["object_key"])


async def test_an_upload_never_takes_bytes_that_the_sweeper_has_begun_to_remove(
    files: Shelf,
) -> None:
    owner = member()
    old = await files.upload(owner, PNG, "image/png")
    await files.delete(owner, old["id"])
    [due] = await files.database.read(HOUSE, remains.due, 10)
    doomed = await files.database.write(HOUSE, doom, owner.user, due["id"])
    assert doomed == [old["object_key"], old["thumbnail_key"]]
    new = await files.upload(owner, PNG, "image/png")  # here the sweeper has not deleted yet
    assert new["object_key"] != old["object_key"]
    await files.sweep()
    assert sorted(await files.objects()) == sorted([new["object_key"], new["thumbnail_key"]])


async def test_under_uploads_deletions_and_sweeps_at_random_no_ready_file_loses_its_bytes(
    files: Shelf,
) -> None:
    chance, owner = random.Random(20260131), member()
    pictures = [encoded(scene((8 + size, 8)), "PNG") for size in range(2)]
    live: list[uuid.UUID] = []

    async def act() -> None:
        for _ in range(4):
            if live and chance.random() < 0.5:
                await files.delete(owner, live.pop(chance.randrange(len(live))))
            else:
                row = await files.upload(owner, chance.choice(pictures), "image/png")
                live.append(row["id"])
            await files.sweep()

    await asyncio.gather(*(act() for _ in range(4)))
    stored = set(await files.objects("files/"))
    rows = [await files.read(owner, each) for each in live]
    assert {key for row in rows for key in (row["object_key"], row["thumbnail_key"])} == stored
    for each in live:
        await files.delete(owner, each)
    await files.sweep()
    assert await files.objects() == []


async def test_what_nobody_confirms_expires_and_gives_its_room_back(
    files: Shelf, urls: Urls
) -> None:
    owner = member()
    files.quota_bytes = len(PNG)
    file_id = await files.sent(owner, PNG, "image/png")
    await files.sweep()
    assert (await files.read(owner, file_id))["state"] == "pending"
    await move_clock(urls.owner, dt.timedelta(hours=1, minutes=1))
    with pytest.raises(UploadExpired):
        await files.confirm(owner, file_id)
    await files.sweep()
    assert (await files.read(owner, file_id))["state"] == "expired"
    assert await files.objects() == []
    with pytest.raises(UploadExpired):
        await files.confirm(owner, file_id)
    await files.create(owner, "image/png", len(PNG))


async def test_only_a_ready_file_is_downloaded_or_resolved(files: Shelf) -> None:
    owner, other = member(), member()
    ready = await files.upload(owner, PNG, "image/png")
    pending = await files.create(owner, "image/png", 10)
    foreign = await files.upload(other, PNG, "image/png")
    with pytest.raises(WrongState):
        await files.database.read(owner, service.get_ready, owner.user, pending)
    wanted = [ready["id"], pending, foreign["id"], uuid.uuid4()]
    found = await files.database.read(HOUSE, service.resolve, owner.user, wanted)
    assert {each: row["state"] for each, row in found.items()} == {
        ready["id"]: "ready",
        pending: "pending",
    }


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the process runs afterwards."""


@pytest.mark.parametrize("point", ["file.begun", "file.stored", "file.ready"])
async def test_a_death_between_any_two_steps_leaves_a_file_that_can_be_confirmed_or_is_ready(
    files: Shelf, urls: Urls, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    owner = member()
    file_id = await files.sent(owner, PNG, "image/png")

    def die(name: str) -> None:
        if name == point:
            raise Killed

    async def nothing(*_: object) -> None:
        """A dead process gives nothing up."""

    with monkeypatch.context() as patched:
        patched.setattr(confirm, "crash_point", die)
        patched.setattr(files.confirmer, "_give_up", nothing)
        with pytest.raises(Killed):
            await files.confirm(owner, file_id)
    if point == "file.ready":
        assert (await files.read(owner, file_id))["state"] == "ready"
    else:
        with pytest.raises(FileInCheck):  # the dead one's attempt ends by itself
            await files.confirm(owner, file_id)
        await move_clock(urls.owner, dt.timedelta(minutes=1))
    assert (await files.confirm(owner, file_id))["state"] == "ready"
    await move_clock(urls.owner, dt.timedelta(hours=2))
    await files.sweep()
    row = await files.read(owner, file_id)
    assert sorted(await files.objects("files/")) == sorted(
        [row["object_key"], row["thumbnail_key"]]
    )


async def test_a_file_that_is_deleted_while_it_is_checked_leaves_nothing(
    files: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = member()
    file_id = await files.sent(owner, PNG, "image/png")
    put_file = files.blobs.put_file

    async def put_and_delete(*args: object) -> None:
        await put_file(*args)  # type: ignore[arg-type]
        if args[2] == "image/png":
            await files.delete(owner, file_id)

    monkeypatch.setattr(files.blobs, "put_file", put_and_delete)
    with pytest.raises(DomainError) as refused:
        await files.confirm(owner, file_id)
    assert refused.value.reason == "NOT_FOUND"
    assert await files.objects("files/") != []
    await files.sweep()
    assert await files.objects("files/") == []
