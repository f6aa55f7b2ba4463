"""Composes the worker."""

from __future__ import annotations

import logging

from openai import AsyncOpenAI

from kit import process
from kit.blobs import Blobs
from kit.identity import Signer
from kit.process import Process
from kit.rpc.client import ServiceChannel, open_channel
from kit.rpc.server import Server
from services.worker import doorbell
from services.worker.artist import Artist, Readiness
from services.worker.chains.llm import LlmWriter
from services.worker.chains.offline.vocabulary import Vocabulary, load_vocabulary
from services.worker.chains.offline.writer import OfflineWriter
from services.worker.chains.usage import LoggedUsage, Prices
from services.worker.chains.writer import FallbackWriter, Writer
from services.worker.claims import Claims, Limits
from services.worker.config import WorkerSettings
from services.worker.executor import Executor
from services.worker.media.overlay import Faces
from services.worker.nodes.registry import IMPLEMENTATIONS
from services.worker.nodes.run import Tools
from services.worker.queue import Queue
from workflow.specs import Pool

log = logging.getLogger(__name__)


async def compose(running: Process, settings: WorkerSettings) -> None:
    """Opens everything in order; it is closed in reverse: claiming ends first."""
    signer = Signer(settings.service, settings.keys_dir)
    jobs = await _connect(running, "jobs", settings.jobs_target, signer)
    inference = await _connect(running, "inference", settings.inference_target, signer)
    queue = Queue(jobs)
    tools = Tools(
        make_writer(running, settings),
        Artist(inference),
        Blobs(settings),
        Faces.of(settings.fonts_dir),
    )
    executor = Executor(queue, tools, IMPLEMENTATIONS)
    readiness = Readiness(inference.channel)
    pools = settings.pool_names

    def open_pools() -> list[str]:
        return [pool for pool in pools if pool != Pool.GPU or readiness.is_serving]

    claims = Claims(queue, executor.run, settings.worker_id, open_pools, _limits(settings))
    await running.enter_async_context(Server(settings, []))  # health only
    running.spawn(claims.heartbeat_forever(), "heartbeat")
    if Pool.GPU in pools:
        running.spawn(readiness.watch_forever(claims.wake), "readiness")
    running.spawn(claims.claim_forever(), "claims")
    running.push_async_callback(claims.drain)
    listening = doorbell.listen_forever(
        settings.nats_url, settings.worker_id, pools, claims.wake, claims.look_at
    )
    running.spawn(listening, "doorbell")


async def _connect(running: Process, callee: str, target: str, signer: Signer) -> ServiceChannel:
    channel = await running.enter_async_context(open_channel(target))
    return ServiceChannel(channel, callee, signer)


def _limits(settings: WorkerSettings) -> Limits:
    return Limits(
        settings.slots,
        settings.heartbeat_seconds,
        settings.poll_seconds,
        settings.grace_seconds,
    )


def make_writer(running: Process, settings: WorkerSettings) -> Writer:
    """Makes the writer that the settings ask for: without an endpoint, the offline one."""
    vocabulary = _vocabulary(settings)
    offline = OfflineWriter(vocabulary)
    if not settings.has_endpoint:
        return offline
    client = AsyncOpenAI(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key or "none",
        timeout=settings.openai_timeout_seconds,
        max_retries=0,  # the writer tries again itself, and records every try
    )
    running.push_async_callback(client.close)
    prices = Prices(settings.openai_input_usd_per_million, settings.openai_output_usd_per_million)
    can_draw = vocabulary.can_draw() if vocabulary else {}
    writer = LlmWriter(client, settings.openai_model, LoggedUsage(), prices, can_draw)
    return FallbackWriter(writer, offline) if settings.writer_fallback else writer


def _vocabulary(settings: WorkerSettings) -> Vocabulary | None:
    """Reads what the bundled model can draw; an image without that model has no such file."""
    path = settings.vocabulary
    if path is None or not path.is_file():
        log.info("prompts are passed on as they are", extra={"vocabulary": str(path)})
        return None
    return load_vocabulary(path)


if __name__ == "__main__":
    process.run(WorkerSettings, compose)
