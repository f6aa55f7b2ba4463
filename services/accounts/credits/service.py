"""Use cases of money. Each locks the wallet first, so that its movements follow one another."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from atelier.accounts.v1 import events_pb2

from kit.crash import crash_point
from kit.database import ReadSession, Row, Session
from kit.errors import NotFound, WrongState
from kit.ids import uuid7
from services.accounts.credits import store
from services.accounts.credits.domain import (
    LAPSED_GRACE,
    Grant,
    HoldSettled,
    Line,
    Outcome,
    Part,
    spendable,
    split,
)

LAPSE_BATCH_MAX = 200
OVERDUE_BATCH_MAX = 200


@dataclass
class _Booking:
    """Entries of one transaction, which sum to zero."""

    owner_id: uuid.UUID
    available: int
    job_id: uuid.UUID | None = None
    id: uuid.UUID = field(default_factory=uuid7)
    entries: list[dict[str, object]] = field(default_factory=list)

    def lot(
        self,
        kind: str,
        lot_id: uuid.UUID,
        amount: int,
        against: str,
        key: str,
        *,
        spendable: bool = True,
        item_id: uuid.UUID | None = None,
        work_id: uuid.UUID | None = None,
        reason: str = "",
    ) -> None:
        """Enters a movement of a lot and its counterpart."""
        self.available += amount if spendable else 0
        about = {"item_id": item_id, "work_id": work_id, "reason": reason}
        self._add("lot", kind, lot_id, amount, f"{key}:lot", self.available, **about)
        self._add(against, kind, lot_id, -amount, f"{key}:{against}", None, **about)

    def house(
        self,
        kind: str,
        lot_id: uuid.UUID,
        amount: int,
        source: str,
        target: str,
        key: str,
        item_id: uuid.UUID,
        work_id: uuid.UUID,
    ) -> None:
        """Enters a movement between two counter-accounts."""
        about = {"item_id": item_id, "work_id": work_id, "reason": ""}
        self._add(source, kind, lot_id, -amount, f"{key}:{source}", None, **about)
        self._add(target, kind, lot_id, amount, f"{key}:{target}", None, **about)

    def _add(
        self,
        account: str,
        kind: str,
        lot_id: uuid.UUID,
        amount: int,
        key: str,
        balance_after: int | None,
        **about: object,
    ) -> None:
        self.entries.append(
            {
                "id": uuid7(),
                "transaction_id": self.id,
                "account": account,
                "kind": kind,
                "owner_id": self.owner_id,
                "lot_id": lot_id,
                "amount": amount,
                "balance_after": balance_after,
                "job_id": self.job_id,
                "idem_key": key,
                **about,
            }
        )


async def open_wallet(session: Session, owner_id: uuid.UUID) -> None:
    """Makes a wallet unless it exists."""
    await store.open_wallet(session, owner_id)


async def grant(session: Session, given: Grant) -> None:
    """Puts a new lot into a wallet; the same key gives once.

    Raises:
        InvalidArgument: Amount, pool or reason is out of range.
        NotFound: There is no such wallet.
    """
    given.check(await session.now())
    await _lock(session, given.owner_id)
    lot_id = uuid7()
    if not await store.insert_lot(session, lot_id, given):
        return
    after = await store.available(session, given.owner_id)
    booking = _Booking(given.owner_id, after - given.amount)
    booking.lot(
        "grant", lot_id, given.amount, "issued", f"grant:{given.idem_key}", reason=given.source
    )
    await store.insert_entries(session, booking.entries)


async def hold(
    session: Session, job_id: uuid.UUID, owner_id: uuid.UUID, lines: Sequence[Line]
) -> list[Part]:
    """Takes the price of every line, all or nothing; the same job gives the same answer.

    Raises:
        InsufficientCredits: The wallet holds less than the sum.
        NotFound: There is no such wallet.
        WrongState: The job was given up before its hold arrived.
    """
    await store.lock_job(session, job_id)
    await _lock(session, owner_id)
    if await store.holds(session, owner_id, job_id):
        return await store.parts(session, job_id)
    if await store.settled_items(session, [line.item_id for line in lines]):
        raise WrongState("the job was given up before its credits were held")
    lots = spendable(await store.lots(session, owner_id), await session.now())
    taken = split(lots, lines)
    await store.take(session, taken)
    await store.insert_holds(session, job_id, owner_id, lines, taken)
    booking = _Booking(owner_id, sum(lot.remaining for lot in lots), job_id)
    works = {line.item_id: line.work_id for line in lines}
    for part in taken:
        booking.lot(
            "hold",
            part.lot_id,
            -part.amount,
            "held",
            f"hold:{part.item_id}:{part.lot_id}",
            item_id=part.item_id,
            work_id=works[part.item_id],
        )
    await store.insert_entries(session, booking.entries)
    crash_point("hold.before_commit")
    return taken


async def settle(
    session: Session, job_id: uuid.UUID, item_id: uuid.UUID, outcome: Outcome, reason: str
) -> None:
    """Captures or releases the hold of an item; the first outcome stands.

    Raises:
        HoldSettled: It was settled the other way before.
        NotFound: A capture for an item that was never held.
    """
    await store.lock_job(session, job_id)
    held = await store.hold(session, item_id)
    if held is not None:
        await _lock(session, held["owner_id"])
    before = await store.pass_gate(session, item_id, outcome)
    if before == outcome:
        return
    if before is not None:
        raise HoldSettled(f"the hold is {before}", item_id=item_id, outcome=before)
    if held is None:
        if outcome is Outcome.CAPTURED:
            raise NotFound("nothing is held for this item", item_id=item_id)
        return
    await store.mark_hold(session, item_id, outcome)
    book = _capture if outcome is Outcome.CAPTURED else _release
    await book(session, held, await store.parts(session, job_id, item_id), reason)
    crash_point("settle.before_commit")


async def _capture(session: Session, held: Row, parts: Sequence[Part], reason: str) -> None:  # noqa: ARG001
    booking = _Booking(held["owner_id"], 0, held["job_id"])
    for part in parts:
        key = f"capture:{part.item_id}:{part.lot_id}"
        booking.house(
            "capture",
            part.lot_id,
            part.amount,
            "held",
            "spent",
            key,
            part.item_id,
            held["work_id"],
        )
    await store.insert_entries(session, booking.entries)


async def _release(session: Session, held: Row, parts: Sequence[Part], reason: str) -> None:
    now = await session.now()
    booking = _Booking(
        held["owner_id"], await store.available(session, held["owner_id"]), held["job_id"]
    )
    for part in parts:
        await _revive(session, booking, part.lot_id, now)
        await store.give(session, part.lot_id, part.amount)
        booking.lot(
            "release",
            part.lot_id,
            part.amount,
            "held",
            f"release:{part.item_id}:{part.lot_id}",
            item_id=part.item_id,
            work_id=held["work_id"],
            reason=reason,
        )
    await store.insert_entries(session, booking.entries)


async def _revive(session: Session, booking: _Booking, lot_id: uuid.UUID, now: dt.datetime) -> None:
    """Gives a lot that lapsed while it was held its grace; what lay in it lapses first."""
    lot = await store.lot(session, lot_id)
    if lot.expires_at is None or lot.expires_at > now:
        return
    if lot.remaining:
        await _lapse(session, booking, lot.id, lot.remaining)
    await store.extend(session, lot.id, now + LAPSED_GRACE)


async def _lapse(session: Session, booking: _Booking, lot_id: uuid.UUID, amount: int) -> None:
    await store.take_from(session, lot_id, amount)
    # A lot may lapse twice, after a grace: the transaction tells the two apart.
    key = f"expire:{lot_id}:{booking.id}"
    booking.lot("expire", lot_id, -amount, "lapsed", key, spendable=False)


async def lapse(session: Session) -> int:
    """Enters what has lapsed, a batch of lots; returns how many."""
    rows = await store.lapsed(session, LAPSE_BATCH_MAX)
    now = await session.now()
    for row in rows:
        lot = await store.lot(session, row["id"])
        if lot.remaining == 0 or lot.expires_at is None or lot.expires_at > now:
            continue
        booking = _Booking(row["owner_id"], await store.available(session, row["owner_id"]))
        await _lapse(session, booking, lot.id, lot.remaining)
        await store.insert_entries(session, booking.entries)
        crash_point("lapse.before_commit")
    return len(rows)


async def ask_after_holds(session: Session, overdue_seconds: float) -> int:
    """Asks after holds that have been open for long, a batch; returns how many."""
    holds = await store.take_overdue(session, overdue_seconds, OVERDUE_BATCH_MAX)
    for held in holds:
        await session.publish(
            events_pb2.HoldOverdue(
                item_id=str(held["item_id"]),
                job_id=str(held["job_id"]),
                work_id=str(held["work_id"]),
            )
        )
    return len(holds)


async def _lock(session: Session, owner_id: uuid.UUID) -> None:
    if not await store.lock_wallet(session, owner_id):
        raise NotFound("there is no such wallet")


@dataclass(frozen=True)
class Receipt:
    """Everything about the money of a job."""

    holds: Sequence[Row]
    parts: Sequence[Part]
    entries: Sequence[Row]


async def receipt(session: ReadSession, owner_id: uuid.UUID, job_id: uuid.UUID) -> Receipt:
    """Reads the receipt of a job of the owner's.

    Raises:
        NotFound: The job is not the owner's, or held nothing.
    """
    holds = await store.holds(session, owner_id, job_id)
    if not holds:
        raise NotFound("there is no receipt for this job")
    return Receipt(
        holds,
        await store.parts(session, job_id),
        await store.job_entries(session, owner_id, job_id),
    )
