"""Composes jobs."""

from __future__ import annotations

from pathlib import Path

from atelier.accounts.v1 import events_pb2 as accounts_events
from atelier.jobs.v1 import jobs_pb2, queue_pb2
from atelier.templates.v1 import events_pb2 as templates_events

from kit import process
from kit.identity import Signer, Verifier
from kit.process import Process
from kit.rpc.client import ServiceChannel, open_channel
from kit.rpc.server import Binding
from kit.service import open_floor, serve
from kit.sweeper import Sweeper
from services.jobs import observe
from services.jobs.config import JobsSettings
from services.jobs.live.watch import Doorbells
from services.jobs.queue import events
from services.jobs.queue.api import QueueApi
from services.jobs.submission import events as submission_events
from services.jobs.submission.api import JobsApi
from services.jobs.submission.drive import Driver, Neighbours
from services.jobs.sweep import sweeps


async def compose(running: Process, settings: JobsSettings) -> None:
    """Opens everything in order; it is closed in reverse."""
    floor = await open_floor(running, settings, Path(__file__).parent)
    signer = Signer("jobs", settings.keys_dir)

    async def neighbour(name: str, target: str) -> ServiceChannel:
        channel = await running.enter_async_context(open_channel(target))
        return ServiceChannel(channel, name, signer)

    neighbours = Neighbours(
        accounts=await neighbour("accounts", settings.accounts_target),
        works=await neighbour("works", settings.works_target),
        templates=await neighbour("templates", settings.templates_target),
    )
    doorbells = Doorbells(floor.bus, floor.database)
    await running.enter_async_context(floor.bus.listen(doorbells.subject, doorbells.rung))
    running.spawn(doorbells.watch(), "watch")
    driver = Driver(floor.database, floor.bus, neighbours, settings.drive_seconds)
    swept = sweeps(floor.database, driver, doorbells, settings)
    running.spawn(Sweeper(swept, settings.sweep_every_seconds).run(), "sweeper")
    verifier = Verifier(settings.service, settings.keys_dir)
    jobs = JobsApi(floor.database, driver, doorbells, signer, verifier)
    queue = QueueApi(floor.database, doorbells, settings.lease_seconds)
    await serve(
        running,
        settings,
        floor,
        [
            Binding(jobs_pb2.DESCRIPTOR.services_by_name["JobsService"], jobs),
            Binding(queue_pb2.DESCRIPTOR.services_by_name["QueueService"], queue),
        ],
        {
            templates_events.CategoryChanged: events.category_changed,
            accounts_events.HoldOverdue: submission_events.hold_overdue,
        },
        [observe.queue],
    )


if __name__ == "__main__":
    process.run(JobsSettings, compose)
