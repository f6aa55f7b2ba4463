"""What a play needs of a database: emptied between plays, watched after each step, cut at will."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from kit.database import Database, Session
from kit.errors import DomainError
from kit.identity import Identity
from tests.machines.ground import Ground

RESETS_PER_VACUUM = 10

Step = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")

_EMPTY = """
    SELECT string_agg(format('DELETE FROM %s', oid::regclass), ';')
    FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text = ANY($1)
      AND relname NOT IN ('migration', 'clock', 'legal')
"""
# An event about an item begins with the item's id: field 1, 36 characters.
_TOLD = """
    SELECT id, subject, payload FROM jobs.outbox
    WHERE subject = $1 AND convert_from(substring(payload FROM 3 FOR 36), 'UTF8') = $2 ORDER BY id
"""
_SCHEMAS = ["accounts", "jobs", "witness"]


class Violation(AssertionError):
    """Something is not as it must be.

    Attributes:
        check: Which check found it: a name of an invariant, or answer, state, balance, refused.
    """

    def __init__(self, check: str, detail: object) -> None:
        super().__init__(f"{check}: {detail}")
        self.check = check


class Died(Exception):
    """The process is dead as far as the database can tell."""


class Cut:
    """Ends a process at one of its statements: nothing that comes after reaches the database."""

    def __init__(self, database: Database) -> None:
        self._left: int | None = None
        engine = database._engine.sync_engine
        event.listen(engine, "before_cursor_execute", self._count)
        event.listen(engine, "commit", self._count)

    def _count(self, *_: object) -> None:
        if self._left is None:
            return
        if self._left <= 0:
            raise Died
        self._left -= 1

    def after(self, statements: int | None) -> None:
        """Allows so many statements and commits from now on; None: any number."""
        self._left = statements


class Stage:
    """The database during plays.

    Attributes:
        admin: A superuser's connection.
        accounts: The ledger as its service sees it.
        jobs: The queue as its service sees it.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    async def __aenter__(self) -> Self:
        self.admin = await asyncpg.connect(self.ground.admin)
        self.owner = await asyncpg.connect(self.ground.accounts_owner)
        self.accounts = Database(self.ground.accounts, 8)
        self.jobs = Database(self.ground.jobs, 8)
        self.cuts = [Cut(self.accounts), Cut(self.jobs)]
        self._resets = 0
        self._admin_is_free = asyncio.Lock()
        self._watch: dict[str, Any] = {}
        deletes = await self.admin.fetchval(_EMPTY, _SCHEMAS)
        # Replicas fire no triggers: entries can be deleted, and foreign keys are not looked at.
        self._reset = f"""
            BEGIN; SET LOCAL session_replication_role = replica; {deletes};
            UPDATE accounts.clock SET shift = '0'; UPDATE jobs.clock SET shift = '0';
            ALTER SEQUENCE jobs.fence RESTART; COMMIT"""
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.accounts.__aexit__()
        await self.jobs.__aexit__()
        await self.owner.close()
        await self.admin.close()

    async def reset(self) -> None:
        """Empties every table."""
        await self.admin.execute(self._reset)
        self._resets += 1
        if self._resets % RESETS_PER_VACUUM == 0:
            await self.admin.execute("VACUUM")

    async def move_clock(self, seconds: int) -> None:
        """Moves the clocks to so many seconds from the beginning."""
        await self.admin.execute(
            f"UPDATE accounts.clock SET shift = '{seconds} seconds';"
            f"UPDATE jobs.clock SET shift = '{seconds} seconds'"
        )

    async def look(self, sql: str) -> Any:
        """Runs a statement of one JSON value, prepared once."""
        if sql not in self._watch:
            self._watch[sql] = await self.admin.prepare(sql)
        return json.loads(await self._watch[sql].fetchval())

    async def told(self, subject: str, about: str) -> list[tuple[uuid.UUID, str, bytes]]:
        """Returns the events of jobs' outbox about an item: id, subject, payload."""
        async with self._admin_is_free:
            rows = await self.admin.fetch(_TOLD, subject, about)
        return [tuple(row) for row in rows]

    async def dying(self, statements: int, run: Callable[[], Awaitable[T]]) -> T | type[Died]:
        """Runs until so many statements were sent; returns Died where that was too few."""
        for cut in self.cuts:
            cut.after(statements)
        try:
            return await run()
        except Died:
            return Died
        finally:
            for cut in self.cuts:
                cut.after(None)


async def answer_of(
    database: Database,
    identity: Identity,
    use_case: Callable[Concatenate[Session, P], Awaitable[T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T | str:
    """Runs a use case; a refusal is an answer, by its reason or by the constraint that refused."""
    try:
        return await database.write(identity, use_case, *args, **kwargs)
    except DomainError as refusal:
        return refusal.reason
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig else None
        if not isinstance(cause, asyncpg.PostgresError):
            raise
        return f"refused: {getattr(cause, 'constraint_name', None) or cause.sqlstate}"


def broken(rows: Sequence[dict[str, str]] | None) -> None:
    """Raises the first of the violations that a statement returned.

    Raises:
        Violation: There is one.
    """
    for row in rows or ():
        raise Violation(row["name"], row["id"])
