"""Composes the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from gateway import app
from gateway.config import GatewaySettings
from kit import process
from kit.process import Process
from kit.rpc.client import open_channel


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: the process has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def compose(running: Process, settings: GatewaySettings) -> None:
    """Opens channels and serves HTTP."""
    targets = {
        "accounts": settings.accounts_target,
        "works": settings.works_target,
        "templates": settings.templates_target,
        "jobs": settings.jobs_target,
    }
    channels = {
        name: await running.enter_async_context(open_channel(target))
        for name, target in targets.items()
    }
    config = uvicorn.Config(
        app.build(channels),
        host=settings.http_host,
        port=settings.http_port,
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.grace_seconds),
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve())

    async def stop() -> None:
        server.should_exit = True
        await serving

    running.push_async_callback(stop)


if __name__ == "__main__":
    process.run(GatewaySettings, compose)
