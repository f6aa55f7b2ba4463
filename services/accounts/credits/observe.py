"""What the ledger shows to operators."""

from __future__ import annotations

from kit import metrics
from kit.database import ReadSession

_HOLDS = """
    SELECT count(*) AS open,
           coalesce(extract(epoch FROM app_now() - min(created_at)), 0)::float8 AS oldest_seconds
    FROM hold WHERE outcome IS NULL
"""
_CREDITS = """
    SELECT pool, sum(remaining)::float8 AS credits FROM lot
    WHERE remaining > 0 AND (expires_at IS NULL OR expires_at > app_now()) GROUP BY pool
"""


async def ledger(session: ReadSession) -> None:
    """Reads the open holds, and what all wallets hold by pool."""
    holds = await session.one(_HOLDS)
    metrics.HOLDS_OPEN.set(holds["open"])
    metrics.HOLDS_OLDEST.set(holds["oldest_seconds"])
    for row in await session.all(_CREDITS):
        metrics.CREDITS.labels(row["pool"]).set(row["credits"])
