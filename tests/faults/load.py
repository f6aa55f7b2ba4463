"""Ten clients that submit, follow and submit again, and behave as a client should.

A client sends a submission with its key until it knows what became of it: it asks again after a
broken connection, a 502, 503 or 504, a 409 that says "still running" and a 429. It sees no 500.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.studio import Member, Studio

CLIENTS = 10
ASK_AGAIN_SECONDS = 0.25
ANSWER_SECONDS = 300.0
PASSWORD = "correct horse battery"
FINAL = {"succeeded", "failed", "canceled", "expired"}
AGAIN = {429, 502, 503, 504}
# What is asked for, and how often: copy costs no drawing, so that faults meet many jobs.
COPY = {"category": "general", "outputs": ["marketing_copy"], "inputs": {"text": "빨간 꽃병"}}
PICTURE = {"template_id": "general-picture", "inputs": {"text": "a red vase"}}
ADVERT = {"category": "eats", "inputs": {"text": "딸기 라떼 홍보", "aspect": "3:4"}}
TWO_COPIES = {**COPY, "category": "cinema", "variations": 2}
MENU = [COPY] * 5 + [TWO_COPIES] * 3 + [PICTURE] + [ADVERT]


@dataclass
class Tally:
    """What the clients saw.

    Attributes:
        accepted: Ids of the jobs that were accepted.
        ended: Of them, by final state.
        answers: HTTP statuses of submissions, and of other calls where they say "later"; 0 for a
            broken connection.
        faults: What no client may ever see.
    """

    accepted: list[str] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Client:
    """Asks until it knows."""

    def __init__(self, studio: Studio, tally: Tally | None = None) -> None:
        self.tally = tally or Tally()
        self._http = studio.http

    async def ask(
        self,
        method: str,
        path: str,
        member: Member | None = None,
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """Asks until an answer comes that is not "later"; signs in again where a token has ended.

        Raises:
            TimeoutError: There was none in 300 s.
        """
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                own = member.headers if member else {}
                reply = await self._once(method, path, {**own, **(headers or {})}, body)
                if reply is not None and reply.status_code == 401 and member:
                    await self._sign_in(member)
                elif reply is not None:
                    return reply

    async def _once(
        self, method: str, path: str, headers: dict[str, str], body: dict[str, Any]
    ) -> httpx.Response | None:
        try:
            reply = await self._http.request(method, path, headers=headers, **body)
        except httpx.TransportError:
            self.tally.answers[0] += 1
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            return None
        if reply.status_code == 500:
            self.tally.faults.append(f"{method} {path} answered 500: {reply.text}")
        elif reply.status_code not in AGAIN:
            return reply
        self.tally.answers[reply.status_code] += 1
        delay = float(reply.headers.get("retry-after", ASK_AGAIN_SECONDS))
        await asyncio.sleep(min(delay, 1.0) * random.uniform(0.5, 1))
        return None

    async def _sign_in(self, member: Member) -> None:
        body = {"login": member.session["user"]["login_id"], "password": PASSWORD}
        reply = await self.ask("POST", "/v1/auth/login", json=body)
        member.session.update(reply.json())

    async def sign_up(self) -> Member:
        """Signs a new member up."""
        while True:  # a name may be taken by an answer that was lost
            body = {"login_id": f"client-{uuid.uuid4().hex[:12]}", "password": PASSWORD}
            reply = await self.ask("POST", "/v1/auth/signup", json=body)
            if reply.status_code == 201:
                return Member(self._http, reply.json())

    async def submit(self, member: Member, submission: dict[str, Any]) -> str | None:
        """Returns the id of the job; None where the member cannot pay for it."""
        key = {"idempotency-key": str(uuid.uuid4())}
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                reply = await self.ask("POST", "/v1/jobs", member, key, json=submission)
                self.tally.answers[reply.status_code] += 1
                if reply.status_code == 202:
                    job_id = str(reply.json()["id"])
                    self.tally.accepted.append(job_id)
                    return job_id
                if reply.status_code == 402:
                    return None
                assert reply.status_code == 409, reply.text
                await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def follow(self, member: Member, job_id: str) -> str:
        """Asks after a job until it is final, and returns its state."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                reply = await self.ask("GET", f"/v1/jobs/{job_id}", member)
                if reply.status_code != 200:
                    self.tally.faults.append(f"an accepted job is not shown: {reply.text}")
                    return "unseen"
                state = str(reply.json()["state"])
                if state in FINAL:
                    return state
                await asyncio.sleep(ASK_AGAIN_SECONDS)  # as the answer's polling hint allows


class Load:
    """Clients at work; each has a member of its own, and a new one when its credits are spent."""

    def __init__(self, studio: Studio, seed: int) -> None:
        self.tally = Tally()
        self._studio = studio
        self._rng = random.Random(seed)
        self._go = asyncio.Event()
        self._changed = asyncio.Condition()
        self._working = 0

    async def jobs_ended(self, count: int, seconds: float = ANSWER_SECONDS) -> None:
        """Waits until so many more jobs have ended."""
        wanted = self.tally.ended.total() + count
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: self.tally.ended.total() >= wanted)

    @asynccontextmanager
    async def on(self) -> AsyncIterator[Tally]:
        """Has the clients work while the block lasts, and end what they have begun.

        Yields what they see meanwhile.
        """
        self.tally = Tally()
        self._go.set()
        try:
            yield self.tally
        finally:
            self._go.clear()
            async with asyncio.timeout(ANSWER_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self._working == 0)

    async def work(self) -> None:
        """Is one client: submits one job after another while the load is on."""
        member: Member | None = None
        while True:
            await self._go.wait()
            await self._count(1)
            try:
                client = Client(self._studio, self.tally)
                member = member or await client.sign_up()
                job_id = await client.submit(member, self._rng.choice(MENU))
                if job_id is None:
                    member = None
                else:
                    client.tally.ended[await client.follow(member, job_id)] += 1
            finally:
                await self._count(-1)

    async def _count(self, change: int) -> None:
        async with self._changed:
            self._working += change
            self._changed.notify_all()


@asynccontextmanager
async def clients(studio: Studio, seed: int, count: int = CLIENTS) -> AsyncIterator[Load]:
    """Has clients at hand; they work while :meth:`Load.on`. A failure of one ends the block."""
    load = Load(studio, seed)
    async with asyncio.TaskGroup() as working:
        tasks = [working.create_task(load.work()) for _ in range(count)]
        yield load
        for task in tasks:
            task.cancel()
