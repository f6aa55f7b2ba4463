"""The processor that the engine serves with is the one that training measures with."""

from inference.engine.segmentation.request import SCORE_MIN
from inference.engine.segmentation.segmenter import CONFIG_NAME, PROMPTS_MAX, Segmenter
from inference.engine.segmentation.segmenter import Planes as Found

__all__ = ["CONFIG_NAME", "PROMPTS_MAX", "SCORE_MIN", "Found", "Segmenter"]
