"""More than can be done: bounded lines, refusals that say when, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.rpc.client import RESTART_SECONDS
from tests.faults.episodes import Runner
from tests.faults.injection import Ground
from tests.faults.load import COPY, Client
from tests.faults.truth import Truth
from tests.studio import Member, Studio

SUBMISSIONS = 500
MEMBERS = 10  # each can pay for 50 copies
DEAF = 20
OURS = ("gateway", "accounts", "works", "templates", "jobs", "worker", "inference")
GROWTH_BYTES_MAX = 96 << 20
LATER = {502, 503, 504}
ALLOWED = {202, 402, 409, 429, *LATER}


def resident_bytes(ground: Ground, part: str) -> int:
    status = Path(f"/proc/{ground.supervisor.pid(part)}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) << 10


@contextmanager
def deaf_listeners(ground: Ground, events_url: str) -> Iterator[None]:
    """Opens live streams and never reads from them."""
    host, port = "127.0.0.1", ground.layout.ports["gateway"]
    ask = f"GET {events_url} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n"
    opened = []
    try:
        for _ in range(DEAF):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            listener.connect((host, port))
            listener.sendall(ask.encode())
            opened.append(listener)
        yield
    finally:
        for listener in opened:
            listener.close()


@dataclass
class Looks:
    """What somebody saw who only looks, again and again."""

    seconds: list[float] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)


@contextmanager
def looking(url: str, member: Member) -> Iterator[Looks]:
    """Looks from a thread: what waits in the crowd's own client is nothing that we serve."""
    looks, left = Looks(), threading.Event()

    def look() -> None:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            while not left.wait(0.1):  # as often as a page that is open would ask
                began = time.monotonic()
                reply = http.get("/v1/jobs?limit=1", headers=member.headers)
                looks.seconds.append(time.monotonic() - began)
                looks.answers[reply.status_code] += 1

    with ThreadPoolExecutor(1) as thread:
        looker = thread.submit(look)
        try:
            yield looks
        finally:
            left.set()
        looker.result()


async def insist(http: httpx.AsyncClient, member: Member, seen: Counter[int]) -> str | None:
    """Submits until it is accepted; returns the job's id, or None where credits are spent."""
    headers = {**member.headers, "idempotency-key": str(uuid.uuid4())}
    while True:
        reply = await http.post("/v1/jobs", headers=headers, json=COPY)
        seen[reply.status_code] += 1
        assert reply.status_code in ALLOWED, reply.text
        if reply.status_code in {202, 402}:
            return str(reply.json()["id"]) if reply.status_code == 202 else None
        if reply.status_code in {429, 503}:
            assert "retry-after" in reply.headers, reply.text
        await asyncio.sleep(float(reply.headers.get("retry-after", 0.5)))


@pytest.mark.timeout(480)
async def test_500_submissions_at_once_are_accepted_or_told_when_to_come_back(
    arena: Ground, truth: Truth
) -> None:
    limits = httpx.Limits(max_connections=SUBMISSIONS + 100)
    url, seen = arena.layout.gateway_url, Counter[int]()
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, limits=limits) as http:
        client = Client(Studio(http))
        members = [await client.sign_up() for _ in range(MEMBERS)]
        first: Any = (await members[0].submit(**COPY)).json()
        before = {part: resident_bytes(arena, part) for part in OURS}
        with deaf_listeners(arena, first["events_url"]), looking(url, members[0]) as looks:
            jobs = await asyncio.gather(
                *(insist(http, members[n % MEMBERS], seen) for n in range(SUBMISSIONS))
            )
        accepted = [first["id"], *(job for job in jobs if job)]
        owners = dict(zip(jobs, (members[n % MEMBERS] for n in range(SUBMISSIONS)), strict=True))
        line = asyncio.Semaphore(8)

        async def cancel(job_id: str) -> None:
            async with line:
                await client.ask("POST", f"/v1/jobs/{job_id}/cancel", owners[job_id], json={})

        await asyncio.gather(*(cancel(job_id) for job_id in jobs if job_id))
    after = {part: resident_bytes(arena, part) for part in OURS}
    print(
        f"submissions {dict(seen)}, looks {dict(looks.answers)}, longest {max(looks.seconds):.2f} s"
    )
    assert len(accepted) >= SUBMISSIONS - MEMBERS, "all but the one too many of the first member"
    # Reads have places and connections of their own: none is refused for the sake of a submission.
    assert set(looks.answers) == {200}
    grown = {part: after[part] - before[part] for part in OURS}
    assert max(grown.values()) < GROWTH_BYTES_MAX, grown
    await truth.check(accepted, 240)


@pytest.mark.timeout(300)
async def test_a_part_that_is_told_to_end_finishes_what_it_has(runner: Runner) -> None:
    for part in ("gateway", "accounts", "works", "templates", "jobs"):
        async with runner.load.on() as tally:
            await runner.load.jobs_ended(3)
            away = await told_to_end(runner.ground, part)
            await runner.load.jobs_ended(3)
        assert not tally.faults
        # Whoever asks meanwhile is kept waiting; only the door itself can be found closed.
        if part != "gateway":
            assert not tally.answers[0], (part, tally.answers)
        if away < RESTART_SECONDS / 2:
            assert not LATER & set(tally.answers), (part, tally.answers)
        await runner.truth.check(tally.accepted)


async def told_to_end(ground: Ground, part: str) -> float:
    """Sends SIGTERM to a part and starts it again; returns for how many seconds it was away."""
    began = time.monotonic()
    await ground.supervisor.stop(part)
    await ground.supervisor.start_again(part)
    return time.monotonic() - began
