"""Rules of money: which lots pay, and how a movement is entered.

Every movement of a lot is met by one of a counter-account, so that the entries of a transaction sum
to zero: a grant takes from ``issued``, a hold gives to ``held``, a capture moves ``held`` to
``spent``, a release moves ``held`` back, what lapsed goes to ``lapsed``.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import DomainError, FieldViolation, InvalidArgument

AMOUNT_MAX = 1_000_000_000
REASON_LENGTH_MAX = 200
POOLS = ("subscription", "purchased")
# A lot that lapsed while it was held can be spent for this long after its release.
LAPSED_GRACE = dt.timedelta(hours=72)


class InsufficientCredits(DomainError):
    """The wallet holds less than the price."""

    reason = "INSUFFICIENT_CREDITS"


class HoldSettled(DomainError):
    """A settled hold cannot be settled the other way."""

    reason = "HOLD_SETTLED"


class Outcome(enum.StrEnum):
    """What becomes of a hold."""

    CAPTURED = "captured"
    RELEASED = "released"


@dataclass(frozen=True)
class Grant:
    """Credits to be given.

    Attributes:
        owner_id: Whose wallet.
        amount: Whole credits.
        pool: subscription or purchased.
        expires_at: When the rest lapses; None: never.
        source: Why, as shown to the owner.
        idem_key: The same key gives once.
    """

    owner_id: uuid.UUID
    amount: int
    pool: str
    expires_at: dt.datetime | None
    source: str
    idem_key: str

    def check(self, now: dt.datetime) -> None:
        """Checks amount, pool, reason and expiry.

        Raises:
            InvalidArgument: With one violation per field.
        """
        faults = []
        if not 1 <= self.amount <= AMOUNT_MAX:
            faults.append(FieldViolation("amount", f"must be 1 to {AMOUNT_MAX:,}"))
        if self.pool not in POOLS:
            faults.append(FieldViolation("pool", "must be subscription or purchased"))
        if not 1 <= len(self.source) <= REASON_LENGTH_MAX:
            faults.append(FieldViolation("reason", f"must be 1 to {REASON_LENGTH_MAX} characters"))
        if self.expires_at is not None and self.expires_at <= now:
            faults.append(FieldViolation("expires_at", "must be in the future"))
        if faults:
            raise InvalidArgument("the grant is not valid", violations=tuple(faults))


@dataclass(frozen=True)
class Lot:
    """Credits that came together and lapse together."""

    id: uuid.UUID
    pool: str
    remaining: int
    expires_at: dt.datetime | None


@dataclass(frozen=True)
class Line:
    """The price of one item."""

    item_id: uuid.UUID
    work_id: uuid.UUID
    amount: int


@dataclass(frozen=True)
class Part:
    """What one lot gives for one item."""

    item_id: uuid.UUID
    lot_id: uuid.UUID
    pool: str
    amount: int


def spendable(lots: Sequence[Lot], now: dt.datetime) -> list[Lot]:
    """Returns lots that have not lapsed, in the order in which they are spent.

    Subscription credits first; within a pool what lapses first; then the oldest.
    """
    alive = [lot for lot in lots if lot.expires_at is None or lot.expires_at > now]
    never = dt.datetime.max.replace(tzinfo=dt.UTC)
    return sorted(alive, key=lambda lot: (POOLS.index(lot.pool), lot.expires_at or never, lot.id))


def split(lots: Sequence[Lot], lines: Sequence[Line]) -> list[Part]:
    """Takes the price of every line from lots in their order, all or nothing.

    Raises:
        InsufficientCredits: With required, available, and available per pool.
    """
    required = sum(line.amount for line in lines)
    available = sum(lot.remaining for lot in lots)
    if required > available:
        by_pool: dict[str, Any] = {
            pool: sum(lot.remaining for lot in lots if lot.pool == pool) for pool in POOLS
        }
        raise InsufficientCredits(
            f"{required} credits are needed and {available} are available",
            required=required,
            available=available,
            **by_pool,
        )
    return list(_take(lots, lines))


def _take(lots: Sequence[Lot], lines: Sequence[Line]) -> Iterator[Part]:
    remaining = [lot.remaining for lot in lots]
    current = 0
    for line in lines:
        wanted = line.amount
        while wanted:
            if not remaining[current]:
                current += 1
                continue
            given = min(wanted, remaining[current])
            remaining[current] -= given
            wanted -= given
            yield Part(line.item_id, lots[current].id, lots[current].pool, given)
