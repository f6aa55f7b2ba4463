"""Whether a part is ready: each asks what its users would ask."""

from __future__ import annotations

import asyncpg
import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.part import Liveness, Probe
from kit.rpc.server import LIVE

PROBE_SECONDS = 2.0
LIVE_SECONDS = 9.0  # so little is asked that only a process that hangs takes longer


def http(url: str, expected: int = 200, seconds: float = PROBE_SECONDS) -> Probe:
    """Ready when ``url`` answers with the expected status, in time."""

    async def probe() -> bool:
        async with httpx.AsyncClient(timeout=seconds, trust_env=False) as client:
            return (await client.get(url)).status_code == expected

    return probe


def grpc_health(target: str, service: str = "", seconds: float = PROBE_SECONDS) -> Probe:
    """Ready when the standard health service says SERVING of a service, in time."""

    async def probe() -> bool:
        async with grpc.aio.insecure_channel(target) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            check = stub.Check  # type: ignore[attr-defined]  # its type stub lacks the method
            request = health_pb2.HealthCheckRequest(service=service)
            reply = await check(request, timeout=seconds)
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


def http_liveness(url: str) -> Liveness:
    """Alive while ``url`` answers 200."""
    return Liveness(http(url, seconds=LIVE_SECONDS))


def grpc_liveness(target: str) -> Liveness:
    """Alive while the process says that it lives, whatever it waits for."""
    return Liveness(grpc_health(target, LIVE, LIVE_SECONDS))


def postgres(url: str) -> Probe:
    """Ready when the database takes connections."""

    async def probe() -> bool:
        connection = await asyncpg.connect(url, timeout=PROBE_SECONDS)
        await connection.close()
        return True

    return probe
