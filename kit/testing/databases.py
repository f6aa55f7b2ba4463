"""Databases for tests: migrated once, copied per use, with a clock that can be moved."""

from __future__ import annotations

import datetime as dt

import asyncpg


async def copy(server_url: str, template: str, name: str) -> None:
    """Makes database ``name`` as a copy of ``template``, which nobody must be connected to.

    Args:
        server_url: Of the server's ``postgres`` database, for its superuser.
        template: An existing database.
        name: The new one; an old one of this name is dropped.
    """
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await connection.close()


async def move_clock(owner_url: str, shift: dt.timedelta) -> None:
    """Moves the one clock of a schema to ``shift`` from the true time."""
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute("UPDATE clock SET shift = $1", shift)
    finally:
        await connection.close()
