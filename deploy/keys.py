"""Makes what a cluster must be given in secret: signing keys, passwords, the database's roles.

``python -m deploy.keys FOLDER --database HOST:PORT`` fills the folder that an overlay of ``k8s/``
reads its Secrets from. What is there already is kept, so that it can be run again.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.layout import SERVICES
from kit.identity import create_key, publish_keys

# Those that sign; the others verify by the published keys.
SIGNERS = ("accounts", "jobs", "worker")
_SERVING, _OWNER = "ATELIER_DATABASE_URL", "ATELIER_OWNER_DATABASE_URL"


def make(folder: Path, database: str) -> None:
    """Fills ``folder``: ``keys/``, one ``.env`` per Secret, and ``database.sql``.

    Args:
        folder: Made where it is missing, for the owner's eyes only.
        database: ``host:port`` of PostgreSQL, put into the addresses that are made now.
    """
    keys = folder / "keys"
    keys.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for signer in SIGNERS:
        create_key(keys, signer)
    publish_keys(keys)
    passwords: dict[str, str] = {}
    for service in SERVICES:
        made = {_SERVING: _url(service, database), _OWNER: _url(f"{service}_owner", database)}
        urls = [urlsplit(url) for url in _keep(folder / f"{service}-database.env", made).values()]
        passwords |= {url.username or "": url.password or "" for url in urls}
    storage = {
        "ATELIER_S3_ACCESS_KEY": secrets.token_hex(10),
        "ATELIER_S3_SECRET_KEY": secrets.token_urlsafe(30),
    }
    _keep(folder / "objects.env", storage)
    _keep(folder / "writer.env", {"ATELIER_OPENAI_API_KEY": ""})
    begin = "CREATE DATABASE atelier;\n\\connect atelier\n"
    _write(folder / "database.sql", begin + roles(SERVICES, passwords))


def roles(services: Sequence[str], passwords: Mapping[str, str]) -> str:
    """Returns the SQL that makes the schema and the three roles of every service.

    ``<service>_owner`` owns the schema and migrates it; ``<service>`` serves and owns nothing;
    ``<service>_system`` is what it becomes for its own consumers and sweepers, and only by asking
    (NOINHERIT, which PostgreSQL 15 knows too).

    Args:
        services: Names of schemas.
        passwords: By role, for the two roles of each that log in.
    """
    lines = []
    for service in services:
        owner, system = f"{service}_owner", f"{service}_system"
        lines += [
            f"CREATE ROLE {owner} LOGIN PASSWORD '{passwords[owner]}';",
            f"CREATE ROLE {service} LOGIN NOINHERIT PASSWORD '{passwords[service]}';",
            f"CREATE ROLE {system} NOLOGIN;",
            f"GRANT {system} TO {service};",
            f"CREATE SCHEMA {service} AUTHORIZATION {owner};",
            *(f"ALTER ROLE {r} SET search_path = {service};" for r in (service, owner, system)),
        ]
    return "\n".join(lines) + "\n"


def _url(role: str, database: str) -> str:
    return f"postgresql://{role}:{secrets.token_urlsafe(24)}@{database}/atelier"


def _keep(path: Path, made: Mapping[str, str]) -> dict[str, str]:
    """Writes variables unless the file exists; returns those in the file."""
    if not path.exists():
        _write(path, "".join(f"{name}={value}\n" for name, value in made.items()))
    lines = path.read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines) if name}


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def main(arguments: Sequence[str]) -> int:
    """Fills the folder that the arguments name."""
    parser = argparse.ArgumentParser(prog="deploy.keys", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--database", required=True, metavar="HOST:PORT")
    given = parser.parse_args(arguments)
    make(given.folder, given.database)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
