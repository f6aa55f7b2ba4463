"""Pictures by the OpenAI-compatible face, through the public ``openai`` client."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from PIL import Image

from tests.acceptance.openai_face.face import jobs
from tests.studio import Member


def is_picture(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.format == "JPEG" and picture.width > 100


async def test_a_picture_comes_as_an_address(client: AsyncOpenAI, member: Member) -> None:
    made = await client.images.generate(prompt="빨간 머그잔", size="1024x1792", n=2)
    assert made.data
    assert len(made.data) == 2
    async with httpx.AsyncClient(trust_env=False) as http:
        for each in made.data:
            assert each.url
            assert each.revised_prompt
            picture = (await http.get(each.url)).content
            assert is_picture(picture)
            with Image.open(io.BytesIO(picture)) as seen:
                assert seen.width < seen.height, "the nearest aspect is 9:16"
    [job] = await jobs(member)
    assert (job["state"], job["credits"]["captured"]) == ("succeeded", 20)


async def test_a_picture_comes_in_the_answer_where_that_is_asked_for(client: AsyncOpenAI) -> None:
    seed: dict[str, Any] = {"seed": 7}
    made = await client.images.generate(
        prompt="a red mug", model="gpt-image-1", quality="low", user="u", extra_body=seed
    )
    asked = await client.images.generate(
        prompt="a red mug", response_format="b64_json", extra_body=seed
    )
    pictures = [each.data[0].b64_json or "" for each in (made, asked) if each.data]
    assert all(is_picture(base64.b64decode(each)) for each in pictures)
    assert pictures[0] == pictures[1], "the same seed makes the same picture"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "x", "n": 9}, "n"),
        ({"prompt": "x", "size": "big"}, "size"),
        ({"prompt": "x" * 2_001}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x", "colour": "red"}, "colour"),
        ({"prompt": "x", "response_format": "png"}, "response_format"),
        ({"prompt": "x", "stream": True}, "stream"),
        ({"n": 1}, "prompt"),
    ],
)
async def test_what_is_wrong_with_a_request_for_pictures_is_named(
    client: AsyncOpenAI, member: Member, body: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.post("/images/generations", body=body, cast_to=object)
    assert refused.value.param == param
    assert await jobs(member) == []
