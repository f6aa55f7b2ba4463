"""Bad input is refused with its code, before anything is held."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from kit.identity import Kind, Signer
from tests.conftest import Installation
from tests.studio import Member, Studio

GOOD = {"category": "eats", "inputs": {"text": "딸기 라떼"}}


@pytest.mark.parametrize(
    ("submission", "code", "field"),
    [
        (GOOD | {"colour": "red"}, "invalid_argument", "colour"),
        (GOOD | {"variations": "two"}, "invalid_argument", "variations"),
        (GOOD | {"variations": 9}, "invalid_argument", "variations"),
        (GOOD | {"outputs": ["statue"]}, "invalid_argument", "outputs[0]"),
        ({"inputs": {"text": "x" * 2001}}, "invalid_argument", "inputs.text"),
        ({"inputs": {"text": "  "}}, "invalid_argument", "inputs.text"),
        ({"inputs": {}}, "invalid_argument", "inputs.text"),
        ({"inputs": {"text": "x", "aspect": "5:4"}}, "invalid_argument", "inputs.aspect"),
        ({"inputs": {"text": 5}}, "invalid_argument", "inputs.text"),
        ({"inputs": {"text": "x", "aspekt": "1:1"}}, "invalid_argument", "inputs.aspekt"),
        (GOOD | {"project_id": "x"}, "invalid_argument", "project_id"),
        ({"template_id": "no-such", "inputs": {"text": "x"}}, "unknown_template", None),
        ({"category": "sports", "inputs": {"text": "x"}}, "unknown_category", None),
    ],
)
async def test_a_submission_that_is_not_valid_holds_nothing(
    member: Member, submission: dict[str, Any], code: str, field: str | None
) -> None:
    reply = await member.submit(**submission)
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (400, code), problem
    assert problem["request_id"] == reply.headers["x-request-id"]
    if field:
        assert field in [error["field"] for error in problem["errors"]], problem
    assert (await member.get("/v1/credits")).json()["available"] == 100
    assert (await member.get("/v1/jobs")).json()["data"] == []


async def test_an_expired_token_is_refused(studio: Studio, installation: Installation) -> None:
    signer = Signer("accounts", installation.layout.keys)
    token = signer.user_token(uuid.uuid4(), Kind.MEMBER, -3_600)
    reply = await studio.http.get("/v1/me", headers={"authorization": f"Bearer {token}"})
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")
    assert reply.headers["www-authenticate"] == "Bearer"


async def test_money_moves_only_with_an_idempotency_key(member: Member) -> None:
    reply = await member.post("/v1/jobs", json=GOOD)
    assert (reply.status_code, reply.json()["code"]) == (400, "idempotency_key_required")


async def test_too_few_credits_are_refused_with_what_is_there_and_free_the_key(
    member: Member,
) -> None:
    reply = await member.submit(key="k", **GOOD, variations=8)
    assert reply.status_code == 202
    short = await member.submit(key="l", **GOOD, variations=8)
    problem = short.json()
    assert (short.status_code, problem["code"]) == (402, "insufficient_credits")
    assert problem["details"] == {
        "required": 82,
        "available": 18,
        "subscription": 0,
        "purchased": 18,
    }
    await member.post(reply.json()["cancel_url"])
    assert (await member.submit(key="l", **GOOD)).status_code == 202


async def test_a_key_is_good_for_one_request(member: Member) -> None:
    first = await member.submit(key="k", **GOOD)
    again = await member.submit(key="k", **GOOD)
    assert first.content == again.content
    other = await member.submit(key="k", **GOOD, variations=2)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await member.get("/v1/credits")).json()["available"] == 88, "held or spent, but once"
    await member.post(first.json()["cancel_url"])


async def test_a_quote_holds_nothing(member: Member) -> None:
    reply = await member.post("/v1/jobs?dry_run=true", headers={"idempotency-key": "q"}, json=GOOD)
    assert (reply.status_code, reply.json()["credits"]["quoted"]) == (200, 12)
    assert (await member.get("/v1/jobs")).json()["data"] == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed_body"),
        (b"\xff", 400, "malformed_body"),
        (b"[]", 400, "invalid_argument"),
        (b'"x"', 400, "invalid_argument"),
        (b"{}" * (1 << 20), 413, "body_too_large"),
        (b'{"name":' + b"[" * 40 + b"]" * 40 + b"}", 400, "body_too_deep"),
        (b'{"name":' + b"[" * 5_000 + b"]" * 5_000 + b"}", 400, "body_too_deep"),
    ],
)
async def test_a_body_that_is_no_object_is_refused(
    member: Member, content: bytes, status: int, code: str
) -> None:
    reply = await member.post("/v1/projects", content=content)
    assert (reply.status_code, reply.json()["code"]) == (status, code)


async def test_unknown_paths_methods_and_parameters_are_problems(studio: Studio) -> None:
    http = studio.http
    assert (await http.get("/v1/nothing")).json()["code"] == "not_found"
    wrong = await http.put("/v1/jobs")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    unknown = await http.get("/v1/templates?colour=red")
    assert unknown.json()["errors"][0]["field"] == "colour"


async def test_an_administrators_grant_is_not_for_members(studio: Studio, member: Member) -> None:
    body = {"user_id": member.id, "amount": 5, "reason": "a present"}
    path = "/v1/admin/credits/grants"
    refused = await member.post(path, json=body, headers={"idempotency-key": "g"})
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    administrator = await studio.sign_up("the-administrator")
    for _ in range(2):
        given = await administrator.post(path, json=body, headers={"idempotency-key": "g"})
        assert given.status_code == 201
    assert (await member.get("/v1/credits")).json()["available"] == 105
