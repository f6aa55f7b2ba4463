"""Every bug of the catalogue is caught by its stored sequence, which says nothing without it."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from tests.machines import explore
from tests.machines.ground import Ground, in_own_loop
from tests.machines.stage import Stage
from tests.seeded import search
from tests.seeded.bug import Bug, Code, Dropped, Routine, TargetGone, Text
from tests.seeded.catalogue import CATALOGUE

RACES_MAX = 50


@pytest.mark.parametrize("name", CATALOGUE)
async def test_a_seeded_bug_is_caught(stage: Stage, name: str) -> None:
    bug, stored = CATALOGUE[name], search.load()[name]
    assert await search.play(stage, bug.plays, stored["program"]) is None
    async with bug.applied(stage.admin):
        try:
            caught = await caught_by(stage, bug, stored["program"])
        finally:
            await stage.reset()
    assert caught == stored["caught_by"]


async def caught_by(stage: Stage, bug: Bug, program: search.Program) -> str | None:
    """Plays until the bug is caught; two who have to meet for that do not meet every time."""
    races = any(step["do"] == "at_once" for step in program)
    for _ in range(RACES_MAX if races else 1):
        if caught := await search.play(stage, bug.plays, program):
            return caught
    return None


@pytest.mark.parametrize("name", search.regressions())
async def test_what_a_machine_once_found_stays_mended(stage: Stage, name: str) -> None:
    stored = search.regressions()[name]
    assert await search.play(stage, stored["plays"], stored["program"]) is None


def test_no_sequence_is_stored_for_a_bug_that_is_not_in_the_catalogue() -> None:
    assert search.load().keys() == CATALOGUE.keys()


@pytest.mark.parametrize(
    "gone",
    [
        Code("kit.consumer._twice", "a", "b"),
        Code("kit.consumer._once", "what it does not say", ""),
        Text("services.accounts.credits.store._GIVE", "what it does not say", ""),
        Routine("jobs.claim_nothing", "a", "b"),
        Routine("jobs.claim_items", "what it does not say", ""),
        Dropped("constraint", "accounts.lot.no_such_check"),
        Dropped("index", "accounts.no_such_index"),
        Dropped("trigger", "accounts.entry.no_such_trigger"),
    ],
)
async def test_a_bug_whose_target_is_gone_is_noticed(
    stage: Stage, gone: Code | Text | Routine | Dropped
) -> None:
    with pytest.raises(TargetGone):
        async with Bug("gone", "money", [gone]).applied(stage.admin):
            pass


@pytest.mark.skipif(not explore.DEEP_SECONDS, reason="searching takes long: make deep")
@pytest.mark.timeout(0)
def test_bugs_are_found_by_searching(machines: Ground) -> None:
    """Prints what it finds; with DEEP_WRITE it is stored in place of what was."""

    def find(runner: asyncio.Runner) -> list[str]:
        survivors = []
        with explore.stage(runner, machines) as stage:
            for chosen in explore.seeds("bugs"):
                bug = CATALOGUE[sorted(CATALOGUE)[chosen % len(CATALOGUE)]]
                found = search.search(runner, stage, bug, chosen)
                print(f"{bug.name}: {json.dumps(found)}", flush=True)
                if found is None:
                    survivors.append(bug.name)
                elif os.environ.get("DEEP_WRITE"):
                    search.store(search.load() | {bug.name: found})
        return survivors

    assert in_own_loop(find) == []
