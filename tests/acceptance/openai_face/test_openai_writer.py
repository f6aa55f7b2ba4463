"""Chat by the OpenAI-compatible face where a language model is configured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import openai
import pytest
from openai import AsyncOpenAI

from deploy.local import stack
from tests.acceptance.openai_face.face import ASKED, balance, jobs
from tests.conftest import Installation
from tests.integration.worker.servers import LanguageModel, fails, serve, streams
from tests.studio import Member, eventually


@pytest.fixture(scope="module")
async def talker(installation: Installation) -> AsyncIterator[LanguageModel]:
    """A language model, and a worker that asks it in the place of the usual one, to the end."""
    supervisor = installation.supervisor
    async for model in serve(LanguageModel()):
        told = {"ATELIER_OPENAI_BASE_URL": model.url, "ATELIER_OPENAI_MODEL": "small"}
        settings = {**installation.settings, **told, "ATELIER_POOLS": "text"}
        await supervisor.stop("worker")
        part = stack.worker_part(installation.layout, settings)
        await supervisor.start([replace(part, name="talker", after=())])
        try:
            yield model
        finally:
            await supervisor.stop("talker")
            await supervisor.start_again("worker")


async def test_words_arrive_while_they_are_written(
    talker: LanguageModel, client: AsyncOpenAI
) -> None:
    gate = asyncio.Event()
    talker.answers = [streams("딸기 ", "라떼가 ", "왔어요", gate=gate)]
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    pieces, chunks = [], []
    async for chunk in stream:
        chunks.append(chunk)
        pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        if pieces == ["딸기 "]:  # the model has not said more than this
            gate.set()
    assert gate.is_set()
    assert "".join(pieces) == "딸기 라떼가 왔어요"
    assert (chunks[-1].model, chunks[-1].system_fingerprint) == ("small-2026", None)
    assert chunks[-1].usage
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (20, 5)
    assert talker.requests[-1]["messages"] == ASKED


async def test_who_leaves_a_stream_ends_the_writing_and_pays_nothing(
    talker: LanguageModel, client: AsyncOpenAI, member: Member
) -> None:
    gate = asyncio.Event()
    talker.answers = [streams("딸기 ", "라떼", gate=gate)]
    stream = await client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True)
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    await stream.close()

    async def canceled() -> bool:
        return [job["state"] for job in await jobs(member)] == ["canceled"]

    await eventually(canceled)

    async def paid_back() -> bool:
        return (await balance(member))["available"] == 100

    await eventually(paid_back)
    gate.set()


async def test_a_language_model_that_fails_or_refuses_is_told_apart(
    talker: LanguageModel, client: AsyncOpenAI, member: Member
) -> None:
    talker.answers = [fails(401)]
    with pytest.raises(openai.InternalServerError) as failed:
        await client.chat.completions.create(model="gpt-4o", messages=ASKED)
    assert failed.value.code == "writer_failed"
    talker.answers = [streams("no", finish_reason="content_filter")]
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="gpt-4o", messages=ASKED)
    assert refused.value.code == "content_policy_violation"
    talker.answers = [streams("Once ", breaks=True)]
    stream = await client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True)
    with pytest.raises(openai.APIError) as broken:
        async for _ in stream:
            pass
    assert broken.value.code == "writer_failed"

    async def paid_back() -> bool:
        return (await balance(member))["available"] == 100

    await eventually(paid_back)
