"""Composes works."""

from __future__ import annotations

from pathlib import Path

from atelier.accounts.v1 import events_pb2 as accounts_events
from atelier.jobs.v1 import events_pb2 as jobs_events
from atelier.works.v1 import files_pb2, projects_pb2, works_pb2

from kit import process
from kit.blobs import Blobs
from kit.database import Database
from kit.process import Process
from kit.rpc.server import Binding
from kit.service import open_floor, serve
from kit.sweeper import Sweeper
from services.works.config import WorksSettings
from services.works.files.api import FilesApi, Quotas
from services.works.files.checker import Bounds, Checker
from services.works.files.confirm import Confirmer, Sizes
from services.works.files.sweep import sweeps as file_sweeps
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
    confirmer = compose_confirmer(settings, floor.database, blobs)
    running.push_async_callback(confirmer.close)
    quotas = Quotas(settings.storage_bytes, settings.guest_storage_bytes)
    files = FilesApi(floor.database, blobs, confirmer, quotas)
    swept = {
        **sweeps(floor.database, blobs, settings.passing_seconds),
        **file_sweeps(floor.database, blobs),
    }
    running.spawn(Sweeper(swept, settings.sweep_every_seconds).run(), "sweeper")
    await serve(
        running,
        settings,
        floor,
        [
            Binding(projects_pb2.DESCRIPTOR.services_by_name["ProjectsService"], projects),
            Binding(works_pb2.DESCRIPTOR.services_by_name["WorksService"], works),
            Binding(files_pb2.DESCRIPTOR.services_by_name["FilesService"], files),
        ],
        {
            accounts_events.MemberCreated: project_events.member_created,
            jobs_events.ItemStarted: events.item_started,
            jobs_events.ItemFinished: events.item_finished,
        },
    )


def compose_confirmer(settings: WorksSettings, database: Database, blobs: Blobs) -> Confirmer:
    """Puts together what lets files of users in."""
    bounds = Bounds(
        at_once=settings.checks_max,
        seconds=settings.check_seconds,
        cpu_seconds=max(1, round(settings.check_seconds * 0.75)),
        memory_bytes=settings.check_memory_bytes,
    )
    return Confirmer(database, blobs, Checker(bounds), Sizes(settings.upload_pixels_max))


if __name__ == "__main__":
    process.run(WorksSettings, compose)
