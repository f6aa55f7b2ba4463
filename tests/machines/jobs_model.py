"""What jobs, items and their money must be, in plain Python: the machine's other opinion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.machines.jobs_rules import Item, Job, Money, check_claim, delay
from tests.machines.stage import Died, Step, Violation

FINAL = {"succeeded", "failed", "canceled", "expired"}
LEASE_SECONDS = 30
CREDITS = 30


@dataclass
class JobsModel:
    """The queue and what its events do to the ledger. Steps come resolved."""

    seconds: int = 0
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    items: dict[int, Item] = field(default_factory=dict)
    keys: dict[str, tuple[Any, int | None]] = field(default_factory=dict)
    credits: dict[int, int] = field(default_factory=dict)
    holds: dict[int, Money] = field(default_factory=dict)
    settled: dict[int, str] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)
    outputs: dict[str, tuple[int, int, bool]] = field(default_factory=dict)
    token: int = 0

    def follow(self, step: Step, answer: Any, seen: dict[str, Any], *, alone: bool) -> None:
        """Takes a step.

        Args:
            step: Resolved.
            answer: What it answered, or Died.
            seen: What the database shows after it.
            alone: Whether nothing else happened meanwhile.

        Raises:
            Violation: The answer is not possible, or not the model's.
        """
        arguments = {name: value for name, value in step.items() if name != "do"}
        if step["do"] in {"claim", "expire"}:
            arguments |= {"answer": answer, "seen": seen, "alone": alone}
        mine = getattr(self, step["do"])(**arguments)
        if answer is not Died and answer != mine:
            raise Violation("answer", f"{step}: {answer!r} where {mine!r} was expected")

    def clock(self, seconds: int) -> None:
        self.seconds += seconds

    def limit(self, category: str, workers_max: int, revision: int) -> None:
        if revision > self.limits[category][1]:
            self.limits[category] = (workers_max, revision)

    def submit(
        self,
        user: int,
        key: str,
        job: int,
        category: str,
        pool: str,
        items: Sequence[Sequence[int]],
        upto: str,
    ) -> Any:
        request = (category, pool, [price for _, price in items])
        if key in self.keys:
            asked, answer = self.keys[key]
            if asked != request:
                return "IDEMPOTENCY_KEY_REUSED"
            return "IDEMPOTENCY_KEY_IN_USE" if answer is None else ["before", answer]
        self.keys[key] = (request, None)
        self.jobs[job] = Job(user, [number for number, _ in items])
        for number, price in items:
            self.items[number] = Item(number, job, category, pool, price)
        if upto == "intent":
            return "created"
        refused = self._hold(job)
        if refused:
            self._forget(job, key)
            return refused
        if upto == "held":
            return "created"
        self._enqueue(job)
        if upto == "queued":
            self.keys[key] = (request, job)
        return self.jobs[job].state

    def _forget(self, job: int, key: str) -> None:
        for number in self.jobs.pop(job).items:
            del self.items[number]
        del self.keys[key]

    def drive(self, job: int) -> str:
        if job not in self.jobs:
            return "gone"
        refused = self._hold(job)
        if self.jobs[job].state == "created":
            if refused:
                self._end(self.jobs[job].items, "failed")
            else:
                self._enqueue(job)
        return self.jobs[job].state

    def drive_held(self, job: int) -> None:
        """What is left of a drive that died after its hold."""
        self._hold(job)

    def _hold(self, job: int) -> str:
        of_job = [self.items[number] for number in self.jobs[job].items]
        if of_job[0].number in self.holds:
            return ""
        if any(item.number in self.settled for item in of_job):
            return "WRONG_STATE"
        user, price = self.jobs[job].user, sum(item.price for item in of_job)
        if price > self.credits[user]:
            return "INSUFFICIENT_CREDITS"
        self.credits[user] -= price
        self.holds |= {item.number: Money(user, item.price) for item in of_job}
        return ""

    def _enqueue(self, job: int) -> None:
        if self.jobs[job].cancel_requested:
            self._end(self.jobs[job].items, "canceled")
            return
        self.jobs[job].state = "queued"
        for number in self.jobs[job].items:
            item = self.items[number]
            item.state = "queued"
            item.run_from = item.run_to = self.seconds

    def claim(
        self,
        slots: int,
        pools: Sequence[str],
        noted: bool,
        answer: Any,
        seen: dict[str, Any],
        alone: bool,
    ) -> Any:
        claimed = self._newly_leased(seen) if answer is Died else answer
        eligible = {
            number
            for number, item in self.items.items()
            if item.state == "queued" and item.pool in pools and item.run_to <= self.seconds
        }
        exact = alone and answer is not Died
        check_claim(self.items, self.limits, claimed, eligible, slots, exact=exact)
        for number, token, attempt in claimed:
            item = self.items[number]
            if token <= self.token or attempt != item.attempts + 1:
                raise Violation("answer", f"token {token}, attempt {attempt} of {item}")
            item.state, item.attempts, item.token = "running", item.attempts + 1, token
            item.lease_until, item.progress = self.seconds + LEASE_SECONDS, 0
        self.token = max([self.token, *(token for _, token, _ in claimed)])
        for number, _, _ in claimed:
            job = self.jobs[self.items[number].job]
            is_noted = noted and (
                answer is not Died or seen["jobs"][str(self.items[number].job)][0] == "running"
            )
            job.state = "running" if is_noted and job.state == "queued" else job.state
        return answer

    def _newly_leased(self, seen: dict[str, Any]) -> list[list[int]]:
        return [
            [int(number), row[3], row[1]]
            for number, row in seen["items"].items()
            if row[0] == "running" and row[3] != self.items[int(number)].token
        ]

    def _leased(self, item: int, token: int) -> Item | None:
        found = self.items.get(item)
        return found if found and (found.state, found.token) == ("running", token) else None

    def note(self, item: int, token: int) -> None:
        leased = self._leased(item, token)
        if leased and self.jobs[leased.job].state == "queued":
            self.jobs[leased.job].state = "running"

    def beat(self, leases: Sequence[Sequence[int]]) -> Any:
        canceled, lost = [], []
        for number, token in leases:
            item = self._leased(number, token)
            if item is None:
                lost.append(number)
                continue
            item.lease_until = self.seconds + LEASE_SECONDS
            if item.cancel_requested:
                canceled.append(number)
        return [sorted(canceled), sorted(lost)]

    def progress(self, item: int, token: int, percent: int) -> Any:
        leased = self._leased(item, token)
        if leased is None:
            return "LEASE_LOST"
        leased.progress = max(leased.progress, percent)
        return leased.cancel_requested

    def begin_step(self, item: int, token: int, content: str) -> str:
        leased = self._leased(item, token)
        if leased is None:
            return "LEASE_LOST"
        runner, by, done = self.outputs.get(f"{leased.job}/{content}", (item, token, False))
        if done:
            return "DONE"
        if by != token and self._leased(runner, by):
            return "WAIT"
        self.outputs[f"{leased.job}/{content}"] = (item, token, False)
        return "RUN"

    def finish_step(self, item: int, token: int, content: str) -> str | None:
        leased = self._leased(item, token)
        if leased is None:
            return "LEASE_LOST"
        name = f"{leased.job}/{content}"
        if name in self.outputs:
            runner, by, _ = self.outputs[name]
            self.outputs[name] = (runner, by, True)
        return None

    def finish(self, item: int, token: int, how: str) -> Any:
        leased = self._leased(item, token)
        if leased is None:
            return "LEASE_LOST"
        if how in {"delivered", "stopped"}:
            self._end([item], "succeeded" if how == "delivered" else "canceled")
        else:
            self._retry_or_fail(leased, how)
        return leased.job

    def _retry_or_fail(self, item: Item, how: str) -> None:
        if item.cancel_requested:
            self._end([item.number], "canceled")
            return
        longest = delay(how, item.attempts, item.infra_failures)
        if longest is None:
            self._end([item.number], "failed")
            return
        item.infra_failures += how == "infra"
        item.state, item.lease_until, item.progress = "queued", None, 0
        item.run_from, item.run_to = self.seconds, self.seconds + longest

    def _end(self, numbers: Sequence[int], state: str) -> None:
        for number in numbers:
            item = self.items[number]
            item.state, item.lease_until = state, None
            item.progress = 100 if state == "succeeded" else item.progress
        job = self.jobs[self.items[numbers[0]].job]
        states = {self.items[number].state for number in job.items}
        if states <= FINAL:
            order = ("succeeded", "failed", "canceled", "expired")
            job.state = next(each for each in order if each in states)

    def expire(self, answer: Any, seen: dict[str, Any], alone: bool) -> Any:
        silent = {
            number
            for number, item in self.items.items()
            if item.lease_until is not None and item.lease_until < self.seconds
        }
        if answer is Died:
            now = {int(number): row[0] for number, row in seen["items"].items()}
            answer = next((number for number in silent if now[number] != "running"), None)
        if answer is None and not (alone and silent):
            return None
        if answer not in silent:
            raise Violation("answer", f"swept {answer}, silent are {silent}")
        self._retry_or_fail(self.items[answer], "infra")
        return answer

    def cancel(self, job: int, user: int) -> str:
        found = self.jobs.get(job)
        if found is None or found.user != user:
            return "NOT_FOUND"
        if found.state in FINAL:
            return found.state
        found.cancel_requested = True
        open_items = [self.items[n] for n in found.items if self.items[n].state not in FINAL]
        for item in open_items:
            item.cancel_requested = item.cancel_requested or item.state == "running"
        waiting = [item.number for item in open_items if item.state != "running"]
        if found.state != "created" and waiting:
            self._end(waiting, "canceled")
        return found.state

    def deliver(self, item: int) -> str:
        if item not in self.items or self.items[item].state not in FINAL:
            return "nothing"
        if item not in self.settled:
            outcome = "captured" if self.items[item].state == "succeeded" else "released"
            self.settled[item] = outcome
            if item in self.holds:
                held = self.holds[item]
                held.outcome = outcome
                self.credits[held.user] += held.price if outcome == "released" else 0
        self.delivered.add(item)
        return "ok"

    def shows(self) -> dict[str, Any]:
        """Everything that the database must show, but run_at and tags, which are its choice."""
        return {
            "items": {
                str(number): [
                    item.state,
                    item.attempts,
                    item.infra_failures,
                    item.token,
                    item.lease_until,
                    item.cancel_requested,
                    item.progress,
                ]
                for number, item in self.items.items()
            },
            "jobs": {str(n): [job.state, job.cancel_requested] for n, job in self.jobs.items()},
            "holds": {str(number): held.outcome for number, held in self.holds.items()},
            "credits": {str(user): amount for user, amount in self.credits.items()},
            "steps": {content: [item, done] for content, (item, _, done) in self.outputs.items()},
            "events": {str(n): 1 for n, item in self.items.items() if item.state in FINAL},
            "delivered": len(self.delivered),
            "keys": len(self.keys),
            "limits": [[name, *limit] for name, limit in sorted(self.limits.items())],
        }

    def adopt(self, seen: dict[str, Any]) -> None:
        """Takes over what the database chose within its limits.

        Raises:
            Violation: It chose outside of them.
        """
        for number, item in self.items.items():
            run_at, tag = seen["chosen"][str(number)]
            if item.state == "queued" and not item.run_from <= run_at <= item.run_to:
                raise Violation("delay", f"{run_at} for {item}")
            item.tag = tag
            if item.state == "queued":
                item.run_from = item.run_to = run_at
