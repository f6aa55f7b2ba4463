"""A database of one service's own: migrated once per session, copied per test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploy.local import postgres
from deploy.local.layout import ROOT, Layout
from kit.database.migrations import migrate
from kit.testing.databases import copy


@dataclass(frozen=True)
class Urls:
    """Addresses of a test's database.

    Attributes:
        serving: For the service's own role.
        owner: For the role that owns the schema.
        admin: For the server's superuser.
    """

    serving: str
    owner: str
    admin: str


@dataclass(frozen=True)
class Template:
    """A migrated database, of which tests get copies."""

    places: Layout
    service: str

    @property
    def _name(self) -> str:
        return f"{self.service}_template"

    def urls(self, name: str) -> Urls:
        """Returns the addresses of a database by name."""

        def url(role: str) -> str:
            return self.places.database_url(role).replace("/atelier?", f"/{name}?")

        owner = url(f"{self.service}_owner")
        return Urls(url(self.service), owner, postgres.admin_url(self.places, name))

    async def migrate(self) -> None:
        """Makes the template."""
        await postgres.bootstrap(self.places, self._name)
        folder: Path = ROOT / "services" / self.service / "migrations"
        await migrate(self.urls(self._name).owner, self.service, folder)

    async def fresh(self) -> Urls:
        """Returns an empty copy. It has the same name every time: the last test's is gone."""
        name = f"{self.service}_copy"
        await copy(postgres.admin_url(self.places, "postgres"), self._name, name)
        return self.urls(name)


async def template(places: Layout, service: str) -> Template:
    """Makes the template of a service."""
    made = Template(places, service)
    await made.migrate()
    return made
