"""A second gateway over the same services, and a while in which nothing is drawn."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import httpx

from deploy.local import probes, stack
from tests.conftest import TEST_SETTINGS, Installation
from tests.studio import Studio


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def gateway_with(installation: Installation, **settings: str) -> AsyncIterator[Studio]:
    """Runs a gateway of its own for a while; ``installation.supervisor`` knows it as ``door``."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    own = {"ATELIER_HTTP_PORT": str(port), "ATELIER_METRICS_LISTEN": ""}
    part = stack.gateway_part(installation.layout, TEST_SETTINGS | own | settings)
    door = replace(part, name="door", after=(), probe=probes.http(f"{url}/readyz"))
    await installation.supervisor.start([door])
    try:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
            yield Studio(http)
    finally:
        await installation.supervisor.stop("door")


@contextmanager
def nothing_drawn(installation: Installation) -> Iterator[None]:
    """Lets no picture be drawn in the block, so that whoever is slow comes before its end too."""
    installation.supervisor.pause("triton")
    try:
        yield
    finally:
        installation.supervisor.unpause("triton")
