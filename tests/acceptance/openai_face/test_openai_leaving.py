"""Clients of the OpenAI-compatible face that leave, come back, or wait too long: what is paid."""

from __future__ import annotations

import uuid

import openai
import pytest
from openai import AsyncOpenAI

from tests.acceptance.doors import gateway_with
from tests.acceptance.openai_face.face import ASKED, Client, balance, jobs
from tests.conftest import Installation
from tests.studio import Member, eventually


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
