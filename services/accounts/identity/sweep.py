"""What is left of sessions that nobody can go on with."""

from __future__ import annotations

from collections.abc import Mapping

from kit.database import Database
from kit.identity import system
from kit.sweeper import Sweep
from services.accounts.identity import store

# A token is good for 7 days. A spent one still tells a thief's use by then, and for longer which
# session is to end where somebody signs out with it.
TOKENS_KEPT_DAYS = 30
BATCH_MAX = 1_000


def sweeps(database: Database) -> Mapping[str, Sweep]:
    """Returns the sweeps of sessions by name."""
    house = system(database.role)

    async def sessions() -> int:
        return await database.write(house, store.forget_tokens, TOKENS_KEPT_DAYS, BATCH_MAX)

    return {"sessions": sessions}
