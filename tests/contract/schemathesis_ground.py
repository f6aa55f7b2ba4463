"""What the generated calls can find: made before the run, so that each operation succeeds once."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from tests.acceptance.test_keys import make_key
from tests.studio import Member, Studio, eventually

Known = dict[str, dict[str, Any]]
COPY = {
    "category": "eats",
    "outputs": ["marketing_copy"],
    "inputs": {"text": "카페 신메뉴 딸기 라떼 홍보"},
}
PASSWORD = "correct horse battery"


async def prepare(studio: Studio, member: Member) -> Known:
    """Makes one of everything, and spares for what ends a thing.

    Returns by operation what stands in the place of generated values: ``path`` the variables of its
    path, ``body`` the whole body.
    """
    job, work = await _made(member)
    paths = {
        "job_id": job["id"],
        "batch_id": job["batch_id"],
        "work_id": work["id"],
        "file_id": await _file(member, is_confirmed=True),
        "project_id": job["project_id"],
        "template_id": job["template_id"],
    }
    _, spare = await _made(member)
    waiting = await member.submit(template_id="general-picture", inputs={"text": "a red mug"})
    assert waiting.status_code == 202, waiting.text
    return {
        "": {"path": paths},
        "DELETE /v1/works/{work_id}": {"path": {"work_id": spare["id"]}},
        "DELETE /v1/files/{file_id}": {
            "path": {"file_id": await _file(member, is_confirmed=False)}
        },
        "DELETE /v1/api-keys/{api_key_id}": {
            "path": {"api_key_id": (await make_key(member, "jobs:read"))["api_key"]["id"]}
        },
        "POST /v1/jobs/{job_id}/cancel": {"path": {"job_id": waiting.json()["id"]}},
        "POST /v1/files/{file_id}/confirm": {
            "path": {"file_id": await _file(member, is_confirmed=False)}
        },
        "POST /v1/events/tickets": {"body": {"batch_id": job["batch_id"]}},
        **await _sessions(studio),
    }


async def _made(member: Member) -> tuple[dict[str, Any], dict[str, Any]]:
    """A job that has succeeded, and its work as it is completed."""
    submitted = await member.submit(**COPY)
    assert submitted.status_code == 202, submitted.text
    job = await member.finished(submitted.json()["id"])
    assert job["state"] == "succeeded", job
    work = f"/v1/works/{job['items'][0]['work_id']}"

    async def completed() -> dict[str, Any] | None:
        read: dict[str, Any] = (await member.get(work)).json()
        return read if read["state"] == "completed" else None

    return job, await eventually(completed)


async def _file(member: Member, *, is_confirmed: bool) -> str:
    """A picture that is ready, or one that was sent and not confirmed."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(data, "JPEG")
    if is_confirmed:
        return str((await member.upload(data.getvalue(), "image/jpeg"))["id"])
    body = {"content_type": "image/jpeg", "size_bytes": len(data.getvalue()), "name": "a file"}
    announced = (await member.post("/v1/files", json=body)).json()
    assert (await member.send(announced, data.getvalue())).is_success
    return str(announced["id"])


async def _sessions(studio: Studio) -> Known:
    """Of members whose sessions nobody else needs."""
    login = f"known-{(await studio.guest()).id[-12:]}"
    refreshed, left = await studio.sign_up(login), await studio.sign_up()
    return {
        "POST /v1/auth/login": {"body": {"login": login, "password": PASSWORD}},
        "POST /v1/auth/refresh": {"body": {"refresh_token": refreshed.session["refresh_token"]}},
        "POST /v1/auth/logout": {"body": {"refresh_token": left.session["refresh_token"]}},
    }
