"""What a request may say, what sizes it gets, and how it travels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from inference.api.errors import refusal
from inference.engine.errors import ERRORS, InvalidRequest, Overloaded
from inference.engine.material import Control, Lora, Pixels
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.safety.port import Verdict
from inference.engine.shapes import ASPECTS, nearest_aspect, size_of
from inference.engine.status import BUSY, ModelStatus
from inference.triton import wire
from kit.rpc import status

DOT = Pixels(1, 1, 3, b"rgb")


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
        ("quality", "good"),
        ("strength", 0.0),
        ("strength", 1.01),
        ("image", Pixels(2, 2, 3, b"short")),
        ("image", Pixels(1, 1, 1, b"1")),
        ("image", Pixels(4097, 1024, 3, bytes(4097 * 1024 * 3))),
        ("mask", Pixels(1, 1, 1, b"1")),
        ("controls", (Control("canny", DOT),) * 3),
        ("controls.kind", (Control("pose", DOT),)),
        ("controls.scale", (Control("canny", DOT, scale=2.1),)),
        ("controls.start", (Control("canny", DOT, start=0.5, end=0.5),)),
        ("loras", tuple(Lora(f"l{n}") for n in range(5))),
        ("loras.name", (Lora("../other"),)),
        ("loras.name", (Lora("blue"), Lora("blue"))),
        ("loras.weight", (Lora("blue", math.nan),)),
    ],
)
def test_a_field_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    asked: dict[str, Any] = {"prompt": "a mug", field.partition(".")[0]: value}
    with pytest.raises(InvalidRequest) as refused:
        ImageRequest(**asked).check()
    assert refused.value.field == field


def test_the_limits_themselves_are_allowed() -> None:
    ImageRequest("x" * 2_000, steps=100, guidance_scale=30, seed=-(2**63)).check()
    ImageRequest("x", steps=0, guidance_scale=0, seed=2**63 - 1, timeout_seconds=3_600).check()


def test_requests_and_progress_arrive_as_they_were_sent() -> None:
    picture, mask = Pixels(2, 1, 3, b"\x00\x01\x02\xff\xfe\x00"), Pixels(1, 1, 1, b"\xff")
    request = ImageRequest(
        "말차 라떼",
        seed=-5,
        previews=True,
        image=picture,
        mask=mask,
        controls=(Control("canny", picture, scale=0.5), Control("depth", picture, prepared=True)),
        loras=(Lora("blue", -0.5),),
    )
    plain = ImageRequest("a mug")
    progress = Progress(3, 12, b"\xff\xd8\x00")
    assert wire.decode_request(wire.encode_request(request)) == request
    assert wire.decode_request(wire.encode_request(plain)) == plain
    assert wire.decode_event(wire.encode_progress(progress)) == progress


def test_a_verdict_and_the_states_of_models_arrive_as_they_were_sent() -> None:
    verdict = Verdict(True, 0.9, ("logo", "글자"), "local")
    picture = Picture(np.zeros((1, 1, 3), np.uint8), "sdxl", 1, 2, 3.0, 4.0, verdict)
    statuses = {"sdxl": ModelStatus(BUSY, 3, 1 << 33), "flux": ModelStatus("failed", failure="no")}
    assert vars(wire.decode_event(wire.encode_result(picture)))["verdict"] == verdict
    assert wire.decode_statuses(wire.encode_statuses(statuses)) == statuses


@pytest.mark.parametrize(
    ("size", "aspect"), [((900, 1000), "1:1"), ((3000, 2000), "4:3"), ((1080, 1920), "9:16")]
)
def test_a_picture_has_the_nearest_aspect(size: tuple[int, int], aspect: str) -> None:
    assert nearest_aspect(*size) == aspect


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
