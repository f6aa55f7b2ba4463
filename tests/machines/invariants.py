"""What must hold in every schema, whatever happened: I1 to I11, each a query for its violations.

One statement per schema, so that a state machine can ask after each of its steps, and one over all
for an installation, where every schema lies in one database. ``settled`` asks for what holds only
once every event has arrived.
"""

from __future__ import annotations

import asyncpg

ITEM_FINISHED = "evt.jobs.item.finished.v1"
ATTEMPTS_MAX = 3
INFRA_FAILURES_MAX = 5
_FINAL = "('succeeded', 'failed', 'canceled', 'expired')"

_ACCOUNTS = {
    "I1 a lot's remainder is the sum of its entries": """
        SELECT lot.id FROM accounts.lot
        LEFT JOIN accounts.entry ON entry.lot_id = lot.id AND account = 'lot'
        GROUP BY lot.id HAVING lot.remaining <> coalesce(sum(entry.amount), 0)""",
    "I2 an item gives no more back to a lot than it took": """
        SELECT item_id FROM accounts.entry WHERE account = 'lot' AND item_id IS NOT NULL
        GROUP BY item_id, lot_id HAVING sum(amount) > 0""",
    "I3 a hold has at most one settlement, and that is its outcome": """
        SELECT item_id FROM accounts.hold FULL JOIN accounts.settlement USING (item_id)
        WHERE hold.outcome IS DISTINCT FROM settlement.outcome
          AND NOT (hold.item_id IS NULL AND settlement.outcome = 'released')
        UNION ALL
        SELECT item_id FROM accounts.settlement GROUP BY item_id HAVING count(*) > 1""",
    "I4 a released hold nets to zero in each of its lots, any other to minus its part": """
        SELECT hold.item_id FROM accounts.hold
        LEFT JOIN accounts.hold_part USING (item_id)
        LEFT JOIN (SELECT item_id, lot_id, sum(amount) AS amount FROM accounts.entry
                   WHERE account = 'lot' AND item_id IS NOT NULL GROUP BY item_id, lot_id) AS net
          ON net.item_id = hold.item_id
         AND (hold_part.lot_id IS NULL OR net.lot_id = hold_part.lot_id)
        WHERE coalesce(net.amount, 0) <>
          CASE WHEN hold.outcome = 'released' THEN 0 ELSE -coalesce(hold_part.amount, 0) END
        UNION ALL
        SELECT item_id FROM accounts.entry WHERE account = 'lot' AND item_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM accounts.hold_part AS part
                          WHERE part.item_id = entry.item_id AND part.lot_id = entry.lot_id)
        UNION ALL
        SELECT item_id FROM accounts.hold LEFT JOIN accounts.hold_part AS part USING (item_id)
        GROUP BY item_id HAVING hold.amount <> coalesce(sum(part.amount), 0)""",
    "I5 no key is used twice": """
        SELECT min(id::text)::uuid FROM accounts.entry GROUP BY idem_key HAVING count(*) > 1
        UNION ALL
        SELECT min(id::text)::uuid FROM accounts.lot GROUP BY idem_key HAVING count(*) > 1""",
    "I6 every transaction sums to zero": """
        SELECT transaction_id FROM accounts.entry
        GROUP BY transaction_id HAVING sum(amount) <> 0""",
    "I6 the house's accounts are what holds and lots say": """
        SELECT NULL::uuid FROM (
            SELECT coalesce(sum(amount) FILTER (WHERE account = 'held'), 0) AS held,
                   coalesce(sum(amount) FILTER (WHERE account = 'spent'), 0) AS spent,
                   coalesce(sum(amount), 0) AS everything FROM accounts.entry) AS booked,
          (SELECT coalesce(sum(amount) FILTER (WHERE outcome IS NULL), 0) AS held,
                  coalesce(sum(amount) FILTER (WHERE outcome = 'captured'), 0) AS spent
           FROM accounts.hold) AS said
        WHERE booked.held <> said.held OR booked.spent <> said.spent OR booked.everything <> 0""",
    "I10 nothing is ever below zero": """
        SELECT id FROM accounts.lot WHERE remaining < 0
        UNION ALL SELECT id FROM accounts.entry WHERE balance_after < 0""",
    "a work is paid at most once": """
        SELECT work_id FROM accounts.hold WHERE outcome IS NULL OR outcome = 'captured'
        GROUP BY work_id HAVING count(*) > 1""",
}

# An ItemFinished begins with its item's id: field 1, 36 characters.
EVENTS = f"""
    SELECT convert_from(substring(payload FROM 3 FOR 36), 'UTF8')::uuid AS item_id,
           count(*) AS times, count(DISTINCT payload) AS versions
    FROM jobs.outbox WHERE subject = '{ITEM_FINISHED}' GROUP BY 1"""

_JOBS = {
    "a job stands where its items say": f"""
        SELECT job.id FROM jobs.job JOIN jobs.item ON item.job_id = job.id GROUP BY job.id
        HAVING CASE
            WHEN NOT bool_and(item.state IN {_FINAL}) THEN
                job.state IN {_FINAL} OR (job.state = 'created') <> bool_and(item.state = 'created')
            WHEN bool_or(item.state = 'succeeded') THEN job.state <> 'succeeded'
            WHEN bool_or(item.state = 'failed') THEN job.state <> 'failed'
            WHEN bool_or(item.state = 'canceled') THEN job.state <> 'canceled'
            ELSE job.state <> 'expired' END""",
    "an item runs by a lease and a token of its own": """
        SELECT id FROM jobs.item WHERE state = 'running' AND (lease_until IS NULL OR token IS NULL)
        UNION ALL
        SELECT min(id::text)::uuid FROM jobs.item WHERE token IS NOT NULL
        GROUP BY token HAVING count(*) > 1""",
    "an item is tried no more often than it may be": f"""
        SELECT id FROM jobs.item
        WHERE attempts - least(infra_failures, {INFRA_FAILURES_MAX}) > {ATTEMPTS_MAX}""",
    "I8 an item's end is told, once and the same, and nothing else is": f"""
        SELECT item.id FROM jobs.item LEFT JOIN ({EVENTS}) AS event ON event.item_id = item.id
        WHERE (item.state IN {_FINAL}) IS DISTINCT FROM (event.item_id IS NOT NULL)
           OR event.versions > 1
           OR event.times > (SELECT 1 + count(*) FROM jobs.inbox)""",
    "a step has one output of one item of its job": """
        SELECT step.item_id FROM jobs.step JOIN jobs.item ON item.id = step.item_id
        WHERE item.job_id <> step.job_id""",
}

_ACROSS = {
    "I3 what was delivered is captured and nothing else is": """
        SELECT hold.item_id FROM accounts.hold LEFT JOIN jobs.item ON item.id = hold.item_id
        WHERE (hold.outcome = 'captured' AND item.state IS DISTINCT FROM 'succeeded')
           OR (hold.outcome = 'released' AND item.state = 'succeeded')""",
    "I7 nothing runs unpaid": f"""
        SELECT item.id FROM jobs.item LEFT JOIN accounts.hold ON hold.item_id = item.id
        WHERE item.state IN ('queued', 'running', 'succeeded')
          AND (hold.item_id IS NULL OR hold.amount <> item.credits
               OR (hold.outcome IS NOT NULL AND item.state NOT IN {_FINAL}))""",
}
_SETTLED = {
    "I7 nothing is held for what has ended": f"""
        SELECT hold.item_id FROM accounts.hold LEFT JOIN jobs.item ON item.id = hold.item_id
        WHERE hold.outcome IS NULL AND (item.id IS NULL OR item.state IN {_FINAL})""",
    "I8 what was told has arrived": f"""
        SELECT id FROM jobs.outbox WHERE subject = '{ITEM_FINISHED}'
          AND id NOT IN (SELECT event_id FROM accounts.inbox)""",
}
_WORKS = {
    "I11 a completed work has a file of its owner's": """
        SELECT work.id FROM works.work LEFT JOIN works.file ON file.id = work.file_id
        WHERE work.state = 'completed' AND work.deleted_at IS NULL
          AND (file.id IS NULL OR file.owner_id <> work.owner_id)""",
}
_WORKS_SETTLED = {
    "I11 a work ends as its item did": f"""
        SELECT item.id FROM jobs.item JOIN works.work ON work.id = item.work_id
        WHERE item.state IN {_FINAL}
          AND work.state <> CASE item.state WHEN 'succeeded' THEN 'completed'
                            WHEN 'expired' THEN 'canceled' ELSE item.state END""",
}


def _statement(queries: dict[str, str]) -> str:
    return "\nUNION ALL\n".join(
        f"SELECT $q${name}$q$ AS name, broken.id::text AS id FROM ({sql}) AS broken (id)"
        for name, sql in queries.items()
    )


ACCOUNTS = _statement(_ACCOUNTS)
JOBS = _statement(_JOBS)
ACROSS = _statement(_ACROSS)


async def violations(connection: asyncpg.Connection, *, settled: bool = False) -> list[str]:
    """Asks a running installation; empty: everything holds.

    Args:
        connection: To the database of all schemas, as its superuser.
        settled: Also asks for what holds only once every event has arrived.
    """
    queries = _ACCOUNTS | _JOBS | _ACROSS | _WORKS
    if settled:
        queries |= _SETTLED | _WORKS_SETTLED
    rows = await connection.fetch(_statement(queries))
    return [f"{row['name']}: {row['id']}" for row in rows]
