"""What both gateways stand before: a gRPC server that answers a work and a page of 24 at once."""

from __future__ import annotations

import asyncio
import sys

import grpc
import uvloop
from atelier.works.v1 import works_pb2, works_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

PAGE = 24


def work(number: int) -> works_pb2.Work:
    """A finished work as a studio has it: about 1.2 kB of JSON."""
    made = Timestamp(seconds=1_790_000_000 + number)
    ids = [f"0197a2f4-5f00-7{place:03x}-8000-{number:012x}" for place in range(4)]
    return works_pb2.Work(
        id=ids[0],
        type="WORK_TYPE_PROMOTIONAL_IMAGE",
        state="WORK_STATE_COMPLETED",
        title="카페 신메뉴 딸기 라떼 홍보",
        tags=["카페", "딸기", "라떼", "신메뉴"],
        project_id=ids[1],
        batch_id=ids[2],
        job_id=ids[3],
        template_id="eats-advert",
        category="eats",
        variation=1,
        file=works_pb2.File(
            content_type="image/jpeg", size_bytes=182_344, width=810, height=1080, sha256="0" * 64
        ),
        thumbnail_url="http://127.0.0.1:8333/atelier/works/thumbnail.jpg?X-Amz-Signature="
        + "0" * 64,
        recipe_json='{"prompt":"a strawberry latte on a wooden table","seed":7,"model":"sdxl"}',
        created_at=made,
        finished_at=made,
    )


class Works(works_pb2_grpc.WorksServiceServicer):
    """Answers from memory."""

    def __init__(self) -> None:
        self._one = work(0)
        self._page = works_pb2.ListWorksResponse(
            data=[work(number) for number in range(PAGE)], has_more=True, next_cursor="c" * 22
        )

    async def GetWork(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        return self._one

    async def ListWorks(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        return self._page


async def main(address: str) -> None:
    server = grpc.aio.server()
    works_pb2_grpc.add_WorksServiceServicer_to_server(Works(), server)
    checks = health.aio.HealthServicer()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main(sys.argv[1]))
