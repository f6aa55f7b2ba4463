"""CreditsService over gRPC."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence

from atelier.accounts.v1 import credits_pb2 as pb

from kit.crash import crash_point
from kit.database import Database, Row, Session, idempotency
from kit.errors import InvalidArgument
from kit.identity import system
from kit.ids import parse_id
from kit.paging import PageRequest
from kit.rows import RowMapper, enum_word, enum_words
from kit.rpc.server import Call
from services.accounts.credits import service, store
from services.accounts.credits.domain import Grant, Line, Part

LINES_MAX = 50
_entry = RowMapper(pb.Entry)
_POOL = enum_words(pb.Pool.DESCRIPTOR)
_OUTCOME = enum_words(pb.HoldOutcome.DESCRIPTOR)


class CreditsApi:
    """Translates between messages and use cases."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._house = system(database.role)

    async def GetBalance(self, request: pb.GetBalanceRequest, call: Call) -> pb.Balance:
        return _balance(await self._database.read(call.identity, store.balance, call.identity.user))

    async def ListEntries(
        self, request: pb.ListEntriesRequest, call: Call
    ) -> pb.ListEntriesResponse:
        wanted = PageRequest.of(request.limit, request.after)
        page = await self._database.read(call.identity, store.entries, call.identity.user, wanted)
        return pb.ListEntriesResponse(
            data=[_entry(row) for row in page.rows],
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        )

    async def GetReceipt(self, request: pb.GetReceiptRequest, call: Call) -> pb.Receipt:
        job_id = parse_id(request.job_id, "job_id")
        found = await self._database.read(
            call.identity, service.receipt, call.identity.user, job_id
        )
        return _receipt(job_id, found)

    async def GrantCredits(self, request: pb.GrantCreditsRequest, call: Call) -> pb.Balance:
        owner_id = parse_id(request.user_id, "user_id")
        pool = enum_word(pb.Pool.DESCRIPTOR, request.pool) or "purchased"
        expires_at = (
            request.expires_at.ToDatetime(dt.UTC) if request.HasField("expires_at") else None
        )
        key = idempotency.Key.of(call.identity.user, "GrantCredits", call.idempotency_key, request)
        given = Grant(
            owner_id,
            request.amount,
            pool,
            expires_at,
            request.reason,
            f"admin:{call.identity.user}:{call.idempotency_key}",
        )
        balance = await self._database.write(self._house, _grant_once, key, given)
        crash_point("grant.committed")
        return balance

    async def HoldCredits(
        self, request: pb.HoldCreditsRequest, call: Call
    ) -> pb.HoldCreditsResponse:
        if not 1 <= len(request.lines) <= LINES_MAX:
            raise InvalidArgument.of("lines", f"must be 1 to {LINES_MAX}")
        lines = [
            Line(uuid.UUID(line.item_id), uuid.UUID(line.work_id), line.amount)
            for line in request.lines
        ]
        parts = await self._database.write(
            self._house,
            service.hold,
            parse_id(request.job_id, "job_id"),
            parse_id(request.payer_id, "payer_id"),
            lines,
        )
        crash_point("hold.committed")
        by_item: dict[uuid.UUID, list[Part]] = defaultdict(list)
        for part in parts:
            by_item[part.item_id].append(part)
        return pb.HoldCreditsResponse(
            holds=[
                pb.ItemHold(item_id=str(line.item_id), by_pool=_by_pool(by_item[line.item_id]))
                for line in lines
            ]
        )


async def _grant_once(session: Session, key: idempotency.Key, given: Grant) -> pb.Balance:
    before = await idempotency.begin(session, key, pb.Balance)
    if before is not None:
        return before
    await service.grant(session, given)
    balance = _balance(await store.balance(session, given.owner_id))
    await idempotency.finish(session, key, balance)
    return balance


def _balance(row: Row) -> pb.Balance:
    return pb.Balance(available=row["subscription"] + row["purchased"], **row)


def _by_pool(parts: Iterable[Part]) -> list[pb.PoolAmount]:
    sums: dict[str, int] = defaultdict(int)
    for part in parts:
        sums[part.pool] += part.amount
    return [pb.PoolAmount(pool=_POOL[pool], amount=sums[pool]) for pool in sorted(sums)]


def _receipt(job_id: uuid.UUID, found: service.Receipt) -> pb.Receipt:
    outcomes = {row["item_id"]: row["outcome"] for row in found.holds}

    def amount(outcome: str) -> int:
        return sum(row["amount"] for row in found.holds if row["outcome"] == outcome)

    def parts(outcome: str) -> list[pb.PoolAmount]:
        return _by_pool(part for part in found.parts if outcomes[part.item_id] == outcome)

    return pb.Receipt(
        job_id=str(job_id),
        held=sum(row["amount"] for row in found.holds),
        captured=amount("captured"),
        released=amount("released"),
        held_by_pool=_by_pool(found.parts),
        captured_by_pool=parts("captured"),
        released_by_pool=parts("released"),
        lines=_lines(found.holds),
        entries=[_entry(row) for row in found.entries],
    )


def _lines(holds: Sequence[Row]) -> list[pb.ReceiptLine]:
    return [
        pb.ReceiptLine(
            item_id=str(row["item_id"]),
            work_id=str(row["work_id"]),
            amount=row["amount"],
            outcome=_OUTCOME[row["outcome"] or "held"],
            settled_at=row["settled_at"],
        )
        for row in holds
    ]
