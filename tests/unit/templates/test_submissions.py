"""What is said about a submission that is not valid, and what becomes of one that is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidArgument
from services.templates import catalogue
from services.templates.config import BUILT_IN
from services.templates.templates import submission
from services.templates.templates.domain import request_schema
from services.templates.templates.submission import Version, check

[ADVERT] = [
    one.template
    for one in catalogue.read(BUILT_IN).templates
    if one.template.id == "general-advert"
]
VERSION = Version.of(ADVERT, request_schema(ADVERT.form_fields))


def refusal(
    inputs: dict[str, Any], outputs: tuple[str, ...] = (), variations: int = 1
) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as refused:
        check(VERSION, inputs, outputs, variations)
    fields = [violation.field for violation in refused.value.violations]
    assert len(fields) == len(set(fields)), "one violation per fault"
    return {violation.field: violation.message for violation in refused.value.violations}


@pytest.mark.parametrize(
    ("inputs", "field", "message"),
    [
        ({}, "inputs.text", "is required"),
        ({"text": None}, "inputs.text", "is required"),
        ({"text": " \n\t"}, "inputs.text", "must not be empty"),
        ({"text": 5}, "inputs.text", "must be text"),
        (
            {"text": "x" * 2417},
            "inputs.text",
            "must be at most 2,000 characters; it has 2,417",
        ),
        ({"text": "a\x00b"}, "inputs.text", "must not contain NUL"),
        (
            {"text": "x", "aspect": "2:1"},
            "inputs.aspect",
            "must be one of: 1:1, 4:3, 3:4, 16:9, 9:16; it is '2:1'",
        ),
        ({"text": "x", "aspect": 1}, "inputs.aspect", "must be text"),
        ({"text": "x", "seed": 1.5}, "inputs.seed", "must be a whole number"),
        ({"text": "x", "seed": True}, "inputs.seed", "must be a whole number"),
        ({"text": "x", "seed": float("nan")}, "inputs.seed", "must be a whole number"),
        ({"text": "x", "seed": -1}, "inputs.seed", "must be 0 to 2,147,483,647; it is -1"),
        ({"text": "x", "seed": 1e300}, "inputs.seed", "must be 0 to 2,147,483,647; it is 1e+300"),
        (
            {"text": "x", "size": 3},
            "inputs.size",
            "unknown field; the form has: text, aspect, tone, language, headline_position, seed",
        ),
    ],
)
def test_a_fault_says_what_would_be_right(inputs: dict[str, Any], field: str, message: str) -> None:
    found = refusal(inputs)
    assert found.keys() == {field}
    assert found[field].startswith(message)


def test_every_fault_is_named_at_once_in_the_order_of_the_form() -> None:
    found = refusal({"zoo": 1, "seed": -1, "aspect": "x", "Zoo": 2}, ("poster", "poster"), 9)
    assert list(found) == [
        "outputs[0]",
        "outputs[1]",
        "variations",
        "inputs.text",
        "inputs.aspect",
        "inputs.seed",
        "inputs.Zoo",
        "inputs.zoo",
    ]
    assert "promotional_image, marketing_copy" in found["outputs[0]"]
    assert found["variations"] == "must be 1 to 8; it is 9"


def test_an_output_is_named_once() -> None:
    found = refusal({"text": "x"}, ("marketing_copy", "marketing_copy"))
    assert found.keys() == {"outputs[1]"}


def test_a_negative_number_of_variations_is_refused() -> None:
    assert refusal({"text": "x"}, (), -1) == {"variations": "must be 1 to 8; it is -1"}


def test_what_is_said_is_bounded_however_much_is_wrong() -> None:
    found = refusal({f"field{number}" * 40: number for number in range(5000)}, ("x",) * 5000)
    assert len(found) < 40
    assert sum(map(len, found)) + sum(map(len, found.values())) < 10_000


def test_defaults_are_filled_and_texts_stripped_and_whole_numbers_stay_whole() -> None:
    inputs, _ = check(VERSION, {"text": "  카페  ", "seed": 7.0, "tone": None}, [], 0)
    assert inputs == {
        "text": "카페",
        "aspect": "1:1",
        "tone": "friendly",
        "language": "auto",
        "headline_position": "top",
        "seed": 7,
    }
    assert isinstance(inputs["seed"], int)


def test_a_seed_that_is_not_given_is_not_invented() -> None:
    inputs, _ = check(VERSION, {"text": "x"}, [], 1)
    assert "seed" not in inputs


def test_two_thousand_korean_characters_are_not_too_many() -> None:
    inputs, _ = check(VERSION, {"text": "가" * 2000}, [], 1)
    assert len(inputs["text"]) == 2000


def test_items_follow_the_outputs_as_they_are_named() -> None:
    _, items = check(VERSION, {"text": "x"}, ["marketing_copy", "promotional_image"], 2)
    assert [(item.work_type, item.variation) for item in items] == [
        ("marketing_copy", 1),
        ("promotional_image", 1),
        ("promotional_image", 2),
    ]


def test_a_job_has_a_limit_of_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "ITEMS_MAX", 5)
    assert check(VERSION, {"text": "x"}, [], 4)
    message = "make 6 works, and one job makes at most 5"
    assert refusal({"text": "x"}, (), 5) == {"variations": message}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
NAMES = st.sampled_from([field.id for field in ADVERT.form_fields]) | st.text(max_size=5)


@given(st.dictionaries(NAMES, JSON, max_size=6), st.integers(-3, 12))
def test_whatever_is_sent_is_refused_by_field_or_valid_by_the_schema(
    inputs: dict[str, Any], variations: int
) -> None:
    try:
        filled, items = check(VERSION, inputs, [], variations)
    except InvalidArgument:
        assert refusal(inputs, (), variations)
        return
    assert not list(VERSION.validator.iter_errors(filled))
    assert sum(item.credits for item in items) == 10 * (variations or 1) + 2
    assert check(VERSION, filled, [], variations)[0] == filled
