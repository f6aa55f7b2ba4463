"""Uploads as a client makes them, on the use cases of works, a real database and a real storage."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

import httpx

from kit.blobs import Blobs
from kit.database import Database, ReadSession, Row
from kit.identity import Identity, Kind, system
from services.works.files import domain, service
from services.works.files.api import FORM_VALID
from services.works.files.checker import Bounds, Checker
from services.works.files.confirm import Confirmer, Sizes, new_attempt
from services.works.files.sweep import sweeps

QUOTA_BYTES = 100 << 20
HOUSE = system("works")
SENT = (200, 201, 204)


def member() -> Identity:
    """Somebody who has just signed up."""
    return Identity(Kind.MEMBER, user_id=uuid.uuid4())


@dataclass
class Shelf:
    """Where files are uploaded to.

    Attributes:
        database: Of works.
        blobs: The bucket.
        checker: Gives files their turns.
        confirmer: Checks what was sent.
        quota_bytes: Of every owner.
    """

    database: Database
    blobs: Blobs
    checker: Checker
    confirmer: Confirmer
    quota_bytes: int = QUOTA_BYTES

    async def create(
        self, owner: Identity, content_type: str, size_bytes: int, bucket: str = "uploads"
    ) -> uuid.UUID:
        """Announces a file."""
        new = domain.announce("administrator", bucket, content_type, size_bytes, "a file")
        row = await self.database.write(owner, service.create, owner.user, new, self.quota_bytes)
        file_id: uuid.UUID = row["id"]
        return file_id

    async def send(
        self, owner: Identity, file_id: uuid.UUID, data: bytes, content_type: str, **changes: str
    ) -> int:
        """Posts a file's bytes to the storage and returns its status."""
        fields = self.blobs.presign_post(
            service.quarantine_key(owner.user, file_id),
            content_type,
            len(data),
            FORM_VALID,
            size_bytes_min=len(data),
        )
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            reply = await http.post(
                self.blobs.post_address,
                data=fields | changes,
                files={"file": ("file", data, content_type)},
            )
        return reply.status_code

    async def sent(
        self, owner: Identity, data: bytes, content_type: str, bucket: str = "uploads"
    ) -> uuid.UUID:
        """Announces a file and sends it."""
        file_id = await self.create(owner, content_type, len(data), bucket)
        assert await self.send(owner, file_id, data, content_type) in SENT
        return file_id

    async def confirm(self, owner: Identity, file_id: uuid.UUID) -> Row:
        """Confirms a file and reads it."""
        attempt = new_attempt(owner, file_id)
        await self.confirmer.confirm(owner, attempt, self.quota_bytes)
        return await self.read(owner, file_id)

    async def upload(
        self, owner: Identity, data: bytes, content_type: str, bucket: str = "uploads"
    ) -> Row:
        """Does all that makes a file ready."""
        return await self.confirm(owner, await self.sent(owner, data, content_type, bucket))

    async def read(self, owner: Identity, file_id: uuid.UUID) -> Row:
        """Reads a file of the owner's."""
        return await self.database.read(owner, service.get, owner.user, file_id)

    async def delete(self, owner: Identity, file_id: uuid.UUID) -> None:
        """Deletes a file."""
        await self.database.write(owner, service.delete, owner.user, file_id)

    async def sweep(self) -> None:
        """Runs every sweep of files until nothing is left to do."""
        for sweep in sweeps(self.database, self.blobs).values():
            while await sweep():
                pass

    async def objects(self, prefix: str = "") -> list[str]:
        """Returns the keys of all objects."""
        now = await self.database.read(HOUSE, ReadSession.now)
        return await self.blobs.older(prefix, now + dt.timedelta(days=365), 1_000)

    async def count(self, sql: str, **parameters: Any) -> int:
        """Counts rows, whoever's they are."""

        async def query(session: ReadSession) -> int:
            return int(await session.scalar(sql, **parameters))

        return await self.database.read(HOUSE, query)


def shelf(database: Database, blobs: Blobs, bounds: Bounds | None = None) -> Shelf:
    """Makes a shelf whose checks are those of a service."""
    checker = Checker(bounds or Bounds())
    confirmer = Confirmer(database, blobs, checker, Sizes(pixels_max=25_000_000))
    return Shelf(database, blobs, checker, confirmer)
