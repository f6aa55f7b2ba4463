"""Whether a part is ready: each asks what its users would ask."""

from __future__ import annotations

import asyncpg
import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.supervisor import Probe

PROBE_SECONDS = 2.0


def http(url: str, expected: int = 200) -> Probe:
    """Ready when ``url`` answers with the expected status."""

    async def probe() -> bool:
        async with httpx.AsyncClient(timeout=PROBE_SECONDS, trust_env=False) as client:
            return (await client.get(url)).status_code == expected

    return probe


def grpc_health(target: str) -> Probe:
    """Ready when the standard health service says SERVING."""

    async def probe() -> bool:
        async with grpc.aio.insecure_channel(target) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            check = stub.Check  # type: ignore[attr-defined]  # its type stub lacks the method
            reply = await check(health_pb2.HealthCheckRequest(), timeout=PROBE_SECONDS)
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


def postgres(url: str) -> Probe:
    """Ready when the database takes connections."""

    async def probe() -> bool:
        connection = await asyncpg.connect(url, timeout=PROBE_SECONDS)
        await connection.close()
        return True

    return probe
