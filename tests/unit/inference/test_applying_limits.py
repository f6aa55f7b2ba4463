"""What a call of ApplyRules may need is known before a file is read, and before one is unpacked."""

from __future__ import annotations

import io

import pytest
from atelier.inference.v1 import inference_pb2 as pb
from PIL import Image

from inference.api import applying
from inference.engine.rules.files import Files
from kit.errors import InvalidArgument


def picture(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


def masks(*counts: int, rle: str = "") -> list[pb.ConceptMasks]:
    mask = pb.Mask(rle=rle, object_key="tmp/a.png")
    return [pb.ConceptMasks(concept=str(at), masks=[mask] * n) for at, n in enumerate(counts)]


def test_runs_are_no_files_and_everything_else_is_one() -> None:
    images = [pb.NamedImage(name="tile", object_key="uploads/a.png")] * 2
    assert applying._files_max(pb.ApplyRulesRequest(images=images, masks=masks(3, 4))) == 10
    assert applying._files_max(pb.ApplyRulesRequest(masks=masks(3, 4, rle="0"))) == 1


def test_masks_are_bounded_by_concept_and_in_all() -> None:
    assert applying._files_max(pb.ApplyRulesRequest(masks=masks(64, 64, 64, 64))) == 257
    for counts, field in (((0, 65), "masks[1].masks"), ((64, 64, 64, 64, 1), "masks")):
        with pytest.raises(InvalidArgument) as refused:
            applying._files_max(pb.ApplyRulesRequest(masks=masks(*counts)))
        assert refused.value.violations[0].field == field


def test_a_rule_needs_memory_by_its_picture_and_by_the_largest_that_it_uses() -> None:
    small, large = picture(100, 50), picture(300, 200)
    assert applying._working_bytes(Files(small, {})) == 42 * 5_000
    both = Files(small, {}, {"a": small, "b": large})
    assert applying._working_bytes(both) == 42 * 5_000 + 12 * 60_000
    huge = Files(picture(20_000, 5_000), {})
    assert applying._working_bytes(huge) == 42 * 25_000_000  # it will be refused when it is read
    assert applying._working_bytes(Files(b"no picture", {})) == 0
