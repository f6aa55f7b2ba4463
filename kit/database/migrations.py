"""Migrations: numbered SQL files, forward only, applied once under the role that owns the schema.

The file ``0002_name.sql`` of a service comes after the floor of the kit. Files never change once
they are released; a lock timeout keeps one that cannot get its locks from stopping the service.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

log = logging.getLogger(__name__)

_FLOOR = Path(__file__).parent / "migrations"
_LOCK = 0x61_74_65_6C  # one migration at a time, whichever replica starts first
_HISTORY = """
    CREATE TABLE IF NOT EXISTS migration (
        name text PRIMARY KEY,
        sha256 text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""


async def migrate(owner_url: str, service: str, directory: Path) -> list[str]:
    """Brings the schema of ``service`` up to date and returns the names applied now.

    Raises:
        RuntimeError: A file that was applied has changed since.
    """
    parts = urlsplit(owner_url)
    connection = await asyncpg.connect(owner_url, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute("SET lock_timeout = '4s'")
        await connection.execute(_HISTORY)
        applied = {row["name"]: row["sha256"] for row in await connection.fetch("TABLE migration")}
        files = [("kit/" + f.name, f) for f in sorted(_FLOOR.glob("*.sql"))]
        files += [(f.name, f) for f in sorted(directory.glob("*.sql"))]
        return [
            name for name, file in files if await _apply(connection, service, name, file, applied)
        ]
    except asyncpg.PostgresError:
        log.exception("migration failed", extra={"role": parts.username})
        raise
    finally:
        await connection.close()


async def _apply(
    connection: asyncpg.Connection, service: str, name: str, file: Path, applied: dict[str, str]
) -> bool:
    sql = file.read_text()
    sha256 = hashlib.sha256(sql.encode()).hexdigest()
    if name in applied:
        if applied[name] != sha256:
            raise RuntimeError(f"migration {name} of {service} was changed after it was applied")
        return False
    async with connection.transaction():
        await connection.execute(sql.format(service=service) if name.startswith("kit/") else sql)
        await connection.execute(
            "INSERT INTO migration (name, sha256) VALUES ($1, $2)", name, sha256
        )
    log.info("migrated", extra={"migration": name})
    return True
