"""Chat by the OpenAI-compatible face, whole and in pieces, through the public ``openai`` client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.acceptance.openai_face.face import ASKED, jobs
from tests.studio import Member, Studio


async def test_chat_is_answered_and_says_that_it_is_offline(
    client: AsyncOpenAI, member: Member
) -> None:
    answer = await client.chat.completions.create(model="general-chat", messages=ASKED)
    [choice] = answer.choices
    assert choice.message.role == "assistant"
    assert "딸기 라떼" in (choice.message.content or "")
    assert "오프라인" in (choice.message.content or "")
    assert choice.finish_reason == "stop"
    assert (answer.model, answer.system_fingerprint) == ("atelier-offline", "fp_atelier-offline")
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    [job] = await jobs(member)
    assert job["credits"]["captured"] == 1


async def test_chat_streams_the_same_answer_in_pieces(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="gpt-4o-mini", messages=ASKED)
    stream = await client.chat.completions.create(
        model="gpt-4o-mini", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.finish_reason for chunk in chunks for c in chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stream_is_made_of_server_sent_events_that_end_with_done(
    studio: Studio, key: str
) -> None:
    lines = []
    async with studio.http.stream(
        "POST",
        "/openai/v1/chat/completions",
        headers={"authorization": f"Bearer {key}"},
        json={"model": "general-chat", "messages": ASKED, "stream": True},
    ) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["x-request-id"]
        lines = [line async for line in reply.aiter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert all(json.loads(line.removeprefix("data: "))["object"] for line in lines[:-1])


async def test_length_stops_and_parts_of_text_are_heeded(client: AsyncOpenAI) -> None:
    parts: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "strawberry "}, {"type": "text", "text": "latte"}],
        },
    ]
    short = await client.chat.completions.create(model="general-chat", messages=parts, max_tokens=3)
    assert short.choices[0].finish_reason == "length"
    stopped = await client.chat.completions.create(
        model="general-chat", messages=parts, stop=["latte", "Latte"], temperature=0.3
    )
    assert "atte" not in (stopped.choices[0].message.content or "latte")


async def test_the_client_that_waits_in_a_thread_works_as_well(studio: Studio, key: str) -> None:
    def talk() -> str:
        http = openai.DefaultHttpxClient(trust_env=False)
        url = f"{str(studio.http.base_url).rstrip('/')}/openai/v1"
        with OpenAI(base_url=url, api_key=key, http_client=http, max_retries=0) as waiting:
            stream = waiting.chat.completions.create(
                model="general-chat", messages=ASKED, stream=True
            )
            return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert "딸기" in await asyncio.to_thread(talk)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"n": 2}, "n"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temperature": 3}, "temperature"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x" * 8_001}]}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
        ),
        ({"wisdom": 1}, "wisdom"),
    ],
)
async def test_what_chat_cannot_do_is_refused_by_name(
    client: AsyncOpenAI, more: dict[str, Any], param: str
) -> None:
    body = {"model": "general-chat", "messages": ASKED} | more
    with pytest.raises(openai.BadRequestError) as refused:
        await client.post("/chat/completions", body=body, cast_to=object)
    assert refused.value.param == param
