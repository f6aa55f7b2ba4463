"""Who may use the OpenAI-compatible face, for what, and how its refusals look to the client."""

from __future__ import annotations

import openai
import pytest
from openai import AsyncOpenAI

from tests.acceptance.doors import gateway_with
from tests.acceptance.openai_face.face import ASKED, Client, jobs
from tests.acceptance.test_keys import make_key
from tests.conftest import Installation
from tests.studio import Member, Studio


async def test_what_can_be_made_is_listed_as_models(client: AsyncOpenAI) -> None:
    listed = [each.id async for each in client.models.list()]
    assert {"general-picture", "general-chat"} <= set(listed)
    assert "general-advert" not in listed, "it makes two things"
    for name in listed:
        assert (await client.models.retrieve(name)).owned_by == "atelier"
    with pytest.raises(openai.NotFoundError) as refused:
        await client.models.retrieve("gpt-99")
    assert refused.value.code == "model_not_found"


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
