"""Sessions: what a use case may do with the database.

``ReadSession`` reads; ``Session`` is one that may also write and publish. Passing a read session to
a writer is a type error.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from atelier import options_pb2
from google.protobuf.message import Message
from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from kit import telemetry
from kit.ids import uuid7

Row = RowMapping

_PUBLISH = """
    INSERT INTO outbox (id, subject, payload, headers)
    VALUES (:id, :subject, :payload, CAST(:headers AS jsonb))
"""


class ReadSession:
    """A transaction that reads, in the name of one identity."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def all(self, sql: str, **parameters: Any) -> Sequence[Row]:
        """Returns every row; the statement carries its own limit."""
        result = await self._connection.execute(_statement(sql), parameters)
        return result.mappings().all()

    async def first(self, sql: str, **parameters: Any) -> Row | None:
        """Returns the first row, or None."""
        result = await self._connection.execute(_statement(sql), parameters)
        return result.mappings().first()

    async def one(self, sql: str, **parameters: Any) -> Row:
        """Returns the only row."""
        result = await self._connection.execute(_statement(sql), parameters)
        return result.mappings().one()

    async def scalar(self, sql: str, **parameters: Any) -> Any:
        """Returns the first column of the first row, or None."""
        return (await self._connection.execute(_statement(sql), parameters)).scalar()

    async def now(self) -> dt.datetime:
        """Returns the time by the one clock."""
        now: dt.datetime = await self.scalar("SELECT app_now()")
        return now


class Session(ReadSession):
    """A transaction that may write and publish. It never commits: its context does."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self.has_published = False

    async def execute(self, sql: str, **parameters: Any) -> int:
        """Runs a statement and returns how many rows it changed."""
        return (await self._connection.execute(_statement(sql), parameters)).rowcount

    async def execute_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Runs a statement once per row of parameters; nothing for no rows."""
        if rows:
            await self._connection.execute(_statement(sql), [dict(row) for row in rows])

    async def publish(self, event: Message) -> None:
        """Writes an event to the outbox; it leaves when the transaction has committed.

        Raises:
            LookupError: The message has no ``(atelier.subject)``.
        """
        subject = subject_of(type(event))
        await self.execute(
            _PUBLISH,
            id=uuid7(),
            subject=subject,
            payload=event.SerializeToString(),
            headers=orjson.dumps(telemetry.carrier()).decode(),
        )
        self.has_published = True


@cache
def _statement(sql: str) -> TextClause:
    """Parses a statement once; ours are constants."""
    return text(sql)


def subject_of(event: type[Message]) -> str:
    """Returns the NATS subject of an event message.

    Raises:
        LookupError: The message has no ``(atelier.subject)``.
    """
    subject: str = event.DESCRIPTOR.GetOptions().Extensions[options_pb2.subject]
    if not subject:
        raise LookupError(f"{event.DESCRIPTOR.full_name} has no (atelier.subject)")
    return subject
