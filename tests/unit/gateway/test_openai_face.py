"""The OpenAI-compatible face: what it takes, how it refuses, and what it tells of a stream."""

from __future__ import annotations

from typing import Any

import pytest
from atelier.jobs.v1 import jobs_pb2

from gateway.openai import conversation, images, models
from gateway.openai.chat import Spoken
from gateway.openai.faults import Fault, of_refusal
from kit.errors import FieldViolation
from kit.rpc.contract import failures
from kit.rpc.status import Refusal


@pytest.mark.parametrize(
    ("size", "aspect"),
    [
        (None, "1:1"),
        ("auto", "1:1"),
        ("256x256", "1:1"),
        ("1024x1024", "1:1"),
        ("1536x1024", "4:3"),
        ("1024x1536", "3:4"),
        ("1792x1024", "16:9"),
        ("1024x1792", "9:16"),
        ("1x99999", "9:16"),
    ],
)
def test_the_nearest_aspect_of_a_size_is_drawn(size: str | None, aspect: str) -> None:
    assert images.aspect(size) == aspect


@pytest.mark.parametrize(
    "size", ["", "1024", "0x10", "10x0", "-1x2", "1024X1024", 1024, "1x100000"]
)
def test_what_is_no_size_is_refused(size: Any) -> None:
    with pytest.raises(Fault) as refused:
        images.aspect(size)
    assert refused.value.param == "size"


@pytest.mark.parametrize(
    ("body", "inline"),
    [
        ({}, False),
        ({"model": "dall-e-3"}, False),
        ({"model": "gpt-image-1"}, True),
        ({"model": "gpt-image-1", "response_format": "url"}, False),
        ({"response_format": "b64_json"}, True),
    ],
)
def test_bytes_come_where_they_are_asked_for_or_usual(body: dict[str, Any], inline: bool) -> None:
    assert images.read({"prompt": "x", **body}).inline is inline


@pytest.mark.parametrize("reason", sorted(failures()))
def test_every_refusal_has_a_status_that_its_clients_know_and_the_one_shape(reason: str) -> None:
    fault = of_refusal(Refusal(failures()[reason], "no"))
    assert fault.status != 422
    assert fault.status != 402
    assert (fault.kind == "server_error") == (fault.status >= 500)
    assert set(fault.document()["error"]) == {"message", "type", "param", "code"}
    response = fault.response()
    if fault.status in (429, 503, 504):
        assert ("retry-after" in response.headers) != (fault.code == "insufficient_quota")
    assert fault.code


def test_the_first_field_at_fault_is_named_as_the_client_calls_it() -> None:
    violations = (FieldViolation("inputs.text", "must not be empty"), FieldViolation("x", "y"))
    refusal = Refusal(failures()["INVALID_ARGUMENT"], "no", violations=violations)
    fault = of_refusal(refusal)
    assert (fault.status, fault.param) == (400, "prompt")
    assert str(fault) == "Invalid 'prompt': must not be empty."


@pytest.mark.parametrize("given", [None, [], "x", 1])
def test_a_body_that_is_no_object_is_refused(given: Any) -> None:
    with pytest.raises(Fault):
        images.read(given)


def test_a_null_is_a_parameter_that_was_not_given() -> None:
    asked = conversation.read(
        {
            "model": "general-chat",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": None,
            "stop": None,
            "tools": None,
            "temperature": None,
        }
    )
    assert asked.stream is False
    assert asked.inputs == {
        "text": "hi",
        "messages": [{"role": "user", "content": "hi"}],
        "stop": [],
    }


def test_a_limit_of_tokens_above_ours_is_ours() -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    for name in ("max_tokens", "max_completion_tokens"):
        assert conversation.read({**body, name: 100_000}).inputs["max_tokens"] == 4096
        assert conversation.read({**body, name: 9}).inputs["max_tokens"] == 9


@pytest.mark.parametrize(
    ("asked", "template"),
    [("dall-e-3", "general-picture"), ("gpt-image-1-mini", "general-picture"), ("x", "x")],
)
def test_names_of_openai_s_picture_models_stand_for_ours(asked: str, template: str) -> None:
    assert models.picture_template(asked) == template


@pytest.mark.parametrize("asked", ["gpt-image-1", "dall-e-3", "claude", "", "general-picture"])
def test_what_draws_does_not_talk(asked: str) -> None:
    with pytest.raises(Fault) as refused:
        models.chat_template(asked)
    assert refused.value.status == 404


def said(text: str, at: int, attempt: int = 1) -> jobs_pb2.JobEvent:
    item = jobs_pb2.Item(attempts=attempt)
    return jobs_pb2.JobEvent(type="progress", text=text, text_at=at, item=item)


def test_pieces_are_told_once_in_their_order_however_they_come() -> None:
    spoken = Spoken()
    assert spoken.hear(said("딸기 ", 0)) == "딸기 "
    assert spoken.hear(said("딸기 ", 0)) == "", "the same report twice"
    assert spoken.hear(said("라떼", 3)) == "라떼"
    assert spoken.hear(said("!", 9)) == "", "one between was lost"
    assert spoken.rest("딸기 라떼, 봄!") == ", 봄!"
    assert spoken.rest("딸기 라떼, 봄!") == ""


def test_an_answer_that_is_begun_again_the_same_way_goes_on_where_it_was() -> None:
    spoken = Spoken()
    spoken.hear(said("one two", 0))
    assert spoken.hear(said("one", 0, attempt=2)) == ""
    assert spoken.hear(said(" two three", 3, attempt=2)) == " three"
    assert spoken.hear(said(" zwei", 3, attempt=3)) == "", "its beginning was lost: nothing is sure"


def test_an_answer_that_is_begun_again_another_way_is_a_fault() -> None:
    spoken = Spoken()
    spoken.hear(said("one two", 0))
    with pytest.raises(Fault, match="interrupted"):
        spoken.hear(said("eins", 0, attempt=2))
    with pytest.raises(Fault):
        spoken.rest("one three")
