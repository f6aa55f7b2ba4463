"""TemplatesService over gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from atelier.templates.v1 import templates_pb2 as pb

from kit.database import Database
from kit.rpc.server import Call
from services.templates.categories import store as categories
from services.templates.categories.domain import Text
from services.templates.templates import messages, service
from services.templates.templates.paging import ShelfRequest
from services.templates.templates.versions import Versions


class TemplatesApi:
    """Translates between messages and use cases.

    Args:
        database: Of the service.
        fall_back: Whether general stands in for a category that does not exist.
    """

    def __init__(self, database: Database, *, fall_back: bool) -> None:
        self._database = database
        self._fall_back = fall_back
        self._versions = Versions()

    async def ListTemplates(
        self, request: pb.ListTemplatesRequest, call: Call
    ) -> pb.ListTemplatesResponse:
        page = await self._database.read(
            call.identity,
            service.shelf,
            self._versions,
            call.identity.user_id,
            request.category,
            ShelfRequest.of(request.limit, request.after),
        )
        return pb.ListTemplatesResponse(
            data=[messages.template(version) for version in page.rows],
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        )

    async def GetTemplate(self, request: pb.GetTemplateRequest, call: Call) -> pb.Template:
        user_id = call.identity.user_id
        version = await self._database.read(
            call.identity, service.get, self._versions, user_id, request.template_id
        )
        return messages.template(version)

    async def ListCategories(
        self, request: pb.ListCategoriesRequest, call: Call
    ) -> pb.ListCategoriesResponse:
        rows = await self._database.read(call.identity, categories.every)
        found = [
            pb.Category(
                id=row["id"],
                title=messages.text(Text(row["title_ko"], row["title_en"])),
                enabled=row["is_enabled"],
                workers_max=row["workers_max"],
            )
            for row in rows
        ]
        return pb.ListCategoriesResponse(data=found)

    async def ResolveSubmission(
        self, request: pb.ResolveSubmissionRequest, call: Call
    ) -> pb.ResolvedSubmission:
        submission = service.Submission(
            template_id=request.template_id,
            category=request.category,
            outputs=list(request.outputs),
            variations=request.variations,
            inputs={key: messages.plain(value) for key, value in request.inputs.fields.items()},
        )
        resolved = await self._database.read(
            call.identity,
            service.resolve,
            self._versions,
            call.identity.user_id,
            submission,
            fall_back=self._fall_back,
        )
        return _resolved(resolved)


def _resolved(resolved: service.Resolved) -> pb.ResolvedSubmission:
    return pb.ResolvedSubmission(
        template_id=resolved.version.template.id,
        template_version=resolved.version.template.version,
        category=resolved.category,
        inputs_json=_json(resolved.inputs),
        graph_json=_json(resolved.graph),
        items=[
            pb.ResolvedItem(
                work_type=item.work_type,
                variation=item.variation,
                credits=item.credits,
                estimated_seconds=item.estimated_seconds,
                pool=item.pool,
            )
            for item in resolved.items
        ],
    )


def _json(data: Mapping[str, Any]) -> str:
    return orjson.dumps(data).decode()
