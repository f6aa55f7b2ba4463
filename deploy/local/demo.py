"""Makes one advert through the public API and shows every step of it."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

TEXT = "카페 신메뉴 딸기 라떼 홍보"
ASPECT = "3:4"
BAR_WIDTH = 32
STREAM_SECONDS = 300.0


async def make_advert(gateway_url: str, out: Path) -> Path:
    """Signs up a member, makes an advert and writes its picture to ``out``.

    Raises:
        RuntimeError: The job did not succeed.
        httpx.HTTPStatusError: The API refused a request; its problem document is printed.
    """
    async with httpx.AsyncClient(base_url=gateway_url, timeout=30, trust_env=False) as http:
        session = await _post(http, "/v1/auth/signup", _credentials())
        http.headers["authorization"] = f"Bearer {session['access_token']}"
        _say("signed up", session["user"]["login_id"])
        job = await _submit(http)
        _say("submitted", f'"{TEXT}", {ASPECT}, {job["credits"]["quoted"]} credits')
        await _follow(http, job["events_url"])
        job = await _get(http, job["status_url"])
        if job["state"] != "succeeded":
            raise RuntimeError(f"the job {job['state']}: {json.dumps(job['items'], indent=1)}")
        path = await _download(http, job, out)
        _show_receipt(await _settled(http, job["id"]))
        return path


def _credentials() -> dict[str, str]:
    return {"login_id": f"demo-{uuid.uuid4().hex[:8]}", "password": uuid.uuid4().hex}


async def _submit(http: httpx.AsyncClient) -> dict[str, Any]:
    submission = {"category": "eats", "inputs": {"text": TEXT, "aspect": ASPECT}}
    return await _post(http, "/v1/jobs", submission, {"idempotency-key": str(uuid.uuid4())})


async def _follow(http: httpx.AsyncClient, events_url: str) -> None:
    """Draws a bar from the API's own event stream until the job is final."""
    async with http.stream("GET", events_url, timeout=STREAM_SECONDS) as reply:
        reply.raise_for_status()
        async for event in _events(reply):
            item = event.get("item") or {}
            done = event["progress"] * BAR_WIDTH // 100
            bar = "█" * done + "░" * (BAR_WIDTH - done)
            label = f"{event['type']} {item.get('work_type', '')} {item.get('step', '')}"
            sys.stdout.write(f"\r  {bar} {event['progress']:3d} %  {label:<48.48}")
            sys.stdout.flush()
    sys.stdout.write("\n")


async def _events(reply: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in reply.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def _download(http: httpx.AsyncClient, job: dict[str, Any], out: Path) -> Path:
    out.mkdir(exist_ok=True)
    picture = out / "advert.jpg"
    for item in job["items"]:
        work = await _completed(http, item["work_id"])
        download = await _get(http, f"/v1/works/{work['id']}/download")
        content = (await http.get(download["url"], headers={"authorization": ""})).content
        path = picture if work["type"] == "promotional_image" else out / download["file_name"]
        path.write_bytes(content)
        size = f"{len(content):,} bytes"
        if work["type"] == "promotional_image":
            _say("picture", f"{path} ({work['file']['width']}x{work['file']['height']}, {size})")
            _show_recipe(json.loads(work["recipe_json"]))
        else:
            _say("copy", f"{path} ({size})")
            sys.stdout.write(f"  {content.decode()}\n")
    return picture


async def _completed(http: httpx.AsyncClient, work_id: str) -> dict[str, Any]:
    """Reads a work until the event of its item has filled it."""
    while True:
        work = await _get(http, f"/v1/works/{work_id}")
        if work["state"] in ("completed", "failed", "canceled"):
            return work


async def _settled(http: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Reads a receipt until the events of all items have settled it."""
    while True:
        receipt = await _get(http, f"/v1/jobs/{job_id}/receipt")
        if receipt["held"] == receipt["captured"] + receipt["released"]:
            return receipt


def _show_recipe(recipe: dict[str, Any]) -> None:
    for name, value in recipe.items():
        if value not in ("", [], None):
            sys.stdout.write(f"    {name}: {value}\n")


def _show_receipt(receipt: dict[str, Any]) -> None:
    by_pool = {each["pool"]: each["amount"] for each in receipt["held_by_pool"]}
    _say("receipt", f"held {receipt['held']} {by_pool}")
    sys.stdout.write(f"    captured {receipt['captured']}, released {receipt['released']}\n")
    for line in receipt["lines"]:
        sys.stdout.write(f"    {line['amount']:>4} credits  {line['outcome']}\n")


async def _get(http: httpx.AsyncClient, path: str) -> dict[str, Any]:
    return _checked(await http.get(path))


async def _post(
    http: httpx.AsyncClient, path: str, body: Any, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    return _checked(await http.post(path, json=body, headers=headers))


def _checked(reply: httpx.Response) -> dict[str, Any]:
    if reply.is_error:
        sys.stderr.write(f"{reply.text}\n")
    reply.raise_for_status()
    body: dict[str, Any] = reply.json()
    return body


def _say(what: str, about: str) -> None:
    sys.stdout.write(f"{what}: {about}\n")
    sys.stdout.flush()
