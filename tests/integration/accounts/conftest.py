"""A database of the ledger's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import services.accounts
from deploy.local import postgres
from kit.database.migrations import migrate
from tests.conftest import Installation

NAME = "ledger"


@dataclass(frozen=True)
class Ledger:
    """Addresses of a migrated database."""

    serving_url: str
    owner_url: str
    admin_url: str


@pytest.fixture(scope="session")
async def ledger(postgres_server: Installation) -> Ledger:
    places = postgres_server.layout
    await postgres.bootstrap(places, NAME)

    def url(role: str) -> str:
        return places.database_url(role).replace("/atelier?", f"/{NAME}?")

    folder = Path(services.accounts.__file__).parent / "migrations"
    await migrate(url("accounts_owner"), "accounts", folder)
    return Ledger(url("accounts"), url("accounts_owner"), postgres.admin_url(places, NAME))
