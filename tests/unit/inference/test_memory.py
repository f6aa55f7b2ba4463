"""How a card is shared out: what is known to fit does, and rows have room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.memory import EMBEDDINGS, MODELS, SEGMENTERS, Split, split

SDXL, CONTROLNET, FLUX, SAM3 = 6_938_000_000, 2_502_000_000, 33_740_000_000, 1_700_000_000
# What the driver says that cards called so have.
L4, L40S, A100 = 24_152_000_000, 48_300_000_000, 85_100_000_000
# SDXL's, of 1,024 px: four planes of its widest layer at once, 256 channels in single precision.
DECODER = 4 * 256 * 1_024 * 1_024 * 4
NOTHING_SAID: dict[str, str] = {}


@given(st.integers(1 << 30, 1 << 40), st.sampled_from(["cuda", "cpu"]))
def test_a_third_of_any_device_is_left_for_rows(total: int, kind: str) -> None:
    shared = split(total, kind, NOTHING_SAID)
    assert shared.left >= 0.35 * total - 1
    assert shared.left + shared.models + shared.segmenters + shared.embeddings == total


def test_a_card_of_24_gb_holds_sdxl_with_both_controlnets_and_sam3_and_decodes() -> None:
    shared = split(L4, "cuda", NOTHING_SAID)
    assert shared.models >= SDXL + 2 * CONTROLNET
    assert shared.segmenters >= SAM3
    assert shared.left >= 1.9 * DECODER


def test_a_card_of_80_gb_holds_flux_and_sdxl_and_one_of_48_gb_flux_when_told_so() -> None:
    assert split(A100, "cuda", NOTHING_SAID).models >= FLUX + SDXL
    assert split(L40S, "cuda", NOTHING_SAID).models < FLUX
    told = split(L40S, "cuda", {MODELS: "34500000000"})
    assert told.models >= FLUX
    assert told.left >= 1.5 * DECODER


def test_what_is_remembered_of_pictures_is_bounded_however_large_the_card() -> None:
    assert split(1 << 40, "cuda", NOTHING_SAID).embeddings == 2 << 30
    assert split(1 << 40, "cpu", NOTHING_SAID).embeddings == 512 << 20
    assert split(8 << 30, "cuda", NOTHING_SAID).embeddings == int(0.05 * (8 << 30))


def test_a_setting_takes_the_place_of_its_share_and_an_empty_one_does_not() -> None:
    said = {MODELS: "0", SEGMENTERS: "", EMBEDDINGS: "0"}
    assert split(1_000, "cuda", said) == Split(1_000, 500, 100, 0)
    assert split(1_000, "cuda", {SEGMENTERS: "7", MODELS: "8"}) == Split(1_000, 8, 7, 50)
    assert split(1_000, "cuda", {MODELS: "980"}).left < 0
    with pytest.raises(ValueError, match="much"):
        split(1_000, "cuda", {MODELS: "much"})


def test_settings_are_the_environments_where_none_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SEGMENTERS, "9")
    assert split(1_000, "cuda").segmenters == 9
