"""Data folders that tests run parts in; nothing of one is needed again when its tests are over."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from deploy.local import layout, postgres, triton
from deploy.local.layout import Layout
from deploy.local.part import Part
from deploy.local.supervisor import HEALTHY_AFTER_SECONDS, Supervisor


@asynccontextmanager
async def ground(
    name: str, healthy_after_seconds: float = HEALTHY_AFTER_SECONDS
) -> AsyncIterator[tuple[Layout, Supervisor]]:
    """Makes a folder and a supervisor with nothing running.

    What runs at the end is killed without its grace and the folder goes; how an installation ends
    that somebody wants to keep is seen in tests/integration/test_run.py.
    """
    # Not below pytest's own folder: the database's user could not reach it there.
    data = Path(tempfile.mkdtemp(prefix=f"atelier-{name}-"))
    data.chmod(0o755)
    places = layout.prepare(data)
    supervisor = Supervisor(places.logs, healthy_after_seconds=healthy_after_seconds, drains=False)
    try:
        async with supervisor:
            yield places, supervisor
    finally:
        triton.forget_shared_memory(places)
        shutil.rmtree(data)
        shutil.rmtree(places.run, ignore_errors=True)


def postgres_part(places: Layout) -> Part:
    """Makes a cluster and describes its server, which never waits for the disk.

    Tests kill processes and never the machine: what the server wrote is with the kernel. Waiting
    for a busy disk made a copy of a database, and nearly every test here has its own, take 1.3 s
    in the place of 0.3 s.
    """
    made = postgres.part(places, postgres.install(places))
    return replace(made, command=[*made.command, "-c", "fsync=off"])
