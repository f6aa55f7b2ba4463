"""An item that fails beside items that succeed: only what is delivered is paid."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.responses import Response

from deploy.local import stack
from tests.acceptance.test_advert import settled, submit, works_of
from tests.conftest import Installation
from tests.integration.worker.servers import LanguageModel, fails, says, serve
from tests.studio import Member

PROMPT = {
    "prompt": "a yellow plush bear on a white table, blue sky",
    "negative_prompt": "",
    "dropped": [],
}


def writes_prompts_but_no_copy(request: dict[str, Any]) -> Response:
    if "copywriter" in request["messages"][0]["content"]:
        return fails(500)(request)
    return says(PROMPT)(request)


@asynccontextmanager
async def worker_with(installation: Installation, **settings: str) -> AsyncIterator[None]:
    """Runs the worker with other settings for a while."""
    supervisor, places = installation.supervisor, installation.layout
    await supervisor.stop("worker")
    usual = installation.settings
    await supervisor.start([stack.worker_part(places, {**usual, **settings})])
    try:
        yield
    finally:
        await supervisor.stop("worker")
        await supervisor.start([stack.worker_part(places, usual)])


@pytest.fixture
async def endpoint() -> AsyncIterator[LanguageModel]:
    async for model in serve(LanguageModel([writes_prompts_but_no_copy])):
        yield model


async def test_a_configured_endpoint_that_fails_releases_its_item_and_no_other(
    member: Member, installation: Installation, endpoint: LanguageModel
) -> None:
    async with worker_with(
        installation, ATELIER_OPENAI_BASE_URL=endpoint.url, ATELIER_OPENAI_MODEL="tiny"
    ):
        job = await submit(
            member,
            category="cartoon",
            outputs=["promotional_image", "marketing_copy"],
            variations=2,
            inputs={"text": "노란 곰 인형"},
        )
        assert job["credits"]["held"] == 22
        done = await member.finished(job["id"])
    assert (done["state"], done["succeeded_items"], done["failed_items"]) == ("succeeded", 2, 1)
    [failed] = [item for item in done["items"] if item["state"] == "failed"]
    assert (failed["work_type"], failed["error_code"]) == ("marketing_copy", "writer_failed")
    assert failed["error_message"]
    receipt = await settled(member, job["id"])
    assert (receipt["captured"], receipt["released"]) == (20, 2)
    assert (await member.get("/v1/credits")).json()["available"] == 80
    states = {work["type"]: work["state"] for work in await works_of(member, done)}
    assert states == {"promotional_image": "completed", "marketing_copy": "failed"}
    prompts = [r for r in endpoint.requests if "copywriter" not in r["messages"][0]["content"]]
    assert len(prompts) == 1, "pictures of one job share the step that writes their prompt"
