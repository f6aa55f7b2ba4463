"""The whole gateway over HTTP, before a gRPC server whose methods a test gives."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import uvicorn
from atelier.jobs.v1 import jobs_pb2
from prometheus_client import REGISTRY
from starlette.types import ASGIApp

from gateway import app, wire
from gateway.__main__ import configured
from gateway.config import GatewaySettings
from gateway.openai.pictures import Storage
from gateway.sse import Streams
from kit.errors import DomainError
from kit.identity import Kind, Signer, create_key, publish_keys
from kit.rpc import status
from kit.rpc.client import open_channel
from tests.studio import eventually

DOMAINS = ("accounts", "works", "templates", "jobs")
JOB_ID = "0197a2f4-5f00-7000-8000-000000000001"
METHODS: dict[str, Any] = {
    "/atelier.jobs.v1.JobsService/SubmitJob": jobs_pb2.SubmitJobRequest,
    "/atelier.jobs.v1.JobsService/GetJob": jobs_pb2.GetJobRequest,
    "/atelier.jobs.v1.JobsService/CancelJob": jobs_pb2.CancelJobRequest,
    "/atelier.jobs.v1.JobsService/StreamJobEvents": jobs_pb2.StreamJobEventsRequest,
    "/atelier.jobs.v1.JobsService/StreamBatchEvents": jobs_pb2.StreamBatchEventsRequest,
}


class Jobs(grpc.GenericRpcHandler):
    """The jobs service as far as a test needs it.

    Attributes:
        job: What reading it answers.
        events: What its streams send.
        submit: Answers a submission.
        held: While it is unset, streams stay open after their events.
        admit: Lets a stream begin, or raises a refusal.
    """

    def __init__(self) -> None:
        self.job = jobs_pb2.Job(
            id=JOB_ID, state=jobs_pb2.STATE_QUEUED, status_url=f"/v1/jobs/{JOB_ID}"
        )
        self.events: list[jobs_pb2.JobEvent] = []
        self.submit: Callable[[], Awaitable[Any]] = self.accept
        self.held = asyncio.Event()
        self.admit: Callable[[str, str], object] = lambda _authorization, _ticket: None
        self.streaming = 0

    async def accept(self) -> jobs_pb2.Job:
        return self.job

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method
        if path not in METHODS:
            return None
        read = METHODS[path].FromString
        if path.endswith("Events"):
            return grpc.unary_stream_rpc_method_handler(self._stream, read, _written)
        answer = self._submit if path.endswith("SubmitJob") else self._get
        return grpc.unary_unary_rpc_method_handler(answer, read, _written)

    async def _submit(self, request: Any, context: Any) -> Any:
        return await self.submit()

    async def _get(self, request: Any, context: Any) -> Any:
        return self.job

    async def _stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        name = "sequence" if hasattr(request, "after_sequence") else "feed_sequence"
        after = getattr(request, f"after_{name}")
        try:
            self.admit(dict(context.invocation_metadata()).get("authorization", ""), request.ticket)
        except DomainError as refusal:
            await status.abort(context, refusal)
        self.streaming += 1
        try:
            for event in self.events:
                if event.type == "open" or getattr(event, name) > after:
                    yield event
            await self.held.wait()
        finally:
            self.streaming -= 1


def _written(answer: Any) -> bytes:
    written: bytes = answer if isinstance(answer, bytes) else answer.SerializeToString()
    return written


@dataclass
class House:
    """A running gateway.

    Attributes:
        http: Talks to it.
        jobs: The service behind it.
        streams: Those of the gateway.
        signer: Signs tokens as accounts does.
        tickets: Signs tickets as jobs does.
        user_id: Whose the token of ``headers`` is.
    """

    http: httpx.AsyncClient
    jobs: Jobs
    streams: Streams
    signer: Signer
    tickets: Signer
    user_id: uuid.UUID = field(default_factory=uuid.uuid4)

    def token(self, seconds: int = 600) -> dict[str, str]:
        token = self.signer.user_token(self.user_id, Kind.MEMBER, seconds)
        return {"authorization": f"Bearer {token}"}

    async def submit(self, **headers: str) -> httpx.Response:
        headers = self.token() | {"idempotency-key": str(uuid.uuid4())} | headers
        return await self.http.post("/v1/jobs", json={"inputs": {}}, headers=headers)


def counted(route: str, status: int) -> float:
    """Returns how many answers of a route had a status."""
    labels = {"route": route, "status": str(status)}
    return REGISTRY.get_sample_value("atelier_http_request_seconds_count", labels) or 0.0


def refusals(code: str) -> float:
    """Returns how many requests were refused with a code."""
    return REGISTRY.get_sample_value("atelier_http_refusals_total", {"code": code}) or 0.0


@asynccontextmanager
async def serving(application: ASGIApp, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serves an application on a port of its own."""
    settings = {"http": wire.protocol(5.0, 5.0), **settings}
    config = uvicorn.Config(
        application, log_config=None, lifespan="off", ws="none", access_log=False, **settings
    )
    async with served(config) as http:
        yield http


@asynccontextmanager
async def served(config: uvicorn.Config) -> AsyncIterator[httpx.AsyncClient]:
    """Serves what is configured on a port that is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([listener]))

        async def started() -> bool:
            return server.started

        await eventually(started)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
                yield http
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """Runs a gateway with some settings."""
    for issuer in ("accounts", "jobs"):
        create_key(folder, issuer)
    publish_keys(folder)
    jobs, server = Jobs(), grpc.aio.server()
    server.add_generic_rpc_handlers((jobs,))
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        targets: dict[str, Any] = {f"{domain}_target": target for domain in DOMAINS}
        made = GatewaySettings(keys_dir=folder, http_port=1, **targets, **settings)
        streams = Streams(made.streams_max, made.streams_per_caller_max)
        async with open_channel(target) as channel, Storage("") as storage:
            application = app.build(dict.fromkeys(DOMAINS, channel), made, streams, storage)
            async with served(configured(application, made)) as http:
                yield House(http, jobs, streams, Signer("accounts", folder), Signer("jobs", folder))
                streams.close()
                jobs.held.set()
    finally:
        jobs.held.set()
        await server.stop(1)
