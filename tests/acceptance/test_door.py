"""The door: what HTTP promises beside the answers themselves."""

from __future__ import annotations

import asyncio
import gzip
import socket
import uuid
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest

from tests.acceptance.doors import gateway_with
from tests.conftest import Installation
from tests.studio import Member, Studio, eventually

PICTURE = {"template_id": "general-picture", "inputs": {"text": "빨간 꽃병"}}
PAGES = ["/", "/docs", "/docs/errors", "/docs/errors.json", "/openapi.json", "/healthz"]
PAGES += ["/docs/openai", "/openai/openapi.json"]
POST = b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"


@pytest.fixture(scope="module")
async def door(installation: Installation) -> AsyncIterator[Studio]:
    """A gateway with a frontend's origin and little to give."""
    async with gateway_with(
        installation,
        ATELIER_CORS_ORIGINS="https://front.example, http://localhost:5173",
        ATELIER_RATE_MEMBER="read 3/3000, write 100/1, submit 100/1",
        ATELIER_RATE_ADDRESS="read 1000/1, login 1000/1",
        ATELIER_STREAMS_PER_CALLER_MAX="1",
    ) as studio:
        yield studio


@pytest.fixture(scope="module")
async def hasty(installation: Installation) -> AsyncIterator[Studio]:
    """A gateway that waits for nobody; whoever is to be served must not be as late as that."""
    patience = {"ATELIER_HEADER_SECONDS": "0.5", "ATELIER_BODY_SECONDS": "0.5"}
    async with gateway_with(installation, **patience) as studio:
        yield studio


async def raw(
    http: httpx.AsyncClient, sent: bytes
) -> tuple[int, dict[str, str], dict[str, object]]:
    """Sends bytes as they are and reads until the server closes."""
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    writer.write(sent)
    try:
        answer = await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, orjson.loads(body)


@pytest.mark.parametrize("path", [*PAGES, "/v1/templates", "/.well-known/jwks.json"])
async def test_head_is_get_without_a_body_and_options_names_the_methods(
    studio: Studio, path: str
) -> None:
    plain = {"accept-encoding": "identity"}
    got = await studio.http.get(path, headers=plain)
    head = await studio.http.head(path, headers=plain)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "etag"):
        assert head.headers.get(name) == got.headers.get(name), name
    options = await studio.http.options(path)
    assert (options.status_code, options.content) == (204, b"")
    assert options.headers["allow"] == "GET, HEAD, OPTIONS"
    posted = await studio.http.post(path)
    assert (posted.status_code, posted.json()["code"]) == (405, "method_not_allowed")
    assert posted.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/v1", "/docs/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_an_unknown_path_is_a_problem(studio: Studio, path: str, method: str) -> None:
    reply = await studio.http.request(method, path)
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["Idempotency-Key", "Authorization"])
async def test_a_header_of_odd_characters_is_the_clients_fault(member: Member, name: str) -> None:
    headers = {"idempotency-key": "k", name: "키".encode()}
    url = str(member.http.base_url) + "/v1/jobs"
    reply = await member.http.post(url, headers=member.headers | headers, json=PICTURE)
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, name)


async def test_an_unknown_asset_is_a_problem(studio: Studio) -> None:
    for path in ("/studio/nothing.js", "/docs/assets/nothing.js", "/studio/../__main__.py"):
        reply = await studio.http.get(path)
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_a_request_id_is_taken_over_where_it_is_plain(studio: Studio) -> None:
    reply = await studio.http.get("/v1/nothing", headers={"x-request-id": "from-my-frontend_1"})
    assert reply.headers["x-request-id"] == reply.json()["request_id"] == "from-my-frontend_1"
    for odd in ("a b", "x" * 65, "<script>"):
        reply = await studio.http.get("/v1/nothing", headers={"x-request-id": odd})
        assert uuid.UUID(reply.headers["x-request-id"]).version == 7


async def test_browsers_are_told_what_not_to_do(studio: Studio) -> None:
    data, page = await studio.http.get("/v1/templates"), await studio.http.get("/docs")
    for reply in (data, page):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert "strict-transport-security" not in reply.headers, "not over plain HTTP"
        assert reply.headers["atelier-version"]
    assert data.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    forwarded = {"x-forwarded-proto": "https"}
    assert "strict-transport-security" in (await studio.http.get("/", headers=forwarded)).headers


async def test_pages_load_nothing_from_elsewhere(studio: Studio) -> None:
    for path in ("/", "/docs", "/docs/errors"):
        text = (await studio.http.get(path)).text
        assert 'src="http' not in text
        assert 'href="http' not in text
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert (await studio.http.get(f"/docs/assets/{asset}")).status_code == 200


async def test_a_known_answer_is_not_sent_again(member: Member) -> None:
    for path in ("/v1/me", "/v1/templates", "/v1/projects"):
        first = await member.get(path)
        tag = first.headers["etag"]
        again = await member.get(path, headers={"if-none-match": f'"other", {tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        other = await member.get(path, headers={"if-none-match": '"other"'})
        assert other.status_code == 200
    before = (await member.get("/v1/projects")).headers["etag"]
    await member.post("/v1/projects", json={"name": "새 프로젝트"})
    changed = await member.get("/v1/projects", headers={"if-none-match": before})
    assert changed.status_code == 200


async def test_a_known_job_or_work_is_not_sent_again_though_its_addresses_are_signed(
    member: Member,
) -> None:
    job = await member.finished((await member.submit(**PICTURE)).json()["id"])
    work = f"/v1/works/{job['items'][0]['work_id']}"

    async def filled() -> bool:
        return bool((await member.get(work)).json()["state"] == "completed")

    await eventually(filled)
    for path in (job["status_url"], "/v1/jobs", work, "/v1/works"):
        # Signed addresses change once a minute or less: at most one of two pairs meets that.
        assert 304 in [await read_twice(member, path) for _ in range(2)], path


async def read_twice(member: Member, path: str) -> int:
    """Reads, reads again what is known, and returns the second status."""
    tag = (await member.get(path)).headers["etag"]
    return (await member.get(path, headers={"if-none-match": tag})).status_code


async def test_another_member_never_gets_a_304_for_a_tag_that_is_not_his(studio: Studio) -> None:
    one, other = await studio.sign_up(), await studio.sign_up()
    tag = (await one.get("/v1/me")).headers["etag"]
    assert (await other.get("/v1/me", headers={"if-none-match": tag})).json()["id"] == other.id


async def test_a_part_of_a_long_answer_can_be_asked_for(member: Member) -> None:
    page = (await member.get("/v1/templates?fields=id,title.ko&limit=2")).json()
    assert [set(row) for row in page["data"]] == [{"id", "title"}] * 2
    assert set(page["data"][0]["title"]) == {"ko"}
    assert page["has_more"] is True
    assert set((await member.get("/v1/me?fields=id")).json()) == {"id"}
    wrong = await member.get("/v1/me?fields=password")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "fields")
    whole, part = await member.get("/v1/me"), await member.get("/v1/me?fields=id")
    assert whole.headers["etag"] != part.headers["etag"]


async def test_pages_of_a_list_are_disjoint_and_complete(member: Member) -> None:
    for number in range(4):
        await member.post("/v1/projects", json={"name": f"프로젝트 {number}"})
    seen: list[str] = []
    cursor, more = "", True
    while more:
        after = f"&after={cursor}" if cursor else ""
        page = (await member.get(f"/v1/projects?limit=2{after}")).json()
        assert len(page["data"]) <= 2
        seen += [project["id"] for project in page["data"]]
        cursor, more = page["next_cursor"], page["has_more"]
    assert len(seen) == len(set(seen)) >= 4
    assert seen == sorted(seen, reverse=True)
    for wrong in ("limit=101", "limit=-1", "limit=x", "after=!", "after=abc"):
        assert (await member.get(f"/v1/projects?{wrong}")).status_code == 400


async def test_long_answers_are_compressed_and_short_ones_and_streams_are_not(
    member: Member,
) -> None:
    http = member.http
    zipped = {"accept-encoding": "gzip"}
    async with http.stream("GET", "/v1/templates", headers=zipped) as reply:
        assert reply.headers["content-encoding"] == "gzip"
        packed = b"".join([chunk async for chunk in reply.aiter_raw()])
    plain = await http.get("/v1/templates", headers={"accept-encoding": "identity"})
    assert orjson.loads(gzip.decompress(packed)).keys() == plain.json().keys()
    assert len(packed) < len(plain.content) / 3
    assert "content-encoding" not in (await member.get("/v1/me", headers=zipped)).headers
    job = (await member.submit(**PICTURE)).json()
    await member.post(job["cancel_url"])
    async with http.stream("GET", job["events_url"], headers=zipped) as reply:
        assert "content-encoding" not in reply.headers


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "text/json"])
async def test_a_body_that_is_said_not_to_be_json_is_refused(member: Member, media: str) -> None:
    headers = {"content-type": media}
    reply = await member.post("/v1/projects", content=b'{"name":"x"}', headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type")
    for fine in ("application/json; charset=utf-8", "application/vnd.x+json"):
        headers = {"content-type": fine}
        reply = await member.post("/v1/projects", content=b'{"name":"x"}', headers=headers)
        assert reply.status_code == 201


async def test_a_submission_can_be_waited_for_and_is_accepted_where_it_takes_longer(
    member: Member,
) -> None:
    key = str(uuid.uuid4())
    headers = {"idempotency-key": key, "prefer": "wait=0"}
    accepted = await member.post("/v1/jobs", headers=headers, json=PICTURE)
    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "wait=0"
    headers["prefer"] = "wait=60"
    done = await member.post("/v1/jobs", headers=headers, json=PICTURE, timeout=90)
    while done.status_code == 202:  # it took longer than that
        done = await member.post("/v1/jobs", headers=headers, json=PICTURE, timeout=90)
    assert (done.status_code, done.json()["state"]) == (200, "succeeded")
    assert done.json()["id"] == accepted.json()["id"]
    assert done.headers["preference-applied"] == "wait=60"
    assert done.headers["location"] == done.headers["content-location"]
    assert done.headers["location"] == accepted.headers["location"]
    refused = await member.post("/v1/jobs", headers=headers, json=PICTURE | {"variations": 2})
    assert refused.json()["code"] == "idempotency_key_reused"


async def test_a_quote_is_not_waited_for(member: Member) -> None:
    headers = {"idempotency-key": "q", "prefer": "wait=60"}
    reply = await member.post("/v1/jobs?dry_run=true", headers=headers, json=PICTURE)
    assert (reply.status_code, reply.json()["credits"]["quoted"]) == (200, 10)
    assert "preference-applied" not in reply.headers


async def test_too_many_calls_are_refused_with_the_time_to_come_back(door: Studio) -> None:
    member = await door.sign_up()
    replies = [await member.get("/v1/me") for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    told = [reply.headers["ratelimit"].partition(";t=") for reply in replies[:3]]
    assert [left for left, _, _ in told] == ['"read";r=2', '"read";r=1', '"read";r=0']
    for (_, _, seconds), most in zip(told, (1_000, 2_000, 3_000), strict=True):
        assert most - 600 < int(seconds) <= most
    refused = replies[-1]
    assert refused.headers["ratelimit-policy"] == '"read";q=3;w=3000'
    assert 400 < int(refused.headers["retry-after"]) <= 1_000
    assert refused.json()["code"] == "rate_limited"
    assert refused.json()["details"] == {"policy": "read"}
    assert (await member.post("/v1/projects", json={"name": "x"})).status_code == 201
    other = await door.sign_up()
    assert (await other.get("/v1/me")).status_code == 200


async def test_a_caller_has_only_so_many_streams(door: Studio) -> None:
    member = await door.sign_up()
    url = "/v1/events"  # which does not end by itself
    async with door.http.stream("GET", url, headers=member.headers) as first:
        assert first.status_code == 200
        second = await member.get(url)
        assert (second.status_code, second.json()["code"]) == (429, "too_many_streams")
        assert second.headers["retry-after"]


async def test_only_configured_origins_read_answers(door: Studio) -> None:
    ours = {"origin": "https://front.example"}
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,idempotency-key,content-type",
    }
    preflight = await door.http.options("/v1/jobs", headers=ours | asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ours["origin"]
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in preflight.headers
    reply = await door.http.get("/v1/templates", headers=ours)
    assert reply.headers["access-control-allow-origin"] == ours["origin"]
    assert "origin" in reply.headers["vary"].lower()
    shown = reply.headers["access-control-expose-headers"].lower()
    for name in ("location", "retry-after", "ratelimit", "x-request-id", "etag"):
        assert name in shown
    refused = await door.http.get("/v1/me", headers=ours)
    assert refused.headers["access-control-allow-origin"] == ours["origin"], "errors are read too"
    theirs = {"origin": "https://other.example"}
    assert (await door.http.options("/v1/jobs", headers=theirs | asked)).status_code == 400
    reply = await door.http.get("/v1/templates", headers=theirs)
    assert "access-control-allow-origin" not in reply.headers


async def test_no_origin_is_let_in_by_default(studio: Studio) -> None:
    reply = await studio.http.get("/v1/templates", headers={"origin": "https://front.example"})
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /v1/me HTTP/1.1\r\nx: " + b"a" * 50_000, 431, "headers_too_large"),
        (b"GET /v1/me HTTP/1.1\r\nx: " + b"a" * 40_000 + b"\r\ny: 1\r\n", 431, "headers_too_large"),
        (b"GET /v1/me HTTP/1.1\r\n" + b"x: a\r\n" * 200, 431, "headers_too_large"),
        (b"GET /v1/me?" + b"a" * 9_000 + b" HTTP/1.1\r\n", 414, "uri_too_long"),
        (b"what is this\r\n\r\n", 400, "malformed_request"),
        (b"GET /v1/me HTTP/1.1\r\nhost: x\r\n", 408, "request_timeout"),
        (POST + b"content-length: 99\r\n\r\n{", 408, "request_timeout"),
        (POST + b"content-length: 99999999\r\n\r\n{", 413, "body_too_large"),
    ],
)
async def test_what_is_too_much_too_slow_or_no_http_is_refused_by_its_own_code(
    door: Studio, hasty: Studio, sent: bytes, status: int, code: str
) -> None:
    seen, headers, problem = await raw((hasty if status == 408 else door).http, sent)
    assert (seen, problem["code"]) == (status, code)
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == problem["request_id"]
    assert headers["connection"] == "close"


async def test_a_client_that_sends_nothing_is_let_go(hasty: Studio) -> None:
    with socket.socket() as idle:
        idle.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(idle, (hasty.http.base_url.host, hasty.http.base_url.port))
        answer = await asyncio.wait_for(loop.sock_recv(idle, 1024), 60)
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_every_problem_leads_to_its_entry_in_the_registry(studio: Studio) -> None:
    problem = (await studio.http.get("/v1/me")).json()
    assert problem["type"] == "/docs/errors#unauthenticated"
    page = (await studio.http.get("/docs/errors")).text
    assert 'id="unauthenticated"' in page
    assert "먼저 로그인하세요" in page
    codes = {row["code"] for row in (await studio.http.get("/docs/errors.json")).json()["data"]}
    assert problem["code"] in codes
