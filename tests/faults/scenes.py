"""What a client and a test do so that a process passes a crash point, and how it has to end."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import httpx

from deploy.local import postgres
from tests.faults.injection import Ground, arm
from tests.faults.load import ADVERT, COPY, PICTURE, Client
from tests.integration.security.hostile.honest import encoded, scene
from tests.studio import Member, eventually

TREASURER = {"login_id": "the-treasurer", "password": "correct horse battery"}
SILENCES_MAX = 5
_AGAIN = """
    INSERT INTO {service}.outbox (id, subject, payload, headers)
    SELECT gen_random_uuid(), subject, payload, headers FROM {service}.outbox
    WHERE subject = $1 LIMIT 1
"""


@dataclass(frozen=True)
class Stage:
    """Where a scene plays.

    Attributes:
        ground: The installation.
        client: Asks as a client does, until it knows.
        member: Who is signed in.
        die: Arms the point in the process that is to die; the scene says when.
    """

    ground: Ground
    client: Client
    member: Member
    die: Callable[[], None]

    async def balance(self, available: int, held: int = 0) -> None:
        """Waits until the member's balance is this."""

        async def is_so() -> bool:
            reply = await self.client.ask("GET", "/v1/credits", self.member)
            balance = reply.json()
            return (balance["available"], balance["held"]) == (available, held)

        await eventually(is_so)

    async def database(self, sql: str, *values: Any) -> Any:
        """Runs a statement under a role that may everything; returns its first value."""
        connection = await asyncpg.connect(postgres.admin_url(self.ground.layout))
        try:
            return await connection.fetchval(sql, *values)
        finally:
            await connection.close()

    async def treasurer(self) -> Member:
        """Signs the administrator in who grants credits."""
        reply = await self.client.ask("POST", "/v1/auth/signup", json=TREASURER)
        if reply.status_code == 409:
            login = {"login": TREASURER["login_id"], "password": TREASURER["password"]}
            reply = await self.client.ask("POST", "/v1/auth/login", json=login)
        return Member(self.member.http, reply.json())

    async def grant(self, amount: int, **fields: Any) -> None:
        """Has the administrator grant credits, asked with one key until it is answered."""
        treasurer, key = await self.treasurer(), {"idempotency-key": str(uuid.uuid4())}
        body = {"user_id": self.member.id, "amount": amount, "reason": "test", **fields}
        reply = await self.client.ask("POST", "/v1/admin/credits/grants", treasurer, key, json=body)
        assert reply.status_code in {200, 201}, reply.text


Scene = Callable[[Stage], Awaitable[None]]


async def makes_copy(stage: Stage) -> None:
    """A copy is ordered and delivered."""
    stage.die()
    await _delivered(stage, COPY)
    await stage.balance(98)


async def makes_a_picture(stage: Stage) -> None:
    """A picture is ordered and delivered."""
    stage.die()
    await _delivered(stage, PICTURE)
    await stage.balance(90)


async def _delivered(stage: Stage, submission: dict[str, Any]) -> str:
    job_id = await stage.client.submit(stage.member, submission)
    assert job_id is not None
    assert await stage.client.follow(stage.member, job_id) == "succeeded"
    return job_id


async def cannot_pay(stage: Stage) -> None:
    """A guest orders more than a guest can pay: whatever the answer, nothing is taken."""
    reply = await stage.client.ask("POST", "/v1/auth/guest", json={})
    guest = Member(stage.member.http, reply.json())
    stage.die()
    job_id = await stage.client.submit(guest, ADVERT)
    if job_id is not None:  # it was accepted as far as anybody knew, and refused later
        assert await stage.client.follow(guest, job_id) == "failed"
    poor = Stage(stage.ground, stage.client, guest, stage.die)
    await poor.balance(10)


async def cancels(stage: Stage) -> None:
    """A picture is ordered and canceled: it ends canceled, or it was made before."""
    job_id = await stage.client.submit(stage.member, PICTURE)
    stage.die()
    path = f"/v1/jobs/{job_id}/cancel"
    reply = await stage.client.ask("POST", path, stage.member, json={})
    assert reply.status_code == 200, reply.text
    state = await stage.client.follow(stage.member, str(job_id))
    await stage.balance({"canceled": 100, "succeeded": 90}[state])


async def signs_up(stage: Stage) -> None:
    """A new member signs up and has credits and a project."""
    stage.die()
    await _delivered(
        Stage(stage.ground, stage.client, await stage.client.sign_up(), stage.die), COPY
    )


async def refreshes(stage: Stage) -> None:
    """A session is traded for a new one, with the answer lost: the old token still trades."""
    stage.die()
    body = {"refresh_token": stage.member.session["refresh_token"]}
    reply = await stage.client.ask("POST", "/v1/auth/refresh", json=body)
    assert reply.status_code == 200, reply.text
    renewed = Member(stage.member.http, reply.json())
    assert (await stage.client.ask("GET", "/v1/me", renewed)).status_code == 200


async def is_granted_credits(stage: Stage) -> None:
    """Credits are granted once, however often the administrator had to ask."""
    await stage.treasurer()
    stage.die()
    await stage.grant(7)
    await stage.balance(107)


async def loses_lapsed_credits(stage: Stage) -> None:
    """Credits lapse and leave the balance, once."""
    at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    await stage.grant(5, expires_at=at.isoformat())
    mine = uuid.UUID(stage.member.id)
    lapse = "UPDATE accounts.lot SET expires_at = clock_timestamp() WHERE owner_id = $1"
    entered = "SELECT sum(amount) FROM accounts.entry WHERE kind = 'expire' AND account = 'lot'"
    stage.die()
    await stage.database(f"{lapse} AND expires_at IS NOT NULL", mine)

    async def has_lapsed() -> bool:
        return bool(await stage.database(f"{entered} AND owner_id = $1", mine) == -5)

    await eventually(has_lapsed)
    await stage.balance(100)


async def worker_falls_silent(stage: Stage) -> None:
    """A worker dies with an item: its lease ends, and another attempt delivers."""
    stage.die()
    ends, delivered = stage.ground.supervisor.ends("jobs"), 0
    # A worker that is told so at the wrong moment dies before it has claimed: no lease ends then.
    while stage.ground.supervisor.ends("jobs") == ends and delivered < SILENCES_MAX:
        await stage.ground.healed()
        arm(stage.ground, "worker", "claim.taken")
        await _delivered(stage, COPY)
        delivered += 1
    await stage.balance(100 - 2 * delivered)


async def submission_is_taken_over(stage: Stage) -> None:
    """A submission whose hold is unknown is driven on by the sweeper."""
    await stage.ground.supervisor.stop("accounts")
    try:
        job_id = await stage.client.submit(stage.member, COPY)
        ends = stage.ground.supervisor.ends("jobs")
        stage.die()

        async def has_died() -> bool:
            return stage.ground.supervisor.ends("jobs") > ends

        await eventually(has_died)
    finally:
        await stage.ground.supervisor.start_again("accounts")
    assert await stage.client.follow(stage.member, str(job_id)) == "succeeded"
    await stage.balance(98)


async def deletes_a_work(stage: Stage) -> None:
    """A deleted work's file leaves the storage."""
    job_id = await _delivered(stage, COPY)
    await stage.balance(98)
    mine = "FROM works.work WHERE job_id = $1"

    async def is_completed() -> bool:
        state = await stage.database(f"SELECT state {mine}", uuid.UUID(job_id))
        return bool(state == "completed")

    await eventually(is_completed)
    work_id = await stage.database(f"SELECT id::text {mine}", uuid.UUID(job_id))
    stage.die()
    await stage.client.ask("DELETE", f"/v1/works/{work_id}", stage.member)
    swept = f"SELECT swept_at FROM works.file WHERE id = (SELECT file_id {mine})"

    async def is_swept() -> bool:
        return await stage.database(swept, uuid.UUID(job_id)) is not None

    await eventually(is_swept)


async def _sent(stage: Stage, data: bytes) -> dict[str, Any]:
    """Announces what is said to be a PNG, and sends it."""
    body = {"name": "a", "content_type": "image/png", "size_bytes": len(data)}
    reply = await stage.client.ask("POST", "/v1/files", stage.member, json=body)
    made: dict[str, Any] = reply.json()
    assert (await stage.member.send(made, data)).is_success
    return made


async def _confirmed(stage: Stage, file_id: str) -> httpx.Response:
    """Confirms a file until its check has ended."""

    async def has_ended() -> httpx.Response | None:
        path = f"/v1/files/{file_id}/confirm"
        reply = await stage.client.ask("POST", path, stage.member, json={})
        is_done = reply.status_code == 200 or reply.json()["code"] != "file_in_check"
        return reply if is_done else None

    reply: httpx.Response = await eventually(has_ended)
    return reply


async def uploads_a_picture(stage: Stage) -> dict[str, Any]:
    """A picture is uploaded, and confirmed until it is ready."""
    made = await _sent(stage, encoded(scene(), "PNG"))
    stage.die()
    file: dict[str, Any] = (await _confirmed(stage, made["id"])).json()
    assert file.get("state") == "ready", file
    download = await stage.client.ask("GET", f"/v1/files/{file['id']}/download", stage.member)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as storage:
        kept = (await storage.get(download.json()["url"])).content
    assert hashlib.sha256(kept).hexdigest() == file["sha256"]
    return file


async def confirms_a_picture(stage: Stage) -> None:
    """A picture is confirmed by a process that dies over it."""
    await uploads_a_picture(stage)


async def has_the_bytes_already(stage: Stage) -> None:
    """A picture is uploaded twice: both files are ready, and stored once."""
    await uploads_a_picture(replace(stage, die=lambda: None))
    await uploads_a_picture(stage)
    kept = "SELECT count(*) FROM works.content WHERE owner_id = $1"
    assert await stage.database(kept, uuid.UUID(stage.member.id)) == 1


async def is_refused_a_file(stage: Stage) -> None:
    """What is no picture is refused, once and for all."""
    made = await _sent(stage, b"this is no picture, whatever its form says")
    stage.die()
    told = (await _confirmed(stage, made["id"])).json()["code"]
    file = await stage.client.ask("GET", f"/v1/files/{made['id']}", stage.member)
    assert (file.json()["state"], file.json()["error_code"]) == ("refused", told)


async def gets_its_room_back(stage: Stage) -> None:
    """When a form has expired, what it sent is gone, and the room that it held is free."""
    file = await uploads_a_picture(replace(stage, die=lambda: None))
    mine = "FROM works.user_file WHERE id = $1"
    stage.die()
    expire = "UPDATE works.user_file SET form_until = clock_timestamp() WHERE id = $1"
    await stage.database(expire, uuid.UUID(file["id"]))

    async def is_free() -> bool:
        held = f"SELECT form_until IS NOT NULL {mine}"
        return not await stage.database(held, uuid.UUID(file["id"]))

    await eventually(is_free)


async def deletes_a_file(stage: Stage) -> None:
    """A deleted file's bytes leave the storage, though the sweeper dies over them."""
    living = replace(stage, die=lambda: None)
    file = await uploads_a_picture(living)
    stage.die()
    await stage.client.ask("DELETE", f"/v1/files/{file['id']}", stage.member)
    kept = "SELECT count(*) FROM works.content WHERE owner_id = $1"

    async def is_gone() -> bool:
        return bool(await stage.database(kept, uuid.UUID(stage.member.id)) == 0)

    await eventually(is_gone)


async def bus_lost_its_store(stage: Stage) -> None:
    """Jobs finds less in the stream than it was promised, and sends again."""
    await _delivered(stage, COPY)
    stage.die()
    await stage.database("UPDATE jobs.relay SET last_sequence = last_sequence + 1000000")
    await stage.balance(98)


async def category_changes(stage: Stage) -> None:
    """An event that templates sends and jobs receives."""
    stage.die()
    await stage.database(_AGAIN.format(service="templates"), "evt.templates.category.changed.v1")


SCENES: dict[tuple[str, str], Scene] = {
    ("picture.stored", "inference"): makes_a_picture,
    ("submit.refused", "jobs"): cannot_pay,
    ("cancel.recorded", "jobs"): cancels,
    ("sign_up.committed", "accounts"): signs_up,
    ("relay.published", "accounts"): signs_up,
    ("session.refreshed", "accounts"): refreshes,
    ("grant.committed", "accounts"): is_granted_credits,
    ("lapse.before_commit", "accounts"): loses_lapsed_credits,
    ("sweep.lease_ended", "jobs"): worker_falls_silent,
    ("sweep.taken_over", "jobs"): submission_is_taken_over,
    ("sweep.object_deleted", "works"): deletes_a_work,
    ("file.begun", "works"): confirms_a_picture,
    ("file.refused", "works"): is_refused_a_file,
    ("file.shared", "works"): has_the_bytes_already,
    ("file.placed", "works"): confirms_a_picture,
    ("file.half_stored", "works"): confirms_a_picture,
    ("file.stored", "works"): confirms_a_picture,
    ("file.ready", "works"): confirms_a_picture,
    ("sweep.content_doomed", "works"): deletes_a_file,
    ("sweep.content_half_deleted", "works"): deletes_a_file,
    ("sweep.content_deleted", "works"): deletes_a_file,
    ("sweep.quarantine_deleted", "works"): gets_its_room_back,
    ("relay.unsent", "jobs"): bus_lost_its_store,
    ("relay.published", "templates"): category_changes,
    ("consume.before_commit", "jobs"): category_changes,
    ("consume.taken_effect", "jobs"): category_changes,
}
