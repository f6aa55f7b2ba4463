"""Jobs that find what words name in a picture."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from inference.adapters.jobs.said import Output, Said, a_file, a_list, an_object, scalars
from inference.engine.errors import InvalidRequest
from inference.engine.pictures.masks import Runs
from inference.engine.segmentation.request import Found, Segmentation, SegmentRequest

FIELDS = frozenset(field.name for field in fields(SegmentRequest)) - {"picture"} | {"image"}


def request(said: Said) -> SegmentRequest:
    """Reads what is to be found.

    Args:
        said: The fields of :class:`SegmentRequest`, but ``image`` for the picture, in base64.

    Raises:
        InvalidRequest: Names the first field that is not valid.
    """
    said = an_object(said, FIELDS, "input")
    concepts = tuple(a_list(said.get("concepts"), "concepts"))
    for at, concept in enumerate(concepts):
        if not isinstance(concept, str):
            raise InvalidRequest(f"concepts[{at}]: must be text", field=f"concepts[{at}]")
    asked = SegmentRequest(
        picture=a_file(said.get("image"), "image"),
        concepts=concepts,
        **scalars(SegmentRequest, said),
    )
    asked.check()
    return asked


def output(found: Segmentation) -> Output:
    """What was found; masks are COCO's compressed runs of the upright picture."""
    return {
        "segmentation": {
            "model": found.model,
            "width": found.width,
            "height": found.height,
            "was_known": found.was_known,
            "seconds": found.seconds,
            "concepts": [_concept(each) for each in found.found],
        }
    }


def _concept(found: Found) -> dict[str, Any]:
    return {
        "concept": found.concept,
        "asked_as": found.asked_as,
        "presence": found.presence,
        "union": _mask(found.union),
        "instances": [_mask(each.mask) | {"score": each.score} for each in found.instances],
        "left_out": found.left_out,
    }


def _mask(runs: Runs) -> dict[str, Any]:
    return {"rle": runs.rle, "area": runs.area, "box": runs.box._asdict()}
