"""Composes the gateway."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from gateway import app, wire
from gateway.config import GatewaySettings
from gateway.openai.pictures import Storage
from gateway.sse import Streams
from kit import process
from kit.process import Process
from kit.rpc.client import open_channel

# Longer than the minute for which load balancers usually keep a connection: they close it, not we.
KEEP_ALIVE_SECONDS = 75
# 700 by default; a page of works makes about 200 containers, and frees them by counting.
GC_ALLOCATIONS = 20_000


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: the process has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def configured(application: ASGIApp, settings: GatewaySettings) -> uvicorn.Config:
    """Says how an application is served."""
    return uvicorn.Config(
        application,
        host=settings.http_host,
        port=settings.http_port,
        http=wire.protocol(settings.header_seconds, settings.write_seconds),
        ws="none",
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.grace_seconds),
    )


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
    streams = Streams(settings.streams_max, settings.streams_per_caller_max)
    storage = await running.enter_async_context(Storage(settings.s3_endpoint))
    server = _Server(configured(app.build(channels, settings, streams, storage), settings))
    # What was made by now stays: the collector need not walk it again at every page of dicts.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS)
    serving = asyncio.create_task(server.serve())

    async def stop() -> None:
        streams.close()
        server.should_exit = True
        await serving

    running.push_async_callback(stop)


if __name__ == "__main__":
    process.run(GatewaySettings, compose)
