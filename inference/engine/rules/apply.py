"""Applies a rule to a picture and proves what was left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from inference.engine.errors import Canceled, InvalidRequest
from inference.engine.pictures.masks import Bits, Mask, Runs, union
from inference.engine.rules.colour import Pixels, largest_difference
from inference.engine.rules.document import Change, Document
from inference.engine.rules.edges import Weights
from inference.engine.rules.effects import Effect, Images, Patch, effect_of

Masks = Mapping[str, Mask | Runs]
# Above this share of a rectangle its soft edges are mixed as a whole, below as a list of pixels.
_DENSE_SHARE = 0.15


@dataclass(frozen=True)
class Proof:
    """What became of the protected pixels.

    Attributes:
        protected_pixels: How many there are.
        changed_pixels: How many of them differ before encoding; 0 unless this code is broken.
        largest_delta_e: By file, the largest CIEDE2000 between them and the pixels that the file
            decodes to.
    """

    protected_pixels: int
    changed_pixels: int
    largest_delta_e: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Applied:
    """A picture after a rule.

    Attributes:
        pixels: uint8 (height, width, 3), RGB.
        alpha: uint8 (height, width), or None where nothing is transparent.
        changed_pixels: By change, on how many pixels it was seen.
        protected: What was not to change.
        proof: Of that, before encoding.
    """

    pixels: Pixels
    alpha: Bits | None
    changed_pixels: tuple[int, ...]
    protected: Mask
    proof: Proof


def apply(
    pixels: Pixels,
    document: Document,
    masks: Masks,
    images: Images | None = None,
    alpha: Bits | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Applied:
    """Makes the changes of a rule one after another.

    What is protected is taken out of every area before its edge is softened, and is never mixed
    into. A concept whose mask is empty changes nothing.

    Args:
        pixels: uint8 (height, width, 3), RGB; left as it is.
        document: The rule.
        masks: By concept, for every one that the rule names; those held as runs are unpacked one at
            a time.
        images: By name, uint8 RGB, for every one that the rule names.
        alpha: uint8 (height, width) of the picture, where it has one.
        stopped: Asked between changes; true ends the work.

    Raises:
        InvalidRequest: A mask is missing or has another size, or a picture is missing.
        Canceled: `stopped` said so.
    """
    images = images or {}
    height, width = pixels.shape[:2]
    _check(document, masks, images, height, width)
    protected = union((_unpacked(masks[name]) for name in document.protect), height, width)
    canvas = _Canvas(pixels.copy(), None if alpha is None else alpha.copy())
    seen = []
    for change in document.changes:
        go_on(stopped)
        seen.append(canvas.make(change, _unpacked(masks[change.concept]), protected, images))
    proof = Proof(protected.area, _differing(pixels, alpha, canvas, protected), {})
    return Applied(canvas.pixels, canvas.alpha, tuple(seen), protected, proof)


def go_on(stopped: Callable[[], bool]) -> None:
    """Returns where nobody has ended the work.

    Raises:
        Canceled: `stopped` says so.
    """
    if stopped():
        raise Canceled("canceled by the caller")


def with_file(proof: Proof, name: str, before: Pixels, decoded: Pixels, protected: Mask) -> Proof:
    """Adds to a proof how far the protected pixels of a decoded file are from the original.

    Args:
        proof: As far as it goes.
        name: Of the file's format.
        before: The picture before the rule.
        decoded: What the file decodes to.
        protected: What was protected.
    """
    box = protected.box
    rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    where = protected.bits != 0
    largest = largest_difference(before[rows, columns][where], decoded[rows, columns][where])
    return replace(proof, largest_delta_e={**proof.largest_delta_e, name: round(largest, 4)})


def _unpacked(mask: Mask | Runs) -> Mask:
    return mask if isinstance(mask, Mask) else mask.mask()


@dataclass(eq=False)
class _Canvas:
    """The picture as it becomes."""

    pixels: Pixels
    alpha: Bits | None

    def make(self, change: Change, area: Mask, protected: Mask, images: Images) -> int:
        """Makes one change; returns on how many pixels it is seen."""
        height, width = self.pixels.shape[:2]
        weights = Weights.of(area, change.area == "around", protected, change.feather_px)
        if weights.nothing:
            return 0
        if change.kind == "remove":
            self._remove(weights)
            return int(np.count_nonzero(weights.weights))
        effect = effect_of(change, images, height, width)
        if effect is None:
            return 0
        self._paint(effect, weights)
        return int(np.count_nonzero(weights.weights))

    def _paint(self, effect: Effect, weights: Weights) -> None:
        box = weights.box
        patch = self.pixels[box.y : box.y + box.height, box.x : box.x + box.width]
        painted = np.ascontiguousarray(effect.paint(Patch(patch, weights.weights, box)))
        if not effect.heeds_weights:
            _mix_edge(effect, patch, painted, weights.weights)
        cv2.copyTo(painted, weights.weights, patch)
        if effect.opaque and self.alpha is not None:
            seen = self.alpha[box.y : box.y + box.height, box.x : box.x + box.width]
            np.maximum(seen, weights.weights, out=seen)

    def _remove(self, weights: Weights) -> None:
        if self.alpha is None:
            self.alpha = np.full(self.pixels.shape[:2], 255, np.uint8)
        box = weights.box
        seen = self.alpha[box.y : box.y + box.height, box.x : box.x + box.width]
        np.minimum(seen, cv2.bitwise_not(weights.weights), out=seen)


def _mix_edge(effect: Effect, patch: Pixels, painted: Pixels, weights: Bits) -> None:
    """Mixes into what was painted where it is seen in part, as few pixels as that are."""
    soft = cv2.inRange(weights, 1, 254)
    edge = cv2.countNonZero(soft)
    if edge > _DENSE_SHARE * soft.size:
        cv2.copyTo(effect.mix(patch, painted, weights), soft, painted)
    elif edge:
        places, pixels = np.flatnonzero(soft != 0), painted.reshape(-1, 3)
        # As one row: OpenCV's calls begin anew with every row.
        before, after = (each.reshape(-1, 3).take(places, 0)[None] for each in (patch, pixels))
        pixels[places] = effect.mix(before, after, weights.reshape(-1).take(places)[None])[0]


def _check(document: Document, masks: Masks, images: Images, height: int, width: int) -> None:
    for concept in document.concepts:
        if concept not in masks:
            raise InvalidRequest(f"no mask of {concept!r} was given", field="masks")
        mask = masks[concept]
        if (mask.height, mask.width) != (height, width):
            raise InvalidRequest(
                f"the mask of {concept!r} is {mask.width}x{mask.height}, "
                f"the picture {width}x{height}",
                field="masks",
            )
    for name in document.images:
        if name not in images:
            raise InvalidRequest(f"no picture {name!r} was given", field="images")


def _differing(before: Pixels, alpha: Bits | None, after: _Canvas, protected: Mask) -> int:
    """How many protected pixels are not what they were, transparency included."""
    if not protected.bits.size:
        return 0
    box = protected.box
    rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    now = after.pixels[rows, columns]
    was_seen, is_seen = _alpha_of(alpha, rows, columns), _alpha_of(after.alpha, rows, columns)
    if not cv2.norm(before[rows, columns], now, cv2.NORM_INF, protected.bits) and (
        after.alpha is None or not (was_seen != is_seen)[protected.bits != 0].any()
    ):
        return 0
    differs = (before[rows, columns] != now).any(-1) | (was_seen != is_seen)
    return int(np.count_nonzero(differs[protected.bits != 0]))


def _alpha_of(alpha: Bits | None, rows: slice, columns: slice) -> Bits:
    return np.full((1, 1), 255, np.uint8) if alpha is None else alpha[rows, columns]
