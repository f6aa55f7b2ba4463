"""JSON to messages and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from atelier.accounts.v1 import credits_pb2
from atelier.jobs.v1 import jobs_pb2
from atelier.works.v1 import works_pb2
from hypothesis import given
from hypothesis import strategies as st

from gateway import codec, encoding

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def faults(message: Any, value: Any) -> dict[str, str]:
    return {fault.field: fault.message for fault in codec.from_json(message, value)}


def test_every_fault_is_named_with_its_path() -> None:
    value = {
        "submission": {"outputs": ["x", 5], "variations": "two", "inputs": [], "colour": "red"},
        "dry_run": "yes",
    }
    assert faults(jobs_pb2.SubmitJobRequest(), value) == {
        "submission.outputs[1]": "must be a string",
        "submission.variations": "must be a whole number",
        "submission.inputs": "must be an object",
        "submission.colour": "unknown field",
        "dry_run": "must be true or false",
    }


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 1.5, True, "1", [1]])
def test_a_number_that_does_not_fit_is_refused(value: Any) -> None:
    assert faults(works_pb2.ListWorksRequest(), {"limit": value})


def test_an_unknown_word_of_an_enum_is_answered_with_the_known_ones() -> None:
    [message] = faults(works_pb2.ListWorksRequest(), {"state": "COMPLETED"}).values()
    assert "completed" in message


def test_times_are_rfc_3339() -> None:
    request = credits_pb2.GrantCreditsRequest()
    assert not faults(request, {"expires_at": "2026-01-31T09:00:00+09:00"})
    assert encoding.to_json(request)["expires_at"] == "2026-01-31T00:00:00Z"
    for wrong in ("tomorrow", 5, {}):
        assert faults(credits_pb2.GrantCreditsRequest(), {"expires_at": wrong})


def test_what_is_absent_is_left_out_and_what_is_empty_is_not() -> None:
    assert "file" not in encoding.to_json(works_pb2.Work())
    assert "state" not in encoding.to_json(works_pb2.Work())
    assert encoding.to_json(works_pb2.Work())["tags"] == []


def test_null_means_not_given() -> None:
    request = works_pb2.UpdateWorkRequest()
    assert not faults(request, {"title": None})
    assert not request.HasField("title")


def test_deep_nesting_is_refused_and_not_followed() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"a": deep}
    [message] = faults(jobs_pb2.Submission(), {"inputs": deep}).values()
    assert "nested" in message


@given(
    title=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    tags=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))),
)
def test_what_is_read_is_written_the_same(title: str, tags: list[str]) -> None:
    given_json = {"work_id": "w", "title": title, "tags": {"values": tags}}
    request = works_pb2.UpdateWorkRequest()
    assert not codec.from_json(request, given_json)
    assert encoding.to_json(request) == given_json


@given(JSON)
def test_no_value_makes_reading_raise(value: Any) -> None:
    for kind in (works_pb2.UpdateWorkRequest, credits_pb2.GrantCreditsRequest):
        for field in kind.DESCRIPTOR.fields_by_name:
            codec.from_json(kind(), {field: value})
        codec.from_json(kind(), value)


@pytest.mark.parametrize("text", ["+5", " 5", "1_0", "٥", "0x1", "1e3", "9" * 30, "", "-", "1."])
def test_a_number_in_a_query_is_plain_digits(text: str) -> None:
    assert codec.from_query(works_pb2.ListWorksRequest(), "limit", [text])


def test_a_time_may_stand_in_a_query_and_has_to_be_one() -> None:
    request = works_pb2.ListWorksRequest()
    assert not codec.from_query(request, "created_from", ["2026-01-31T18:00:00+09:00"])
    assert request.created_from.ToJsonString() == "2026-01-31T09:00:00Z"
    # What a form makes of a + that was not encoded, a day alone, nothing, and two.
    for given_texts in (["2026-01-31T18:00:00 09:00"], ["2026-01-31"], [""], ["x", "y"]):
        assert codec.from_query(works_pb2.ListWorksRequest(), "created_to", given_texts)


def test_whole_numbers_of_free_json_stay_whole() -> None:
    submission = jobs_pb2.Submission()
    inputs = {"seed": 7, "weights": [1, 0.5], "nested": {"n": 2}}
    assert not faults(submission, {"inputs": inputs})
    seen = encoding.to_json(submission)["inputs"]
    assert json.dumps(seen, sort_keys=True) == json.dumps(inputs, sort_keys=True)


@given(st.integers(-62135596800, 253402300799), st.integers(0, 999_999_999))
def test_times_are_written_as_protobuf_writes_them(seconds: int, nanos: int) -> None:
    request = credits_pb2.GrantCreditsRequest(expires_at={"seconds": seconds, "nanos": nanos})
    for exact in (nanos, nanos // 1000 * 1000, nanos // 10**6 * 10**6, 0):
        request.expires_at.nanos = exact
        written = encoding.to_json(request)["expires_at"]
        assert written == request.expires_at.ToJsonString()


FINITE = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(FINITE)
def test_free_json_is_written_as_it_was_read(value: Any) -> None:
    inputs = {"value": value}
    submission = jobs_pb2.Submission()
    if not faults(submission, {"inputs": inputs}):
        seen = encoding.to_json(submission)["inputs"]
        assert seen == inputs
