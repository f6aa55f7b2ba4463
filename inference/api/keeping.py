"""A product kept while everything around it is painted anew: where it is, and the proof."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from atelier.inference.v1 import inference_pb2 as pb
from numpy.typing import NDArray

from inference.api.segment_port import Segmenting
from inference.api.segment_readiness import SegmentReadiness
from inference.engine.errors import InvalidRequest, ModelFailed, UnknownModel
from inference.engine.material import Pixels
from inference.engine.pictures import files, fitting
from inference.engine.pictures.masks import Mask, union
from inference.engine.request import ImageRequest
from inference.engine.rules.colour import largest_difference
from inference.engine.rules.edges import inpaint_mask
from inference.engine.segmentation.request import Segmentation, SegmentRequest
from inference.engine.shapes import Size

CONCEPTS_MAX = 8
# Of the longer side: what is kept around a product, so that its edge is not mixed with what is
# drawn once the picture is made smaller; and over how much more painting sets in.
GROWN_SHARE, FEATHER_SHARE = 0.004, 0.008
_FIELD = "kept_concepts"


class Keeping:
    """Finds what stays as it is.

    Args:
        engine: The segmenter.
        readiness: Knows which segmenters there are.
    """

    def __init__(self, engine: Segmenting, readiness: SegmentReadiness) -> None:
        self._engine = engine
        self._readiness = readiness

    def check(self, request: pb.GenerateImageRequest) -> None:
        """Refuses what cannot be kept, before any picture is read.

        Raises:
            InvalidRequest: There are too many concepts, no picture, or a mask as well.
            UnknownModel: No segmenter is installed.
        """
        if len(request.kept_concepts) > CONCEPTS_MAX:
            raise InvalidRequest(f"{_FIELD}: {CONCEPTS_MAX} at most", field=_FIELD)
        if not request.image_key or request.mask_key:
            raise InvalidRequest(f"{_FIELD}: needs image_key, and no mask_key", field=_FIELD)
        if not self._readiness.installed:
            raise UnknownModel("no segmenter is installed", field=_FIELD)

    async def found(self, file: bytes, concepts: Sequence[str]) -> Segmentation:
        """What the concepts name in a picture.

        Args:
            file: The picture's file.
            concepts: What stays as it is, 1 to 8.

        Raises:
            EngineError: As the segmenter says.
        """
        try:
            return await self._engine.segment(SegmentRequest(file, tuple(concepts)))
        except InvalidRequest as error:
            error.field = (error.field or "").replace("concepts", _FIELD, 1) or "image_key"
            raise
        except ModelFailed:
            self._readiness.doubt()
            raise


def proof(asked: ImageRequest, png: bytes) -> pb.ProtectionProof:
    """Compares the kept pixels of a finished picture's file with those it was made from.

    Args:
        asked: With a picture and the mask of what was painted anew.
        png: The file.
    """
    assert asked.image
    assert asked.mask
    pixels = files.decode(png).pixels
    size = Size(pixels.shape[1], pixels.shape[0])
    before = fitting.covering(asked.image, size)
    mask = fitting.stretched(asked.mask, asked.image.width, asked.image.height)
    kept = fitting.covering(mask, size) == 0
    now, then = pixels[kept], before[kept]
    return pb.ProtectionProof(
        protected_pixels=len(now),
        changed_pixels=int((now != then).any(-1).sum()),
        result_delta_e=largest_difference(now, then),
    )


def painted(answer: Segmentation, image: Pixels) -> Pixels:
    """What is painted anew: everything but what the concepts name.

    Args:
        answer: What they name in the picture's file.
        image: What was read from that.

    Returns:
        One band of the size of ``image``: 0 is kept, 255 is painted anew.

    Raises:
        InvalidRequest: A concept is not in the picture; names it.
    """
    for at, found in enumerate(answer.found):
        if not found.union.area:
            message = f"{found.concept!r} was not found in the picture"
            raise InvalidRequest(message, field=f"{_FIELD}[{at}]")
    kept = union((found.union.mask() for found in answer.found), answer.height, answer.width)
    longer = max(image.width, image.height)
    grown, feather = math.ceil(GROWN_SHARE * longer), math.ceil(FEATHER_SHARE * longer)
    anew = inpaint_mask(_scaled(kept, image.width, image.height), grown, feather)
    return Pixels(image.width, image.height, 1, anew.tobytes())


def _scaled(kept: Mask, width: int, height: int) -> Mask:
    """A mask of another size; a pixel of which any part was kept is kept."""
    whole: NDArray[np.uint8] = kept.whole()
    if (kept.width, kept.height) != (width, height):
        resized = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        whole = np.asarray(resized, np.uint8)
    return Mask.of(whole)
