"""Fixtures: object storage, a queue and inference to call, and workers over them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from atelier.inference.v1 import inference_pb2
from atelier.jobs.v1 import queue_pb2 as pb

import services.worker
from deploy.local import stores
from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from kit.blobs import Blobs
from kit.config import BlobSettings, ServerSettings
from kit.identity import Signer
from kit.rpc.client import ServiceChannel, open_channel
from kit.rpc.server import Binding, Server
from services.worker.artist import Artist
from services.worker.chains.offline.vocabulary import load_vocabulary
from services.worker.chains.offline.writer import OfflineWriter
from services.worker.claims import Claims, Limits
from services.worker.executor import Executor
from services.worker.media.overlay import Faces
from services.worker.nodes.registry import IMPLEMENTATIONS
from services.worker.nodes.run import Tools
from services.worker.queue import Queue
from tests.grounds import ground
from tests.integration.worker.servers import InferenceServer, QueueServer

ROOM = Path(services.worker.__file__).parent
WORLD = ROOM.parents[1] / "inference" / "bundled" / "sdxl" / "world.json"
ADVERT = {
    "nodes": {
        "prompt": {"type": "prompt@1", "inputs": {"text": "$inputs.text"}},
        "copy": {"type": "copy@1", "inputs": {"text": "$inputs.text"}},
        "draw": {
            "type": "generate@1",
            "inputs": {
                "prompt": "$prompt.prompt",
                "aspect": "$inputs.aspect",
                "seed": "$item.seed",
            },
        },
        "fit": {
            "type": "resize@1",
            "inputs": {"image": "$draw.image", "aspect": "$inputs.aspect"},
        },
        "letter": {
            "type": "overlay@1",
            "inputs": {
                "image": "$fit.image",
                "headline": "$copy.headline",
                "subline": "$copy.subline",
            },
        },
        "jpeg": {"type": "encode@1", "inputs": {"image": "$letter.image"}},
        "picture": {"type": "store@1", "inputs": {"file": "$jpeg.file"}},
        "page": {"type": "document@1", "inputs": {"data": "$copy.copy"}},
        "text": {"type": "store@1", "inputs": {"file": "$page.file"}},
    },
    "outputs": {"promotional_image": "picture", "marketing_copy": "text"},
}


@pytest.fixture(scope="session")
async def places() -> AsyncIterator[tuple[Layout, Supervisor]]:
    async with ground("worker") as (made, supervisor):
        await supervisor.start([stores.s3(made)])
        yield made, supervisor


@pytest.fixture(scope="session")
async def blobs(places: tuple[Layout, Supervisor]) -> Blobs:
    made, _ = places
    bucket = Blobs(blob_settings(made, f"http://{made.address('s3')}"))
    await bucket.ensure_bucket()
    return bucket


def blob_settings(made: Layout, endpoint: str) -> BlobSettings:
    return BlobSettings(
        keys_dir=made.keys,
        s3_endpoint=endpoint,
        s3_access_key=made.secrets["s3:access"],
        s3_secret_key=made.secrets["s3:secret"],
    )


@dataclass
class Stage:
    """A queue and inference that serve, and the worker's way to them."""

    layout: Layout
    blobs: Blobs
    queue: QueueServer
    inference: InferenceServer
    opened: AsyncExitStack
    jobs: ServiceChannel
    artists: ServiceChannel
    slots: int = 4
    heartbeat_seconds: float = 600.0
    poll_seconds: float = 600.0
    grace_seconds: float = 5.0
    pools: Callable[[], list[str]] = lambda: ["gpu", "text", "cpu"]
    tools: Tools = field(init=False)
    jobs_stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    token: int = 0

    def __post_init__(self) -> None:
        self.tools = Tools(
            OfflineWriter(load_vocabulary(WORLD)),
            Artist(self.artists),
            self.blobs,
            Faces.of(ROOM / "media" / "fonts"),
        )

    def work(self) -> Claims:
        """Starts a worker; it is drained when the test ends."""
        queue = Queue(self.jobs)
        executor = Executor(queue, self.tools, IMPLEMENTATIONS)
        limits = Limits(self.slots, self.heartbeat_seconds, self.poll_seconds, self.grace_seconds)
        claims = Claims(queue, executor.run, "w", self.pools, limits)
        heartbeat = asyncio.create_task(claims.heartbeat_forever())
        self.opened.callback(heartbeat.cancel)
        claiming = asyncio.create_task(claims.claim_forever())
        self.opened.callback(claiming.cancel)
        self.opened.push_async_callback(claims.drain)
        return claims

    def item(self, **changes: Any) -> pb.ClaimedItem:
        self.token += 1
        item = pb.ClaimedItem(
            item_id=str(uuid.uuid4()),
            job_id=str(uuid.uuid4()),
            work_id=str(uuid.uuid4()),
            user_id=str(uuid.uuid4()),
            token=self.token,
            attempt=1,
            output="promotional_image",
            variation=1,
            graph_json=json.dumps(ADVERT),
            inputs_json='{"text": "카페 신메뉴 딸기 라떼 홍보", "aspect": "4:3"}',
            seed=7,
        )
        item.MergeFrom(pb.ClaimedItem(**changes))
        return item

    def offer(self, **changes: Any) -> pb.ClaimedItem:
        """Puts an item into the queue."""
        item = self.item(**changes)
        self.queue.runnable.append(item)
        return item

    def server(self, name: str, descriptor: Any, implementation: object) -> Server:
        listen = f"unix:{self.layout.run}/{name}-test.sock"
        settings = ServerSettings(
            service=name, keys_dir=self.layout.keys, listen=listen, grace_seconds=0.1
        )
        return Server(settings, [Binding(descriptor, implementation)])

    async def start_jobs(self) -> None:
        descriptor = pb.DESCRIPTOR.services_by_name["QueueService"]
        await self.jobs_stack.enter_async_context(self.server("jobs", descriptor, self.queue))


@pytest.fixture
async def stage(places: tuple[Layout, Supervisor], blobs: Blobs) -> AsyncIterator[Stage]:
    made, _ = places
    signer = Signer("worker", made.keys)
    async with AsyncExitStack() as opened:
        channels = {
            name: ServiceChannel(
                await opened.enter_async_context(open_channel(f"unix:{made.run}/{name}-test.sock")),
                name,
                signer,
            )
            for name in ("jobs", "inference")
        }
        set_up = Stage(
            made,
            blobs,
            QueueServer(),
            InferenceServer(blobs),
            opened,
            channels["jobs"],
            channels["inference"],
        )
        opened.push_async_callback(set_up.jobs_stack.aclose)
        await set_up.start_jobs()
        descriptor = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]
        inference = set_up.server("inference", descriptor, set_up.inference)
        await opened.enter_async_context(inference)
        yield set_up
