"""What every service with a schema opens, in order: migrations, database, bus, gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.bus import Bus
from kit.config import DatabaseSettings
from kit.consumer import Consumer, Handler
from kit.database import Database
from kit.database.migrations import migrate
from kit.database.outbox import Relay
from kit.observer import Look, observe
from kit.process import Process
from kit.rpc.server import Binding, Server


@dataclass(frozen=True)
class Floor:
    """A service's database and bus, with the relay between them running."""

    database: Database
    bus: Bus


async def open_floor(running: Process, settings: DatabaseSettings, directory: Path) -> Floor:
    """Migrates the schema and opens database, bus and relay.

    Args:
        running: Closes everything in reverse.
        settings: Of the service, whose name is also its schema and its role.
        directory: The service's folder, which holds ``migrations/``.
    """
    await migrate(settings.owner_database_url, settings.service, directory / "migrations")
    database = await running.enter_async_context(
        Database(settings.database_url, settings.database_pool_size)
    )
    bus = await running.enter_async_context(Bus(settings.nats_url, settings.service))
    running.spawn(Relay(database, bus).run(), "relay")
    return Floor(database, bus)


async def serve(
    running: Process,
    settings: DatabaseSettings,
    floor: Floor,
    bindings: Sequence[Binding],
    handlers: Mapping[Any, Handler],
    looks: Sequence[Look] = (),
) -> None:
    """Begins to observe, to consume events and to serve gRPC; stops serving first."""
    running.spawn(observe(floor.database, looks), "observer")
    if handlers:
        running.spawn(Consumer(floor.database, floor.bus, handlers).run(), "consumer")
    await running.enter_async_context(Server(settings, bindings))
