"""The engine of a process: transactions in the name of an identity, with bounded retry."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Concatenate, NoReturn, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from kit.crowds import is_in_crowd
from kit.database.session import ReadSession, Session
from kit.errors import Unavailable
from kit.identity import Identity, Kind

ATTEMPTS_MAX = 4
STATEMENT_SECONDS_MAX = 20
POOL_SECONDS = 10.0
# Serialization failure, deadlock, lock not available: the transaction left nothing behind.
_RETRYABLE = {"40001", "40P01", "55P03"}
# Connections failed (class 08), the server stops or starts (57P01 to 57P03), none is left (53300).
_AWAY = re.compile("08...|57P0[123]|53300")
_READ_ONLY = {"transaction_read_only": "on"}

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """One asyncpg pool under the serving role of one service.

    Users' writes may take three quarters of its connections: they come in crowds and wait for each
    other's locks. Behind them would wait who only looks, and workers, whose leases then end.

    Attributes:
        role: The serving role; users' transactions run under it and its row-level security. The
            house's own run under ``<role>_system``.
        published: Set after every commit that wrote an event; the relay waits for it.
    """

    def __init__(self, url: str, pool_size: int) -> None:
        self.role = urlsplit(url).username or ""
        self.published = asyncio.Event()
        self._crowd = asyncio.Semaphore(max(1, pool_size * 3 // 4))
        self._engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            connect_args={
                "timeout": 10,
                "command_timeout": STATEMENT_SECONDS_MAX,
                "server_settings": {"application_name": self.role},
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self, identity: Identity) -> AsyncIterator[Session]:
        """Opens a transaction that commits when the block ends and rolls back when it raises."""
        async with self._begin(self._assumed(identity)) as connection:
            session = Session(connection)
            yield session
        if session.has_published:
            self.published.set()

    async def write(
        self,
        identity: Identity,
        use_case: Callable[Concatenate[Session, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs a use case in one transaction, again where the database asks for it.

        Raises:
            Unavailable: The database cannot be reached, or conflicts did not end.
        """
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                async with self.transaction(identity) as session:
                    return await use_case(session, *args, **kwargs)
            except DBAPIError as error:
                if _sqlstate(error) not in _RETRYABLE:
                    _refuse(error)
                if attempt == ATTEMPTS_MAX:
                    raise Unavailable(
                        "too many conflicts; try again", retry_after_seconds=1
                    ) from error
            except (OSError, NoConnectionFree) as error:
                _refuse(error)
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311
        raise AssertionError("unreachable")

    async def read(
        self,
        identity: Identity,
        query: Callable[Concatenate[ReadSession, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs a query in one read-only transaction.

        Raises:
            Unavailable: The database cannot be reached.
        """
        try:
            async with self._begin(_READ_ONLY | self._assumed(identity)) as connection:
                return await query(ReadSession(connection), *args, **kwargs)
        except (DBAPIError, OSError, NoConnectionFree) as error:
            _refuse(error)

    def _assumed(self, identity: Identity) -> dict[str, str]:
        if identity.kind is Kind.SERVICE:
            return {"role": f"{self.role}_system"}
        return {"app.user_id": str(identity.user_id or "")}

    @asynccontextmanager
    async def _begin(self, settings: Mapping[str, str]) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction with settings of its own."""
        async with AsyncExitStack() as opened:
            if is_in_crowd():
                await opened.enter_async_context(self._turn())
            try:
                connection = await self._start(opened, settings)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                # Of a server that has gone: the pool has forgotten it and all that are older. To
                # ask every connection first whether it lives would cost each transaction a turn.
                connection = await self._start(opened, settings)
            yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Waits for one of the connections that a crowd may have."""
        try:
            async with asyncio.timeout(POOL_SECONDS):
                await self._crowd.acquire()
        except TimeoutError:
            raise NoConnectionFree from None
        try:
            yield
        finally:
            self._crowd.release()

    async def _start(self, opened: AsyncExitStack, settings: Mapping[str, str]) -> AsyncConnection:
        async with AsyncExitStack() as starting:
            connection = await starting.enter_async_context(self._engine.begin())
            await connection.execute(_settings(tuple(settings)), _numbered(settings))
            opened.push_async_exit(starting.pop_all())
            return connection


@cache
def _settings(names: tuple[str, ...]) -> TextClause:
    """Sets them for this transaction, all in one turn."""
    each = (f"set_config('{name}', :value_{number}, true)" for number, name in enumerate(names))
    return text("SELECT " + ", ".join(each))


def _numbered(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"value_{number}": value for number, value in enumerate(settings.values())}


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _refuse(error: Exception) -> NoReturn:
    """Raises Unavailable where the server is away or busy, which passes; else the error itself."""
    if isinstance(error, NoConnectionFree):
        raise Unavailable("the database is busy", retry_after_seconds=1) from error
    if isinstance(error, DBAPIError) and not (
        error.connection_invalidated or _AWAY.fullmatch(_sqlstate(error))
    ):
        raise error
    raise Unavailable("the database cannot be reached", retry_after_seconds=1) from error
