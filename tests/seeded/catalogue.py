"""Bugs of money and of the queue that the machines must catch."""

from __future__ import annotations

from tests.seeded.bug import Bug, Code, Dropped, Routine, Substitution, Text

_SERVICE = "services.accounts.credits.service"
_STORE = "services.accounts.credits.store"
_DOMAIN = "services.accounts.credits.domain"
_QUEUE = "services.jobs.queue.service"
_QUEUE_SQL = "services.jobs.queue.store"
_SUBMISSION = "services.jobs.submission.service"
_JOBS = "services.jobs.domain"
_IDEMPOTENCY = "kit.database.idempotency"
_CLAIM = "jobs.claim_items"
_PUBLISH = """await self.execute(
        _PUBLISH,
        id=uuid7(),
        subject=subject,
        payload=event.SerializeToString(),
        headers=orjson.dumps(telemetry.carrier()).decode(),
    )"""
_EVENT = """{
        "id": uuid7(), "subject": subject, "payload": event.SerializeToString(), "headers": "{}"}"""


def money(name: str, *changes: Substitution) -> Bug:
    return Bug(name, "money", changes)


def jobs(name: str, *changes: Substitution) -> Bug:
    return Bug(name, "jobs", changes)


MONEY = [
    money(
        "a_hold_is_settled_twice",
        Text(
            f"{_STORE}._SETTLE",
            "ON CONFLICT DO NOTHING",
            "ON CONFLICT (item_id) DO UPDATE SET outcome = excluded.outcome",
        ),
    ),
    money(
        "the_gate_is_passed_outside_the_transaction",
        Code(
            f"{_STORE}.pass_gate",
            "    if await session.execute(_SETTLE, item_id=item_id, outcome=outcome):",
            """    from sqlalchemy import text
    async with session._connection.engine.begin() as own:
        await own.execute(text("SET LOCAL ROLE accounts_system"))
        gate = await own.execute(text(_SETTLE), {"item_id": item_id, "outcome": outcome})
    if gate.rowcount:""",
        ),
    ),
    money(
        "the_outcome_is_not_written_to_the_hold",
        Code(f"{_SERVICE}.settle", "await store.mark_hold(session, item_id, outcome)", "pass"),
    ),
    money(
        "what_was_never_held_is_captured",
        Code(f"{_SERVICE}.settle", "if outcome is Outcome.CAPTURED:", "if False:"),
    ),
    money(
        "a_release_goes_to_the_newest_lot",
        Text(
            f"{_STORE}._PARTS",
            "part.lot_id, lot.pool",
            """(SELECT other.id FROM lot AS other WHERE other.owner_id = lot.owner_id
                ORDER BY other.id DESC LIMIT 1) AS lot_id, lot.pool""",
        ),
    ),
    money(
        "a_release_gives_twice",
        Text(f"{_STORE}._GIVE", "remaining + :amount", "remaining + 2 * :amount"),
    ),
    money(
        "a_failed_item_is_captured",
        Code(
            "services.accounts.credits.events.item_finished",
            "event.outcome == events_pb2.ITEM_OUTCOME_SUCCEEDED",
            "event.outcome != events_pb2.ITEM_OUTCOME_CANCELED",
        ),
    ),
    money(
        "an_expiry_is_lost",
        Text(
            f"{_STORE}._INSERT_LOT",
            ":expires_at",
            "CASE WHEN false THEN CAST(:expires_at AS timestamptz) END",
        ),
    ),
    money(
        "lapsed_lots_are_spent",
        Code(f"{_DOMAIN}.spendable", "lot.expires_at > now", "lot.expires_at"),
    ),
    money(
        "lots_lapse_before_their_time",
        Text(f"{_STORE}._LAPSED", "expires_at <= app_now()", "expires_at IS NOT NULL"),
        Code(f"{_SERVICE}.lapse", "or lot.expires_at > now", ""),
    ),
    money(
        "what_lay_in_a_lapsed_lot_comes_back_with_a_release",
        Code(f"{_SERVICE}._revive", "if lot.remaining:", "if False:"),
    ),
    money(
        "a_lapsed_lot_gets_no_grace",
        Code(
            f"{_SERVICE}._revive",
            "await store.extend(session, lot.id, now + LAPSED_GRACE)",
            "pass",
        ),
    ),
    money(
        "a_grace_does_not_end",
        Code(f"{_SERVICE}._revive", "now + LAPSED_GRACE", "now + 100 * LAPSED_GRACE"),
    ),
    money(
        "purchased_credits_are_spent_first",
        Code(f"{_DOMAIN}.spendable", "POOLS.index(lot.pool)", "-POOLS.index(lot.pool)"),
    ),
    money(
        "what_lapses_first_is_not_spent_first",
        Code(f"{_DOMAIN}.spendable", "lot.expires_at or never, lot.id", "lot.id"),
    ),
    money(
        "a_second_hold_of_a_job_takes_again",
        Code(f"{_SERVICE}.hold", "if await store.holds(session, owner_id, job_id):", "if False:"),
    ),
    money(
        "a_tombstone_is_ignored",
        Code(
            f"{_SERVICE}.hold",
            "if await store.settled_items(session, [line.item_id for line in lines]):",
            "if False:",
        ),
    ),
    money(
        "hold_and_settlement_of_a_job_do_not_exclude_each_other",
        Text(
            f"{_STORE}._LOCK_JOB",
            "pg_advisory_xact_lock(hashtextextended(CAST(:job_id AS uuid)::text, 0))",
            "CAST(:job_id AS uuid)",
        ),
    ),
    money(
        "the_balance_is_read_without_a_lock",
        Text(f"{_STORE}._LOCK_WALLET", "FOR UPDATE", ""),
    ),
    money(
        "the_second_item_is_free",
        Code(f"{_DOMAIN}.split", "_take(lots, lines)", "_take(lots, lines[:1])"),
    ),
    money(
        "a_lot_goes_below_zero",
        Dropped("constraint", "accounts.lot.lot_remaining_check"),
        Code(f"{_DOMAIN}._take", "min(wanted, remaining[current])", "wanted"),
    ),
    money(
        "an_entry_has_one_side",
        Dropped("trigger", "accounts.entry.entry_balanced"),
        Code(
            f"{_SERVICE}._Booking.house",
            'self._add(target, kind, lot_id, amount, f"{key}:{target}", None, **about)',
            "",
        ),
    ),
    money("entries_can_be_changed", Dropped("trigger", "accounts.entry.entry_append_only")),
    money("a_work_is_paid_twice", Dropped("index", "accounts.hold_work")),
    money(
        "a_grant_is_given_twice",
        Text(f"{_STORE}._INSERT_LOT", ":idem_key)", ":idem_key || clock_timestamp())"),
        Code(f"{_SERVICE}.grant", "{given.idem_key}", "{lot_id}"),
    ),
    money(
        "a_key_is_not_scoped_to_its_caller",
        Code(
            f"{_IDEMPOTENCY}.Key.columns",
            '"principal": self.principal',
            '"principal": uuid.UUID(int=0)',
        ),
    ),
    money(
        "a_key_answers_for_another_request",
        Code(
            f"{_IDEMPOTENCY}.replay",
            'if bytes(seen["fingerprint"]) != key.fingerprint:',
            "if False:",
        ),
    ),
    money(
        "the_inbox_is_skipped",
        Code(
            "kit.consumer._once",
            "if await session.execute(_RECEIVE, id=event_id, subject=message.subject):",
            "if True:",
        ),
    ),
    money(
        "what_lapses_is_taken_from_the_balance_twice",
        Code(f"{_SERVICE}._Booking.lot", "amount if spendable else 0", "amount"),
    ),
]

JOBS = [
    jobs(
        "a_report_is_not_fenced",
        Text(f"{_QUEUE_SQL}._LEASED", "token = :token", "CAST(:token AS bigint) IS NOT NULL"),
    ),
    jobs(
        "progress_of_a_stale_token_is_noted",
        Code(
            f"{_QUEUE}.progress",
            "job, item = await _hold_lease(session, lease)",
            """current = await store.item(session, lease.item_id)
    job, item = await _hold_lease(session, Lease(lease.item_id, current["token"]))""",
        ),
    ),
    jobs(
        "a_heartbeat_extends_a_lost_lease",
        Text(f"{_QUEUE_SQL}._HEARTBEAT", "item.token = lease.token", "lease.token IS NOT NULL"),
    ),
    jobs(
        "a_token_is_used_again",
        Routine(_CLAIM, "nextval('fence')", "coalesce(item.token, nextval('fence'))"),
    ),
    jobs(
        "the_end_of_a_lease_does_not_fence",
        Text(f"{_QUEUE_SQL}._LEASED", "state = 'running'", "state IN ('running', 'queued')"),
    ),
    jobs(
        "the_living_are_swept",
        Text(f"{_QUEUE_SQL}._LOCK_EXPIRED", "AND item.lease_until < app_now()", ""),
        Text(f"{_QUEUE_SQL}._STILL_EXPIRED", "AND lease_until < app_now()", ""),
    ),
    jobs(
        "a_claim_ignores_the_limit",
        Routine(_CLAIM, "least(remaining, wanted.workers_max - running)", "remaining"),
    ),
    jobs(
        "claims_do_not_wait_for_each_other",
        Routine(_CLAIM, "PERFORM FROM category ORDER BY name FOR NO KEY UPDATE;", ""),
    ),
    jobs(
        "a_claim_ignores_the_delay",
        Routine(_CLAIM, "AND runnable.run_at <= app_now()", ""),
    ),
    jobs(
        "the_newest_are_served_first",
        Routine(_CLAIM, "runnable.tag, runnable.id", "runnable.tag DESC, runnable.id"),
    ),
    jobs(
        "older_limits_win",
        Text(f"{_QUEUE_SQL}._UPSERT_CATEGORY", "WHERE category.revision < :revision", ""),
    ),
    jobs(
        "an_item_is_tried_once_too_often",
        Code(f"{_JOBS}.RetryPolicy.delay", "counted >= self", "counted > self"),
    ),
    jobs(
        "infra_failures_are_charged_to_the_budget",
        Code(
            f"{_JOBS}.RetryPolicy.delay",
            "attempts - min(infra_failures, self.infra_failures_max)",
            "attempts",
        ),
    ),
    jobs(
        "infra_failures_are_not_counted",
        Code(
            f"{_QUEUE}._retry_or_fail",
            "infra=failure is FailureClass.INFRA",
            "infra=False",
        ),
    ),
    jobs(
        "attempts_are_forgotten",
        Text(f"{_QUEUE_SQL}._REQUEUE", "progress = 0", "progress = 0, attempts = 0"),
    ),
    jobs(
        "a_canceled_item_is_tried_again",
        Code(f"{_QUEUE}._retry_or_fail", 'if item["cancel_requested"]:', "if False:"),
    ),
    jobs(
        "a_cancel_does_not_reach_the_worker",
        Code(
            f"{_SUBMISSION}.cancel",
            'await queue.request_cancel(session, [item["id"] for item in running])',
            "pass",
        ),
    ),
    jobs(
        "a_cancel_comes_after_the_finish",
        Code(f"{_SUBMISSION}.cancel", "open_items(await", "list(await"),
    ),
    jobs(
        "a_claim_slips_through_a_cancel",
        Code(
            f"{_SUBMISSION}.cancel",
            "await store.lock_items(session, job_id)",
            "await store.items(session, [job_id])",
        ),
    ),
    jobs(
        "a_canceled_submission_is_queued",
        Code(f"{_SUBMISSION}.enqueue", 'if job["cancel_requested"]:', "if False:"),
    ),
    jobs(
        "a_job_that_ended_is_driven_again",
        Code(f"{_SUBMISSION}.enqueue", 'if job["state"] != State.CREATED:', "if False:"),
    ),
    jobs(
        "a_refusal_keeps_the_key",
        Code(f"{_SUBMISSION}.refuse", "await idempotency.free(session, key)", "pass"),
    ),
    jobs(
        "a_refusal_keeps_the_job",
        Code(
            f"{_SUBMISSION}.refuse", "if await store.delete_created(session, job_id):", "if True:"
        ),
    ),
    jobs(
        "a_job_ends_with_its_first_item",
        Code(f"{_JOBS}.job_end", "if not states <= FINAL:", "if not states & FINAL:"),
    ),
    jobs(
        "a_canceled_item_is_not_told",
        Code(
            "services.jobs.settle.end_items",
            "await session.publish(",
            "state is State.CANCELED or await session.publish(",
        ),
    ),
    jobs(
        "events_leave_after_the_commit",
        Code(
            "kit.database.session.Session.publish",
            _PUBLISH,
            f"self.__dict__.setdefault('late', []).append({_EVENT})",
        ),
        Code(
            "kit.database.engine.Database.transaction",
            "    if session.has_published:",
            """    from kit.database.session import _PUBLISH
    for late in session.__dict__.get("late", ()):
        async with self._engine.begin() as own:
            await own.execute(text(_PUBLISH), late)
    if session.has_published:""",
        ),
    ),
    jobs(
        "events_leave_in_a_transaction_of_their_own",
        Code(
            "kit.database.session.Session.publish",
            _PUBLISH,
            f"""async with self._connection.engine.begin() as own:
        await own.execute(text(_PUBLISH), {_EVENT})""",
        ),
    ),
    jobs(
        "a_step_is_run_by_two",
        Code(f"{_QUEUE}.begin_step", 'step["is_held"] and', "False and"),
    ),
    jobs(
        "a_finished_step_is_run_again",
        Code(f"{_QUEUE}.begin_step", 'step["output_json"] is not None:', "False:"),
    ),
    jobs(
        "a_jobs_key_is_not_scoped_to_its_caller",
        Code(
            f"{_IDEMPOTENCY}.Key.columns",
            '"principal": self.principal',
            '"principal": uuid.UUID(int=0)',
        ),
    ),
]

CATALOGUE = {bug.name: bug for bug in [*MONEY, *JOBS]}
