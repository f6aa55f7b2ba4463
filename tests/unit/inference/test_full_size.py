"""The real architectures: their sizes everywhere, their pictures where there is a card for them."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from typing import Any

import pytest

from deploy.local.layout import ROOT, environment_bin
from tests.cards import card, missing

RUN_SECONDS = 1_500
CARD_GB, DISK_GB = 80, 60  # Flux takes 34 GB, SDXL with its ControlNet 10, both at once on the disk


def test_the_configurations_are_those_of_the_published_models(found: dict[str, Any]) -> None:
    assert found["full_size"] == {
        "unet": pytest.approx(2_567, rel=0.01),
        "controlnet": pytest.approx(1_251, rel=0.01),
        "text_encoder": pytest.approx(123, rel=0.01),
        "text_encoder_2": pytest.approx(695, rel=0.01),
        "vae": pytest.approx(83.7, rel=0.01),
        "transformer": pytest.approx(11_902, rel=0.01),
        "long_prompt": 77,
        "short_prompt": 77,
    }


@pytest.mark.timeout(RUN_SECONDS)
def test_full_size_models_build_save_load_and_draw() -> None:
    if why := missing(CARD_GB, card()):
        pytest.skip(f"SDXL, ControlNet and Flux at full size were NOT run: {why}")
    if (free := shutil.disk_usage(tempfile.gettempdir()).free / 1e9) < DISK_GB:
        pytest.skip(f"models at full size were NOT run: {free:.0f} of {DISK_GB} GB of disk free")
    ran = subprocess.run(
        [environment_bin(".venv-models") / "python", "-m", "tests.unit.inference.full_size"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert [end[0] for end in found["ends"]] == ["PICTURE"] * 4
    assert {tuple(end[1]) for end in found["ends"]} == {(1_024, 1_024, 3)}
    assert found["bytes"]["flux"] > 20e9
