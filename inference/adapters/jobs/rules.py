"""Jobs that apply a rule to a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inference.adapters.jobs.said import Output, Said, a_file, a_list, an_object, file_output
from inference.engine.errors import InvalidRequest
from inference.engine.rules.document import CHANGES_MAX, PROTECTED_MAX, InvalidRule, parse
from inference.engine.rules.files import Files, MaskFile, Result, apply_to_file

FIELDS = frozenset(("image", "rule", "masks", "images", "jpeg_quality"))
MASKS_MAX = 256  # of all concepts
_JPEG_QUALITY_MAX = 95


def work(said: Said) -> Callable[[Callable[[], bool]], Result]:
    """Reads what is to be done.

    Args:
        said: ``image``, ``rule``, ``masks`` (by concept, a list of objects with ``rle`` or
            ``png``), ``images`` (by name); files are in base64.

    Returns:
        Does it; is given what says whether to stop.

    Raises:
        InvalidRequest: Names the first field that is not valid.
    """
    said = an_object(said, FIELDS, "input")
    try:
        document = parse(said.get("rule"))
    except InvalidRule as error:
        field = error.field if error.field == "rule" else f"rule.{error.field}"
        raise InvalidRequest(f"{field}: {error.faults[0][1]}", field=field) from error
    quality = said.get("jpeg_quality", 0)
    if type(quality) is not int or not 0 <= quality <= _JPEG_QUALITY_MAX:
        raise InvalidRequest(f"jpeg_quality: 0 to {_JPEG_QUALITY_MAX}", field="jpeg_quality")
    files = Files(a_file(said.get("image"), "image"), _masks(said), _images(said.get("images", {})))

    def apply(stopped: Callable[[], bool]) -> Result:
        try:
            return apply_to_file(files, document, quality, stopped)
        except InvalidRequest as error:
            error.field = "image" if error.field == "image_key" else error.field
            raise

    return apply


def _masks(said: Said) -> dict[str, list[MaskFile]]:
    masks = _by_name(said.get("masks", {}), CHANGES_MAX + PROTECTED_MAX, "masks")
    made = {
        concept: [_mask(one, f"masks.{concept}[{at}]") for at, one in enumerate(each)]
        for concept, each in ((name, a_list(one, "masks")) for name, one in masks.items())
    }
    if sum(map(len, made.values())) > MASKS_MAX:
        raise InvalidRequest(f"masks: {MASKS_MAX} at most in all", field="masks")
    return made


def _mask(said: Any, field: str) -> MaskFile:
    said = an_object(said, ("rle", "png"), field)
    runs = said.get("rle")
    if isinstance(runs, str) and runs:
        return runs
    return a_file(said.get("png"), f"{field}.png")


def _images(said: Any) -> dict[str, bytes]:
    named = _by_name(said, CHANGES_MAX, "images")
    return {name: a_file(file, f"images.{name}") for name, file in named.items()}


def _by_name(said: Any, most: int, field: str) -> dict[str, Any]:
    if not isinstance(said, dict) or len(said) > most:
        raise InvalidRequest(f"{field}: must be an object of at most {most}", field=field)
    return said


def output(result: Result) -> Output:
    """The changed picture, with the proof of what was kept."""
    proof = result.proof
    jpeg = {"jpeg": file_output("file", result.jpeg)} if result.jpeg else {}
    return {
        "result": {
            **file_output("png", result.png),
            **jpeg,
            "width": result.width,
            "height": result.height,
            "has_alpha": result.has_alpha,
            "changed_pixels": list(result.changed_pixels),
            "proof": {
                "protected_pixels": proof.protected_pixels,
                "changed_pixels": proof.changed_pixels,
                "largest_delta_e": dict(proof.largest_delta_e),
            },
        }
    }
