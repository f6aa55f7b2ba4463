"""Rules change what they name and nothing else, whatever the masks and however they overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.engine.errors import Canceled, InvalidRequest
from inference.engine.pictures import files as pictures
from inference.engine.pictures.masks import Mask
from inference.engine.rules import chroma
from inference.engine.rules.apply import Applied, apply, with_file
from inference.engine.rules.colour import ciede2000, largest_difference, to_lab, to_light
from inference.engine.rules.document import Document, parse
from inference.engine.rules.edges import Weights, inpaint_mask
from tests.unit.inference import exact_recolour
from tests.unit.inference.strategies import IMAGES, bits, colours, documents, picture, scenes, sides

Scene = tuple[NDArray[np.uint8], dict[str, Mask]]
# Of L: what is written in bytes is off by a quarter, the brightest yellows by a third.
LIGHTNESS_TOLERANCE = 0.75


def rule(change: dict[str, Any], *protect: str) -> Document:
    return parse({"concepts": [{"concept": "wall", **change}], "protect": list(protect)})


def covered(masks: dict[str, Mask], names: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.any([masks[name].whole() != 0 for name in names], axis=0)


def near(area: NDArray[np.bool_], px: int) -> NDArray[np.bool_]:
    """An area and all that is within so many pixels of it, in rows, columns and corners."""
    padded = np.pad(area, px)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * px + 1, 2 * px + 1))
    return np.asarray(windows.any((-1, -2)))


@settings(max_examples=250, deadline=None)
@given(scenes(), documents())
def test_a_protected_pixel_never_changes(scene: Scene, document: Document) -> None:
    before, masks = scene
    original = before.copy()
    done = apply(before, document, masks, IMAGES)
    assert np.array_equal(before, original)
    assert done.proof.changed_pixels == 0
    if not document.protect:
        assert done.proof.protected_pixels == 0
        return
    kept = covered(masks, document.protect)
    assert done.proof.protected_pixels == kept.sum()
    assert np.array_equal(done.pixels[kept], before[kept])
    if done.alpha is not None:
        assert (done.alpha[kept] == 255).all()


@settings(max_examples=120, deadline=None)
@given(scenes(), documents())
def test_nothing_changes_beyond_an_area_and_its_soft_edge(scene: Scene, document: Document) -> None:
    before, masks = scene
    done = apply(before, document, masks, IMAGES)
    free = np.ones(before.shape[:2], bool)
    if document.protect:
        free = ~covered(masks, document.protect)
    reached = np.zeros(before.shape[:2], bool)
    for change in document.changes:
        area = masks[change.concept].whole() != 0
        area = ~area if change.area == "around" else area
        reached |= near(area & free, change.feather_px)
    assert np.array_equal(done.pixels[~reached], before[~reached])
    if done.alpha is not None:
        assert (done.alpha[~reached] == 255).all()


IDENTITIES: list[dict[str, Any]] = [
    {"change": "tone"},
    {"change": "recolour", "colour": "#ff0000", "strength": 0},
    {"change": "texture", "image": "tile", "strength": 0},
]


@settings(deadline=None)
@given(scenes(), st.sampled_from(IDENTITIES), st.integers(0, 12))
def test_a_rule_that_asks_for_nothing_changes_nothing(
    scene: Scene, change: dict[str, Any], feather: int
) -> None:
    before, masks = scene
    done = apply(before, rule({**change, "feather_px": feather}), masks, IMAGES)
    assert np.array_equal(done.pixels, before)
    assert done.alpha is None


@settings(max_examples=120, deadline=None)
@given(scenes(), colours, st.floats(0.01, 1), st.integers(0, 9))
def test_a_recoloured_pixel_is_as_light_as_it_was(
    scene: Scene, colour: str, strength: float, feather: int
) -> None:
    before, masks = scene
    change = {"change": "recolour", "colour": colour, "strength": strength, "feather_px": feather}
    done = apply(before, rule(change), masks)
    off = np.abs(to_lab(done.pixels)[..., 0] - to_lab(before)[..., 0])
    assert off.max() <= LIGHTNESS_TOLERANCE


@settings(deadline=None)
@given(colours)
@example("#ffff00")
@example("#fffe00")
@example("#190019")
def test_a_colour_on_its_own_lightness_is_itself(colour: str) -> None:
    wanted = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)
    seen = chroma.painted(wanted[None, None], chroma.ramp(colour))
    assert largest_difference(seen[0], wanted[None]) < 0.7


@settings(max_examples=60, deadline=None)
@given(colours, st.integers(0, 2**32 - 1), st.sampled_from([16, 64, 256]))
@example("#ffff00", 0, 256)
@example("#0000ff", 1, 16)
@example("#190019", 2, 16)
def test_a_recoloured_pixel_is_the_exact_one_but_for_its_rounding_to_bytes(
    colour: str, seed: int, below: int
) -> None:
    chance = np.random.default_rng(seed)
    pixels = chance.integers(0, below, (40, 50, 3), dtype=np.uint8)
    share = chance.choice([0.0, 1.0, 0.5, 0.02, 0.98], (40, 50))
    made = chroma.mixed(pixels, share.astype(np.float32), chroma.ramp(colour))
    exact = exact_recolour.recoloured(pixels, colour, share)
    apart, nearest = exact_recolour.differences(made, exact), exact_recolour.of_rounding(exact)
    # Near black a byte is up to 1.1 from what it rounds.
    assert (apart <= np.maximum(1, nearest + 0.15)).all()
    whole = chroma.painted(pixels, chroma.ramp(colour))
    exact = exact_recolour.recoloured(pixels, colour, np.ones_like(share))
    apart, nearest = exact_recolour.differences(whole, exact), exact_recolour.of_rounding(exact)
    assert (apart <= np.maximum(1, nearest + 0.15)).all()
    assert np.array_equal(
        pixels, chroma.mixed(pixels, 0 * share.astype(np.float32), chroma.ramp("#123456"))
    )


@settings(max_examples=30, deadline=None)
@given(colours, st.floats(0.5, 99.5))
@example("#ffff00", 50.0)
@example("#c0c000", 96.0)
def test_a_colour_is_as_rich_as_can_be_shown_at_a_lightness(colour: str, lightness: float) -> None:
    lab = to_lab(np.frombuffer(bytes.fromhex(colour[1:]), np.uint8))
    wanted = lab[1:]
    scale = np.linspace(0, 1, 4_097)
    near = lightness + np.linspace(-0.35, 0.35, 71)
    all_of = np.empty((71, len(scale), 3))
    all_of[..., 0], all_of[..., 1:] = near[:, None], scale[:, None] * wanted
    light = to_light(all_of)
    shown = ((light >= -1e-6) & (light <= 1 + 1e-6)).all(-1)
    rich = scale[len(scale) - 1 - shown[:, ::-1].argmax(1)]
    found = chroma.shares(np.linspace(0, 100, 20_001), lab)
    (own,) = np.interp([lightness], np.linspace(0, 100, 20_001), found)
    assert rich[35] - 0.002 <= own <= rich.max() + 0.002


def test_grey_is_recoloured_to_the_hue_that_was_asked_for() -> None:
    grey = np.full((8, 8, 3), 119, np.uint8)
    mask = {"wall": Mask.of(np.ones((8, 8), bool))}
    done = apply(grey, rule({"change": "recolour", "colour": "#3366cc"}), mask)
    asked, became = to_lab(np.array([0x33, 0x66, 0xCC], np.uint8)), to_lab(done.pixels[4, 4])
    assert np.arctan2(*asked[1:]) == pytest.approx(np.arctan2(*became[1:]), abs=0.05)


def test_a_soft_edge_between_two_colours_has_no_dark_seam() -> None:
    red = np.zeros((20, 40, 3), np.uint8)
    red[..., 0] = 200
    left = np.zeros((20, 40), bool)
    left[:, :20] = True
    change = {"change": "recolour", "colour": "#00ff00", "feather_px": 8}
    done = apply(red, rule(change), {"wall": Mask.of(left)})
    lightness = to_lab(done.pixels)[10, :, 0]
    assert np.ptp(lightness) <= LIGHTNESS_TOLERANCE


@settings(deadline=None)
@given(st.data())
def test_an_edge_falls_from_all_to_nothing_and_never_rises(data: st.DataObject) -> None:
    feather, edge = data.draw(st.integers(0, 10)), data.draw(st.integers(12, 28))
    area = np.zeros((30, 40), bool)
    area[:, :edge] = True
    weights = Weights.of(Mask.of(area), False, Mask.empty(30, 40), feather).weights
    row = weights[15].astype(int)
    assert (np.diff(row) <= 0).all()
    assert row[: edge - feather].min(initial=255) == 255
    assert weights.shape[1] == edge + feather
    assert len(set(row[edge - feather :])) == 2 * feather


@settings(deadline=None)
@given(st.data())
def test_a_larger_area_is_nowhere_seen_less(data: st.DataObject) -> None:
    height, width = data.draw(sides), data.draw(sides)
    small = data.draw(bits(height, width))
    large = small | data.draw(bits(height, width))
    feather = data.draw(st.integers(0, 8))

    def seen(area: NDArray[np.bool_]) -> NDArray[np.uint8]:
        weights = Weights.of(Mask.of(area), False, Mask.empty(height, width), feather)
        out = np.zeros((height, width), np.uint8)
        box = weights.box
        out[box.y : box.y + box.height, box.x : box.x + box.width] = weights.weights
        return out

    assert (seen(small) <= seen(large)).all()


PER_PIXEL: list[dict[str, Any]] = [
    {"change": "recolour", "colour": "#2f6fb0"},
    {"change": "recolour", "colour": "#2f6fb0", "strength": 0.4},
    {"change": "tone", "temperature": 0.5, "saturation": -0.3, "contrast": 0.2},
    {"change": "replace", "colour": "#ffffff"},
]


@settings(deadline=None)
@given(scenes(), st.sampled_from(PER_PIXEL), st.data())
def test_two_halves_become_what_the_whole_becomes(
    scene: Scene, change: dict[str, Any], data: st.DataObject
) -> None:
    before, masks = scene
    cut = data.draw(st.integers(1, before.shape[1]))
    document = rule({**change, "feather_px": 0}, "floor")

    def part(columns: slice) -> NDArray[np.uint8]:
        those = {name: Mask.of(mask.whole()[:, columns]) for name, mask in masks.items()}
        return apply(np.ascontiguousarray(before[:, columns]), document, those).pixels

    whole = apply(before, document, masks).pixels
    halves = [part(slice(0, cut))] + ([part(slice(cut, None))] if cut < before.shape[1] else [])
    assert np.array_equal(np.hstack(halves), whole)


def everywhere(before: NDArray[np.uint8], change: dict[str, Any]) -> Applied:
    mask = {"wall": Mask.of(np.ones(before.shape[:2], bool))}
    return apply(before, rule({**change, "feather_px": 0}), mask, IMAGES)


def test_warmer_has_more_red_and_less_blue_and_grey_has_neither() -> None:
    before = np.full((4, 4, 3), 120, np.uint8)
    red, _, blue = everywhere(before, {"change": "tone", "temperature": 1}).pixels[0, 0]
    assert red > 120 > blue
    colourful = picture(5, 4, 4)
    grey = everywhere(colourful, {"change": "tone", "saturation": -1}).pixels.astype(int)
    assert np.ptp(grey, axis=-1).max() <= 1
    assert (everywhere(before, {"change": "tone", "brightness": 0.5}).pixels == 152).all()


def test_a_texture_lies_in_rows_and_keeps_light_and_shade() -> None:
    before = np.full((12, 21, 3), 128, np.uint8)
    before[:, 10:] = 64
    flat = everywhere(before, {"change": "texture", "image": "tile", "shading": 0}).pixels
    assert np.array_equal(flat[5:10, 7:14], IMAGES["tile"])
    lit = everywhere(before, {"change": "texture", "image": "tile"}).pixels
    assert lit[:, :10].mean() > 1.4 * lit[:, 10:].mean()


def test_what_is_removed_is_transparent_and_a_replacement_covers_it() -> None:
    before = picture(6, 10, 10)
    left = np.zeros((10, 10), bool)
    left[:, :5] = True
    masks = {"wall": Mask.of(left)}
    removed = apply(before, rule({"change": "remove", "area": "around", "feather_px": 0}), masks)
    assert removed.alpha is not None
    assert np.array_equal(removed.alpha != 0, left)
    assert np.array_equal(removed.pixels, before)
    white = {"change": "replace", "colour": "#ffffff", "area": "around", "feather_px": 0}
    again = apply(removed.pixels, rule(white), masks, alpha=removed.alpha)
    assert again.alpha is not None
    assert (again.alpha == 255).all()
    assert (again.pixels[:, 5:] == 255).all()


def test_a_blurred_background_holds_nothing_of_what_stands_before_it() -> None:
    before = np.full((40, 40, 3), 40, np.uint8)
    before[15:25, 15:25] = (255, 0, 0)
    masks = {"wall": Mask.of(before[..., 0] == 255)}
    change = {"change": "blur", "radius_px": 8, "area": "around", "feather_px": 0}
    done = apply(before, rule(change), masks)
    assert np.array_equal(done.pixels, before)


def test_changes_are_made_in_their_order() -> None:
    before, masks = picture(7, 6, 6), {"wall": Mask.of(np.ones((6, 6), bool))}
    white = {"concept": "wall", "change": "replace", "colour": "#ffffff"}
    black = {"concept": "wall", "change": "replace", "colour": "#000000"}
    done = apply(before, parse({"concepts": [white, black]}), masks)
    assert (done.pixels == 0).all()
    assert done.changed_pixels == (36, 36)


def test_a_file_proves_how_far_protected_pixels_have_moved() -> None:
    before = picture(8, 32, 32)
    half = np.zeros((32, 32), bool)
    half[:, :16] = True
    masks = {"wall": Mask.of(~half), "sofa": Mask.of(half)}
    document = rule({"change": "replace", "colour": "#000000"}, "sofa")
    done = apply(before, document, masks)
    kept, proof = done.protected, done.proof
    for name, data in (
        ("png", pictures.encode_png(done.pixels)),
        ("jpeg", pictures.encode_jpeg(done.pixels)),
    ):
        proof = with_file(proof, name, before, pictures.decode(data).pixels, kept)
    assert proof.largest_delta_e["png"] == 0
    assert proof.largest_delta_e["jpeg"] > 1
    assert (proof.protected_pixels, proof.changed_pixels) == (512, 0)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_the_largest_difference_is_found_without_looking_at_all(seed: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 256, (3000, 3), dtype=np.uint8)
    second = np.clip(first + rng.integers(-spread, spread + 1, first.shape), 0, 255)
    second = second.astype(np.uint8)
    expected = ciede2000(to_lab(first), to_lab(second)).max()
    assert largest_difference(first, second) == pytest.approx(expected, abs=1e-9)


def test_differences_are_those_that_were_published() -> None:
    """Some pairs of table 1 of Sharma, Wu and Dalal (2005)."""
    pairs = [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ]
    for first, second, expected in pairs:
        assert ciede2000(np.array(first), np.array(second)) == pytest.approx(expected, abs=1e-4)


@settings(deadline=None)
@given(st.data())
def test_a_product_that_is_kept_is_never_painted(data: st.DataObject) -> None:
    height, width = data.draw(sides), data.draw(sides)
    kept = data.draw(bits(height, width))
    grow, feather = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 8))
    paint = inpaint_mask(Mask.of(kept), grow, feather)
    assert paint.shape == (height, width)
    assert (paint[kept] == 0).all()
    assert (paint[~near(kept, grow + feather + 1)] == 255).all()
    assert (inpaint_mask(Mask.of(kept), grow + 1, feather) <= paint).all()


def test_a_product_may_be_painted_over_at_its_edge() -> None:
    kept = np.zeros((40, 40), bool)
    kept[:, 10:30] = True
    paint = inpaint_mask(Mask.of(kept), grow_px=-3, feather_px=0)
    assert (np.flatnonzero(paint[20] == 0) == np.arange(13, 27)).all()


def test_what_a_rule_needs_and_does_not_get_is_said() -> None:
    before, wall = picture(9, 6, 6), {"wall": Mask.of(np.ones((6, 6), bool))}
    plain = rule({"change": "tone", "contrast": 1}, "sofa")
    with pytest.raises(InvalidRequest, match="no mask of 'sofa'"):
        apply(before, plain, wall)
    with pytest.raises(InvalidRequest, match="is 5x5"):
        apply(before, plain, wall | {"sofa": Mask.empty(5, 5)})
    with pytest.raises(InvalidRequest, match="no picture 'tile'"):
        apply(before, rule({"change": "texture", "image": "tile"}), wall)
    with pytest.raises(Canceled):
        apply(before, rule({"change": "tone", "contrast": 1}), wall, stopped=lambda: True)
