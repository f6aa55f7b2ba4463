"""Composes works."""

from __future__ import annotations

from pathlib import Path

from atelier.accounts.v1 import events_pb2 as accounts_events
from atelier.jobs.v1 import events_pb2 as jobs_events
from atelier.works.v1 import projects_pb2, works_pb2

from kit import process
from kit.blobs import Blobs
from kit.process import Process
from kit.rpc.server import Binding
from kit.service import open_floor, serve
from kit.sweeper import Sweeper
from services.works.config import WorksSettings
from services.works.projects import events as project_events
from services.works.projects.api import ProjectsApi
from services.works.works import events
from services.works.works.api import WorksApi
from services.works.works.sweep import sweeps


async def compose(running: Process, settings: WorksSettings) -> None:
    """Opens everything in order; it is closed in reverse."""
    floor = await open_floor(running, settings, Path(__file__).parent)
    blobs = Blobs(settings)
    await blobs.ensure_bucket()
    projects = ProjectsApi(floor.database)
    works = WorksApi(floor.database, blobs)
    swept = sweeps(floor.database, blobs, settings.passing_seconds)
    running.spawn(Sweeper(swept, settings.sweep_every_seconds).run(), "sweeper")
    await serve(
        running,
        settings,
        floor,
        [
            Binding(projects_pb2.DESCRIPTOR.services_by_name["ProjectsService"], projects),
            Binding(works_pb2.DESCRIPTOR.services_by_name["WorksService"], works),
        ],
        {
            accounts_events.MemberCreated: project_events.member_created,
            jobs_events.ItemStarted: events.item_started,
            jobs_events.ItemFinished: events.item_finished,
        },
    )


if __name__ == "__main__":
    process.run(WorksSettings, compose)
