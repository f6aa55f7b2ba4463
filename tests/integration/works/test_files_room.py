"""How much an owner may keep: what is announced, sent, sent again and stored, until it is gone."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid

import pytest

from kit.identity import Identity
from kit.testing.databases import move_clock
from services.works.files import service, store
from services.works.files.confirm import new_attempt
from services.works.files.domain import FileRefused, QuotaExceeded
from services.works.files.sweep import sweeps
from tests.databases import Urls
from tests.integration.security.hostile.honest import document, encoded, saved, scene
from tests.integration.works.shelf import SENT, Shelf, member

PNG = encoded(scene(), "PNG")
PDF = saved(document(3))
FORM_OVER = dt.timedelta(seconds=service.FORM_SECONDS + service.SENDING_SECONDS + 1)


async def used(files: Shelf, owner: Identity) -> int:
    return await files.database.read(owner, store.used, owner.user, uuid.uuid4())


async def test_a_quota_counts_what_is_stored_and_what_is_announced(files: Shelf) -> None:
    owner = member()
    files.quota_bytes = 3 * len(PNG)
    await files.create(owner, "image/png", len(PNG))
    await files.create(owner, "image/png", len(PNG) * 2)
    with pytest.raises(QuotaExceeded) as refused:
        await files.create(owner, "image/png", 1)
    assert refused.value.metadata["used"] == str(3 * len(PNG))
    other = member()
    await files.create(other, "image/png", len(PNG))


async def test_of_reservations_made_at_once_no_more_are_accepted_than_fit(files: Shelf) -> None:
    owner = member()
    files.quota_bytes = 5_000
    made = await asyncio.gather(
        *(files.create(owner, "image/png", 1_000) for _ in range(12)), return_exceptions=True
    )
    assert sum(isinstance(each, uuid.UUID) for each in made) == 5
    assert sum(isinstance(each, QuotaExceeded) for each in made) == 7


async def test_a_file_that_grew_past_the_quota_can_be_confirmed_once_there_is_room(
    files: Shelf,
) -> None:
    owner = member()
    small = encoded(scene((400, 300)), "JPEG", quality=30)
    file_id = await files.sent(owner, small, "image/jpeg")
    with pytest.raises(QuotaExceeded):
        await files.confirmer.confirm(owner, new_attempt(owner, file_id), len(small) + 10)
    assert (await files.read(owner, file_id))["state"] == "pending"
    ready = await files.confirm(owner, file_id)
    assert ready["state"] == "ready"
    assert await used(files, owner) == ready["size_bytes"] > len(small)


async def test_files_that_were_announced_for_all_of_the_room_are_all_let_in(files: Shelf) -> None:
    owner = member()
    files.quota_bytes = 3 * len(PDF)
    sent = [await files.sent(owner, pdf, "application/pdf") for pdf in variants(3)]
    for each in sent:
        assert (await files.confirm(owner, each))["state"] == "ready"
    assert await used(files, owner) == files.quota_bytes


def variants(count: int) -> list[bytes]:
    """Documents of one size that are not the same."""
    at = PDF.index(b"%PDF-1.") + len(b"%PDF-1.")
    return [PDF[:at] + b"%d" % (4 + number) + PDF[at + 1 :] for number in range(count)]


async def test_a_deleted_file_holds_its_room_until_nothing_can_be_sent_by_its_form(
    files: Shelf, urls: Urls
) -> None:
    owner = member()
    files.quota_bytes = len(PNG)
    deleted = await files.sent(owner, PNG, "image/png")
    await files.delete(owner, deleted)
    await files.sweep()
    assert await files.send(owner, deleted, PNG, "image/png") in SENT
    await move_clock(urls.owner, dt.timedelta(seconds=service.FORM_SECONDS))
    await files.sweep()
    assert len(await files.objects("quarantine/")) == 1, "what is being sent may still come"
    with pytest.raises(QuotaExceeded):
        await files.create(owner, "image/png", 1)
    await move_clock(urls.owner, FORM_OVER)
    with pytest.raises(QuotaExceeded):  # it is there as long as nobody has removed it
        await files.create(owner, "image/png", 1)
    await files.sweep()
    assert await files.objects() == []
    await files.create(owner, "image/png", len(PNG))


async def test_whoever_announces_sends_and_deletes_in_turn_fills_no_more_than_his_room(
    files: Shelf,
) -> None:
    owner = member()
    files.quota_bytes = 4 * len(PNG)
    for _ in range(4):
        await files.delete(owner, await files.sent(owner, PNG, "image/png"))
    with pytest.raises(QuotaExceeded):
        await files.sent(owner, PNG, "image/png")
    assert len(await files.objects()) == 4


@pytest.mark.parametrize("content_type", ["application/pdf", "image/png"])
async def test_what_is_sent_again_after_the_end_changes_nothing_counts_and_is_swept(
    files: Shelf, urls: Urls, content_type: str
) -> None:
    owner = member()
    files.quota_bytes = 2 * len(PDF)
    file_id = await files.sent(owner, PDF, content_type)
    if content_type == "image/png":
        with pytest.raises(FileRefused):
            await files.confirm(owner, file_id)
    else:
        await files.confirm(owner, file_id)
    settled, stored = await files.read(owner, file_id), await files.objects()
    assert await files.send(owner, file_id, PDF, content_type) in SENT
    if settled["state"] == "ready":
        assert await files.confirm(owner, file_id) == settled
    with pytest.raises(QuotaExceeded):
        await files.create(owner, "image/png", len(PDF) + 1)
    await move_clock(urls.owner, FORM_OVER)
    await files.sweep()
    assert await files.objects() == stored
    assert await files.read(owner, file_id) == settled
    assert await used(files, owner) == (len(PDF) if settled["state"] == "ready" else 0)


async def test_files_with_the_same_bytes_count_each_for_itself_while_they_can_be_sent(
    files: Shelf, urls: Urls
) -> None:
    owner = member()
    files.quota_bytes = 3 * len(PDF)
    for _ in range(3):
        await files.upload(owner, PDF, "application/pdf")
    with pytest.raises(QuotaExceeded):
        await files.create(owner, "application/pdf", 1)
    await move_clock(urls.owner, FORM_OVER)
    await files.sweep()
    assert await used(files, owner) == len(PDF)
    await files.create(owner, "application/pdf", 2 * len(PDF))


async def test_what_waits_for_its_confirmation_is_kept_after_its_form_has_expired(
    files: Shelf, urls: Urls
) -> None:
    owner = member()
    file_id = await files.sent(owner, PNG, "image/png")
    await move_clock(urls.owner, dt.timedelta(seconds=service.CONFIRM_SECONDS - 60))
    await files.sweep()
    assert await used(files, owner) == len(PNG)
    assert (await files.confirm(owner, file_id))["state"] == "ready"


async def test_an_object_that_came_after_everything_is_removed_when_no_file_can_need_it(
    files: Shelf, urls: Urls
) -> None:
    owner = member()
    await files.blobs.put(service.quarantine_key(owner.user, uuid.uuid4()), b"x", "image/png")
    strays = sweeps(files.database, files.blobs)["strays"]
    await move_clock(urls.owner, dt.timedelta(seconds=service.CONFIRM_SECONDS))
    assert await strays() == 0
    await move_clock(urls.owner, dt.timedelta(seconds=service.STRAY_SECONDS + 60))
    # Two at once do no harm: an object may be removed twice.
    await asyncio.gather(strays(), strays())
    assert await files.objects() == []
