"""One key, one effect: at once, after a lost answer, after a refusal, through two gateways."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from deploy.local import probes, stack
from tests.conftest import TEST_SETTINGS, Installation
from tests.studio import Member, eventually

COPY = {
    "template_id": "general-advert",
    "outputs": ["marketing_copy"],
    "inputs": {"text": "빨간 꽃병"},
}
PICTURE = {"template_id": "general-picture", "inputs": {"text": "빨간 꽃병"}}


async def answered(member: Member, key: str, submission: dict[str, Any]) -> httpx.Response:
    """Submits and, while the first request is still being answered, asks again as told."""

    async def ask() -> httpx.Response | None:
        reply = await member.submit(key=key, **submission)
        if (reply.status_code, reply.json().get("code")) != (409, "idempotency_key_in_use"):
            return reply
        assert int(reply.headers["retry-after"]) >= 1
        return None

    reply: httpx.Response = await eventually(ask)
    return reply


async def held_once(member: Member, credits_held: int) -> None:
    """One job, and its price taken once."""
    [job] = (await member.get("/v1/jobs")).json()["data"]
    await member.finished(job["id"])
    entries = (await member.get("/v1/credits/entries")).json()["data"]
    assert [entry["amount"] for entry in entries if entry["kind"] == "hold"] == [-credits_held]


async def test_the_same_key_fifty_times_at_once_is_one_job_and_one_answer(member: Member) -> None:
    key = str(uuid.uuid4())
    replies = await asyncio.gather(*(answered(member, key, COPY) for _ in range(50)))
    assert Counter(reply.status_code for reply in replies) == {202: 50}
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert len({reply.headers["location"] for reply in replies}) == 1
    await held_once(member, 2)


async def test_another_payload_under_the_same_key_is_refused(member: Member) -> None:
    key = str(uuid.uuid4())
    first = await answered(member, key, COPY)
    other = COPY | {"inputs": {"text": "파란 꽃병"}}
    reply = await member.submit(key=key, **other)
    assert (reply.status_code, reply.json()["code"]) == (422, "idempotency_key_reused")
    assert (await answered(member, key, COPY)).json()["id"] == first.json()["id"]
    await held_once(member, 2)


async def test_a_key_belongs_to_its_caller(member: Member, studio: Any) -> None:
    other, key = await studio.sign_up(), str(uuid.uuid4())
    replies = [await answered(who, key, COPY) for who in (member, other)]
    assert len({reply.json()["id"] for reply in replies}) == 2


async def test_a_refusal_for_want_of_credits_frees_the_key(member: Member) -> None:
    key = str(uuid.uuid4())
    dear = PICTURE | {"variations": 8}  # 80 of the 100 credits
    assert (await answered(member, str(uuid.uuid4()), dear)).status_code == 202
    reply = await answered(member, key, dear)
    assert (reply.status_code, reply.json()["code"]) == (402, "insufficient_credits")
    assert (await answered(member, key, PICTURE)).status_code == 202
    jobs = (await member.get("/v1/jobs")).json()["data"]
    assert len(jobs) == 2
    for job in jobs:  # leave the queue to the next test
        await member.post(f"/v1/jobs/{job['id']}/cancel", json={})


async def test_an_answer_that_was_lost_on_the_wire_is_given_again(
    member: Member, installation: Installation
) -> None:
    key = str(uuid.uuid4())
    await send_and_hang_up(installation.layout.gateway_url, member, key)

    async def accepted() -> bool:
        return len((await member.get("/v1/jobs")).json()["data"]) == 1

    await eventually(accepted)
    [job] = (await member.get("/v1/jobs")).json()["data"]
    again = await answered(member, key, COPY)
    assert (again.status_code, again.json()["id"]) == (202, job["id"])
    await held_once(member, 2)


async def send_and_hang_up(url: str, member: Member, key: str) -> None:
    """Sends a submission whole and closes the connection without reading."""
    address, body = urlsplit(url), orjson.dumps(COPY)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: {member.headers['authorization']}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.fixture
async def second_gateway(installation: Installation) -> AsyncIterator[httpx.AsyncClient]:
    """Another gateway over the same services."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"ATELIER_HTTP_PORT": str(port), "ATELIER_METRICS_LISTEN": ""}
    part = stack.gateway_part(installation.layout, TEST_SETTINGS | own)
    url = f"http://127.0.0.1:{port}"
    second = replace(part, name="gateway-2", after=(), probe=probes.http(f"{url}/readyz"))
    await installation.supervisor.start([second])
    try:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
            yield http
    finally:
        await installation.supervisor.stop("gateway-2")


async def test_two_gateways_know_one_key(member: Member, second_gateway: httpx.AsyncClient) -> None:
    key, elsewhere = str(uuid.uuid4()), Member(second_gateway, member.session)
    replies = await asyncio.gather(
        *(answered(who, key, COPY) for who in (member, elsewhere) for _ in range(10))
    )
    assert Counter(reply.status_code for reply in replies) == {202: 20}
    assert len({reply.json()["id"] for reply in replies}) == 1
    await held_once(member, 2)
