"""The bench that needs a card takes every path without one, on tiny models."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deploy.local.layout import ROOT
from tests.bench import gpu
from tests.cards import Card, missing

DRY_SECONDS = 900  # only against what hangs; alone it takes half a minute


@pytest.fixture(scope="module")
def printed() -> str:
    """What a dry run prints, one figure a line."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.gpu", "--dry-run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DRY_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.timeout(DRY_SECONDS)
def test_a_dry_run_serves_users_and_arrivals_by_every_server(printed: str) -> None:
    for asked in ("1 user:", "2 users:", "Poisson arrivals:"):
        for peer in ("our engine, compiled", "diffusers", "diffusers, compiled"):
            ends = f"beside {peer}: "
            lines = [one for one in printed.splitlines() if asked in one and ends in one]
            assert len(lines) == 3, (asked, peer)
            assert all(f" x {peer}" in line for line in lines)


@pytest.mark.timeout(DRY_SECONDS)
def test_a_dry_run_pulls_every_lever_and_sees_what_it_changes(printed: str) -> None:
    speeds = [line.rpartition(": ")[0] for line in printed.splitlines() if "x as it is" in line]
    assert [name.partition("at once: ")[2] for name in speeds] == [
        "as it is",
        "compiled",
        "max-autotune-no-cudagraphs",
        "no guidance for the last 40%",
        "every other step of the middle half cached",
        "features of the depths cached for as many",
        "cut and cached",
        "compiled, cut and cached",
        "FP8",
        "FP8 and compiled",
        "all of it",
    ]
    changed = {
        name: float(value.split()[0])
        for name, _, value in (
            line.partition("changed by: ")[2].rpartition(": ")
            for line in printed.splitlines()
            if "changed by" in line
        )
    }
    assert changed.pop("nothing") == 0
    assert len(changed) == 5
    assert all(0 < apart < 128 for apart in changed.values())


@pytest.mark.timeout(DRY_SECONDS)
def test_a_dry_run_says_the_share_of_the_matmul_rate_and_sam3s_times(printed: str) -> None:
    assert "TFLOP/s" in printed
    assert printed.count("x matrices in bf16") == 2
    assert printed.count("x the first prompt") == 5


@pytest.mark.timeout(DRY_SECONDS)
def test_a_dry_run_draws_with_flux_by_our_engine_and_by_its_peer(printed: str) -> None:
    lines = [line for line in printed.splitlines() if line.startswith("gpu: Flux")]
    assert [line.partition("at once: ")[2].partition(":")[0] for line in lines] == [
        "our engine",
        "our engine, compiled",
        "diffusers",
    ]
    assert all(" x diffusers" in line for line in lines)


def test_a_card_that_is_too_small_is_named_with_what_it_has() -> None:
    small = Card("NVIDIA L4", 22.1, 23.6, "2.13.0+cu130")
    assert missing(20, small) == ""
    assert missing(40, small) == "needs a card with 40 GB free: NVIDIA L4 has 22 of 24 GB free"
    assert "none here" in missing(40, Card("", 0, 0, ""))
    assert "torch 2.13.0+cpu sees no card" in missing(40, Card("", 0, 0, "2.13.0+cpu"))


async def test_without_a_card_nothing_is_measured_and_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "card", lambda: Card("", 0.0, 0.0, ""))
    assert await gpu.bench() == []
    assert "NOT measured: needs a card" in capsys.readouterr().out
