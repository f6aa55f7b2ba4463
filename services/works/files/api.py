"""FilesService over gRPC."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from atelier.works.v1 import files_pb2 as pb
from atelier.works.v1 import works_pb2

from kit.blobs import Blobs
from kit.database import Database, Row, Session, idempotency
from kit.identity import Identity, Kind, system
from kit.ids import parse_id
from kit.paging import PageRequest
from kit.rows import RowMapper, enum_word, timestamp
from kit.rpc.server import Call
from services.works.files import domain, service, store
from services.works.files.confirm import Confirmer, new_attempt

FORM_VALID = dt.timedelta(seconds=service.FORM_SECONDS)
DOWNLOAD_VALID = dt.timedelta(minutes=15)
THUMBNAIL_VALID = dt.timedelta(hours=1)
THUMBNAIL_STEADY = dt.timedelta(minutes=10)
_file = RowMapper(pb.UploadedFile, filled_by_hand=("upload", "thumbnail_url"))
_resolved = RowMapper(pb.ResolvedFile, filled_by_hand=("file_id", "object_key"))


@dataclass(frozen=True)
class Quotas:
    """How many bytes an owner may keep, until plans say so.

    Attributes:
        member: A member or administrator.
        guest: A guest.
    """

    member: int
    guest: int

    def of(self, identity: Identity) -> int:
        """The quota of a caller."""
        return self.guest if identity.kind is Kind.GUEST else self.member


class FilesApi:
    """Translates between messages and use cases."""

    def __init__(
        self, database: Database, blobs: Blobs, confirmer: Confirmer, quotas: Quotas
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._confirmer = confirmer
        self._quotas = quotas
        self._house = system(database.role)

    async def CreateUpload(self, request: pb.CreateUploadRequest, call: Call) -> pb.UploadedFile:
        new = domain.announce(
            call.identity.kind.name.lower(),
            enum_word(pb.Bucket.DESCRIPTOR, request.bucket),
            request.content_type,
            request.size_bytes,
            request.name,
        )
        # Keys and their answers are the house's own, and belong to the same transaction.
        identity = self._house if call.idempotency_key else call.identity
        return await self._database.write(identity, self._create, request, new, call)

    async def _create(
        self, session: Session, request: pb.CreateUploadRequest, new: domain.NewFile, call: Call
    ) -> pb.UploadedFile:
        owner_id, key = call.identity.user, None
        if call.idempotency_key:
            key = idempotency.Key.of(owner_id, "CreateUpload", call.idempotency_key, request)
            before = await idempotency.begin(session, key, pb.UploadedFile)
            if before is not None:
                return before
        row = await service.create(session, owner_id, new, self._quotas.of(call.identity))
        made = self._message(row)
        made.upload.CopyFrom(self._form(row, call))
        if key is not None:
            await idempotency.finish(session, key, made)
        return made

    async def ConfirmUpload(self, request: pb.ConfirmUploadRequest, call: Call) -> pb.UploadedFile:
        file_id = parse_id(request.file_id, "file_id")
        attempt = new_attempt(call.identity, file_id)
        await self._confirmer.confirm(call.identity, attempt, self._quotas.of(call.identity))
        return await self._get(file_id, call)

    async def GetFile(self, request: pb.GetFileRequest, call: Call) -> pb.UploadedFile:
        return await self._get(parse_id(request.file_id, "file_id"), call)

    async def ListFiles(self, request: pb.ListFilesRequest, call: Call) -> pb.ListFilesResponse:
        wanted = PageRequest.of(request.limit, request.after)
        page = await self._database.read(
            call.identity, store.page, call.identity.user, wanted, _filter(request)
        )
        return pb.ListFilesResponse(
            data=[self._message(row) for row in page.rows],
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        )

    async def DownloadFile(self, request: pb.DownloadFileRequest, call: Call) -> works_pb2.Download:
        file_id = parse_id(request.file_id, "file_id")
        row = await self._database.read(
            call.identity, service.get_ready, call.identity.user, file_id
        )
        name = domain.file_name(row["name"], row["id"], row["content_type"])
        return works_pb2.Download(
            url=self._blobs.presign_get(row["object_key"], DOWNLOAD_VALID, file_name=name),
            expires_at=timestamp(dt.datetime.now(dt.UTC) + DOWNLOAD_VALID),
            content_type=row["content_type"],
            size_bytes=row["size_bytes"],
            sha256=row["sha256"],
            file_name=name,
        )

    async def DeleteFile(self, request: pb.DeleteFileRequest, call: Call) -> pb.DeleteFileResponse:
        file_id = parse_id(request.file_id, "file_id")
        await self._database.write(call.identity, service.delete, call.identity.user, file_id)
        return pb.DeleteFileResponse()

    async def ResolveFiles(
        self, request: pb.ResolveFilesRequest, call: Call
    ) -> pb.ResolveFilesResponse:
        user_id = parse_id(request.user_id, "user_id")
        ids = [parse_id(each, "file_ids") for each in request.file_ids]
        rows = await self._database.read(self._house, service.resolve, user_id, ids)
        return pb.ResolveFilesResponse(
            files=[
                _resolution(rows[each]) if each in rows else pb.ResolvedFile(file_id=str(each))
                for each in ids
            ]
        )

    async def _get(self, file_id: uuid.UUID, call: Call) -> pb.UploadedFile:
        row = await self._database.read(call.identity, service.get, call.identity.user, file_id)
        return self._message(row)

    def _message(self, row: Row) -> pb.UploadedFile:
        thumbnail = row["thumbnail_key"]
        url = (
            self._blobs.presign_get(thumbnail, THUMBNAIL_VALID, steady=THUMBNAIL_STEADY)
            if thumbnail
            else ""
        )
        return _file(row, thumbnail_url=url)

    def _form(self, row: Row, call: Call) -> pb.UploadForm:
        key = service.quarantine_key(call.identity.user, row["id"])
        size = row["size_bytes"]
        fields = self._blobs.presign_post(
            key, row["content_type"], size, FORM_VALID, size_bytes_min=size
        )
        form = pb.UploadForm(
            url=self._blobs.post_address,
            expires_at=timestamp(dt.datetime.now(dt.UTC) + FORM_VALID),
        )
        form.fields.update(fields)
        return form


def _resolution(row: Row) -> pb.ResolvedFile:
    if row["state"] == "ready":
        return _resolved(row, file_id=str(row["id"]), object_key=row["object_key"])
    state = pb.FileState.Value(f"FILE_STATE_{row['state'].upper()}")
    return pb.ResolvedFile(file_id=str(row["id"]), state=state, error_code=row["error_code"])


def _filter(request: pb.ListFilesRequest) -> store.Filter:
    return store.Filter(
        bucket=enum_word(pb.Bucket.DESCRIPTOR, request.bucket),
        state=enum_word(pb.FileState.DESCRIPTOR, request.state),
        kind=enum_word(pb.FileKind.DESCRIPTOR, request.kind),
    )
