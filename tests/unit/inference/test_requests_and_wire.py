"""What a request may say, what sizes it gets, and how it travels."""

from __future__ import annotations

import math
from typing import Any

import pytest

from inference.api.errors import refusal
from inference.engine.errors import ERRORS, InvalidRequest, Overloaded
from inference.engine.request import ImageRequest, Progress
from inference.engine.shapes import ASPECTS, size_of
from inference.triton import wire
from kit.rpc import status


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        ("1:1", (128, 128)),
        ("4:3", (144, 112)),
        ("3:4", (112, 144)),
        ("16:9", (160, 96)),
        ("9:16", (96, 160)),
    ],
)
def test_the_bundled_model_draws_the_sizes_that_it_was_trained_on(
    aspect: str, size: tuple[int, int]
) -> None:
    assert size_of(aspect, 128, 16) == size


@pytest.mark.parametrize("base_px", [128, 512, 1024])
@pytest.mark.parametrize("aspect", ASPECTS)
def test_every_size_keeps_aspect_and_area_within_a_tenth(aspect: str, base_px: int) -> None:
    width, height = size_of(aspect, base_px, 16)
    assert (width % 16, height % 16) == (0, 0)
    assert width * height <= base_px**2
    assert width * height >= 0.9 * base_px**2
    assert abs(math.log(width / height / ASPECTS[aspect])) < 0.1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", " "),
        ("prompt", "x" * 2_001),
        ("negative_prompt", "x" * 2_001),
        ("aspect", "2:1"),
        ("steps", -1),
        ("steps", 101),
        ("guidance_scale", -0.1),
        ("guidance_scale", 30.1),
        ("guidance_scale", math.nan),
        ("seed", 2**63),
        ("scheduler", "heun"),
        ("timeout_seconds", 0.0),
        ("timeout_seconds", math.inf),
    ],
)
def test_a_field_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    asked: dict[str, Any] = {"prompt": "a mug", field: value}
    with pytest.raises(InvalidRequest) as refused:
        ImageRequest(**asked).check()
    assert refused.value.field == field


def test_the_limits_themselves_are_allowed() -> None:
    ImageRequest("x" * 2_000, steps=100, guidance_scale=30, seed=-(2**63)).check()
    ImageRequest("x", steps=0, guidance_scale=0, seed=2**63 - 1, timeout_seconds=3_600).check()


def test_requests_and_progress_arrive_as_they_were_sent() -> None:
    request = ImageRequest("말차 라떼", seed=-5, guidance_scale=None, previews=True)
    progress = Progress(3, 12, b"\xff\xd8\x00")
    assert wire.decode_request(wire.encode_request(request)) == request
    assert wire.decode_event(wire.encode_progress(progress)) == progress


@pytest.mark.parametrize("reason", ERRORS)
def test_errors_keep_reason_field_and_delay_on_their_way(reason: str) -> None:
    sent = ERRORS[reason]('no "x"', field="model", retry_after_seconds=2.5)
    got = wire.decode_error("Triton says: " + wire.encode_error(sent))
    assert type(got) is type(sent)
    assert (str(got), vars(got)) == (str(sent), vars(sent))


def test_an_error_of_triton_itself_is_not_taken_for_one_of_ours() -> None:
    assert wire.decode_error("Stub process 'generate_0_0' is not healthy.") is None


def test_overload_reaches_the_caller_with_its_delay() -> None:
    sent = status.encode(refusal(Overloaded("busy", retry_after_seconds=4)))
    assert sent.code == 8
    assert any(detail.type_url.endswith("RetryInfo") for detail in sent.details)
