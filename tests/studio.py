"""The API as a client sees it: what tests speak to the studio with."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

# Ends what hangs; nobody is late who comes within it.
WAIT_SECONDS = 180.0


async def eventually(look: Callable[[], Awaitable[Any]], seconds: float = WAIT_SECONDS) -> Any:
    """Looks until something true is seen; events follow soon, but not at once."""
    async with asyncio.timeout(seconds):
        while not (seen := await look()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # a client outside can only ask again
        return seen


@dataclass
class Studio:
    """The API without a user."""

    http: httpx.AsyncClient

    async def sign_up(self, login_id: str = "") -> Member:
        login_id = login_id or f"member-{uuid.uuid4().hex[:12]}"
        body = {"login_id": login_id, "password": "correct horse battery"}
        reply = await self.http.post("/v1/auth/signup", json=body)
        assert reply.status_code == 201, reply.text
        return Member(self.http, reply.json())

    async def guest(self) -> Member:
        reply = await self.http.post("/v1/auth/guest", json={})
        assert reply.status_code == 201, reply.text
        return Member(self.http, reply.json())

    async def events(
        self, path: str, last_event_id: str = "", headers: dict[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yields server-sent events as ``{"id", "event", "data"}`` until the stream ends."""
        headers = dict(headers or {})
        if last_event_id:
            headers["last-event-id"] = last_event_id
        async with self.http.stream("GET", path, headers=headers, timeout=60) as reply:
            assert reply.status_code == 200, await reply.aread()
            assert reply.headers["content-type"].startswith("text/event-stream")
            event: dict[str, Any] = {}
            async for line in reply.aiter_lines():
                name, _, value = line.partition(": ")
                if not line and "data" in event:
                    yield event
                if not line:
                    event = {}
                elif name:
                    event[name] = orjson.loads(value) if name == "data" else value


@dataclass
class Member:
    """The API as one user."""

    http: httpx.AsyncClient
    session: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return str(self.session["user"]["id"])

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.session['access_token']}"}

    async def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, **kwargs: Any
    ) -> httpx.Response:
        return await self.http.request(
            method, path, headers={**self.headers, **(headers or {})}, **kwargs
        )

    async def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return await self.request("GET", path, **kwargs)

    async def post(self, path: str, **kwargs: Any) -> httpx.Response:
        return await self.request("POST", path, **kwargs)

    async def submit(self, key: str = "", **submission: Any) -> httpx.Response:
        """Submits a job; ``inputs`` of the form and other fields by name."""
        return await self.post(
            "/v1/jobs",
            headers={"idempotency-key": key or str(uuid.uuid4())},
            json=submission,
        )

    async def send(self, file: dict[str, Any], data: bytes) -> httpx.Response:
        """Posts bytes to storage by the form that made a file."""
        form = file["upload"]
        async with httpx.AsyncClient(trust_env=False, timeout=60) as storage:
            sent = {"file": ("file", data, form["fields"]["Content-Type"])}
            return await storage.post(form["url"], data=form["fields"], files=sent)

    async def upload(self, data: bytes, content_type: str, **fields: str) -> dict[str, Any]:
        """Uploads a file and returns it ready."""
        body = {"content_type": content_type, "size_bytes": len(data), "name": "a file", **fields}
        made = await self.post("/v1/files", json=body)
        assert made.status_code == 201, made.text
        sent = await self.send(made.json(), data)
        assert sent.is_success, sent.text
        ready = await self.post(f"/v1/files/{made.json()['id']}/confirm", json={})
        assert ready.status_code == 200, ready.text
        file: dict[str, Any] = ready.json()
        return file

    async def finished(self, job_id: str, seconds: float = 300.0) -> dict[str, Any]:
        """Waits until a job is final and returns it."""
        final = {"succeeded", "failed", "canceled", "expired"}

        async def look() -> Any:
            try:
                reply = await self.get(f"/v1/jobs/{job_id}")
            except httpx.TransportError:  # the gateway is away: a client asks again
                return None
            job = reply.json()
            return job if reply.status_code == 200 and job["state"] in final else None

        job: dict[str, Any] = await eventually(look, seconds)
        return job

    async def events(self, path: str, last_event_id: str = "") -> AsyncIterator[dict[str, Any]]:
        """Yields server-sent events as this user."""
        async for event in Studio(self.http).events(path, last_event_id, self.headers):
            yield event
