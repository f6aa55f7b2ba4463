"""What the queue shows to operators."""

from __future__ import annotations

from kit import metrics
from kit.database import ReadSession

_QUEUE = """
    SELECT category, pool, state, count(*) AS items,
           coalesce(extract(epoch FROM app_now() - min(run_at) FILTER (
               WHERE state = 'queued' AND run_at <= app_now())), 0)::float8 AS oldest_seconds
    FROM item WHERE state IN ('queued', 'running') GROUP BY category, pool, state
"""
_CREATED = """
    SELECT coalesce(extract(epoch FROM app_now() - min(created_at)), 0)::float8
    FROM job WHERE state = 'created'
"""


async def queue(session: ReadSession) -> None:
    """Reads how many items wait and run, and how long the first one waits."""
    rows = await session.all(_QUEUE)
    metrics.QUEUE_ITEMS.clear()
    metrics.QUEUE_OLDEST.clear()
    for row in rows:
        metrics.QUEUE_ITEMS.labels(row["category"], row["pool"], row["state"]).set(row["items"])
        if row["state"] == "queued":
            metrics.QUEUE_OLDEST.labels(row["category"], row["pool"]).set(row["oldest_seconds"])
    metrics.JOBS_CREATED_OLDEST.set(await session.scalar(_CREATED))
