"""A cache of features: what the depths of a UNet made is taken for the next step too.

X. Ma, G. Fang, X. Wang: DeepCache (CVPR 2024). The coarsest blocks on both sides hold 60 of SDXL's
70 transformer layers, and change least from step to step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch

from inference.engine.models.row import Row

Predict = Callable[[Sequence[Row]], list[torch.Tensor]]


class Depths:
    """The coarsest blocks of a UNet: down, middle and up.

    Args:
        unet: A ``UNet2DConditionModel`` that is not compiled.
    """

    def __init__(self, unet: Any) -> None:
        self._down, self._middle, self._up = unet.down_blocks[-1], unet.mid_block, unet.up_blocks[0]
        self._skips = len(self._down.resnets) + len(self._down.downsamplers or ())

    @contextmanager
    def heard(self, features: list[torch.Tensor]) -> Iterator[None]:
        """Adds what they make to a list."""
        handle = self._up.register_forward_hook(lambda *given: features.append(given[-1]))
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def replaced(self, features: torch.Tensor) -> Iterator[None]:
        """Has them make what they made before, at no cost."""
        self._down.forward = lambda hidden_states, **_: (hidden_states, (None,) * self._skips)
        self._middle.forward = lambda sample, *_, **__: sample
        self._up.forward = lambda **_: features
        try:
            yield
        finally:
            for block in (self._down, self._middle, self._up):
                del block.forward


def with_feature_cache(unet: Any, is_spared: Callable[[Row], bool]) -> Callable[[Predict], Predict]:
    """A lever: the steps that are spared take the features of those before them.

    Args:
        unet: That the model calls.
        is_spared: Whether a row's next step is one; never its first.
    """
    depths = Depths(unet)
    kept: WeakKeyDictionary[Row, torch.Tensor] = WeakKeyDictionary()

    def lever(predict: Predict) -> Predict:
        def fresh(rows: Sequence[Row]) -> list[torch.Tensor]:
            features: list[torch.Tensor] = []
            with depths.heard(features):
                made = predict(rows)
            lanes = [row.conditions.lanes for row in rows]
            kept.update(zip(rows, features[-1].split(lanes), strict=True))
            return made

        def spared(rows: Sequence[Row]) -> list[torch.Tensor]:
            with depths.replaced(torch.cat([kept[row] for row in rows])):
                return predict(rows)

        def cached(rows: Sequence[Row]) -> list[torch.Tensor]:
            made: dict[Row, torch.Tensor] = {}
            for work, is_in in ((fresh, False), (spared, True)):
                some = [row for row in rows if is_spared(row) is is_in]
                if some:
                    made |= zip(some, work(some), strict=True)
            return [made[row] for row in rows]

        return cached

    return lever
