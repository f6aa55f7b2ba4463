"""SAM3 in its own size, where there is a card; see ``full_segmenter``."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from deploy.local.layout import ROOT, environment_bin
from tests.cards import card, missing

SECONDS = 600
CARD_GB = 16


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    if why := missing(CARD_GB, card()):
        pytest.skip(f"SAM3 in its own size was NOT built: {why}")
    checks = subprocess.run(
        [environment_bin(".venv-models") / "python", "-m", "tests.unit.inference.full_segmenter"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert checks.returncode == 0, checks.stderr
    return dict(json.loads(checks.stdout))


@pytest.mark.timeout(SECONDS)
def test_sam3_in_its_own_size_is_saved_loaded_and_asked(seen: dict[str, Any]) -> None:
    assert 0.8 < seen["billions"] < 0.9
    assert seen["languages"] == ["en"]
    assert seen["answers"] == 12
    assert seen["masks"] == [200, 288, 288]
    assert seen["semantic"] == [1_024, 1_024]
    assert seen["sound"]
    # 288, 144 and 72 cells a side, 256 wide, two bytes each.
    assert seen["embedding_bytes"] == 2 * 256 * (288**2 + 144**2 + 72**2)


def test_the_second_prompt_on_a_picture_spares_its_encoder(seen: dict[str, Any]) -> None:
    assert seen["second_prompt_to_first"] < 0.6
