"""How many rows PostgreSQL looks at for a query of ours, under the caller's own role and walls."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.database import Database, ReadSession
from kit.identity import Identity

_PARAMETER = re.compile(r"(?<!:):(\w+)")


class _Overheard(ReadSession):
    """A session that keeps which rows it is asked for, and has none."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def all(self, sql: str, **parameters: Any) -> list[Any]:
        self.asked.append((sql, parameters))
        return []


async def rows_looked_at(
    database: Database,
    identity: Identity,
    query: Callable[..., Awaitable[Any]],
    *args: Any,
) -> int:
    """Runs a query and counts the rows that its scans went through, kept or not.

    Args:
        database: Where.
        identity: Who asks.
        query: Of a store, which asks for rows once. Unless it says otherwise, its statement is
            planned as one that is sent often: for no values in particular.
        *args: Its arguments.
    """

    async def explained(session: ReadSession) -> int:
        connection = session._connection
        await connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        overheard = _Overheard(connection)
        await query(overheard, *args)
        [(sql, parameters)] = overheard.asked
        names = list(dict.fromkeys(_PARAMETER.findall(sql)))
        numbered = _PARAMETER.sub(lambda hit: f"${names.index(hit[1]) + 1}", sql)
        raw = await connection.get_raw_connection()
        asyncpg: Any = raw.driver_connection
        await asyncpg.execute(f"PREPARE looked_at AS {numbered}")
        values = ", ".join(_literal(parameters[name]) for name in names)
        told = await asyncpg.fetchval(
            f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE looked_at ({values})"
        )
        await asyncpg.execute("DEALLOCATE looked_at")
        return _rows(told[0]["Plan"])

    return await database.read(identity, explained)


def _literal(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dt.datetime):
        value = value.isoformat()
    return f"'{value}'"


def _rows(node: dict[str, Any]) -> int:
    """Counts what the scans of a plan went through."""
    own = 0
    if "Relation Name" in node:
        removed = sum(node[name] for name in node if name.startswith("Rows Removed"))
        own = round((node["Actual Rows"] + removed) * node["Actual Loops"])
    return own + sum(_rows(each) for each in node.get("Plans", ()))
