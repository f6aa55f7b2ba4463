"""What wallets must show, in plain Python: the machine's other opinion about money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.machines.stage import Died, Step, Violation

GRACE_HOURS = 72
UNCHECKED = object()


@dataclass
class Lot:
    """Credits that came together; hours count from the beginning of the play."""

    wallet: int
    pool: str
    remaining: int
    expires: int | None
    order: int


@dataclass
class Hold:
    """One item's hold; parts by name of the lot."""

    wallet: int
    job: int
    work: int
    price: int
    parts: dict[str, int]
    outcome: str | None = None


@dataclass
class MoneyModel:
    """The ledger. Steps come resolved: they name everything that they are about."""

    hours: int = 0
    lots: dict[str, Lot] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict)
    settled: dict[int, str] = field(default_factory=dict)
    inbox: set[str] = field(default_factory=set)
    keys: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def follow(self, step: Step, answer: Any) -> None:
        """Takes a step.

        Raises:
            Violation: The answer is not what the model answers.
        """
        arguments = {name: value for name, value in step.items() if name != "do"}
        mine = getattr(self, step["do"])(**arguments)
        if answer is not Died and mine is not UNCHECKED and answer != mine:
            raise Violation("answer", f"{step}: {answer!r} where {mine!r} was expected")

    def clock(self, hours: int) -> None:
        self.hours += hours

    def grant(
        self, key: str, wallet: int, pool: str, amount: int, hours: int | None = None
    ) -> None:
        if key not in self.lots:
            expires = None if hours is None else self.hours + hours
            self.lots[key] = Lot(wallet, pool, amount, expires, len(self.lots))

    def grant_by_admin(self, caller: int, key: int, wallet: int, amount: int) -> Any:
        name, request = f"admin:{caller}:{key}", (wallet, amount)
        if name not in self.keys:
            self.grant(name, wallet, "purchased", amount)
            self.keys[name] = (request, self.look(wallet))
        asked, answer = self.keys[name]
        return answer if asked == request else "IDEMPOTENCY_KEY_REUSED"

    def hold(self, wallet: int, job: int, items: Sequence[Sequence[int]]) -> Any:
        before = {item: held for item, held in self.holds.items() if held.job == job}
        if before:
            return _parts(before)
        if any(item in self.settled for item, _, _ in items):
            return "WRONG_STATE"
        if sum(price for _, _, price in items) > self.available(wallet):
            return "INSUFFICIENT_CREDITS"
        paid = {held.work for held in self.holds.values() if held.outcome != "released"}
        if paid & {work for _, work, _ in items}:
            return "refused: hold_work"
        made = {
            item: Hold(wallet, job, work, price, self._take(wallet, price))
            for item, work, price in items
        }
        self.holds |= made
        return _parts(made)

    def _take(self, wallet: int, price: int) -> dict[str, int]:
        parts = {}
        for name, lot in sorted(self.spendable(wallet).items(), key=lambda each: _rank(each[1])):
            given = min(price, lot.remaining)
            if given:
                lot.remaining -= given
                price -= given
                parts[name] = given
        return parts

    def deliver(self, item: int, job: int, outcome: str, event: str) -> str | None:
        if event in self.inbox:
            return None
        wanted = "captured" if outcome == "succeeded" else "released"
        stands = self.settled.get(item)
        if stands not in {None, wanted}:
            return "HOLD_SETTLED"
        if stands is None and item not in self.holds and wanted == "captured":
            return "NOT_FOUND"
        self.inbox.add(event)
        if stands is None:
            self._settle(item, wanted)
        return None

    def _settle(self, item: int, wanted: str) -> None:
        self.settled[item] = wanted
        if item not in self.holds:
            return
        held = self.holds[item]
        held.outcome = wanted
        for name, amount in held.parts.items() if wanted == "released" else ():
            lot = self.lots[name]
            if lot.expires is not None and lot.expires <= self.hours:
                lot.remaining, lot.expires = 0, self.hours + GRACE_HOURS
            lot.remaining += amount

    def lapse(self) -> Any:
        for lot in self.lots.values():
            if lot.expires is not None and lot.expires <= self.hours:
                lot.remaining = 0
        return UNCHECKED

    def tamper(self, how: str) -> str:
        return "refused"

    def look(self, wallet: int) -> list[int]:
        pools = [
            sum(lot.remaining for lot in self.spendable(wallet).values() if lot.pool == pool)
            for pool in ("subscription", "purchased")
        ]
        held = sum(
            held.price
            for held in self.holds.values()
            if held.wallet == wallet and held.outcome is None
        )
        return [*pools, held]

    def receipt(self, wallet: int, job: int) -> Any:
        of_job = {i: h for i, h in self.holds.items() if (h.job, h.wallet) == (job, wallet)}
        if not of_job:
            return "NOT_FOUND"
        kept = sum(held.price for held in of_job.values() if held.outcome != "released")
        return [
            [[item, of_job[item].price, of_job[item].outcome] for item in sorted(of_job)],
            -kept,
        ]

    def spendable(self, wallet: int) -> dict[str, Lot]:
        return {
            name: lot
            for name, lot in self.lots.items()
            if lot.wallet == wallet and (lot.expires is None or lot.expires > self.hours)
        }

    def available(self, wallet: int) -> int:
        return sum(lot.remaining for lot in self.spendable(wallet).values())

    def shows(self) -> dict[str, Any]:
        """Everything that the database must show after a step."""
        return {
            "lots": {
                name: [lot.wallet, lot.pool, lot.remaining, lot.expires]
                for name, lot in self.lots.items()
            },
            "holds": {str(item): held.outcome for item, held in self.holds.items()},
            "settled": {str(item): outcome for item, outcome in self.settled.items()},
            "inbox": sorted(self.inbox),
            "keys": len(self.keys),
        }


def _rank(lot: Lot) -> tuple[bool, bool, int, int]:
    return lot.pool != "subscription", lot.expires is None, lot.expires or 0, lot.order


def _parts(holds: dict[int, Hold]) -> list[list[Any]]:
    return sorted(
        [item, name, amount] for item, h in holds.items() for name, amount in h.parts.items()
    )
