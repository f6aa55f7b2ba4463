"""API keys, as a member's own server meets them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
import uuid
from typing import Any

import httpx
import pytest

from tests.acceptance.doors import gateway_with
from tests.conftest import Installation
from tests.studio import Member, Studio, eventually

EXPIRES_AT = (dt.datetime.now(dt.UTC) + dt.timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
KEY_SECONDS = 5.0  # what the gateway's setting is by default
DRY = {"params": {"dry_run": "true"}}
PICTURE = {"template_id": "general-picture", "inputs": {"text": "빨간 꽃병"}}


async def make_key(member: Member, *scopes: str, **more: Any) -> dict[str, Any]:
    reply = await member.post("/v1/api-keys", json={"name": "shop", "scopes": scopes, **more})
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


def with_key(http: httpx.AsyncClient, made: dict[str, Any]) -> Member:
    """The API as a server has it that holds the key."""
    return Member(http, {"access_token": made["secret"], "user": {"id": ""}})


async def test_a_key_makes_a_job_and_reads_what_came_of_it(studio: Studio, member: Member) -> None:
    made = await make_key(member, "jobs:write", "jobs:read", "works:read", "me:read")
    server = with_key(studio.http, made)
    assert (await server.get("/v1/me")).json()["id"] == member.id
    inputs = {"text": "빨간 꽃병"}
    reply = await server.submit(
        template_id="general-advert", outputs=["marketing_copy"], inputs=inputs
    )
    assert reply.status_code == 202, reply.text
    job = await server.finished(reply.json()["id"])
    assert job["state"] == "succeeded"
    seen = [event["event"] async for event in server.events(f"/v1/jobs/{job['id']}/events")]
    assert seen[-1] == "finished"
    mine = (await member.get("/v1/works")).json()["data"]
    assert [work["job_id"] for work in mine] == [job["id"]], "it is the member's own work"


async def test_a_key_is_shown_once_and_listed_without_its_secret(
    studio: Studio, member: Member
) -> None:
    made = await make_key(member, "me:read", expires_at=EXPIRES_AT)
    assert made["secret"].startswith("atl_")
    assert (await with_key(studio.http, made).get("/v1/me")).status_code == 200
    listing = await member.get("/v1/api-keys")
    [kept] = listing.json()["data"]
    assert made["secret"] not in listing.text
    assert made["secret"].startswith(kept["prefix"])
    assert (kept["state"], kept["scopes"], kept["name"]) == ("active", ["me:read"], "shop")
    assert kept["expires_at"] == EXPIRES_AT
    assert kept["last_used_at"]


async def test_a_revoked_key_is_refused_everywhere_within_its_bound(
    studio: Studio, member: Member
) -> None:
    made = await make_key(member, "me:read")
    server = with_key(studio.http, made)
    assert (await server.get("/v1/me")).status_code == 200
    path = f"/v1/api-keys/{made['api_key']['id']}"
    assert (await member.request("DELETE", path)).status_code == 204
    assert (await member.request("DELETE", path)).status_code == 204
    revoked = time.monotonic()

    async def refused() -> Any:
        asked = time.monotonic()
        reply = await server.get("/v1/me")
        if reply.status_code != 200:
            return reply
        assert asked - revoked < KEY_SECONDS, "who asks later is refused"
        return None

    reply = await eventually(refused)
    assert (reply.status_code, reply.json()["code"]) == (401, "api_key_revoked")
    assert reply.headers["www-authenticate"] == "Bearer"


async def test_a_key_without_the_scope_is_told_which(studio: Studio, member: Member) -> None:
    server = with_key(studio.http, await make_key(member, "works:read"))
    reply = await server.submit(**PICTURE)
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (403, "scope_missing")
    assert problem["details"] == {"scope": "jobs:write"}
    reply = await server.get("/v1/templates")
    assert reply.json()["details"] == {"scope": "templates:read"}, "though nobody needs a token"


async def test_a_key_manages_no_keys_and_is_no_administrator(
    studio: Studio, installation: Installation
) -> None:
    boss = await studio.sign_up(f"boss-{uuid.uuid4().hex[:8]}")
    every = ["credits:read", "jobs:write", "me:read"]
    server = with_key(studio.http, await make_key(boss, *every))
    for method, path, body in [
        ("GET", "/v1/api-keys", None),
        ("POST", "/v1/api-keys", {"name": "more", "scopes": every}),
        ("POST", "/v1/auth/guest", {}),
        ("POST", "/v1/admin/credits/grants", {"user_id": boss.id, "amount": 9, "reason": "x"}),
    ]:
        key = {"idempotency-key": str(uuid.uuid4())}
        reply = await server.request(method, path, json=body, headers=key)
        assert reply.status_code == 403, (path, reply.text)


@pytest.mark.parametrize("how", ["mistyped", "never made", "not a key"])
async def test_a_wrong_key_is_refused_with_its_code(
    studio: Studio, member: Member, how: str
) -> None:
    made = await make_key(member, "me:read")
    secret = made["secret"]
    never = "atl_" + "0" * 43 + "426KGH"
    wrong = {"mistyped": secret[:-1] + ("a" if secret[-1] != "a" else "b"), "never made": never}
    token = wrong.get(how, "nonsense")
    reply = await studio.http.get("/v1/me", headers={"authorization": f"Bearer {token}"})
    code = "unauthenticated" if how == "not a key" else "api_key_unknown"
    assert (reply.status_code, reply.json()["code"]) == (401, code)


async def test_a_guest_makes_no_keys(studio: Studio) -> None:
    guest = await studio.guest()
    reply = await guest.post("/v1/api-keys", json={"name": "shop", "scopes": ["me:read"]})
    assert (reply.status_code, reply.json()["code"]) == (403, "permission_denied")


async def test_a_key_and_a_session_draw_from_the_member_s_one_bucket(
    installation: Installation, member: Member
) -> None:
    made = await make_key(member, "me:read")
    async with gateway_with(installation, ATELIER_RATE_MEMBER="read 3/3000") as door:
        session = Member(door.http, member.session)
        server = with_key(door.http, made)
        statuses = [
            (await each.get("/v1/me")).status_code for each in (session, server, session, server)
        ]
    assert statuses == [200, 200, 200, 429]


async def test_a_key_is_good_for_a_dry_run_by_the_idempotency_of_its_member(
    studio: Studio, member: Member
) -> None:
    server = with_key(studio.http, await make_key(member, "jobs:write"))
    key, copy = str(uuid.uuid4()), {"template_id": "general-advert", "outputs": ["marketing_copy"]}
    first = await member.submit(key, **copy, inputs={"text": "봄"})
    again = await server.submit(key, **copy, inputs={"text": "봄"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"], "a key is its member, for money too"


async def test_a_stream_that_a_key_opened_ends_and_is_opened_anew(
    installation: Installation, member: Member
) -> None:
    made = await make_key(member, "jobs:read")
    async with gateway_with(installation, ATELIER_KEY_STREAM_SECONDS="0.5") as door:
        server = with_key(door.http, made)
        seen = [event async for event in server.events("/v1/events")]
        assert [event["event"] for event in seen] == ["open"], "it ended by itself"
        again = [event async for event in server.events("/v1/events", seen[-1]["id"])]
        assert again[0]["id"] == seen[-1]["id"]
        session = Member(door.http, member.session).events("/v1/events")
        async with asyncio.timeout(60), contextlib.aclosing(session):
            await anext(session)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2):
                    await anext(session)
