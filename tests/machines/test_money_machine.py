"""Any sequence of movements keeps the invariants, and every wallet shows what the model says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.machines import explore
from tests.machines.ground import Ground, in_own_loop
from tests.machines.money import MoneyPlay
from tests.machines.stage import Stage, Step

PLAYS, STEPS_MIN = 290, 12_500
WALLET = st.integers(0, 1)
NUMBER = st.integers(0, 11)
POOL = st.sampled_from(["subscription", "purchased"])
PRICES = st.lists(st.integers(0, 9), min_size=1, max_size=3)
OUTCOME = st.sampled_from(["succeeded", "failed", "canceled", "expired"])
KEYS = st.integers(0, 3)

HOLD = st.fixed_dictionaries({"do": st.just("hold"), "wallet": WALLET, "prices": PRICES})
HOLD_AGAIN = st.fixed_dictionaries({"do": st.just("hold_again"), "job": NUMBER})
DELIVER = st.fixed_dictionaries(
    {
        "do": st.just("deliver"),
        "item": NUMBER,
        "outcome": OUTCOME,
        "event": st.integers(0, 1),
    }
)
GRANT_BY_ADMIN = st.fixed_dictionaries(
    {
        "do": st.just("grant_by_admin"),
        "caller": st.integers(0, 1),
        "key": KEYS,
        "wallet": WALLET,
        "amount": st.integers(1, 3),
    }
)
GRANT = st.fixed_dictionaries(
    {
        "do": st.just("grant"),
        "key": st.integers(0, 40).map(str),
        "wallet": WALLET,
        "pool": POOL,
        "amount": st.integers(1, 20),
        "hours": st.none() | st.sampled_from([12, 24, 48, 96]),
    }
)
ANY = HOLD | HOLD_AGAIN | DELIVER | DELIVER | GRANT_BY_ADMIN | GRANT


def machine_on(  # noqa: C901 (its rules are its branches)
    stage: Stage, runner: asyncio.Runner
) -> type[RuleBasedStateMachine]:
    class MoneyMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.play = MoneyPlay(stage)
            runner.run(self.play.begin())

        def step(self, step: Step) -> None:
            explore.COUNT["money"] += 1
            runner.run(self.play.step(step))

        @initialize(amounts=st.lists(st.integers(5, 20), min_size=4, max_size=4))
        def credits(self, amounts: list[int]) -> None:
            """Most sequences from an empty wallet would only be refused."""
            for number, amount in enumerate(amounts):
                pool = "purchased" if number < 2 else "subscription"
                hours = 24 if number == 2 else None
                given: dict[str, Any] = {"key": f"first-{number}", "amount": amount, "hours": hours}
                self.step({"do": "grant", "wallet": number % 2, "pool": pool, **given})

        @rule(step=GRANT)
        def grant(self, step: Step) -> None:
            self.step(step)

        @rule(step=GRANT_BY_ADMIN)
        def grant_by_admin(self, step: Step) -> None:
            self.step(step)

        @rule(step=HOLD)
        def hold(self, step: Step) -> None:
            self.step(step)

        @rule(step=HOLD_AGAIN)
        def hold_again(self, step: Step) -> None:
            self.step(step)

        @rule(wallet=WALLET, item=NUMBER, price=st.integers(0, 5))
        def hold_same_work(self, wallet: int, item: int, price: int) -> None:
            self.step({"do": "hold_same_work", "wallet": wallet, "item": item, "price": price})

        @rule(wallet=WALLET, prices=PRICES, outcome=OUTCOME)
        def give_up_before_the_hold(self, wallet: int, prices: list[int], outcome: str) -> None:
            self.step({"do": "give_up", "wallet": wallet, "prices": prices, "outcome": outcome})

        @rule(step=DELIVER)
        def deliver(self, step: Step) -> None:
            self.step(step)

        @rule(step=DELIVER)
        def deliver_more(self, step: Step) -> None:
            self.step(step)

        @rule(hours=st.sampled_from([1, 12, 36, 72]))
        def clock(self, hours: int) -> None:
            self.step({"do": "clock", "hours": hours})

        @rule(at_once=st.booleans())
        def lapse(self, at_once: bool) -> None:
            lapse = {"do": "lapse"}
            self.step({"do": "at_once", "times": 2, "steps": [lapse]} if at_once else lapse)

        @rule(how=st.sampled_from(["update", "delete", "truncate"]))
        def tamper(self, how: str) -> None:
            self.step({"do": "tamper", "how": how})

        @rule(wallet=WALLET, job=NUMBER)
        def look(self, wallet: int, job: int) -> None:
            self.step({"do": "look", "wallet": wallet})
            self.step({"do": "receipt", "job": job})

        @rule(step=ANY, at=st.integers(0, 24))
        def die(self, step: Step, at: int) -> None:
            self.step({"do": "dies", "at": at, "step": step})

        @rule(step=ANY, times=st.integers(2, 4))
        def same_at_once(self, step: Step, times: int) -> None:
            self.step({"do": "at_once", "times": times, "steps": [step]})

        @rule(steps=st.lists(ANY, min_size=2, max_size=3))
        def at_once(self, steps: list[Step]) -> None:
            self.step({"do": "at_once", "steps": steps})

    return MoneyMachine


@pytest.mark.timeout(0)
def test_any_sequence_of_movements_keeps_the_invariants(machines: Ground) -> None:
    def explore_money(runner: asyncio.Runner) -> None:
        with explore.stage(runner, machines) as stage:
            explore.explore("money", lambda: machine_on(stage, runner), PLAYS, STEPS_MIN)

    in_own_loop(explore_money)
