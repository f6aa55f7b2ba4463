"""What a worker calls, played by real servers: the queue, inference, a language model."""

from __future__ import annotations

import asyncio
import io
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from atelier.inference.v1 import inference_pb2
from atelier.jobs.v1 import queue_pb2 as pb
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from kit.blobs import Blobs
from kit.errors import DomainError
from kit.rpc.server import Call

SECONDS = 60.0


class LeaseLost(DomainError):
    reason = "LEASE_LOST"


class QueueServer:
    """QueueService in memory; tests wait for its signals."""

    def __init__(self) -> None:
        self.runnable: deque[pb.ClaimedItem] = deque()
        self.lease_seconds = 3_600.0
        self.claims: list[pb.ClaimRequest] = []
        self.claimed = asyncio.Event()
        self.heartbeats: asyncio.Queue[list[str]] = asyncio.Queue()
        self.canceled: set[str] = set()
        self.lost: set[str] = set()
        self.deaf = False
        self.tells_in_progress = True
        self.progress: list[pb.ReportProgressRequest] = []
        self.kept: dict[str, str] = {}
        self.running: dict[str, str] = {}
        self.waited = asyncio.Event()
        self.begun: list[str] = []
        self.ended: asyncio.Queue[pb.FinishItemRequest] = asyncio.Queue()

    async def end(self) -> pb.FinishItemRequest:
        """Waits for the next item that ends."""
        return await asyncio.wait_for(self.ended.get(), SECONDS)

    def _check(self, lease: pb.Lease) -> None:
        if lease.item_id in self.lost:
            raise LeaseLost("the lease was lost")

    async def Claim(self, request: pb.ClaimRequest, call: Call) -> pb.ClaimResponse:  # noqa: N802
        self.claims.append(request)
        count = min(request.slots, len(self.runnable))
        items = [self.runnable.popleft() for _ in range(count)]
        self.claimed.set()
        return pb.ClaimResponse(items=items, lease_seconds=self.lease_seconds)

    async def Heartbeat(  # noqa: N802
        self, request: pb.HeartbeatRequest, call: Call
    ) -> pb.HeartbeatResponse:
        if self.deaf:
            raise DomainError("deaf")
        ids = [lease.item_id for lease in request.leases]
        self.heartbeats.put_nowait(ids)
        return pb.HeartbeatResponse(
            cancel_item_ids=self.canceled & set(ids), lost_item_ids=self.lost & set(ids)
        )

    async def ReportProgress(  # noqa: N802
        self, request: pb.ReportProgressRequest, call: Call
    ) -> pb.ReportProgressResponse:
        self._check(request.lease)
        self.progress.append(request)
        canceled = self.tells_in_progress and request.lease.item_id in self.canceled
        return pb.ReportProgressResponse(cancel_requested=canceled)

    async def BeginStep(  # noqa: N802
        self, request: pb.BeginStepRequest, call: Call
    ) -> pb.BeginStepResponse:
        self._check(request.lease)
        self.begun.append(request.step)
        if kept := self.kept.get(request.content_hash):
            return pb.BeginStepResponse(turn=pb.STEP_TURN_DONE, output_json=kept)
        holder = self.running.setdefault(request.content_hash, request.lease.item_id)
        if holder != request.lease.item_id:
            self.waited.set()
            return pb.BeginStepResponse(turn=pb.STEP_TURN_WAIT)
        return pb.BeginStepResponse(turn=pb.STEP_TURN_RUN)

    async def FinishStep(  # noqa: N802
        self, request: pb.FinishStepRequest, call: Call
    ) -> pb.FinishStepResponse:
        self._check(request.lease)
        self.kept[request.content_hash] = request.output_json
        return pb.FinishStepResponse()

    async def FinishItem(  # noqa: N802
        self, request: pb.FinishItemRequest, call: Call
    ) -> pb.FinishItemResponse:
        self._check(request.lease)
        self.ended.put_nowait(request)
        return pb.FinishItemResponse()


class InferenceServer:
    """InferenceService that paints one colour, step by step."""

    STEPS = 4

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.requests: list[inference_pb2.GenerateImageRequest] = []
        self.failure: DomainError | None = None
        self.gate: asyncio.Event | None = None
        self.drawing = asyncio.Event()
        self.abandoned = asyncio.Event()
        self.painted = asyncio.Event()

    async def ListModels(self, request: Any, call: Call) -> Any:  # noqa: N802
        return inference_pb2.ListModelsResponse()

    async def SegmentImages(self, request: Any, call: Call) -> AsyncIterator[Any]:  # noqa: N802
        raise DomainError("no worker asks for this")
        yield

    async def ApplyRules(self, request: Any, call: Call) -> Any:  # noqa: N802
        raise DomainError("no worker asks for this")

    async def GenerateImage(  # noqa: N802
        self, request: inference_pb2.GenerateImageRequest, call: Call
    ) -> AsyncIterator[inference_pb2.GenerateImageResponse]:
        self.requests.append(request)
        if self.failure:
            raise self.failure
        finished = False
        try:
            for step in range(1, self.STEPS + 1):
                progress = inference_pb2.SamplingProgress(
                    step=step, steps=self.STEPS, preview=b"jpeg"
                )
                yield inference_pb2.GenerateImageResponse(progress=progress)
                self.drawing.set()
                if self.gate:
                    await self.gate.wait()
            image = await self._paint(request)
            finished = True
            self.painted.set()
            yield inference_pb2.GenerateImageResponse(image=image)
        finally:
            if not finished:
                self.abandoned.set()

    async def _paint(
        self, request: inference_pb2.GenerateImageRequest
    ) -> inference_pb2.GeneratedImage:
        buffer = io.BytesIO()
        Image.new("RGB", (128, 128), "pink").save(buffer, "PNG")
        stored = await self._blobs.put(request.object_key, buffer.getvalue(), "image/png")
        return inference_pb2.GeneratedImage(
            object_key=stored.key,
            width=128,
            height=128,
            sha256=stored.sha256,
            model="painter",
            seed=request.seed,
            steps=self.STEPS,
        )


Answer = Callable[[dict[str, Any]], Response]


@dataclass
class LanguageModel:
    """An OpenAI-compatible endpoint that gives prepared answers, the last one again and again."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    hang: asyncio.Event = field(default_factory=asyncio.Event)

    async def complete(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        response = answer(body)
        if response.headers.get("x-hang"):
            await self.hang.wait()
        return response

    def app(self) -> Starlette:
        route = Route("/v1/chat/completions", self.complete, methods=["POST"])
        return Starlette(routes=[route])


def says(content: object, *, finish_reason: str = "stop") -> Answer:
    """An answer whose message is ``content``, as JSON unless it is a string."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)

    def answer(request: dict[str, Any]) -> Response:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": finish_reason}
        usage = {"prompt_tokens": 200, "completion_tokens": 50, "total_tokens": 250}
        head = {"id": "c1", "object": "chat.completion", "created": 1, "model": request["model"]}
        return JSONResponse({**head, "choices": [choice], "usage": usage})

    return answer


def streams(
    *pieces: str,
    finish_reason: str = "stop",
    usage: bool = True,
    breaks: bool = False,
    gate: asyncio.Event | None = None,
) -> Answer:
    """An answer in server-sent chunks, as the public API sends them.

    Args:
        pieces: The contents of the chunks.
        finish_reason: Of the last choice.
        usage: Whether a last chunk tells the tokens, where the request asks for it.
        breaks: Whether the connection ends after the pieces.
        gate: Is waited for after the first piece.
    """

    async def chunks(request: dict[str, Any]) -> AsyncIterator[bytes]:
        def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
            head = {"id": "c1", "object": "chat.completion.chunk", "created": 1}
            body = {**head, "model": f"{request['model']}-2026", "choices": choices, **more}
            return b"data: " + json.dumps(body).encode() + b"\n\n"

        def choice(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
            return {"index": 0, "delta": delta, "finish_reason": reason}

        yield chunk([choice({"role": "assistant", "content": ""})])
        for number, piece in enumerate(pieces):
            yield chunk([choice({"content": piece})])
            if gate is not None and not number:
                await gate.wait()
        if breaks:
            raise ConnectionResetError("the endpoint broke off")
        yield chunk([choice({}, finish_reason)])
        if usage and request.get("stream_options", {}).get("include_usage"):
            tokens = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
            yield chunk([], usage=tokens)
        yield b"data: [DONE]\n\n"

    return lambda request: StreamingResponse(chunks(request), media_type="text/event-stream")


def fails(status: int, code: str | None = None, **headers: str) -> Answer:
    """An error answer."""

    def answer(request: dict[str, Any]) -> Response:
        error = {"message": "no", "type": "error", "code": code}
        return JSONResponse({"error": error}, status_code=status, headers=headers)

    return answer


def hangs() -> Answer:
    """No answer while the test lives."""
    return lambda _: Response(headers={"x-hang": "1"})


async def serve(model: LanguageModel) -> AsyncIterator[LanguageModel]:
    """Serves a language model on a free loopback port."""
    config = uvicorn.Config(
        model.app(), host="127.0.0.1", port=0, log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # uvicorn has no signal for it
    port = server.servers[0].sockets[0].getsockname()[1]
    model.url = f"http://127.0.0.1:{port}/v1"
    yield model
    model.hang.set()
    server.should_exit = True
    await serving
