"""ProjectsService over gRPC."""

from __future__ import annotations

from atelier.works.v1 import projects_pb2 as pb

from kit.database import Database
from kit.identity import system
from kit.ids import parse_id
from kit.paging import PageRequest
from kit.rows import RowMapper
from kit.rpc.server import Call
from services.works.projects import domain, service, store

_project = RowMapper(pb.Project)


class ProjectsApi:
    """Translates between messages and use cases."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._house = system(database.role)

    async def CreateProject(self, request: pb.CreateProjectRequest, call: Call) -> pb.Project:
        project = domain.check_project(
            request.name, request.description, request.vertical, request.language
        )
        row = await self._database.write(call.identity, service.create, call.identity.user, project)
        return _project(row)

    async def GetProject(self, request: pb.GetProjectRequest, call: Call) -> pb.Project:
        project_id = parse_id(request.project_id, "project_id")
        return _project(
            await self._database.read(call.identity, service.get, call.identity.user, project_id)
        )

    async def ListProjects(
        self, request: pb.ListProjectsRequest, call: Call
    ) -> pb.ListProjectsResponse:
        wanted = PageRequest.of(request.limit, request.after)
        page = await self._database.read(call.identity, store.page, call.identity.user, wanted)
        return pb.ListProjectsResponse(
            data=[_project(row) for row in page.rows],
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        )

    async def ResolveProject(
        self, request: pb.ResolveProjectRequest, call: Call
    ) -> pb.ResolveProjectResponse:
        user_id = parse_id(request.user_id, "user_id")
        wanted = parse_id(request.project_id, "project_id") if request.project_id else None
        row = await self._database.write(self._house, service.resolve, user_id, wanted)
        return pb.ResolveProjectResponse(project_id=str(row["id"]), payer_id=str(user_id))
