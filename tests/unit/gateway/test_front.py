"""The front of the gateway: what is let in when much is in work, what waits, what is counted."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from atelier.jobs.v1 import jobs_pb2

from gateway import app, routes
from kit.rpc.contract import Deprecation
from tests.studio import eventually
from tests.unit.gateway.house import JOB_ID, House, counted, opened, refusals

JOBS = "POST /v1/jobs"
COMPLETIONS = "/openai/v1/chat/completions"
CHAT = {"model": "general-chat", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A gateway that takes one request at a time and one stream of a caller."""
    settings = {"requests_max": 1, "streams_per_caller_max": 1, "openai_wait_seconds": 0.2}
    async with opened(tmp_path, **settings) as made:
        yield made


@pytest.fixture
async def asked(house: House) -> AsyncIterator[asyncio.Task[httpx.Response]]:
    """A request that is in work until the test lets it go."""
    began, gate = asyncio.Event(), asyncio.Event()

    async def wait() -> jobs_pb2.Job:
        began.set()
        await gate.wait()
        return house.jobs.job

    house.jobs.submit = wait
    request = asyncio.create_task(house.submit())
    async with asyncio.timeout(60):
        await began.wait()
    yield request
    gate.set()
    assert (await request).status_code == 202


@pytest.mark.usefixtures("asked")
async def test_health_and_pages_are_answered_while_as_much_is_in_work_as_may_be(
    house: House,
) -> None:
    for path in ("/healthz", "/readyz", "/", "/docs", "/openapi.json", "/studio/studio.css"):
        assert (await house.http.get(path)).status_code not in (429, 500), path
    assert (await house.http.get("/healthz")).status_code == 200


@pytest.mark.usefixtures("asked")
async def test_both_doors_refuse_what_is_too_much_in_the_shape_of_their_clients(
    house: House,
) -> None:
    before = counted(JOBS, 429), counted(f"POST {COMPLETIONS}", 429), refusals("overloaded")
    refused = await house.submit()
    assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
    assert refused.headers["retry-after"]
    faced = await house.http.post(COMPLETIONS, json=CHAT, headers=house.token())
    assert faced.json()["error"]["code"] == "rate_limit_exceeded"
    now = counted(JOBS, 429), counted(f"POST {COMPLETIONS}", 429), refusals("overloaded")
    assert now == (before[0] + 1, before[1] + 1, before[2] + 2), "what is shed is counted"


async def waiting(house: House, seconds: int = 60) -> asyncio.Task[httpx.Response]:
    """Submits with ``Prefer: wait`` and returns when the gateway follows the job."""
    request = asyncio.create_task(house.submit(prefer=f"wait={seconds}"))

    async def followed() -> bool:
        return house.jobs.streaming == 1

    await eventually(followed)
    return request


async def test_who_waits_for_a_job_is_not_in_work(house: House) -> None:
    request = await waiting(house)
    read = await house.http.get(f"/v1/jobs/{JOB_ID}", headers=house.token())
    assert read.status_code == 200
    assert not request.done()
    house.jobs.job.state = jobs_pb2.STATE_SUCCEEDED
    house.jobs.held.set()
    final = await request
    assert (final.status_code, final.json()["state"]) == (200, "succeeded")
    assert final.headers["preference-applied"] == "wait=60"
    assert final.headers["content-location"] == final.headers["location"] == f"/v1/jobs/{JOB_ID}"
    assert final.headers["ratelimit"], "as every answer"


async def test_who_waits_has_a_place_among_the_streams_or_an_answer_at_once(house: House) -> None:
    request = await waiting(house)
    second = await house.submit(prefer="wait=60")
    assert second.status_code == 202, "it was accepted, and is not waited for"
    assert "preference-applied" not in second.headers
    stream = await house.http.get(f"/v1/jobs/{JOB_ID}/events", headers=house.token())
    assert (stream.status_code, stream.json()["code"]) == (429, "too_many_streams")
    house.jobs.held.set()
    assert (await request).status_code == 200
    third = await house.submit(prefer="wait=60")
    assert third.status_code == 200, "the place is given back"


async def test_who_waits_is_answered_with_what_was_accepted_when_the_gateway_closes(
    house: House,
) -> None:
    request = await waiting(house)
    house.streams.close()
    async with asyncio.timeout(40):
        answer = await request
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    async with asyncio.timeout(40):
        assert (await house.submit(prefer="wait=60")).status_code == 202, "nor does who comes late"


async def test_a_time_that_is_over_is_answered_with_what_was_accepted(house: House) -> None:
    answer = await (await waiting(house, 1))
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=1")


async def test_a_fault_of_the_gateway_s_own_is_counted(house: House) -> None:
    async def nonsense() -> bytes:
        return b"\xff"

    house.jobs.submit = nonsense
    before = counted(JOBS, 500)
    assert (await house.submit()).json()["code"] == "internal"
    assert counted(JOBS, 500) == before + 1


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_openai_face_ends_up_with_is_counted(house: House, stream: bool) -> None:
    route, status = f"POST {COMPLETIONS}", 200 if stream else 504
    before = counted(route, status), counted(route, 200)
    body = {**CHAT, "stream": stream}
    answer = await house.http.post(COMPLETIONS, json=body, headers=house.token())
    assert answer.status_code == status
    assert '"code":"timeout"' in answer.text
    assert counted(route, status) == before[0] + 1
    assert counted(route, 200) == before[1] + stream, "once"


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/v1/nothing", "unknown", 404),
        ("GET", "/nothing", "unknown", 404),
        ("DELETE", "/v1/jobs", "OTHER /v1/jobs", 405),
        ("GET", "/openai/v1/nothing", "OTHER /openai/v1/…", 404),
        ("DELETE", COMPLETIONS, f"OTHER {COMPLETIONS}", 405),
        ("GET", "/", "pages", 200),
        ("POST", "/", "pages", 405),
        ("GET", "/healthz", "GET /healthz", 200),
        ("GET", "/readyz", "GET /readyz", 503),
        ("HEAD", f"/v1/jobs/{JOB_ID}", "GET /v1/jobs/{job_id}", 200),
    ],
)
async def test_every_answer_is_counted_under_one_of_few_names(
    house: House, method: str, path: str, route: str, status: int
) -> None:
    before = counted(route, status)
    answer = await house.http.request(method, path, headers=house.token())
    assert answer.status_code == status
    assert counted(route, status) == before + 1


async def test_fields_may_be_named_together_or_one_by_one_and_at_least_one_is(
    house: House,
) -> None:
    for query in ("fields=id,state", "fields=id&fields=state"):
        read = await house.http.get(f"/v1/jobs/{JOB_ID}?{query}", headers=house.token())
        assert set(read.json()) == {"id", "state"}
    refused = await house.http.get(f"/v1/jobs/{JOB_ID}?fields=", headers=house.token())
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "fields")


async def test_a_page_of_a_known_origin_may_send_what_headers_its_client_has(
    tmp_path: Path,
) -> None:
    asked = {
        "origin": "https://front.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }
    before = counted("other", 200)
    async with opened(tmp_path, cors_origins="https://front.example") as house:
        preflight = await house.http.options(COMPLETIONS, headers=asked)
        theirs = asked | {"origin": "https://other.example"}
        refused = await house.http.options(COMPLETIONS, headers=theirs)
    assert preflight.status_code == 200
    assert "x-stainless-lang" in preflight.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in preflight.headers
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
    assert counted("other", 200) == before + 1


def announced(route: routes.Route) -> routes.Route:
    """A route that is going away, if it is the one of jobs."""
    if route.path not in ("/v1/jobs", "/v1/jobs/{job_id}", "/v1/jobs/{job_id}/events"):
        return route
    ends = Deprecation(dt.date(2026, 1, 31), dt.date(2026, 7, 31), "/v2/jobs")
    return replace(route, policy=replace(route.policy, deprecation=ends))


@pytest.fixture
async def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A gateway whose calls of jobs are going away."""
    monkeypatch.setattr(app, "routes", lambda: [announced(each) for each in routes.routes()])
    async with opened(tmp_path) as made:
        yield made


async def test_every_answer_of_a_call_that_is_going_away_says_so(old: House) -> None:
    old.jobs.held.set()
    old.jobs.events = [jobs_pb2.JobEvent(type="finished", sequence=1)]
    token = old.token()
    read = await old.http.get(f"/v1/jobs/{JOB_ID}", headers=token)
    tag = read.headers["etag"]
    answers: list[tuple[int, Any]] = [
        (200, read),
        (304, await old.http.get(read.url, headers=token | {"if-none-match": tag})),
        (202, await old.submit()),
        (200, await old.submit(prefer="wait=9")),
        (400, await old.http.get("/v1/jobs/nonsense?x=1", headers=token)),
        (200, await old.http.get(f"/v1/jobs/{JOB_ID}/events", headers=token)),
    ]
    for status, answer in answers:
        assert answer.status_code == status, answer.text
        assert answer.headers["deprecation"] == "@1769817600"
        assert answer.headers["sunset"] == "Fri, 31 Jul 2026 00:00:00 GMT"
        assert answer.headers["link"] == '</v2/jobs>; rel="successor-version"'
    stays = await old.http.get(f"/v1/works/{uuid.uuid4()}", headers=token)
    assert "deprecation" not in stays.headers
