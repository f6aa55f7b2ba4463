"""The OpenAI-compatible face, through the public ``openai`` client and nothing else."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from PIL import Image

from deploy.local import stack
from tests.acceptance.doors import gateway_with
from tests.acceptance.test_keys import make_key
from tests.conftest import Installation
from tests.integration.worker.servers import LanguageModel, fails, serve, streams
from tests.studio import Member, Studio, eventually

SCOPES = ("jobs:write", "jobs:read", "works:read", "templates:read")
ASKED: list[Any] = [{"role": "user", "content": "카페 신메뉴 딸기 라떼 홍보 문구 써 줘"}]
Client = Callable[..., AsyncOpenAI]


@pytest.fixture
async def key(member: Member) -> str:
    return str((await make_key(member, *SCOPES))["secret"])


@pytest.fixture
async def connect(studio: Studio) -> AsyncIterator[Client]:
    """Makes clients; they are closed when the test ends."""
    made: list[AsyncOpenAI] = []

    def client(api_key: str, **more: Any) -> AsyncOpenAI:
        base_url = more.pop("base_url", f"{studio.http.base_url}/openai/v1".replace("//o", "/o"))
        http = openai.DefaultAsyncHttpxClient(trust_env=False)
        more = {"max_retries": 0, "timeout": 60.0} | more
        made.append(AsyncOpenAI(base_url=base_url, api_key=api_key, http_client=http, **more))
        return made[-1]

    yield client
    for each in made:
        await each.close()


@pytest.fixture
def client(connect: Client, key: str) -> AsyncOpenAI:
    return connect(key)


async def balance(member: Member) -> dict[str, int]:
    found: dict[str, int] = (await member.get("/v1/credits")).json()
    return found


async def jobs(member: Member) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await member.get("/v1/jobs")).json()["data"]
    return found


def is_picture(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.format == "JPEG" and picture.width > 100


async def test_what_can_be_made_is_listed_as_models(client: AsyncOpenAI) -> None:
    listed = [each.id async for each in client.models.list()]
    assert {"general-picture", "general-chat"} <= set(listed)
    assert "general-advert" not in listed, "it makes two things"
    for name in listed:
        assert (await client.models.retrieve(name)).owned_by == "atelier"
    with pytest.raises(openai.NotFoundError) as refused:
        await client.models.retrieve("gpt-99")
    assert refused.value.code == "model_not_found"


async def test_a_picture_comes_as_an_address(client: AsyncOpenAI, member: Member) -> None:
    made = await client.images.generate(prompt="빨간 머그잔", size="1024x1792", n=2)
    assert made.data
    assert len(made.data) == 2
    async with httpx.AsyncClient(trust_env=False) as http:
        for each in made.data:
            assert each.url
            assert each.revised_prompt
            picture = (await http.get(each.url)).content
            assert is_picture(picture)
            with Image.open(io.BytesIO(picture)) as seen:
                assert seen.width < seen.height, "the nearest aspect is 9:16"
    [job] = await jobs(member)
    assert (job["state"], job["credits"]["captured"]) == ("succeeded", 20)


async def test_a_picture_comes_in_the_answer_where_that_is_asked_for(client: AsyncOpenAI) -> None:
    seed: dict[str, Any] = {"seed": 7}
    made = await client.images.generate(
        prompt="a red mug", model="gpt-image-1", quality="low", user="u", extra_body=seed
    )
    asked = await client.images.generate(
        prompt="a red mug", response_format="b64_json", extra_body=seed
    )
    pictures = [each.data[0].b64_json or "" for each in (made, asked) if each.data]
    assert all(is_picture(base64.b64decode(each)) for each in pictures)
    assert pictures[0] == pictures[1], "the same seed makes the same picture"


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


async def test_an_access_token_works_like_a_key(connect: Client, member: Member) -> None:
    client = connect(member.session["access_token"])
    answer = await client.chat.completions.create(model="general-chat", messages=ASKED)
    assert answer.choices[0].message.content


async def test_a_wrong_key_is_an_authentication_error(connect: Client, member: Member) -> None:
    for wrong in ("atl_" + "0" * 43 + "426KGH", "sk-nonsense"):
        with pytest.raises(openai.AuthenticationError) as refused:
            await connect(wrong).images.generate(prompt="x")
        assert refused.value.type == "invalid_request_error"
        assert refused.value.request_id


async def test_a_key_without_the_scope_is_denied_before_anything_is_made(
    connect: Client, member: Member
) -> None:
    narrow = str((await make_key(member, "jobs:write", "jobs:read"))["secret"])
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await connect(narrow).images.generate(prompt="a red mug")
    assert refused.value.code == "scope_missing"
    assert "works:read" in refused.value.message
    assert await jobs(member) == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "x", "n": 9}, "n"),
        ({"prompt": "x", "size": "big"}, "size"),
        ({"prompt": "x" * 2_001}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x", "colour": "red"}, "colour"),
        ({"prompt": "x", "response_format": "png"}, "response_format"),
        ({"prompt": "x", "stream": True}, "stream"),
        ({"n": 1}, "prompt"),
    ],
)
async def test_what_is_wrong_with_a_request_for_pictures_is_named(
    client: AsyncOpenAI, member: Member, body: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.post("/images/generations", body=body, cast_to=object)
    assert refused.value.param == param
    assert await jobs(member) == []


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


async def test_unknown_models_and_paths_are_not_found_in_its_shape(
    client: AsyncOpenAI, studio: Studio
) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await client.images.generate(prompt="x", model="midjourney")
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="claude", messages=ASKED)
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.embeddings.create(model="x", input="y")
    assert unknown.value.code == "unknown_url"
    reply = await studio.http.get("/openai/v1/chat/completions")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST, OPTIONS")
    assert reply.json()["error"]["code"] == "method_not_allowed"


async def test_an_empty_wallet_is_an_insufficient_quota_that_is_not_tried_again(
    connect: Client, studio: Studio
) -> None:
    guest = await studio.guest()
    client = connect(guest.session["access_token"], max_retries=3)
    with pytest.raises(openai.RateLimitError) as refused:
        await client.images.generate(prompt="a red mug", n=8)
    assert refused.value.code == "insufficient_quota"
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert await jobs(guest) == []


async def test_a_client_that_asks_too_often_waits_and_tries_again(
    installation: Installation, connect: Client, key: str
) -> None:
    async with gateway_with(installation, ATELIER_RATE_MEMBER="read 1/1") as door:
        url = f"{str(door.http.base_url).rstrip('/')}/openai/v1"
        hasty = connect(key, base_url=url)
        await hasty.models.list()
        with pytest.raises(openai.RateLimitError) as refused:
            await hasty.models.list()
        assert refused.value.code == "rate_limit_exceeded"
        assert refused.value.response.headers["retry-after"] == "1"
        assert (await connect(key, base_url=url, max_retries=3).models.list()).data


async def test_the_same_idempotency_key_gives_the_same_answer_and_is_paid_once(
    client: AsyncOpenAI, member: Member
) -> None:
    again = {"Idempotency-Key": str(uuid.uuid4())}
    before = await balance(member)
    answers = [
        await client.chat.completions.create(
            model="general-chat", messages=ASKED, extra_headers=again
        )
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert before["available"] - (await balance(member))["available"] == 1
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="general-chat", messages=[*ASKED, *ASKED], extra_headers=again
        )
    assert refused.value.code == "idempotency_key_reused"


async def test_who_leaves_is_not_charged_and_his_job_is_cancelled(
    connect: Client, key: str, member: Member, installation: Installation
) -> None:
    await installation.supervisor.stop("worker")
    try:
        impatient = connect(key, timeout=2.0)
        with pytest.raises(openai.APITimeoutError):
            await impatient.images.generate(prompt="a red mug")

        async def canceled() -> bool:
            return {job["state"] for job in await jobs(member)} == {"canceled"}

        await eventually(canceled)

        async def released() -> bool:
            held = (await balance(member))["held"]
            return held == 0

        await eventually(released)
        assert (await balance(member))["available"] == 100
    finally:
        await installation.supervisor.start_again("worker")


async def test_who_leaves_with_a_key_comes_back_for_the_answer(
    connect: Client, key: str, member: Member, installation: Installation
) -> None:
    again = {"Idempotency-Key": str(uuid.uuid4())}
    await installation.supervisor.stop("worker")
    try:
        with pytest.raises(openai.APITimeoutError):
            await connect(key, timeout=2.0).chat.completions.create(
                model="general-chat", messages=ASKED, extra_headers=again
            )
    finally:
        await installation.supervisor.start_again("worker")
    answer = await connect(key).chat.completions.create(
        model="general-chat", messages=ASKED, extra_headers=again
    )
    assert answer.choices[0].message.content
    [job] = await jobs(member)
    assert job["credits"]["captured"] == 1


async def test_at_the_deadline_the_job_is_cancelled_and_the_answer_says_so(
    connect: Client, key: str, member: Member, installation: Installation
) -> None:
    await installation.supervisor.stop("worker")
    try:
        async with gateway_with(installation, ATELIER_OPENAI_WAIT_SECONDS="1") as door:
            url = f"{str(door.http.base_url).rstrip('/')}/openai/v1"
            waiting = connect(key, base_url=url)
            with pytest.raises(openai.InternalServerError) as refused:
                await waiting.images.generate(prompt="a red mug")
            assert (refused.value.status_code, refused.value.code) == (504, "timeout")
            stream = await waiting.chat.completions.create(
                model="general-chat", messages=ASKED, stream=True
            )
            with pytest.raises(openai.APIError, match="Not finished within 1 second"):
                async for _ in stream:
                    pass

        async def canceled() -> bool:
            return [job["state"] for job in await jobs(member)] == ["canceled"] * 2

        await eventually(canceled)
    finally:
        await installation.supervisor.start_again("worker")


async def run(program: list[str], folder: Path, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *program,
        cwd=folder,
        env={**os.environ, "NO_PROXY": "127.0.0.1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_what_the_page_of_the_api_shows_works_as_it_stands(
    studio: Studio, tmp_path: Path
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
    found = re.findall(r"^```(sh|python)\n(.*?)^```", page, re.M | re.S)
    shown = {language: code for language, code in found if "/openai/v1" in code}
    api = str(studio.http.base_url).rstrip("/")
    (tmp_path / "main.py").write_text(shown["python"])
    script = ["bash", "-euo", "pipefail", "-c", shown["sh"]]
    key, _, answer = (await run(script, tmp_path, API=api)).partition("\n")
    assert "딸기 라떼" in json.loads(answer)["choices"][0]["message"]["content"]
    printed = await run([sys.executable, "main.py"], tmp_path, API=api, KEY=key)
    address, _, text = printed.partition("\n")
    assert address.startswith("http")
    assert "strawberry latte" in text.lower()


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
