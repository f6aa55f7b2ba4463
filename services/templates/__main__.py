"""Composes templates."""

from __future__ import annotations

import sys
from pathlib import Path

from atelier.templates.v1 import templates_pb2

from kit import process
from kit.identity import system
from kit.process import Process
from kit.rpc.server import Binding
from kit.service import open_floor, serve
from services.templates import catalogue
from services.templates.catalogue import InvalidCatalogue
from services.templates.config import TemplatesSettings
from services.templates.sync import VersionRefused, sync
from services.templates.templates.api import TemplatesApi


async def compose(running: Process, settings: TemplatesSettings) -> None:
    """Opens everything in order; it is closed in reverse.

    Ends the process with status 2 and one line per fault where the data files are refused.
    """
    try:
        stated = catalogue.read(settings.catalogue_dir)
        floor = await open_floor(running, settings, Path(__file__).parent)
        await floor.database.write(system(floor.database.role), sync, stated)
    except (InvalidCatalogue, VersionRefused) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    api = TemplatesApi(floor.database, fall_back=settings.unknown_category == "default")
    service = templates_pb2.DESCRIPTOR.services_by_name["TemplatesService"]
    await serve(running, settings, floor, [Binding(service, api)], {})


if __name__ == "__main__":
    process.run(TemplatesSettings, compose)
