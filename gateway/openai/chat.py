"""``POST /chat/completions``: a conversation is answered, whole or word by word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson
from atelier.jobs.v1 import jobs_pb2
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.openai.conversation import Asked
from gateway.openai.faults import Fault
from gateway.openai.studio import Outcome
from gateway.openai.waiting import Unfinished, Visit, Why, not_made, of_error, unfinished

OFFLINE_MODEL = "atelier-offline"
HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = b": still here\n\n"
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


def _head(visit: Visit, kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{visit.job.id}",
        "object": kind,
        "created": visit.job.created_at.seconds,
        "model": model,
        # What wrote it, where that is no model.
        "system_fingerprint": f"fp_{OFFLINE_MODEL}" if model == OFFLINE_MODEL else None,
    }


def _usage(answer: dict[str, Any]) -> dict[str, int]:
    read, written = int(answer["prompt_tokens"]), int(answer["completion_tokens"])
    total = read + written
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": total}


def _answer_of(outcome: Outcome) -> dict[str, Any]:
    """Returns the answer of a job that has ended.

    Raises:
        Fault: There is none.
    """
    made = outcome.delivered()
    if not made:
        raise not_made(outcome)
    answer: dict[str, Any] = outcome.recipes[made[0].id]["answer"]
    return answer


@dataclass(frozen=True)
class Completion:
    """Makes the whole answer of a job that has ended.

    Attributes:
        visit: Who waits.
    """

    visit: Visit

    async def __call__(self, outcome: Outcome) -> ASGIApp:
        """Answers with the message.

        Raises:
            Fault: There is none.
        """
        answer = _answer_of(outcome)
        message = {"role": "assistant", "content": answer["content"], "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": answer["finish_reason"],
        }
        head = _head(self.visit, "chat.completion", answer["model"])
        body = orjson.dumps({**head, "choices": [choice], "usage": _usage(answer)})
        return Response(body, headers={"cache-control": "no-store"}, media_type="application/json")


class Spoken:
    """What a client was told, of an answer that may be begun again."""

    def __init__(self) -> None:
        self._sent = ""
        self._heard = ""
        self._attempt = 0

    def hear(self, event: jobs_pb2.JobEvent) -> str:
        """Returns what is new in an event.

        Raises:
            Fault: The answer was begun again and goes another way.
        """
        if not event.text:
            return ""
        if event.item.attempts != self._attempt:
            self._attempt, self._heard = event.item.attempts, ""
        if event.text_at > len(self._heard):  # one was lost: the end brings what is missing
            return ""
        self._heard = self._heard[: event.text_at] + event.text
        return self.rest(self._heard)

    def rest(self, text: str) -> str:
        """Returns what of a text was not told yet.

        Raises:
            Fault: It is not how what was told goes on.
        """
        if self._sent.startswith(text):
            return ""
        if not text.startswith(self._sent):
            message = "The answer was interrupted. Nothing is charged; send the request again."
            raise Fault(500, message, kind="server_error", code="answer_interrupted")
        new, self._sent = text[len(self._sent) :], text
        return new


@dataclass(frozen=True)
class Chunks:
    """The answer word by word: an ASGI application.

    Attributes:
        asked: What was asked.
        visit: Who waits.
        heartbeat_seconds: Between comments that keep the connection.
    """

    asked: Asked
    visit: Visit
    heartbeat_seconds: float = HEARTBEAT_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Sends chunks until the answer is complete, the client goes or the time is over."""
        headers = [*_HEADERS, *self.visit.headers]
        beating = asyncio.create_task(_beat(send, self.heartbeat_seconds))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            fault = await self._send(send)
            if fault is not None:
                await _write(send, fault.document())
            await send({"type": "http.response.body", "body": b""})
        finally:
            beating.cancel()
            self.visit.place.release()

    async def _send(self, send: Send) -> Fault | None:
        """Returns why the answer ended early, or None."""
        visit = self.visit
        try:
            await visit.attend(self._speak(send))
        except Unfinished as ended:
            await asyncio.shield(visit.leave())
            return None if ended.why is Why.LEFT else unfinished(ended.why, visit)
        except Exception as error:  # whatever it is, it has one shape here
            await asyncio.shield(visit.leave())
            return of_error(error)
        return None

    async def _speak(self, send: Send) -> None:
        async for chunk in self._chunks():
            await _write(send, chunk)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})

    async def _chunks(self) -> AsyncIterator[dict[str, Any]]:
        spoken, outcome = Spoken(), Outcome()
        model = self.asked.model
        yield self._chunk(model, {"role": "assistant", "content": ""})
        async with aclosing(self.visit.studio.follow(self.visit.job.id, outcome)) as events:
            async for event in events:
                if new := spoken.hear(event):
                    yield self._chunk(model, {"content": new})
        answer = _answer_of(outcome)
        model = answer["model"]
        if rest := spoken.rest(answer["content"]):
            yield self._chunk(model, {"content": rest})
        yield self._chunk(model, {}, answer["finish_reason"])
        if self.asked.include_usage:
            head = _head(self.visit, "chat.completion.chunk", model)
            yield {**head, "choices": [], "usage": _usage(answer)}

    def _chunk(
        self, model: str, delta: dict[str, str], finish_reason: str | None = None
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**_head(self.visit, "chat.completion.chunk", model), "choices": [choice]}


async def _write(send: Send, data: dict[str, Any]) -> None:
    chunk = b"data: " + orjson.dumps(data) + b"\n\n"
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _beat(send: Send, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await send({"type": "http.response.body", "body": _HEARTBEAT, "more_body": True})
