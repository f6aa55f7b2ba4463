"""WorksService over gRPC."""

from __future__ import annotations

import datetime as dt
import uuid

from atelier.works.v1 import works_pb2 as pb

from kit.blobs import Blobs
from kit.crash import crash_point
from kit.database import Database, Row
from kit.identity import system
from kit.ids import parse_id
from kit.paging import PageRequest
from kit.rows import RowMapper, enum_word, time_of, timestamp
from kit.rpc.server import Call
from services.works.works import domain, service, store

DOWNLOAD_VALID = dt.timedelta(minutes=15)
THUMBNAIL_VALID = dt.timedelta(hours=1)
THUMBNAIL_STEADY = dt.timedelta(minutes=10)
_work = RowMapper(pb.Work, filled_by_hand=("file", "thumbnail_url"))
_file = RowMapper(pb.File)


class WorksApi:
    """Translates between messages and use cases."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs
        self._house = system(database.role)

    async def GetWork(self, request: pb.GetWorkRequest, call: Call) -> pb.Work:
        work_id = parse_id(request.work_id, "work_id")
        row = await self._database.read(call.identity, service.get, call.identity.user, work_id)
        return self._message(row)

    async def ListWorks(self, request: pb.ListWorksRequest, call: Call) -> pb.ListWorksResponse:
        wanted = PageRequest.of(request.limit, request.after)
        page = await self._database.read(
            call.identity, store.page, call.identity.user, wanted, _filter(request)
        )
        return pb.ListWorksResponse(
            data=[self._message(row) for row in page.rows],
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        )

    async def GetBatch(self, request: pb.GetBatchRequest, call: Call) -> pb.Batch:
        batch_id = parse_id(request.batch_id, "batch_id")
        rows = await self._database.read(
            call.identity, service.get_batch, call.identity.user, batch_id
        )
        return pb.Batch(id=str(batch_id), works=[self._message(row) for row in rows])

    async def UpdateWork(self, request: pb.UpdateWorkRequest, call: Call) -> pb.Work:
        row = await self._database.write(
            call.identity,
            service.update,
            call.identity.user,
            parse_id(request.work_id, "work_id"),
            request.title if request.HasField("title") else None,
            list(request.tags.values) if request.HasField("tags") else None,
        )
        return self._message(row)

    async def PublishWork(self, request: pb.PublishWorkRequest, call: Call) -> pb.Work:
        return await self._publish(request.work_id, call, is_public=True)

    async def UnpublishWork(self, request: pb.UnpublishWorkRequest, call: Call) -> pb.Work:
        return await self._publish(request.work_id, call, is_public=False)

    async def DeleteWork(self, request: pb.DeleteWorkRequest, call: Call) -> pb.DeleteWorkResponse:
        work_id = parse_id(request.work_id, "work_id")
        await self._database.write(call.identity, service.delete, call.identity.user, work_id)
        return pb.DeleteWorkResponse()

    async def DownloadWork(self, request: pb.DownloadWorkRequest, call: Call) -> pb.Download:
        work_id = parse_id(request.work_id, "work_id")
        row = await self._database.read(
            call.identity, service.get_completed, call.identity.user, work_id
        )
        name = domain.file_name(row["title"], row["id"], row["content_type"])
        url = self._blobs.presign_get(row["object_key"], DOWNLOAD_VALID, file_name=name)
        return pb.Download(
            url=url,
            expires_at=timestamp(dt.datetime.now(dt.UTC) + DOWNLOAD_VALID),
            content_type=row["content_type"],
            size_bytes=row["size_bytes"],
            sha256=row["sha256"],
            file_name=name,
        )

    async def CreateWorks(
        self, request: pb.CreateWorksRequest, call: Call
    ) -> pb.CreateWorksResponse:
        batch = service.NewBatch(
            job_id=uuid.UUID(request.job_id),
            batch_id=uuid.UUID(request.batch_id),
            project_id=uuid.UUID(request.project_id),
            owner_id=uuid.UUID(request.user_id),
            category=request.category,
            template_id=request.template_id,
            inputs_json=request.inputs_json,
            text=request.text,
            works=[
                (
                    uuid.UUID(work.work_id),
                    enum_word(pb.WorkType.DESCRIPTOR, work.type),
                    work.variation,
                )
                for work in request.works
            ],
        )
        await self._database.write(self._house, service.create, batch)
        crash_point("works.created")
        return pb.CreateWorksResponse()

    async def _publish(self, work_id: str, call: Call, *, is_public: bool) -> pb.Work:
        row = await self._database.write(
            call.identity,
            service.publish,
            call.identity.user,
            parse_id(work_id, "work_id"),
            is_public=is_public,
        )
        return self._message(row)

    def _message(self, row: Row) -> pb.Work:
        thumbnail = row["thumbnail_key"]
        url = (
            self._blobs.presign_get(thumbnail, THUMBNAIL_VALID, steady=THUMBNAIL_STEADY)
            if thumbnail
            else ""
        )
        file = _file(row) if row["object_key"] else None
        return _work(row, file=file, thumbnail_url=url)


def _filter(request: pb.ListWorksRequest) -> store.Filter:
    return store.Filter(
        project_id=parse_id(request.project_id, "project_id") if request.project_id else None,
        batch_id=parse_id(request.batch_id, "batch_id") if request.batch_id else None,
        type=enum_word(pb.WorkType.DESCRIPTOR, request.type),
        state=enum_word(pb.WorkState.DESCRIPTOR, request.state),
        tag=request.tag,
        category=request.category,
        template_id=request.template_id,
        created_from=time_of(request, "created_from"),
        created_to=time_of(request, "created_to"),
    )
