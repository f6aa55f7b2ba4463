"""Plays with jobs: submissions, workers, sweepers, the clock, and the ledger that hears of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from atelier.jobs.v1 import events_pb2, jobs_pb2, queue_pb2
from atelier.templates.v1 import events_pb2 as templates_events
from nats.aio.msg import Msg

from kit import consumer
from kit.database import Session, idempotency
from kit.identity import Identity, Kind, system
from services.accounts.credits import events as ledger_events
from services.accounts.credits import service as ledger
from services.accounts.credits.domain import Grant, Line, Part
from services.jobs.domain import FailureClass
from services.jobs.queue import events as queue_events
from services.jobs.queue import service as queue
from services.jobs.queue import store as queue_store
from services.jobs.queue.store import Lease
from services.jobs.submission import service as submissions
from services.jobs.submission import store as submission_store
from services.jobs.submission.domain import NewItem, NewJob
from tests.machines import invariants
from tests.machines.ground import WITNESSED
from tests.machines.jobs_model import CREDITS, LEASE_SECONDS, JobsModel
from tests.machines.play import Play, name
from tests.machines.stage import Stage, Step, Violation, answer_of

LEDGER, HOUSE = system("accounts"), system("jobs")
USERS = 3
LIMITS = {"eats": 2, "beauty": 1}
DRIVE_SECONDS = 30.0
_DELIVERY = queue_pb2.Delivery(file=queue_pb2.Artifact(object_key="k"))
_CLASSES = {
    "user": FailureClass.USER,
    "transient": FailureClass.TRANSIENT,
    "infra": FailureClass.INFRA,
}
_TURN = {
    queue_pb2.STEP_TURN_RUN: "RUN",
    queue_pb2.STEP_TURN_WAIT: "WAIT",
    queue_pb2.STEP_TURN_DONE: "DONE",
}
_EPOCH = "extract(epoch FROM {} - timestamptz '2026-01-01 00:00Z')::float"
_SEEN = f"""
    SELECT json_build_object(
        'items', (SELECT json_object_agg(id, json_build_array(
            state, attempts, infra_failures, token, {_EPOCH.format("lease_until")},
            cancel_requested, progress)) FROM jobs.item),
        'chosen', (SELECT json_object_agg(id, json_build_array({_EPOCH.format("run_at")}, tag))
                   FROM jobs.item),
        'jobs', (SELECT json_object_agg(id, json_build_array(state, cancel_requested))
                 FROM jobs.job),
        'holds', (SELECT json_object_agg(item_id, outcome) FROM accounts.hold),
        'credits', (SELECT json_object_agg(owner_id, remaining) FROM accounts.lot),
        'steps', (SELECT json_agg(json_build_array(
            job_id, content_hash, item_id, output IS NOT NULL)) FROM jobs.step),
        'events', (SELECT json_object_agg(item_id, times) FROM ({invariants.EVENTS}) AS told),
        'delivered', (SELECT count(*) FROM accounts.inbox),
        'keys', (SELECT count(*) FROM jobs.idempotency),
        'limits', (SELECT json_agg(json_build_array(name, workers_max, revision) ORDER BY name)
                   FROM jobs.category),
        'broken', (SELECT json_agg(broken) FROM (
            {invariants.ACCOUNTS} UNION ALL {invariants.JOBS} UNION ALL {invariants.ACROSS}
            UNION ALL {WITNESSED}) AS broken))
"""


class JobsPlay(Play[JobsModel]):
    """Users with credits, categories with limits, and workers."""

    seen_sql = _SEEN

    def __init__(self, stage: Stage) -> None:
        limits = {category: (workers, 1) for category, workers in LIMITS.items()}
        each = dict.fromkeys(range(USERS), CREDITS)
        super().__init__(stage, JobsModel(limits=limits, credits=each))
        self.planned: list[NewJob] = []
        self.users: list[int] = []
        self.items = 0
        self.leases: list[list[int]] = []

    async def furnish(self) -> None:
        owners = [self.ids.of("user", user) for user in range(USERS)]
        await self.stage.accounts.write(LEDGER, _open, owners)
        for category, workers in LIMITS.items():
            await self.do_limit(category, workers, 1)

    def follow(
        self, model: JobsModel, step: Step, answer: Any, seen: dict[str, Any], *, alone: bool
    ) -> None:
        numbered = {part: self.ids.numbered(seen[part]) for part in ("items", "jobs")}
        model.follow(step, answer, numbered, alone=alone)

    def compare(self, model: JobsModel, seen: dict[str, Any]) -> None:
        for part, value in model.shows().items():
            found = seen[part]
            as_it_is = isinstance(found, int) or part == "limits"
            shown = found if as_it_is else self._numbered(found)
            if shown != value:
                raise Violation("state", f"{part}: {shown} where {value} was expected")
        model.adopt({"chosen": self.ids.numbered(seen["chosen"])})

    def _numbered(self, found: dict[str, Any] | list[list[Any]] | None) -> dict[str, Any]:
        if isinstance(found, list):
            return {
                f"{self.ids[job]}/{content}": [self.ids[item], done]
                for job, content, item, done in found
            }
        return self.ids.numbered(found)

    def of_submit(self, step: Step) -> Step:
        return self._plan(**{key: value for key, value in step.items() if key != "do"})

    def of_drive(self, step: Step) -> Step | None:
        return {**step, "job": step["job"] % len(self.planned)} if self.planned else None

    def of_cancel(self, step: Step) -> Step | None:
        if not self.planned:
            return None
        job = step["job"] % len(self.planned)
        stranger = 0 if step["by_owner"] else 1
        return {"do": "cancel", "job": job, "user": (self.users[job] + stranger) % USERS}

    def of_deliver(self, step: Step) -> Step | None:
        return {**step, "item": step["item"] % self.items} if self.items else None

    def of_beat(self, step: Step) -> Step | None:
        chosen = {tuple(self._lease(number)) for number in step["leases"] if self.leases}
        return {"do": "beat", "leases": sorted(chosen)} if chosen else None

    def _of_report(self, step: Step) -> Step | None:
        if not self.leases:
            return None
        item, token = self._lease(step["lease"])
        rest = {key: value for key, value in step.items() if key != "lease"}
        return {**rest, "item": item, "token": token}

    of_note = of_progress = of_begin_step = of_finish_step = of_finish = _of_report

    def _lease(self, number: int) -> list[int]:
        return self.leases[number % len(self.leases)]

    def _plan(
        self, user: int, category: str, pool: str, prices: Sequence[int], key: int, upto: str
    ) -> Step:
        number = len(self.planned)
        items = [[self.items + position, price] for position, price in enumerate(prices)]
        self.items += len(prices)
        job = NewJob(
            id=self.ids.of("job", number),
            user_id=name("user", user),
            payer_id=name("user", user),
            project_id=name("project", user),
            batch_id=name("batch", number),
            template_id="t",
            template_version=1,
            category=category,
            inputs_json="{}",
            graph_json="{}",
            text="",
            seed=1,
            idempotency_key=f"key-{key}",
            items=[
                NewItem(
                    self.ids.of("item", item),
                    name("work", item),
                    "palette_image",
                    1,
                    price,
                    5,
                    pool,
                )
                for item, price in items
            ],
        )
        self.planned.append(job)
        self.users.append(user)
        return {
            "do": "submit",
            "user": user,
            "key": f"{user}/{key}",
            "job": number,
            "category": category,
            "pool": pool,
            "items": items,
            "upto": upto,
        }

    def after_death(self, step: Step) -> list[list[Step]]:
        match step["do"]:
            case "submit":
                ends = ("intent", "held", "unanswered", "queued")
                return [[], *([{**step, "upto": end}] for end in ends)]
            case "drive":
                return [[], [{"do": "drive_held", "job": step["job"]}], [step]]
        return [[], [step]]

    async def do_clock(self, seconds: int) -> None:
        await self.stage.move_clock(self.model.seconds + seconds)

    async def do_limit(self, category: str, workers_max: int, revision: int) -> Any:
        event = templates_events.CategoryChanged(
            category=category, enabled=True, workers_max=workers_max, revision=revision
        )
        return await answer_of(self.stage.jobs, HOUSE, queue_events.category_changed, event)

    async def do_submit(self, job: int, upto: str, **_: Any) -> Any:
        new = self.planned[job]
        request = jobs_pb2.Job(
            category=new.category, items=[jobs_pb2.Item(credits=i.credits) for i in new.items]
        )
        request.template_id = new.items[0].pool
        key = idempotency.Key.of(new.user_id, "SubmitJob", new.idempotency_key, request)
        before = await answer_of(
            self.stage.jobs, HOUSE, submissions.accept, new, key, DRIVE_SECONDS
        )
        if before is not None:
            return before if isinstance(before, str) else ["before", self.ids[before.id]]
        if upto == "intent":
            return "created"
        held = await self._hold(new)
        if isinstance(held, str):
            await answer_of(self.stage.jobs, HOUSE, submissions.refuse, new.id, key)
            return held
        if upto == "held":
            return "created"
        seen = await self.stage.jobs.write(HOUSE, submissions.enqueue, new.id, held)
        if upto == "queued":
            answer = jobs_pb2.Job(id=str(new.id))
            await self.stage.jobs.write(HOUSE, idempotency.finish, key, answer)
        return seen.job["state"]

    async def _hold(self, new: NewJob) -> str | dict[uuid.UUID, dict[str, int]]:
        lines = [Line(item.id, item.work_id, item.credits) for item in new.items]
        parts = await answer_of(
            self.stage.accounts, LEDGER, ledger.hold, new.id, new.payer_id, lines
        )
        return parts if isinstance(parts, str) else _pools(lines, parts)

    async def do_drive(self, job: int) -> str:
        new = self.planned[job]
        if await self.stage.jobs.read(HOUSE, submission_store.job_by_id, new.id) is None:
            return "gone"
        held = await self._hold(new)
        if isinstance(held, str):
            await self.stage.jobs.write(HOUSE, submissions.give_up, new.id, held.lower(), "refused")
        else:
            await self.stage.jobs.write(HOUSE, submissions.enqueue, new.id, held)
        row = await self.stage.jobs.read(HOUSE, submission_store.job_by_id, new.id)
        assert row is not None
        return str(row["state"])

    async def do_claim(self, slots: int, pools: Sequence[str], noted: bool) -> Any:
        rows = await self.stage.jobs.write(
            HOUSE, queue_store.claim, list(pools), "w", slots, float(LEASE_SECONDS)
        )
        for row in rows if noted else ():
            lease = Lease(row["id"], row["token"])
            await self.stage.jobs.write(HOUSE, queue.note_started, lease)
        claimed = [[self.ids[str(row["id"])], row["token"], row["attempts"]] for row in rows]
        self.leases += [[item, token] for item, token, _ in claimed]
        return claimed

    async def do_note(self, item: int, token: int) -> None:
        lease = Lease(name("item", item), token)
        await self.stage.jobs.write(HOUSE, queue.note_started, lease)

    async def do_beat(self, leases: Sequence[Sequence[int]]) -> Any:
        held = [Lease(name("item", item), token) for item, token in leases]
        beat = await self.stage.jobs.write(HOUSE, queue.heartbeat, held, float(LEASE_SECONDS))
        return [sorted(self.ids[str(item)] for item in each) for each in (beat.canceled, beat.lost)]

    async def do_progress(self, item: int, token: int, percent: int) -> Any:
        lease = Lease(name("item", item), token)
        answer = await answer_of(self.stage.jobs, HOUSE, queue.progress, lease, percent, "s", b"")
        return answer if isinstance(answer, str) else answer[1]

    async def do_begin_step(self, item: int, token: int, content: str) -> str:
        lease = Lease(name("item", item), token)
        answer = await answer_of(self.stage.jobs, HOUSE, queue.begin_step, lease, "s", content)
        return answer if isinstance(answer, str) else _TURN[answer[0]]

    async def do_finish_step(self, item: int, token: int, content: str) -> Any:
        lease = Lease(name("item", item), token)
        return await answer_of(self.stage.jobs, HOUSE, queue.finish_step, lease, content, "{}")

    async def do_finish(self, item: int, token: int, how: str) -> Any:
        lease, jobs = Lease(name("item", item), token), self.stage.jobs
        if how == "delivered":
            answer = await answer_of(jobs, HOUSE, queue.deliver, lease, _DELIVERY)
        elif how == "stopped":
            answer = await answer_of(jobs, HOUSE, queue.stop, lease)
        else:
            answer = await answer_of(jobs, HOUSE, queue.fail, lease, _CLASSES[how], "internal", "x")
        return answer if isinstance(answer, str) else self.ids[str(answer)]

    async def do_expire(self) -> int | None:
        expired = await self.stage.jobs.write(HOUSE, queue.expire_next)
        return self.ids[str(expired.item_id)] if expired else None

    async def do_cancel(self, job: int, user: int) -> str:
        owner = name("user", user)
        member = Identity(Kind.MEMBER, owner)
        seen = await answer_of(
            self.stage.jobs, member, submissions.cancel, owner, self.planned[job].id
        )
        return seen if isinstance(seen, str) else str(seen.job["state"])

    async def do_deliver(self, item: int) -> str:
        told = await self.stage.told(invariants.ITEM_FINISHED, str(name("item", item)))
        for event_id, subject, payload in told:
            message = Msg(None, subject, data=payload)  # type: ignore[arg-type]
            await self.stage.accounts.write(
                LEDGER,
                consumer._once,
                event_id,
                message,
                events_pb2.ItemFinished,
                ledger_events.item_finished,
            )
        return "ok" if told else "nothing"


async def _open(session: Session, owners: Sequence[uuid.UUID]) -> None:
    for owner in owners:
        await ledger.open_wallet(session, owner)
        await ledger.grant(session, Grant(owner, CREDITS, "purchased", None, "test", str(owner)))


def _pools(lines: Sequence[Line], parts: Sequence[Part]) -> dict[uuid.UUID, dict[str, int]]:
    held = {line.item_id: {"subscription": 0, "purchased": 0} for line in lines}
    for part in parts:
        held[part.item_id][part.pool] += part.amount
    return held
