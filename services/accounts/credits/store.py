"""SQL of wallets."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from kit.database import ReadSession, Row, Session
from kit.paging import Page, PageRequest
from services.accounts.credits.domain import Grant, Line, Lot, Part

_OPEN_WALLET = "INSERT INTO wallet (owner_id) VALUES (:owner_id) ON CONFLICT DO NOTHING"
_LOCK_WALLET = "SELECT owner_id FROM wallet WHERE owner_id = :owner_id FOR UPDATE"
# Hold and settlement of one job exclude each other even before the hold has a row.
_LOCK_JOB = "SELECT pg_advisory_xact_lock(hashtextextended(CAST(:job_id AS uuid)::text, 0))"
_INSERT_LOT = """
    INSERT INTO lot (id, owner_id, pool, remaining, expires_at, source, idem_key)
    VALUES (:id, :owner_id, :pool, :amount, :expires_at, :source, :idem_key)
    ON CONFLICT (idem_key) DO NOTHING
"""
_LOTS = """
    SELECT id, pool, remaining, expires_at FROM lot WHERE owner_id = :owner_id AND remaining > 0
"""
_LOT = "SELECT id, pool, remaining, expires_at FROM lot WHERE id = :id"
_TAKE = "UPDATE lot SET remaining = remaining - :amount WHERE id = :lot_id"
_GIVE = "UPDATE lot SET remaining = remaining + :amount WHERE id = :lot_id"
_EXTEND = "UPDATE lot SET expires_at = :expires_at WHERE id = :id"
# With their wallets locked; those that somebody else has locked are left to him.
_LAPSED = """
    SELECT lot.id, owner_id FROM lot JOIN wallet USING (owner_id)
    WHERE remaining > 0 AND expires_at <= app_now()
    ORDER BY owner_id, lot.id LIMIT :limit FOR UPDATE OF wallet SKIP LOCKED
"""
_AVAILABLE = """
    SELECT coalesce(sum(remaining), 0)::bigint FROM lot
    WHERE owner_id = :owner_id AND (expires_at IS NULL OR expires_at > app_now())
"""
_ENTRY = """
    INSERT INTO entry (id, transaction_id, account, kind, owner_id, lot_id, amount, balance_after,
                       job_id, item_id, work_id, reason, idem_key)
    VALUES (:id, :transaction_id, :account, :kind, :owner_id, :lot_id, :amount, :balance_after,
            :job_id, :item_id, :work_id, :reason, :idem_key)
"""
_INSERT_HOLD = """
    INSERT INTO hold (item_id, job_id, work_id, owner_id, amount)
    VALUES (:item_id, :job_id, :work_id, :owner_id, :amount)
"""
_INSERT_PART = "INSERT INTO hold_part (item_id, lot_id, amount) VALUES (:item_id, :lot_id, :amount)"
_HOLD = "SELECT item_id, job_id, work_id, owner_id, amount, outcome FROM hold WHERE item_id = :id"
_HOLDS = """
    SELECT item_id, work_id, amount, outcome, settled_at FROM hold
    WHERE job_id = :job_id AND owner_id = :owner_id
"""
_PARTS = """
    SELECT part.item_id, part.lot_id, lot.pool, part.amount
    FROM hold_part AS part JOIN lot ON lot.id = part.lot_id JOIN hold USING (item_id)
    WHERE hold.job_id = :job_id AND (CAST(:item_id AS uuid) IS NULL OR part.item_id = :item_id)
    ORDER BY part.item_id, part.lot_id
"""
_SETTLED_ITEMS = "SELECT item_id FROM settlement WHERE item_id = ANY(:item_ids)"
_SETTLE = """
    INSERT INTO settlement (item_id, outcome) VALUES (:item_id, :outcome) ON CONFLICT DO NOTHING
"""
_SETTLEMENT = "SELECT outcome FROM settlement WHERE item_id = :item_id"
_MARK_HOLD = """
    UPDATE hold SET outcome = :outcome, settled_at = app_now()
    WHERE item_id = :item_id AND outcome IS NULL
"""
_TAKE_OVERDUE = """
    UPDATE hold SET asked_at = app_now()
    WHERE item_id IN (
        SELECT item_id FROM hold
        WHERE outcome IS NULL
          AND coalesce(asked_at, created_at) < app_now() - make_interval(secs => :seconds)
        ORDER BY coalesce(asked_at, created_at) LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING item_id, job_id, work_id
"""
_BALANCE = """
    SELECT coalesce(sum(remaining) FILTER (WHERE pool = 'subscription'), 0)::bigint AS subscription,
           coalesce(sum(remaining) FILTER (WHERE pool = 'purchased'), 0)::bigint AS purchased,
           (SELECT coalesce(sum(amount), 0)::bigint FROM hold
            WHERE owner_id = :owner_id AND outcome IS NULL) AS held
    FROM lot WHERE owner_id = :owner_id AND (expires_at IS NULL OR expires_at > app_now())
"""
_ENTRY_COLUMNS = """
    entry.id, kind, amount, lot.pool, lot_id, balance_after, coalesce(job_id::text, '') AS job_id,
    coalesce(work_id::text, '') AS work_id, reason, entry.created_at
"""
_ENTRIES = f"""
    SELECT {_ENTRY_COLUMNS} FROM entry JOIN lot ON lot.id = entry.lot_id
    WHERE entry.owner_id = :owner_id AND account = 'lot' AND entry.id < :before
    ORDER BY entry.id DESC LIMIT :fetch
"""
_JOB_ENTRIES = f"""
    SELECT {_ENTRY_COLUMNS} FROM entry JOIN lot ON lot.id = entry.lot_id
    WHERE entry.owner_id = :owner_id AND account = 'lot' AND job_id = :job_id ORDER BY entry.id
"""


async def open_wallet(session: Session, owner_id: uuid.UUID) -> None:
    """Makes a wallet unless it exists."""
    await session.execute(_OPEN_WALLET, owner_id=owner_id)


async def lock_wallet(session: Session, owner_id: uuid.UUID) -> bool:
    """Locks a wallet for this transaction; False where there is none."""
    return await session.scalar(_LOCK_WALLET, owner_id=owner_id) is not None


async def lock_job(session: Session, job_id: uuid.UUID) -> None:
    """Keeps hold and settlement of a job apart for this transaction."""
    await session.execute(_LOCK_JOB, job_id=job_id)


async def insert_lot(session: Session, lot_id: uuid.UUID, grant: Grant) -> bool:
    """Writes a lot; False where its key was used before."""
    changed = await session.execute(
        _INSERT_LOT,
        id=lot_id,
        owner_id=grant.owner_id,
        pool=grant.pool,
        amount=grant.amount,
        expires_at=grant.expires_at,
        source=grant.source,
        idem_key=grant.idem_key,
    )
    return changed == 1


async def lots(session: ReadSession, owner_id: uuid.UUID) -> list[Lot]:
    """Reads the lots of a wallet that have something left, lapsed ones too."""
    return [Lot(**row) for row in await session.all(_LOTS, owner_id=owner_id)]


async def lot(session: ReadSession, lot_id: uuid.UUID) -> Lot:
    """Reads a lot."""
    return Lot(**await session.one(_LOT, id=lot_id))


async def take(session: Session, parts: Sequence[Part]) -> None:
    """Takes amounts from lots."""
    await session.execute_many(_TAKE, [{"lot_id": p.lot_id, "amount": p.amount} for p in parts])


async def take_from(session: Session, lot_id: uuid.UUID, amount: int) -> None:
    """Takes an amount from one lot."""
    await session.execute(_TAKE, lot_id=lot_id, amount=amount)


async def give(session: Session, lot_id: uuid.UUID, amount: int) -> None:
    """Gives an amount to a lot."""
    await session.execute(_GIVE, lot_id=lot_id, amount=amount)


async def extend(session: Session, lot_id: uuid.UUID, expires_at: dt.datetime) -> None:
    """Moves the time at which a lot lapses."""
    await session.execute(_EXTEND, id=lot_id, expires_at=expires_at)


async def lapsed(session: Session, limit: int) -> Sequence[Row]:
    """Reads lots that have lapsed and still hold something, and locks their wallets."""
    return await session.all(_LAPSED, limit=limit)


async def available(session: ReadSession, owner_id: uuid.UUID) -> int:
    """Sums what a wallet can spend now."""
    return int(await session.scalar(_AVAILABLE, owner_id=owner_id))


async def insert_entries(session: Session, entries: Sequence[dict[str, object]]) -> None:
    """Writes entries; the database refuses a transaction that does not sum to zero."""
    await session.execute_many(_ENTRY, entries)


async def insert_holds(
    session: Session,
    job_id: uuid.UUID,
    owner_id: uuid.UUID,
    lines: Sequence[Line],
    parts: Sequence[Part],
) -> None:
    """Writes the holds of a job and the lots that they came from."""
    await session.execute_many(
        _INSERT_HOLD,
        [
            {
                "item_id": line.item_id,
                "job_id": job_id,
                "work_id": line.work_id,
                "owner_id": owner_id,
                "amount": line.amount,
            }
            for line in lines
        ],
    )
    await session.execute_many(
        _INSERT_PART,
        [{"item_id": p.item_id, "lot_id": p.lot_id, "amount": p.amount} for p in parts],
    )


async def hold(session: ReadSession, item_id: uuid.UUID) -> Row | None:
    """Reads the hold of an item."""
    return await session.first(_HOLD, id=item_id)


async def holds(session: ReadSession, owner_id: uuid.UUID, job_id: uuid.UUID) -> Sequence[Row]:
    """Reads what a job holds of the owner's."""
    return await session.all(_HOLDS, owner_id=owner_id, job_id=job_id)


async def parts(
    session: ReadSession, job_id: uuid.UUID, item_id: uuid.UUID | None = None
) -> list[Part]:
    """Reads what each lot gave for a job, or for one item of it."""
    rows = await session.all(_PARTS, job_id=job_id, item_id=item_id)
    return [Part(**row) for row in rows]


async def settled_items(session: ReadSession, item_ids: Sequence[uuid.UUID]) -> bool:
    """Whether any of these items is settled."""
    return await session.scalar(_SETTLED_ITEMS, item_ids=list(item_ids)) is not None


async def pass_gate(session: Session, item_id: uuid.UUID, outcome: str) -> str | None:
    """Settles an item, or returns the outcome that was settled before."""
    if await session.execute(_SETTLE, item_id=item_id, outcome=outcome):
        return None
    return str(await session.scalar(_SETTLEMENT, item_id=item_id))


async def mark_hold(session: Session, item_id: uuid.UUID, outcome: str) -> None:
    """Writes the outcome to an open hold."""
    await session.execute(_MARK_HOLD, item_id=item_id, outcome=outcome)


async def take_overdue(session: Session, seconds: float, limit: int) -> Sequence[Row]:
    """Takes open holds that were neither settled nor asked after for so long."""
    return await session.all(_TAKE_OVERDUE, seconds=seconds, limit=limit)


async def balance(session: ReadSession, owner_id: uuid.UUID) -> Row:
    """Reads a wallet's balance per pool and what is held."""
    return await session.one(_BALANCE, owner_id=owner_id)


async def entries(session: ReadSession, owner_id: uuid.UUID, request: PageRequest) -> Page[Row]:
    """Reads a page of a wallet's movements, newest first."""
    rows = await session.all(
        _ENTRIES, owner_id=owner_id, before=request.before, fetch=request.fetch
    )
    return request.page(rows, [row["id"] for row in rows])


async def job_entries(
    session: ReadSession, owner_id: uuid.UUID, job_id: uuid.UUID
) -> Sequence[Row]:
    """Reads the movements that a job caused, oldest first."""
    return await session.all(_JOB_ENTRIES, owner_id=owner_id, job_id=job_id)
