"""Both writers keep one contract; the language model's one also survives a bad endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from openai import AsyncOpenAI

import services.worker
from services.worker.chains.llm import LlmWriter
from services.worker.chains.offline.vocabulary import load_vocabulary
from services.worker.chains.offline.writer import OfflineWriter
from services.worker.chains.usage import LoggedUsage, Prices, Usage
from services.worker.chains.writer import (
    HEADLINE_LENGTH_MAX,
    SUBLINE_LENGTH_MAX,
    FallbackWriter,
    Writer,
    WriterFailed,
)
from services.worker.failures import ContentFiltered
from tests.integration.worker.servers import LanguageModel, fails, hangs, says, serve

WORLD = Path(services.worker.__file__).parents[2] / "inference" / "bundled" / "sdxl" / "world.json"
OFFLINE = OfflineWriter(load_vocabulary(WORLD))
PROMPT = {"prompt": "A pink latte", "negative_prompt": "text", "dropped": ["30%"]}
COPY = {
    "headline": "딸기 라떼, 봄",
    "subline": "지금 만나보세요",
    "body": "새로 나왔어요.",
    "call_to_action": "오늘 맛보기",
    "hashtags": ["#딸기 라떼", "신메뉴"],
}


@dataclass
class Records:
    usages: list[Usage] = field(default_factory=list)

    def record(self, usage: Usage) -> None:
        self.usages.append(usage)

    @property
    def statuses(self) -> list[str]:
        return [usage.status for usage in self.usages]


@pytest.fixture
async def model() -> AsyncIterator[LanguageModel]:
    async for served in serve(LanguageModel()):
        yield served


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
async def llm(
    model: LanguageModel, records: Records, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LlmWriter]:
    monkeypatch.setattr("services.worker.chains.llm.BACKOFF_SECONDS", (0.0, 0.0))
    async with AsyncOpenAI(base_url=model.url, api_key="k", timeout=60, max_retries=0) as client:
        yield LlmWriter(client, "small", records, Prices(0.15, 0.6))


def impatient(llm: LlmWriter) -> LlmWriter:
    """The same, giving an endpoint up that does not answer soon."""
    return replace(llm, client=llm.client.with_options(timeout=0.2))


@pytest.fixture(params=["offline", "llm"])
def writer(
    request: pytest.FixtureRequest, llm: LlmWriter, model: LanguageModel
) -> tuple[Writer, str]:
    model.answers = [
        lambda asked: says(COPY if "copywriter" in asked["messages"][0]["content"] else PROMPT)(
            asked
        )
    ]
    return (OFFLINE, "offline") if request.param == "offline" else (llm, "small")


async def test_any_writer_gives_a_prompt_and_says_who_wrote_it(
    writer: tuple[Writer, str],
) -> None:
    written = await writer[0].image_prompt("딸기 라떼 30% 할인", "bright")
    assert 1 <= len(written.prompt) <= 1000
    assert written.prompt.isascii()
    assert "30%" in written.dropped
    assert written.writer == writer[1]


@pytest.mark.parametrize("language", ["auto", "ko", "en"])
async def test_any_writer_gives_copy_within_its_limits(
    writer: tuple[Writer, str], language: str
) -> None:
    written = await writer[0].advert_copy("카페 신메뉴 딸기 라떼 홍보", "friendly", language)
    assert written.language == ("en" if language == "en" else "ko")
    assert 1 <= len(written.headline) <= HEADLINE_LENGTH_MAX[written.language]
    assert len(written.subline) <= SUBLINE_LENGTH_MAX
    assert written.body
    assert written.call_to_action
    assert written.hashtags
    assert all(tag.startswith("#") and " " not in tag for tag in written.hashtags)
    assert written.writer == writer[1]
    assert written.as_json()["hashtags"] == list(written.hashtags)


async def test_the_model_is_asked_for_structured_output_in_the_language(
    llm: LlmWriter, model: LanguageModel
) -> None:
    model.answers = [says(COPY)]
    await llm.advert_copy("new latte", "", "ko")
    asked = model.requests[0]
    form = asked["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["additionalProperties"] is False
    assert set(form["schema"]["required"]) == COPY.keys()
    assert "at most 24 characters" in asked["messages"][0]["content"]
    assert '"language": "ko"' in asked["messages"][1]["content"]


async def test_the_model_is_told_what_the_image_model_can_draw(
    llm: LlmWriter, model: LanguageModel
) -> None:
    model.answers = [says(PROMPT)]
    can_draw = load_vocabulary(WORLD).can_draw()
    await LlmWriter(llm.client, llm.model, llm.usage, llm.prices, can_draw).image_prompt("x", "")
    assert "latte glass" in model.requests[0]["messages"][1]["content"]


async def test_a_call_is_recorded_with_its_tokens_and_its_cost(
    llm: LlmWriter, model: LanguageModel, records: Records
) -> None:
    model.answers = [says(PROMPT)]
    await llm.image_prompt("latte", "")
    (usage,) = records.usages
    assert (usage.service, usage.operation, usage.model) == ("openai", "image_prompt.v1", "small")
    assert (usage.units_in, usage.units_out, usage.status) == (200, 50, "ok")
    assert usage.cost_micro_usd == 60  # 200 x 0.15 + 50 x 0.6
    assert usage.duration_seconds > 0
    LoggedUsage().record(usage)


@pytest.mark.parametrize(
    "bad",
    [
        says("{"),
        says({"prompt": "x"}),
        says({**PROMPT, "extra": 1}),
        says({**PROMPT, "prompt": ""}),
        says("", finish_reason="length"),
    ],
)
async def test_an_unusable_answer_is_asked_for_again(
    llm: LlmWriter, model: LanguageModel, records: Records, bad: object
) -> None:
    model.answers = [bad, says(PROMPT)]  # type: ignore[list-item]
    assert (await llm.image_prompt("latte", "")).prompt == "A pink latte"
    assert records.statuses == ["invalid", "ok"]
    assert records.usages[0].units_in == 200  # an answer that cannot be used costs as well
    assert "Not usable" in model.requests[1]["messages"][-1]["content"]


async def test_a_headline_that_is_too_long_is_asked_for_again(
    llm: LlmWriter, model: LanguageModel, records: Records
) -> None:
    model.answers = [says({**COPY, "headline": "가" * 25}), says(COPY)]
    assert (await llm.advert_copy("라떼", "", "ko")).headline == COPY["headline"]
    assert "at most 24 characters" in model.requests[1]["messages"][-1]["content"]
    assert records.statuses == ["invalid", "ok"]


async def test_three_server_errors_fail_the_step(
    llm: LlmWriter, model: LanguageModel, records: Records
) -> None:
    model.answers = [fails(500)]
    with pytest.raises(WriterFailed):
        await llm.advert_copy("latte", "", "auto")
    assert records.statuses == ["500"] * 3
    assert len(model.requests) == 3


async def test_a_rate_limit_is_waited_for_as_long_as_it_says(
    llm: LlmWriter, model: LanguageModel, records: Records
) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    model.answers = [fails(429, **{"retry-after": "2"}), says(PROMPT)]
    await replace(llm, pause=note).image_prompt("latte", "")
    assert waits == [2.0]
    assert records.statuses == ["429", "ok"]


async def test_an_endpoint_that_does_not_answer_is_given_up_after_three_tries(
    llm: LlmWriter, model: LanguageModel, records: Records
) -> None:
    model.answers = [hangs()]
    with pytest.raises(WriterFailed):
        await impatient(llm).image_prompt("latte", "")
    assert records.statuses == ["timeout"] * 3


async def test_an_endpoint_that_is_not_there_is_recorded_as_unreachable(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.worker.chains.llm.BACKOFF_SECONDS", (0.0, 0.0))
    async with AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0) as client:
        with pytest.raises(WriterFailed):
            await LlmWriter(client, "small", records).image_prompt("latte", "")
    assert records.statuses == ["unreachable"] * 3


async def test_a_refused_key_is_not_tried_again(
    llm: LlmWriter, model: LanguageModel, records: Records
) -> None:
    model.answers = [fails(401)]
    with pytest.raises(WriterFailed):
        await llm.image_prompt("latte", "")
    assert records.statuses == ["401"]


@pytest.mark.parametrize("kind", ["finish_reason", "error"])
async def test_refused_content_is_said_and_not_tried_again(
    llm: LlmWriter, model: LanguageModel, records: Records, kind: str
) -> None:
    refusal = says("", finish_reason="content_filter")
    model.answers = [refusal if kind == "finish_reason" else fails(400, code="content_filter")]
    with pytest.raises(ContentFiltered):
        await llm.image_prompt("latte", "")
    assert records.statuses == ["filtered"]


async def test_the_offline_writer_steps_in_where_that_is_allowed(
    llm: LlmWriter, model: LanguageModel
) -> None:
    model.answers = [fails(500)]
    writer = FallbackWriter(llm, OFFLINE)
    assert (await writer.image_prompt("딸기 라떼", "")).writer == "offline"
    assert (await writer.advert_copy("딸기 라떼", "", "auto")).writer == "offline"
    model.answers = [says(PROMPT)]
    assert (await writer.image_prompt("딸기 라떼", "")).writer == "small"
