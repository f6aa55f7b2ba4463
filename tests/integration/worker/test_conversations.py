"""Conversations are answered by both writers, and word by word through the queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from openai import AsyncOpenAI

from services.worker.chains.conversation import ANSWER_LENGTH_MAX, Conversation, Message
from services.worker.chains.llm import LlmWriter
from services.worker.chains.usage import Prices
from services.worker.chains.writer import FallbackWriter, WriterFailed
from services.worker.failures import ContentFiltered
from tests.integration.worker.conftest import Stage
from tests.integration.worker.servers import LanguageModel, fails, hangs, serve, streams
from tests.integration.worker.test_writers import OFFLINE, Records, impatient
from tests.studio import eventually

ASKED = Conversation(
    (
        Message("system", "You write adverts."),
        Message("user", "안녕"),
        Message("assistant", "무엇을 알릴까요?"),
        Message("user", "카페 신메뉴 딸기 라떼 홍보"),
    )
)
CHAT = {
    "nodes": {
        "chat": {
            "type": "chat@1",
            "inputs": {
                "text": "$inputs.text",
                "messages": "$inputs.messages",
                "stop": "$inputs.stop",
            },
        },
        "page": {"type": "document@1", "inputs": {"data": "$chat.answer"}},
        "text": {"type": "store@1", "inputs": {"file": "$page.file"}},
    },
    "outputs": {"marketing_copy": "text"},
}


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
        yield LlmWriter(client, "small", records, Prices(1.0, 2.0))


@pytest.mark.parametrize("kind", ["offline", "llm"])
async def test_any_writer_tells_its_answer_piece_by_piece_and_says_who_wrote_it(
    llm: LlmWriter, model: LanguageModel, kind: str
) -> None:
    model.answers = [streams("봄이 ", "왔어요.\n", "딸기 라떼")]
    writer, name = (OFFLINE, "atelier-offline") if kind == "offline" else (llm, "small-2026")
    pieces: list[str] = []
    reply = await writer.reply(ASKED, pieces.append)
    assert len(pieces) > 2
    assert "".join(pieces) == reply.content
    assert "딸기 라떼" in reply.content
    assert (reply.model, reply.finish_reason) == (name, "stop")
    assert reply.prompt_tokens > reply.completion_tokens / 10 > 0


async def test_the_endpoint_gets_the_whole_conversation_and_its_limits(
    llm: LlmWriter, model: LanguageModel, records: Records
) -> None:
    model.answers = [streams("ok")]
    asked = replace(ASKED, max_tokens=7, temperature=0.2, stop=("END",))
    reply = await llm.reply(asked, lambda _: None)
    [body] = model.requests
    assert [each["role"] for each in body["messages"]] == ["system", "user", "assistant", "user"]
    assert (body["max_tokens"], body["temperature"], body["stop"]) == (7, 0.2, ["END"])
    assert body["stream"] is True
    assert (reply.prompt_tokens, reply.completion_tokens, reply.is_estimated) == (20, 5, False)
    [usage] = records.usages
    assert (usage.operation, usage.status, usage.cost_micro_usd) == ("chat", "ok", 30)


async def test_tokens_are_estimated_where_nobody_tells(
    llm: LlmWriter, model: LanguageModel
) -> None:
    model.answers = [streams("twelve bytes", usage=False, finish_reason="length")]
    reply = await llm.reply(ASKED, lambda _: None)
    assert (reply.completion_tokens, reply.is_estimated) == (3, True)
    assert reply.finish_reason == "length"


async def test_an_endpoint_is_asked_again_until_the_first_word(
    llm: LlmWriter, model: LanguageModel, records: Records
) -> None:
    model.answers = [fails(500), streams(breaks=True), streams("there")]
    assert (await llm.reply(ASKED, lambda _: None)).content == "there"
    assert records.statuses == ["500", "unreachable", "ok"]


async def test_an_answer_that_breaks_off_is_a_failure_and_not_begun_again(
    llm: LlmWriter, model: LanguageModel, records: Records
) -> None:
    model.answers = [streams("Once ", breaks=True), streams("another answer")]
    pieces: list[str] = []
    with pytest.raises(WriterFailed):
        await FallbackWriter(llm, OFFLINE).reply(ASKED, pieces.append)
    assert pieces == ["Once "]
    assert records.statuses == ["unreachable"]


async def test_the_offline_writer_steps_in_before_the_first_word_where_that_is_allowed(
    llm: LlmWriter, model: LanguageModel
) -> None:
    model.answers = [hangs()]
    pieces: list[str] = []
    reply = await FallbackWriter(impatient(llm), OFFLINE).reply(ASKED, pieces.append)
    assert (reply.writer, "".join(pieces)) == ("offline", reply.content)


@pytest.mark.parametrize("answer", [fails(401), fails(400)])
async def test_a_refusal_of_the_endpoint_is_not_asked_again(
    llm: LlmWriter, model: LanguageModel, records: Records, answer: object
) -> None:
    model.answers = [answer]  # type: ignore[list-item]
    with pytest.raises(WriterFailed):
        await llm.reply(ASKED, lambda _: None)
    assert len(records.statuses) == 1


async def test_filtered_content_is_said_as_such(llm: LlmWriter, model: LanguageModel) -> None:
    model.answers = [streams("no", finish_reason="content_filter")]
    with pytest.raises(ContentFiltered):
        await llm.reply(ASKED, lambda _: None)
    model.answers = [fails(400, code="content_filter")]
    with pytest.raises(ContentFiltered):
        await llm.reply(ASKED, lambda _: None)


async def test_an_answer_is_cut_at_its_longest_and_carries_nothing_that_cannot_be_kept(
    llm: LlmWriter, model: LanguageModel
) -> None:
    model.answers = [streams("a\0b\ud800", "c" * ANSWER_LENGTH_MAX, "d")]
    reply = await llm.reply(ASKED, lambda _: None)
    assert reply.content.startswith("abc")
    assert (len(reply.content), reply.finish_reason) == (ANSWER_LENGTH_MAX, "length")


async def test_the_offline_writer_heeds_length_and_stops() -> None:
    whole = (await OFFLINE.reply(ASKED, lambda _: None)).content
    short = await OFFLINE.reply(replace(ASKED, max_tokens=5), lambda _: None)
    assert short.finish_reason == "length"
    assert whole.startswith(short.content)
    assert 0 < len(short.content.encode()) <= 20
    word = whole.split()[1]
    stopped = await OFFLINE.reply(replace(ASKED, stop=(word,)), lambda _: None)
    assert (stopped.finish_reason, stopped.content) == ("stop", whole.partition(word)[0])


async def test_words_reach_the_queue_while_they_are_written_and_the_answer_is_delivered(
    stage: Stage, llm: LlmWriter, model: LanguageModel
) -> None:
    gate = asyncio.Event()
    model.answers = [streams("Hello", ", latte", gate=gate)]
    stage.tools = replace(stage.tools, writer=llm)
    inputs = {"text": "x", "messages": [{"role": "user", "content": "hi"}], "stop": []}
    stage.offer(
        output="marketing_copy", graph_json=json.dumps(CHAT), inputs_json=json.dumps(inputs)
    )
    stage.work()

    async def has_begun() -> bool:
        return any(each.text for each in stage.queue.progress)

    await eventually(has_begun)
    assert "".join(each.text for each in stage.queue.progress) == "Hello"
    gate.set()
    delivered = (await stage.queue.end()).delivered
    answer = json.loads(delivered.recipe_json)["answer"]
    assert (answer["content"], answer["model"]) == ("Hello, latte", "small-2026")
    assert model.requests[0]["messages"] == [{"role": "user", "content": "hi"}]
    assert json.loads(await stage.blobs.get(delivered.file.object_key)) == answer


async def test_messages_of_another_form_are_the_request_s_fault(stage: Stage) -> None:
    inputs = {"text": "x", "messages": [{"role": "tool", "content": "hi"}], "stop": []}
    stage.offer(
        output="marketing_copy", graph_json=json.dumps(CHAT), inputs_json=json.dumps(inputs)
    )
    stage.work()
    assert (await stage.queue.end()).failed.code == "invalid_argument"
