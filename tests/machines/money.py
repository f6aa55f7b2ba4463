"""Plays with money: steps as data, done through the real use cases and followed by the model."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import asyncpg
from atelier.accounts.v1 import credits_pb2
from atelier.jobs.v1 import events_pb2
from nats.aio.msg import Msg

from kit import consumer
from kit.database import idempotency
from kit.database.session import subject_of
from kit.errors import DomainError
from kit.identity import Identity, Kind, system
from services.accounts.credits import api, events, service, store
from services.accounts.credits.domain import Grant, Line, Part
from tests.machines import invariants
from tests.machines.money_model import MoneyModel
from tests.machines.play import Play, name
from tests.machines.stage import Stage, Step, Violation, answer_of

HOUSE = system("accounts")
BEGINNING = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WALLETS = 2

_OUTCOMES = {
    "succeeded": events_pb2.ITEM_OUTCOME_SUCCEEDED,
    "failed": events_pb2.ITEM_OUTCOME_FAILED,
    "canceled": events_pb2.ITEM_OUTCOME_CANCELED,
    "expired": events_pb2.ITEM_OUTCOME_EXPIRED,
}
_TAMPER = {
    "update": "UPDATE entry SET reason = ''",
    "delete": "DELETE FROM entry",
    "truncate": "TRUNCATE entry",
}
_SEEN = f"""
    SELECT json_build_object(
        'lots', (SELECT json_object_agg(idem_key, json_build_array(
                    id, owner_id, pool, remaining, extract(epoch FROM expires_at)::bigint)
                    ORDER BY owner_id, id) FROM accounts.lot),
        'holds', (SELECT json_object_agg(item_id, outcome) FROM accounts.hold),
        'settled', (SELECT json_object_agg(item_id, outcome) FROM accounts.settlement),
        'inbox', (SELECT coalesce(json_agg(event_id), '[]') FROM accounts.inbox),
        'keys', (SELECT count(*) FROM accounts.idempotency),
        'last', (SELECT json_object_agg(owner_id, json_build_array(id, balance_after)) FROM (
                    SELECT DISTINCT ON (owner_id) owner_id, id, balance_after FROM accounts.entry
                    WHERE account = 'lot' ORDER BY owner_id, id DESC) AS last),
        'broken', (SELECT json_agg(broken) FROM ({invariants.ACCOUNTS}) AS broken))
"""


class MoneyPlay(Play[MoneyModel]):
    """Wallets, and what is granted, held, captured and released in them."""

    seen_sql = _SEEN

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage, MoneyModel())
        self.jobs: list[Step] = []
        self.items = 0
        self.last: dict[str, Any] = {}

    async def furnish(self) -> None:
        for wallet in range(WALLETS):
            owner = self.ids.of("wallet", wallet)
            await self.stage.accounts.write(HOUSE, service.open_wallet, owner)

    def follow(
        self, model: MoneyModel, step: Step, answer: Any, seen: dict[str, Any], *, alone: bool
    ) -> None:
        if isinstance(answer, list) and answer and isinstance(answer[0], Part):
            lots = {lot: key for key, (lot, *_) in seen["lots"].items()}
            answer = sorted(
                [self.ids[str(part.item_id)], lots[str(part.lot_id)], part.amount]
                for part in answer
            )
        model.follow(step, answer)

    def settle_on(self, seen: dict[str, Any]) -> None:
        self.last = seen["last"] or {}

    def compare(self, model: MoneyModel, seen: dict[str, Any]) -> None:
        shown = {
            "lots": {
                key: [self.ids[owner], pool, left, expires and _hours(expires)]
                for key, (_, owner, pool, left, expires) in (seen["lots"] or {}).items()
            },
            "holds": self.ids.numbered(seen["holds"]),
            "settled": self.ids.numbered(seen["settled"]),
            "inbox": sorted(self.ids[event] for event in seen["inbox"]),
            "keys": seen["keys"],
        }
        for part, value in model.shows().items():
            if shown[part] != value or (part == "lots" and _order(shown[part]) != _order(value)):
                raise Violation("state", f"{part}: {shown[part]} where {value} was expected")
        for owner, (entry, balance) in (seen["last"] or {}).items():
            is_new = self.last.get(owner, [""])[0] != entry
            if is_new and balance != model.available(self.ids[owner]):
                raise Violation("balance", f"an entry says {balance}: {model.shows()}")

    def of_hold(self, step: Step) -> Step:
        prices = step["prices"]
        return self._plan(step["wallet"], [[self.items + i, p] for i, p in enumerate(prices)])

    def of_give_up(self, step: Step) -> Step:
        job = self.of_hold(step)
        return self._delivery(job, job["items"][0][0], step["outcome"], 0)

    def of_hold_same_work(self, step: Step) -> Step | None:
        if not self.items:
            return None
        return self._plan(step["wallet"], [[step["item"] % self.items, step["price"]]])

    def of_hold_again(self, step: Step) -> Step | None:
        return self.jobs[step["job"] % len(self.jobs)] if self.jobs else None

    def of_receipt(self, step: Step) -> Step | None:
        job = self.of_hold_again(step)
        return job and {"do": "receipt", "wallet": job["wallet"], "job": job["job"]}

    def of_deliver(self, step: Step) -> Step | None:
        if not self.items:
            return None
        item = step["item"] % self.items
        job = next(job for job in self.jobs if item in [number for number, _, _ in job["items"]])
        return self._delivery(job, item, step["outcome"], step["event"])

    def _plan(self, wallet: int, wanted: Sequence[Sequence[int]]) -> Step:
        """Plans a job with an item for each work and price."""
        items = []
        for work, price in wanted:
            items.append([self.items, work, price])
            self.items += 1
        self.jobs.append({"do": "hold", "wallet": wallet, "job": len(self.jobs), "items": items})
        return self.jobs[-1]

    @staticmethod
    def _delivery(job: Step, item: int, outcome: str, event: int) -> Step:
        event_name = f"{item}/{outcome}/{event}"
        return {
            "do": "deliver",
            "item": item,
            "job": job["job"],
            "outcome": outcome,
            "event": event_name,
        }

    async def do_clock(self, hours: int) -> None:
        await self.stage.move_clock((self.model.hours + hours) * 3600)

    async def do_grant(
        self, key: str, wallet: int, pool: str, amount: int, hours: int | None = None
    ) -> Any:
        now = BEGINNING + dt.timedelta(hours=self.model.hours)
        expires_at = None if hours is None else now + dt.timedelta(hours=hours)
        given = Grant(name("wallet", wallet), amount, pool, expires_at, "test", key)
        return await answer_of(self.stage.accounts, HOUSE, service.grant, given)

    async def do_grant_by_admin(self, caller: int, key: int, wallet: int, amount: int) -> Any:
        owner, admin = name("wallet", wallet), name("admin", caller)
        request = credits_pb2.GrantCreditsRequest(user_id=str(owner), amount=amount)
        begun = idempotency.Key.of(admin, "GrantCredits", f"key-{key}", request)
        given = Grant(owner, amount, "purchased", None, "test", f"admin:{caller}:{key}")
        answer = await answer_of(self.stage.accounts, HOUSE, api._grant_once, begun, given)
        if isinstance(answer, str):
            return answer
        return [answer.subscription, answer.purchased, answer.held]

    async def do_hold(self, wallet: int, job: int, items: Sequence[Sequence[int]]) -> Any:
        lines = [
            Line(self.ids.of("item", item), self.ids.of("work", work), price)
            for item, work, price in items
        ]
        owner, database = name("wallet", wallet), self.stage.accounts
        return await answer_of(database, HOUSE, service.hold, name("job", job), owner, lines)

    async def do_deliver(self, item: int, job: int, outcome: str, event: str) -> Any:
        finished = events_pb2.ItemFinished(
            item_id=str(self.ids.of("item", item)),
            job_id=str(name("job", job)),
            outcome=_OUTCOMES[outcome],
        )
        message = Msg(None, subject_of(type(finished)), data=finished.SerializeToString())  # type: ignore[arg-type]
        return await answer_of(
            self.stage.accounts,
            HOUSE,
            consumer._once,
            self.ids.of("event", event),
            message,
            events_pb2.ItemFinished,
            events.item_finished,
        )

    async def do_lapse(self) -> Any:
        return await answer_of(self.stage.accounts, HOUSE, service.lapse)

    async def do_tamper(self, how: str) -> str:
        try:
            await self.stage.owner.execute(_TAMPER[how])
        except asyncpg.RestrictViolationError:
            return "refused"
        return "done"

    async def do_look(self, wallet: int) -> Any:
        owner = name("wallet", wallet)
        member = Identity(Kind.MEMBER, owner)
        row = await self.stage.accounts.read(member, store.balance, owner)
        return [row["subscription"], row["purchased"], row["held"]]

    async def do_receipt(self, wallet: int, job: int) -> Any:
        owner = name("wallet", wallet)
        member = Identity(Kind.MEMBER, owner)
        try:
            found = await self.stage.accounts.read(member, service.receipt, owner, name("job", job))
        except DomainError as refusal:
            return refusal.reason
        holds = sorted(
            [self.ids[str(row["item_id"])], row["amount"], row["outcome"]] for row in found.holds
        )
        return [holds, sum(entry["amount"] for entry in found.entries)]


def _order(lots: dict[str, list[Any]]) -> list[str]:
    """Lots by wallet, the oldest first."""
    return sorted(lots, key=lambda key: int(lots[key][0]))


def _hours(epoch: int) -> int:
    return round((epoch - BEGINNING.timestamp()) / 3600)
