"""How long a confirmation may take, what it waits for, and how one goes on that is left alone."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kit.errors import Unavailable
from kit.testing.databases import move_clock
from services.works.files import confirm, service
from services.works.files.checker import Bounds, Busy, Bytes
from services.works.files.domain import FileInCheck
from tests.databases import Urls
from tests.integration.security.hostile.honest import encoded, scene
from tests.integration.works.shelf import Shelf, member, shelf
from tests.studio import eventually

PNG = encoded(scene(), "PNG")


def bounded(files: Shelf, bounds: Bounds) -> Shelf:
    """A shelf over the same things with other bounds."""
    return shelf(files.database, files.blobs, bounds)


async def in_check(files: Shelf) -> bool:
    return await files.count("SELECT count(*) FROM user_file WHERE attempt_until IS NOT NULL") > 0


async def is_kept(files: Shelf) -> bool:
    return await files.count("SELECT count(*) FROM user_file WHERE attempt_until > app_now()") > 0


async def test_no_other_begins_while_one_waits_and_checks_for_as_long_as_it_may(
    files: Shelf, urls: Urls
) -> None:
    owner, bounds = member(), Bounds(at_once=1, renewal_seconds=0.1)
    slow = bounded(files, bounds)
    file_id = await slow.sent(owner, PNG, "image/png")
    async with slow.checker.turn():
        confirming = asyncio.create_task(slow.confirm(owner, file_id))
        await eventually(lambda: in_check(slow))
        await move_clock(urls.owner, dt.timedelta(seconds=bounds.waiting_seconds + bounds.seconds))
        await eventually(lambda: is_kept(slow))
        with pytest.raises(FileInCheck):
            await files.confirm(owner, file_id)
    assert (await confirming)["state"] == "ready"


async def test_one_that_hangs_is_ended_before_another_may_begin(
    files: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = member()
    bounds = Bounds(waiting_seconds=0.1, seconds=0.1, moving_seconds=0.1)
    file_id = await files.sent(owner, PNG, "image/png")

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(files.blobs, "fetch", hang)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(bounded(files, bounds).confirm(owner, file_id), 60)
    assert (await files.confirm(owner, file_id))["state"] == "ready"


def test_what_must_outlast_another_does() -> None:
    longest = Bounds(seconds=25)  # as much as a setting may say
    assert longest.waiting_seconds + longest.seconds < longest.attempt_seconds
    assert 3 * longest.renewal_seconds < longest.lease_seconds
    assert 10 * longest.attempt_seconds < service.ABANDONED_SECONDS
    assert service.FORM_SECONDS + service.SENDING_SECONDS < service.CONFIRM_SECONDS
    assert service.CONFIRM_SECONDS + longest.attempt_seconds < service.STRAY_SECONDS


async def test_a_confirmation_goes_on_when_its_caller_has_left(files: Shelf) -> None:
    owner, slow = member(), bounded(files, Bounds(at_once=1, waiting_seconds=100))
    file_id = await files.sent(owner, PNG, "image/png")
    async with slow.checker.turn():  # nothing can be ready before all of them have left
        for _ in range(3):
            impatient = asyncio.create_task(slow.confirm(owner, file_id))
            await eventually(lambda: in_check(files))
            impatient.cancel()
            with pytest.raises((asyncio.CancelledError, FileInCheck)):
                await impatient

    async def ready() -> bool:
        return bool((await files.read(owner, file_id))["state"] == "ready")

    await eventually(ready)
    assert await files.objects("quarantine/") == []


async def test_a_service_that_stops_leaves_no_file_in_check(files: Shelf) -> None:
    owner = member()
    slow = bounded(files, Bounds(at_once=1))
    file_id = await files.sent(owner, PNG, "image/png")
    async with slow.checker.turn():
        left = asyncio.create_task(slow.confirm(owner, file_id))
        await eventually(lambda: in_check(slow))
        await slow.confirmer.close()
        with pytest.raises(asyncio.CancelledError):
            await left
    assert (await files.confirm(owner, file_id))["state"] == "ready"


async def test_nothing_is_fetched_before_its_turn_has_come(
    files: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, scratch = member(), confirm._scratch
    few = bounded(files, Bounds(at_once=2))
    sent = [await few.sent(owner, PNG, "image/png") for _ in range(6)]
    taken: set[int] = set()
    most = 0

    @contextmanager
    def counted() -> Iterator[Bytes]:
        nonlocal most
        with scratch() as places:
            taken.add(id(places))
            most = max(most, len(taken))
            yield places
            taken.discard(id(places))

    monkeypatch.setattr(confirm, "_scratch", counted)
    rows = await asyncio.gather(*(few.confirm(owner, each) for each in sent))
    assert {row["state"] for row in rows} == {"ready"}
    assert most == 2


async def test_a_file_for_which_there_is_no_place_can_be_confirmed_at_once_again(
    files: Shelf,
) -> None:
    owner = member()
    full = bounded(files, Bounds(at_once=1, waiting_max=0))
    file_id = await full.sent(owner, PNG, "image/png")
    async with full.checker.turn():
        with pytest.raises(Busy):
            await full.confirm(owner, file_id)
    assert (await full.confirm(owner, file_id))["state"] == "ready"
