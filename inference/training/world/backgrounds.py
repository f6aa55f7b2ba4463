"""The empty scene: a wall above the horizon, a surface below it, each with its texture."""

from __future__ import annotations

import numpy as np

from inference.training.world.sketch import FloatArray
from inference.training.world.vocabulary import Backdrop, Surface

TEXTURES = ("plain", "wood", "planks", "marble", "grass", "sand", "tiles", "bricks")


def draw_background(
    surface: Surface,
    backdrop: Backdrop,
    rng: np.random.Generator,
    *,
    width_px: int,
    height_px: int,
    horizon: float,
) -> FloatArray:
    """The empty scene, float32 (height, width, 3) 0-255; the surface begins at `horizon`."""
    y = (np.arange(height_px, dtype=np.float32) / height_px)[:, None]
    x = (np.arange(width_px, dtype=np.float32) / width_px)[None]
    lamp = np.float32(rng.uniform(0.15, 0.85))
    top, low = np.asarray(backdrop.rgb_top, np.float32), np.asarray(backdrop.rgb_low, np.float32)
    wall = top + (low - top) * (y / horizon).clip(0, 1)[..., None]
    wall = wall + _texture(backdrop.texture, x, y, rng)[..., None]
    wall = wall * (1.07 - 0.22 * np.sqrt((x - lamp) ** 2 + (y - 0.2) ** 2))[..., None]
    wall = wall * (1 - 0.12 * np.exp(-((horizon - y).clip(0, 1)) / 0.025))[..., None]
    depth = ((y - horizon) / (1 - horizon)).clip(0, 1)
    grain = _texture(surface.texture, x, depth, rng)[..., None]
    ground = np.asarray(surface.rgb, np.float32) + grain
    pool = np.exp(-((x - lamp) ** 2) / 0.12 - (depth - 0.55) ** 2 / 0.3)  # light on the surface
    ground = ground * (0.84 + 0.16 * depth + 0.12 * pool)[..., None]
    share = ((y - horizon) * height_px).clip(0, 1)[..., None]
    mixed: FloatArray = (wall * (1 - share) + ground * share).astype(np.float32)
    return mixed


def _texture(kind: str, x: FloatArray, depth: FloatArray, rng: np.random.Generator) -> FloatArray:
    """What is added to the tone, (height, width); `depth` is 0 far and 1 near, or the wall's y."""
    phase = float(rng.uniform(0, 6))
    if kind == "plain":
        return 0 * (x + depth)
    if kind == "wood":
        planks = np.sin(26 * np.log1p(3 * depth) + np.sin(x * 7 + phase) * 1.2)
        return 6 * planks + 3 * np.sin(x * 4 + 40 * depth + phase)
    if kind == "marble":
        bend = np.sin(x * 5 + depth * 4 + phase + np.sin(depth * 6 + x * 3) * 1.1)
        return -24 * np.exp(-np.abs(bend) * 11)
    if kind == "grass":
        blades = np.sin(x * 70 + phase + 3 * np.sin(depth * 17)) * np.sin(depth * 30 + x * 9)
        return 9 * blades * (0.4 + depth)
    if kind == "sand":
        return 5 * np.sin(22 * np.log1p(2 * depth) + np.sin(x * 5 + phase) * 1.8)
    return _laid(kind, x, depth, phase)


def _laid(kind: str, x: FloatArray, depth: FloatArray, phase: float) -> FloatArray:
    """Things laid side by side: boards and tiles that run to a vanishing point, rows of bricks."""
    if kind == "bricks":
        row = np.floor(depth * 17)
        across = np.mod(x * 8 + 0.5 * np.mod(row, 2) + phase, 1)
        joint = np.maximum(_seam(np.mod(depth * 17, 1), 0.07), _seam(across, 0.04))
        shade = 9 * np.sin(12.9 * row + 4.1 * np.floor(x * 8 + 0.5 * np.mod(row, 2) + phase))
        return shade * (1 - joint) + 42 * joint
    reach = (x - 0.5) / (0.55 + 0.9 * depth)
    if kind == "planks":
        board = reach * 9 + phase
        grain = 3 * np.sin(40 * depth + 5 * np.floor(board))
        return 7 * np.sin(7.7 * np.floor(board)) + grain - 42 * _seam(np.mod(board, 1), 0.05)
    far = 5 * np.log1p(2.2 * depth) + phase
    checked = np.mod(np.floor(reach * 6 + phase) + np.floor(far), 2)
    joint = np.maximum(_seam(np.mod(reach * 6 + phase, 1), 0.05), _seam(np.mod(far, 1), 0.06))
    return 12 * checked - 6 - 34 * joint


def _seam(part: FloatArray, width: float) -> FloatArray:
    """1 on the joint at both ends of a unit cell, falling to 0 over `width`."""
    return (1 - np.minimum(part, 1 - part) / np.float32(width)).clip(0, 1)
