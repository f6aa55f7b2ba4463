"""``POST /images/generations``: pictures by a text."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.openai.body import Body, wrong
from gateway.openai.models import picture_template
from gateway.openai.pictures import Encoded, Storage
from gateway.openai.studio import Outcome
from gateway.openai.waiting import Visit, not_made

N_MAX = 8
SEED_MAX = 2**31 - 1
SIDE_MAX = 100_000
ASPECTS = ("1:1", "4:3", "3:4", "16:9", "9:16")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
QUALITIES = ("auto", "standard", "hd", "low", "medium", "high")
# Taken and without effect.
IGNORED = {"user", "style", "moderation", "output_compression", "partial_images"}
KNOWN = IGNORED | {
    *("prompt", "model", "n", "size", "response_format", "quality", "background"),
    *("output_format", "stream", "seed"),
}


@dataclass(frozen=True)
class Asked:
    """A checked request.

    Attributes:
        template_id: What makes the pictures.
        n: How many.
        inputs: Of the template's form.
        inline: Whether the bytes are in the answer, and not their addresses.
    """

    template_id: str
    n: int
    inputs: dict[str, Any]
    inline: bool


def read(given: Any) -> Asked:
    """Checks a request.

    Raises:
        Fault: A parameter is missing, unknown, or cannot be taken.
    """
    body = Body(given)
    body.check_names(KNOWN)
    body.refuse("stream", False)
    body.refuse("background", "auto", "opaque")
    body.refuse("output_format", "jpeg")
    body.choice("quality", QUALITIES, "auto")
    model = body.text("model") if body.get("model") is not None else ""
    # Models of the newer kind answer bytes, and their clients ask for no format.
    usual = "b64_json" if model.startswith(("gpt-image-", "chatgpt-image-")) else "url"
    form = body.choice("response_format", ("url", "b64_json"), usual)
    inputs: dict[str, Any] = {"text": body.text("prompt"), "aspect": aspect(body.get("size"))}
    seed = body.integer("seed", 0, SEED_MAX)
    if seed is not None:
        inputs["seed"] = seed
    n = body.integer("n", 1, N_MAX, 1)
    return Asked(picture_template(model), n or 1, inputs, form == "b64_json")


def aspect(size: Any) -> str:
    """Returns the aspect that comes nearest to a size; ``auto`` is square.

    Nearest is meant in the ratio: 3:2 lies between 4:3 and 16:9 and is nearer to 4:3.
    """
    if size in (None, "auto"):
        return ASPECTS[0]
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if not found or not int(found[1]) or not int(found[2]):
        raise wrong("size", "must be auto or WIDTHxHEIGHT")
    wanted = math.log(int(found[1]) / int(found[2]))
    return min(ASPECTS, key=lambda each: abs(_log(each) - wanted))


def _log(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return math.log(int(width) / int(height))


@dataclass(frozen=True)
class Pictures:
    """Makes the answer of a job that has ended.

    Attributes:
        asked: What was wanted.
        visit: Who waits.
        storage: From where bytes are read, where they are wanted.
    """

    asked: Asked
    visit: Visit
    storage: Storage

    async def __call__(self, outcome: Outcome) -> ASGIApp:
        """Answers with every picture that was made, which is what is paid for.

        Raises:
            Fault: There is none.
        """
        made = outcome.delivered()
        if not made:
            raise not_made(outcome)
        downloads = await asyncio.gather(*(self.visit.studio.download(i.work_id) for i in made))
        created = self.visit.job.created_at.seconds
        prompts = [str(outcome.recipes[each.id].get("prompt", "")) for each in made]
        if self.asked.inline:
            return Encoded(self.storage, created, list(zip(downloads, prompts, strict=True)))
        data = [
            {"url": download.url, "revised_prompt": prompt}
            for download, prompt in zip(downloads, prompts, strict=True)
        ]
        body = orjson.dumps({"created": created, "data": data})
        return Response(body, headers={"cache-control": "no-store"}, media_type="application/json")
