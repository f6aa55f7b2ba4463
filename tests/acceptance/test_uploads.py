"""Uploads through the door: announced, sent to storage, confirmed, and only their owner's."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import uuid
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from atelier.works.v1 import files_pb2, files_pb2_grpc

from kit.identity import Kind, Signer
from kit.rpc.client import open_channel
from tests.conftest import Installation
from tests.integration.security.hostile import documents, lies, pictures
from tests.integration.security.hostile.honest import document, encoded, saved, scene
from tests.studio import Member, Studio

PNG = encoded(scene(), "PNG")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"
GROWTH_BYTES_MAX = 64 << 20
UNSEEN = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b8-00"


def announced(data: bytes, content_type: str = "image/png", **fields: Any) -> dict[str, Any]:
    return {"name": "사진.png", "content_type": content_type, "size_bytes": len(data), **fields}


async def test_a_file_is_announced_sent_confirmed_and_fetched(member: Member) -> None:
    made = await member.post("/v1/files", json=announced(PNG))
    assert made.status_code == 201
    file = made.json()
    assert made.headers["location"] == f"/v1/files/{file['id']}"
    assert (file["state"], file["bucket"], file["kind"]) == ("pending", "uploads", "picture")
    early = await member.post(f"/v1/files/{file['id']}/confirm", json={})
    assert (early.status_code, early.json()["code"]) == (409, "upload_not_received")
    assert (await member.get(f"/v1/files/{file['id']}/download")).status_code == 409
    assert (await member.send(file, PNG)).is_success
    ready = (await member.post(f"/v1/files/{file['id']}/confirm", json={})).json()
    assert (ready["state"], ready["width"], ready["height"]) == ("ready", 96, 64)
    assert "upload" not in ready
    assert (await member.get(f"/v1/files/{file['id']}")).json()["sha256"] == ready["sha256"]
    download = (await member.get(f"/v1/files/{file['id']}/download")).json()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as storage:
        fetched = await storage.get(download["url"])
        small = await storage.get(ready["thumbnail_url"])
        quarantined = await storage.get(
            f"{file['upload']['url']}/{file['upload']['fields']['key']}"
        )
    assert hashlib.sha256(fetched.content).hexdigest() == ready["sha256"]
    assert "attachment" in fetched.headers["content-disposition"]
    assert small.headers["content-type"] == "image/jpeg"
    assert quarantined.status_code == 403
    assert (await member.request("DELETE", f"/v1/files/{file['id']}")).status_code == 204
    assert (await member.get(f"/v1/files/{file['id']}")).status_code == 404


async def test_the_form_is_good_for_one_size_and_one_type(member: Member) -> None:
    file = (await member.post("/v1/files", json=announced(PNG))).json()
    assert (await member.send(file, PNG + b"x")).status_code in (400, 403)
    assert (await member.send(file, PNG[:-1])).status_code in (400, 403)
    file["upload"]["fields"]["Content-Type"] = "text/html"
    assert (await member.send(file, PNG)).status_code in (400, 403)
    file["upload"]["fields"]["Content-Type"] = "image/png"
    assert (await member.send(file, PNG)).is_success


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"content_type": "text/html"}, 422, "file_type_not_allowed"),
        ({"content_type": "image/svg+xml"}, 422, "file_type_not_allowed"),
        ({"size_bytes": (50 << 20) + 1}, 413, "file_too_large"),
        ({"bucket": "assets"}, 403, "permission_denied"),
        ({"bucket": "works"}, 403, "permission_denied"),
        ({"bucket": "avatars", "size_bytes": (5 << 20) + 1}, 413, "file_too_large"),
        ({"size_bytes": 0}, 400, "invalid_argument"),
        ({"name": "/"}, 400, "invalid_argument"),
    ],
)
async def test_what_may_not_be_uploaded_is_refused_before_it_is_sent(
    member: Member, fields: dict[str, Any], status: int, code: str
) -> None:
    reply = await member.post("/v1/files", json=announced(PNG, **fields))
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/problem+json"


async def test_a_guest_uploads_for_a_palette_and_has_no_avatar(studio: Studio) -> None:
    guest = await studio.guest()
    assert (await guest.upload(PNG, "image/png"))["state"] == "ready"
    refused = await guest.post("/v1/files", json=announced(PNG, bucket="avatars"))
    assert refused.status_code == 403
    full = [await guest.post("/v1/files", json=announced(PNG, size_bytes=50 << 20)) for _ in "1234"]
    assert [reply.status_code for reply in full] == [201, 201, 201, 409]
    assert full[-1].json()["code"] == "storage_quota_exceeded"
    assert full[-1].json()["details"]["quota"] == 200 << 20


async def test_the_same_key_announces_one_file(member: Member) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    first = await member.post("/v1/files", headers=key, json=announced(PNG))
    again = await member.post("/v1/files", headers=key, json=announced(PNG))
    assert (first.json(), first.status_code) == (again.json(), again.status_code)
    other = await member.post("/v1/files", headers=key, json=announced(PNG + b"x"))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len((await member.get("/v1/files")).json()["data"]) == 1


async def test_an_empty_key_is_refused_rather_than_taken_for_none(member: Member) -> None:
    body = announced(b"x" * 100)
    reply = await member.post("/v1/files", json=body, headers={"idempotency-key": ""})
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_argument")
    assert reply.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_files_are_listed_by_bucket_state_and_kind(member: Member) -> None:
    pdf = saved(document(2))
    picture = await member.upload(PNG, "image/png")
    report = await member.upload(pdf, "application/pdf")
    avatar = await member.upload(PNG, "image/png", bucket="avatars")
    waiting = (await member.post("/v1/files", json=announced(PNG))).json()
    assert report["pages"] == 2

    async def listed(query: str) -> list[str]:
        return [file["id"] for file in (await member.get(f"/v1/files?{query}")).json()["data"]]

    assert await listed("") == [each["id"] for each in (waiting, avatar, report, picture)]
    assert await listed("bucket=avatars") == [avatar["id"]]
    assert await listed("state=pending") == [waiting["id"]]
    assert await listed("kind=document") == [report["id"]]
    first = (await member.get("/v1/files?limit=3")).json()
    assert first["has_more"]
    assert await listed(f"after={first['next_cursor']}") == [picture["id"]]


async def test_an_administrator_uploads_drawings_that_are_cleaned(
    member: Member, installation: Installation
) -> None:
    token = Signer("accounts", installation.layout.keys).user_token(
        uuid.UUID(member.id), Kind.ADMINISTRATOR, 600
    )
    administrator = Member(member.http, {**member.session, "access_token": token})
    drawing = lies.SVG.replace(b"<rect", b"<!-- words --><metadata>words</metadata><rect")
    file = await administrator.upload(drawing, "image/svg+xml", bucket="assets")
    address = (await administrator.get(f"/v1/files/{file['id']}/download")).json()["url"]
    async with httpx.AsyncClient(trust_env=False, timeout=60) as storage:
        kept = (await storage.get(address)).content
    assert b"words" not in kept
    assert b"<rect" in kept


async def test_what_services_are_told_of_a_users_files(
    member: Member, studio: Studio, installation: Installation
) -> None:
    other = await studio.sign_up()
    mine, theirs = await member.upload(PNG, "image/png"), await other.upload(PNG, "image/png")
    pending = (await member.post("/v1/files", json=announced(PNG))).json()
    token = Signer("jobs", installation.layout.keys).service_token("works")
    asked = [mine["id"], theirs["id"], pending["id"]]
    async with open_channel(installation.layout.socket("works")) as channel:
        answer = await files_pb2_grpc.FilesServiceStub(channel).ResolveFiles(  # type: ignore[no-untyped-call]
            files_pb2.ResolveFilesRequest(user_id=member.id, file_ids=asked),
            # Not sampled: jobs asks for nothing yet, so that it is no edge of the architecture.
            metadata=(("authorization", f"Bearer {token}"), ("traceparent", UNSEEN)),
            timeout=60,
        )
    states = [files_pb2.FileState.Name(each.state) for each in answer.files]
    assert states == ["FILE_STATE_READY", "FILE_STATE_UNSPECIFIED", "FILE_STATE_PENDING"]
    assert [each.file_id for each in answer.files] == asked
    assert answer.files[0].sha256 == mine["sha256"]
    assert answer.files[0].object_key.startswith(f"files/{member.id}/")
    assert not answer.files[1].object_key
    assert not answer.files[2].object_key


def sample() -> list[Any]:
    """A hostile file of every kind, and one as large as may be."""
    everything = [*lies.cases(), *pictures.cases(), *documents.cases()]
    first = {case.reason: case for case in reversed(everything)}
    whole = encoded(scene(), "JPEG")
    large = whole + bytes((50 << 20) - len(whole) - 1) + b"x"
    return [*first.values(), pictures.Hostile("large", "image/jpeg", large, "FILE_HAS_EXTRA_DATA")]


async def test_hostile_files_are_refused_with_their_codes_and_works_does_not_grow(
    member: Member, installation: Installation
) -> None:
    works = psutil.Process(installation.supervisor.pid("works"))
    before = peak(works)
    for case in sample():
        file = (await member.post("/v1/files", json=announced(case.data, case.content_type))).json()
        assert (await member.send(file, case.data)).is_success
        reply = await member.post(f"/v1/files/{file['id']}/confirm", json={})
        assert reply.json()["code"] == case.reason.lower(), case.name
        assert 400 <= reply.status_code < 500
        shown = (await member.get(f"/v1/files/{file['id']}")).json()
        assert (shown["state"], shown["error_code"]) == ("refused", case.reason.lower())
    assert peak(works) - before < GROWTH_BYTES_MAX


def peak(process: psutil.Process) -> int:
    """The most memory that a process has had resident, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) << 10


async def test_what_the_document_shows_uploads_a_picture(studio: Studio, tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    [script] = [block for block in blocks if "/v1/files" in block]
    (tmp_path / "latte.png").write_bytes(PNG)
    (tmp_path / "main.sh").write_text(script)
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "main.sh"),
        cwd=tmp_path,
        env={**os.environ, "API": str(studio.http.base_url).rstrip("/"), "NO_PROXY": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert output.decode().split()[-1] == "ready"
