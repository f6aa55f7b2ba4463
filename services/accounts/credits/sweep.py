"""What the ledger ends by itself: lots that lapse, and holds that nobody settled."""

from __future__ import annotations

from collections.abc import Mapping

from kit.database import Database
from kit.identity import system
from kit.sweeper import Sweep
from services.accounts.credits import service


def sweeps(database: Database, overdue_seconds: float) -> Mapping[str, Sweep]:
    """Returns the sweeps of the ledger by name."""
    house = system(database.role)

    async def lots() -> int:
        return await database.write(house, service.lapse)

    async def holds() -> int:
        return await database.write(house, service.ask_after_holds, overdue_seconds)

    return {"lots": lots, "holds": holds}
