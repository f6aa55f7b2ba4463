"""A state machine over the ledger: any sequence of movements keeps the invariants.

The invariants are those of the design: I1 a lot's remainder is the sum of its entries, I2 a release
gives no more than its hold took, I3 one settlement per hold, I4 a released hold nets to zero in
each lot and a captured one to minus its price, I5 no key twice, I6 everything sums to zero.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from kit.database import Database
from kit.errors import WrongState
from kit.identity import system
from kit.testing.databases import move_clock
from services.accounts.credits import service, store
from services.accounts.credits.domain import Grant, HoldSettled, InsufficientCredits, Line, Outcome
from tests.integration.accounts.conftest import Ledger

HOUSE = system("accounts")
EXAMPLES = 40
STEPS = 30

_VIOLATIONS = {
    "I1": """
        SELECT lot.id FROM lot LEFT JOIN entry ON entry.lot_id = lot.id AND account = 'lot'
        WHERE lot.owner_id = ANY($1) GROUP BY lot.id
        HAVING lot.remaining <> coalesce(sum(entry.amount), 0)""",
    "I2": """
        SELECT item_id, lot_id FROM entry WHERE account = 'lot' AND owner_id = ANY($1)
          AND item_id IS NOT NULL GROUP BY item_id, lot_id HAVING sum(amount) > 0""",
    "I3": """
        SELECT hold.item_id FROM hold LEFT JOIN settlement USING (item_id)
        WHERE owner_id = ANY($1) AND hold.outcome IS DISTINCT FROM settlement.outcome""",
    "I4": """
        SELECT hold.item_id FROM hold LEFT JOIN entry
          ON entry.item_id = hold.item_id AND account = 'lot'
        WHERE hold.owner_id = ANY($1) GROUP BY hold.item_id, hold.amount, hold.outcome
        HAVING coalesce(sum(entry.amount), 0) <>
          CASE WHEN hold.outcome = 'released' THEN 0 ELSE -hold.amount END""",
    "I5": """
        SELECT idem_key FROM entry WHERE owner_id = ANY($1)
        GROUP BY idem_key HAVING count(*) > 1""",
    "I6": """
        SELECT transaction_id FROM entry WHERE owner_id = ANY($1)
        GROUP BY transaction_id HAVING sum(amount) <> 0""",
    "the held account is what open holds hold": """
        SELECT 1 WHERE (SELECT coalesce(sum(amount), 0) FROM entry
                        WHERE account = 'held' AND owner_id = ANY($1))
          <> (SELECT coalesce(sum(amount), 0) FROM hold
              WHERE outcome IS NULL AND owner_id = ANY($1))""",
}


def machine_over(  # noqa: C901 (its rules are its branches)
    ledger: Ledger, runner: asyncio.Runner
) -> type[RuleBasedStateMachine]:
    class LedgerMachine(RuleBasedStateMachine):
        holds: Bundle[tuple[uuid.UUID, Line]] = Bundle("holds")
        settled: Bundle[tuple[uuid.UUID, Line]] = Bundle("settled")

        def __init__(self) -> None:
            super().__init__()
            self.owners = [uuid.uuid4(), uuid.uuid4()]
            self.shift = dt.timedelta()
            self.granted = 0
            self.database = Database(ledger.serving_url, 2)
            self.connection = runner.run(asyncpg.connect(ledger.admin_url))
            runner.run(self.connection.execute("SET search_path = accounts"))
            runner.run(move_clock(ledger.owner_url, self.shift))
            for owner in self.owners:
                runner.run(self.database.write(HOUSE, service.open_wallet, owner))

        @initialize(pools=st.permutations(["subscription", "purchased"]))
        def begin_with_credits(self, pools: list[str]) -> None:
            """Most sequences from an empty wallet would only be refused."""
            for who, pool in enumerate(pools):
                self.grant(who, pool, 15, None, False)
                self.grant(who, "purchased", 10, 2, False)

        def teardown(self) -> None:
            runner.run(self.connection.close())
            runner.run(self.database.__aexit__())

        @rule(
            who=st.integers(0, 1),
            pool=st.sampled_from(["subscription", "purchased"]),
            amount=st.integers(1, 20),
            days=st.none() | st.integers(1, 5),
            twice=st.booleans(),
        )
        def grant(self, who: int, pool: str, amount: int, days: int | None, twice: bool) -> None:
            now = dt.datetime.now(dt.UTC) + self.shift
            expires_at = None if days is None else now + dt.timedelta(days=days)
            given = Grant(self.owners[who], amount, pool, expires_at, "test", str(uuid.uuid4()))
            for _ in range(2 if twice else 1):
                runner.run(self.database.write(HOUSE, service.grant, given))

        @rule(
            target=holds,
            who=st.integers(0, 1),
            amount=st.integers(0, 12),
            twice=st.booleans(),
        )
        def hold(self, who: int, amount: int, twice: bool) -> Any:
            job, line = uuid.uuid4(), Line(uuid.uuid4(), uuid.uuid4(), amount)
            owner = self.owners[who]
            available = runner.run(self.database.read(HOUSE, store.available, owner))
            try:
                for _ in range(2 if twice else 1):
                    runner.run(self.database.write(HOUSE, service.hold, job, owner, [line]))
            except InsufficientCredits:
                assert amount > available
                return multiple()
            assert amount <= available
            return job, line

        @rule(target=settled)
        def give_up_before_the_hold(self) -> tuple[uuid.UUID, Line]:
            job, line = uuid.uuid4(), Line(uuid.uuid4(), uuid.uuid4(), 5)
            settle = (service.settle, job, line.item_id, Outcome.RELEASED, "early")
            runner.run(self.database.write(HOUSE, *settle))
            hold = self.database.write(HOUSE, service.hold, job, self.owners[0], [line])
            with pytest.raises(WrongState):
                runner.run(hold)
            return job, line

        @rule(
            target=settled,
            held=consumes(holds),
            outcome=st.sampled_from(list(Outcome)),
            twice=st.booleans(),
        )
        def settle(
            self, held: tuple[uuid.UUID, Line], outcome: Outcome, twice: bool
        ) -> tuple[uuid.UUID, Line]:
            job, line = held
            settle = (service.settle, job, line.item_id, outcome, "test")
            for _ in range(2 if twice else 1):
                runner.run(self.database.write(HOUSE, *settle))
            return held

        @rule(held=settled, outcome=st.sampled_from(list(Outcome)))
        def settle_again(self, held: tuple[uuid.UUID, Line], outcome: Outcome) -> None:
            job, line = held
            try:
                settle = (service.settle, job, line.item_id, outcome, "again")
                runner.run(self.database.write(HOUSE, *settle))
            except HoldSettled as refused:
                stands = refused.metadata["outcome"]
            else:
                stands = str(outcome)
            hold = runner.run(self.database.read(HOUSE, store.hold, line.item_id))
            assert hold is None or hold["outcome"] == stands

        @rule(days=st.integers(1, 4))
        def time_passes(self, days: int) -> None:
            self.shift += dt.timedelta(days=days)
            runner.run(move_clock(ledger.owner_url, self.shift))

        @rule()
        def lapse(self) -> None:
            runner.run(self.database.write(HOUSE, service.lapse))

        @invariant()
        def invariants_hold(self) -> None:
            for name, sql in _VIOLATIONS.items():
                broken = runner.run(self.connection.fetch(sql, self.owners))
                assert not broken, (name, broken)

    return LedgerMachine


def test_any_sequence_of_movements_keeps_the_invariants(ledger: Ledger) -> None:
    # In a thread of its own, since the session's loop may be running in this one.

    def run() -> None:
        with asyncio.Runner() as runner:
            run_state_machine_as_test(
                machine_over(ledger, runner),
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    # Shrinking on a real database takes longer than a test may.
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )

    with ThreadPoolExecutor(1) as threads:
        threads.submit(run).result()
