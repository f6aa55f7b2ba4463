"""Jobs that draw a picture."""

from __future__ import annotations

import base64
from dataclasses import fields
from typing import Any

from inference.adapters.jobs.said import (
    Output,
    Said,
    a_file,
    a_list,
    an_object,
    file_output,
    scalars,
)
from inference.engine.errors import InvalidRequest
from inference.engine.material import Control, Lora, Pixels
from inference.engine.pictures import files as pictures
from inference.engine.pictures.reading import read
from inference.engine.request import ImageRequest, Picture, Progress

FIELDS = frozenset(field.name for field in fields(ImageRequest))
_CONTROL = frozenset(field.name for field in fields(Control))
_LORA = frozenset(field.name for field in fields(Lora))


def request(said: Said) -> ImageRequest:
    """Reads what is to be drawn, with its pictures; takes seconds where they are large.

    Args:
        said: The fields of :class:`ImageRequest`; ``image``, ``mask`` and the ``image`` of
            ``controls`` are files in base64.

    Raises:
        InvalidRequest: Names the first field that is not valid.
    """
    said = an_object({"prompt": ""} | dict(said), FIELDS, "input")
    # What needs no picture is looked at before the first is unpacked.
    ImageRequest(**scalars(ImageRequest, said)).check()
    made = ImageRequest(
        **scalars(ImageRequest, said),
        image=_pixels(said["image"], "image") if said.get("image") else None,
        mask=_pixels(said["mask"], "mask", grey=True) if said.get("mask") else None,
        controls=tuple(_control(each) for each in a_list(said.get("controls"), "controls")),
        loras=tuple(_lora(each) for each in a_list(said.get("loras"), "loras")),
    )
    made.check()
    return made


def _control(said: Any) -> Control:
    said = an_object({"kind": "", "image": ""} | dict(_or_none(said)), _CONTROL, "controls")
    return Control(
        image=_pixels(said["image"], "controls.image"), **scalars(Control, said, "controls.")
    )


def _lora(said: Any) -> Lora:
    said = an_object({"name": ""} | dict(_or_none(said)), _LORA, "loras")
    return Lora(**scalars(Lora, said, "loras."))


def _or_none(said: Any) -> Said:
    return said if isinstance(said, dict) else {"": None}  # which no object may have


def _pixels(said: Any, field: str, grey: bool = False) -> Pixels:
    try:
        return read(a_file(said, field), grey)
    except InvalidRequest as error:
        raise InvalidRequest(f"{field}: {error}", field=field) from error


def progress(said: Progress) -> Output:
    """How far a picture is."""
    preview = base64.b64encode(said.preview).decode()
    return {"progress": {"step": said.step, "steps": said.steps, "preview": preview}}


def output(picture: Picture) -> Output:
    """A finished picture; its encoding takes a while."""
    height, width = picture.pixels.shape[:2]
    return {
        "image": {
            **file_output("png", pictures.encode_png(picture.pixels)),
            "width": width,
            "height": height,
            "model": picture.model,
            "seed": picture.seed,
            "steps": picture.steps,
            "guidance_scale": picture.guidance_scale,
            "seconds": picture.seconds,
            "safety": vars(picture.verdict),
        }
    }
