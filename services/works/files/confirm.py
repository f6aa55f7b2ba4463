"""From quarantine into storage: fetch, check, store, each step repeatable, none trusting the last.

A crash between any two leaves a file that can be confirmed again, or one that is ready. What it had
begun to write is known by its row and swept.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from kit.blobs import Blobs, Stored
from kit.crash import crash_point
from kit.database import Database, Row
from kit.errors import DomainError, NotFound, Unavailable
from kit.identity import Identity
from kit.ids import uuid7
from kit.process import cancel
from services.works.files import service, store
from services.works.files.check.verdict import Accepted, Limits
from services.works.files.checker import Bytes, Checker
from services.works.files.domain import (
    BUCKETS,
    BUSY_SECONDS,
    FileInCheck,
    FileRefused,
    UploadNotReceived,
)
from services.works.files.service import Content, Made
from services.works.files.store import Attempt

log = logging.getLogger(__name__)

READ_BYTES = 1 << 20
THUMBNAIL_BYTES_MAX = 1 << 20


@dataclass(frozen=True)
class Sizes:
    """How large what is checked may be, whatever its bucket.

    Attributes:
        pixels_max: Of a picture.
        side_max: Of a picture, in pixels.
        pages_max: Of a document.
    """

    pixels_max: int
    side_max: int = 16_383
    pages_max: int = 2_000


class Confirmer:
    """Confirms uploads.

    Args:
        database: Of works.
        blobs: The bucket.
        checker: Runs checks.
        sizes: What they hold files against.
    """

    def __init__(self, database: Database, blobs: Blobs, checker: Checker, sizes: Sizes) -> None:
        self._database = database
        self._blobs = blobs
        self._checker = checker
        self._sizes = sizes
        self._running: set[asyncio.Task[None]] = set()

    async def confirm(self, identity: Identity, attempt: Attempt, quota_bytes: int) -> None:
        """Checks what was sent and makes the file ready; nothing where it is ready already.

        A caller who leaves, as one does who waits no longer, does not end the attempt: else every
        one of his next would begin anew, and none might ever come to its end.

        Raises:
            DomainError: As :func:`service.begin`, :func:`service.settle` and
                :func:`service.finish` say, and FileRefused, which is final.
            UploadNotReceived: Nothing was sent yet.
            Busy: Too many files wait for their check.
            Unavailable: The storage or the check failed; it may be tried again.
        """
        task = asyncio.create_task(self._confirm(identity, attempt, quota_bytes))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """Ends the attempts that nobody waits for any more; their files can be confirmed again."""
        for task in list(self._running):
            await cancel(task)

    async def _confirm(self, identity: Identity, attempt: Attempt, quota_bytes: int) -> None:
        bounds = self._checker.bounds
        try:
            async with asyncio.timeout(bounds.attempt_seconds):
                row = await self._database.write(
                    identity, service.begin, attempt, bounds.lease_seconds
                )
                if row is not None:
                    crash_point("file.begun")
                    await self._check(identity, attempt, row, quota_bytes)
        except TimeoutError:
            raise Unavailable("the file took too long", retry_after_seconds=BUSY_SECONDS) from None

    async def _check(
        self, identity: Identity, attempt: Attempt, row: Row, quota_bytes: int
    ) -> None:
        try:
            async with self._kept(identity, attempt), self._checker.turn():
                await self._store(identity, attempt, row, quota_bytes)
        except FileRefused as refused:
            await self._database.write(identity, service.refuse, attempt, refused)
            crash_point("file.refused")
            await self._empty_quarantine(attempt)
            raise
        except BaseException:
            await asyncio.shield(self._give_up(identity, attempt))
            raise
        await self._empty_quarantine(attempt)

    @asynccontextmanager
    async def _kept(self, identity: Identity, attempt: Attempt) -> AsyncIterator[None]:
        """Keeps others from beginning for as long as the block runs."""
        renewing = asyncio.create_task(self._renew(identity, attempt))
        try:
            yield
        finally:
            await cancel(renewing)

    async def _renew(self, identity: Identity, attempt: Attempt) -> None:
        bounds = self._checker.bounds
        while True:
            await asyncio.sleep(bounds.renewal_seconds)
            try:
                await self._database.write(identity, store.renew, attempt, bounds.lease_seconds)
            except Unavailable:  # another one may begin meanwhile; then this one changes nothing
                log.warning("an attempt was not renewed", extra={"file": str(attempt.file_id)})

    async def _store(
        self, identity: Identity, attempt: Attempt, row: Row, quota_bytes: int
    ) -> None:
        with _scratch() as files:
            sent = await self._fetch(attempt, row, files)
            limits = Limits(
                BUCKETS[row["bucket"]].bytes_max,
                self._sizes.pixels_max,
                self._sizes.side_max,
                self._sizes.pages_max,
            )
            accepted = await self._checker.check(row["declared_type"], limits, files)
            bytes_kept = files.source if accepted.as_sent else files.target
            made = await asyncio.to_thread(_measure, accepted, bytes_kept, sent)
            _check_made(made, files.thumbnail, limits)
            content = await self._database.write(
                identity, service.settle, attempt, made, quota_bytes
            )
            if content is None:
                crash_point("file.shared")
                return
            crash_point("file.placed")
            await self._write(content, made, bytes_kept, files.thumbnail)
            crash_point("file.stored")
            await self._finish(identity, attempt, content, made)
            crash_point("file.ready")

    async def _finish(
        self, identity: Identity, attempt: Attempt, content: Content, made: Made
    ) -> None:
        try:
            await self._database.write(identity, service.finish, attempt, content, made.sha256)
        except (NotFound, FileInCheck):  # nobody will refer to what was written
            await self._database.write(identity, service.forsake, attempt, content)
            raise

    async def _fetch(self, attempt: Attempt, row: Row, files: Bytes) -> Stored:
        key = service.quarantine_key(attempt.owner_id, attempt.file_id)
        sent = await self._blobs.fetch(key, files.source, row["declared_bytes"])
        if sent is None:
            raise UploadNotReceived("the storage has nothing of this file yet")
        # The form allows no other size; storage that does not hold to it is not believed.
        if sent.size_bytes > row["declared_bytes"]:
            raise FileRefused("FILE_TOO_LARGE", "the file is larger than was declared")
        if sent.size_bytes < row["declared_bytes"]:
            raise FileRefused("FILE_DAMAGED", "the file is smaller than was declared")
        return sent

    async def _write(
        self, content: Content, made: Made, bytes_kept: BinaryIO, thumbnail: BinaryIO
    ) -> None:
        await self._blobs.put_file(content.object_key, bytes_kept, made.content_type)
        if content.thumbnail_key:
            crash_point("file.half_stored")
            await self._blobs.put_file(content.thumbnail_key, thumbnail, "image/jpeg")

    async def _give_up(self, identity: Identity, attempt: Attempt) -> None:
        try:
            await self._database.write(identity, service.give_up, attempt)
        except DomainError:  # the attempt ends by itself in some seconds
            log.warning("an attempt was not given up", extra={"file": str(attempt.file_id)})

    async def _empty_quarantine(self, attempt: Attempt) -> None:
        key = service.quarantine_key(attempt.owner_id, attempt.file_id)
        try:
            await self._blobs.delete(key)
        except Unavailable:  # what is left there is swept when the form has expired
            log.warning("quarantine was not emptied", extra={"file": str(attempt.file_id)})


def new_attempt(identity: Identity, file_id: uuid.UUID) -> Attempt:
    """Makes an attempt at checking a file in the name of its owner."""
    return Attempt(identity.user, file_id, uuid7())


@contextmanager
def _scratch() -> Iterator[Bytes]:
    """Opens three files without names: whatever ends this process, nothing of them is left."""
    with ExitStack() as opened:
        files = [
            cast("BinaryIO", opened.enter_context(tempfile.TemporaryFile(buffering=0)))
            for _ in range(3)
        ]
        yield Bytes(*files)


def _check_made(made: Made, thumbnail: BinaryIO, limits: Limits) -> None:
    """Holds what a check has written against what it may: it has read what a stranger sent."""
    small = thumbnail.seek(0, io.SEEK_END)
    if not 0 < made.size_bytes <= limits.bytes_max or small > THUMBNAIL_BYTES_MAX:
        raise Unavailable("the check wrote something else", retry_after_seconds=BUSY_SECONDS)


def _measure(accepted: Accepted, kept: BinaryIO, sent: Stored) -> Made:
    digest, size = sent.sha256, sent.size_bytes
    if not accepted.as_sent:
        kept.seek(0)
        hashed = hashlib.sha256()
        while part := kept.read(READ_BYTES):
            hashed.update(part)
        digest, size = hashed.hexdigest(), kept.seek(0, io.SEEK_END)
    return Made(
        accepted.content_type,
        size,
        digest,
        accepted.width,
        accepted.height,
        accepted.pages,
        accepted.has_thumbnail,
    )
