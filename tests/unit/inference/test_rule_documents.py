"""Rule documents: what is wrong is said, field by field, and the JSON Schema says the same."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.layout import ROOT
from inference.engine.rules.document import InvalidRule, parse, schema
from tests.unit.inference.strategies import changes

WALL = {"concept": "wall", "change": "recolour", "colour": "#5b7f95"}


def faults(document: object) -> list[str]:
    with pytest.raises(InvalidRule) as refused:
        parse(document)
    return [path for path, _ in refused.value.faults]


def test_defaults_are_filled_in() -> None:
    rule = parse({"preset_id": "interior", "concepts": [WALL], "protect": ["sofa"]})
    (change,) = rule.changes
    assert (change.kind, change.area, change.feather_px) == ("recolour", "concept", 1)
    assert change.settings == {"colour": "#5b7f95", "strength": 1}
    assert rule.protect == ("sofa",)
    assert rule.concepts == ("wall", "sofa")


def test_every_field_at_fault_is_named() -> None:
    document = {
        "concepts": [
            {"concept": "", "change": "recolour", "colour": "blue", "strength": 2},
            {"concept": "floor", "change": "melt"},
            {"concept": "floor", "change": "tone", "warmth": 1},
            {"concept": "floor", "change": "blur", "feather_px": 1.5, "area": "beside"},
            {"change": "replace"},
            "wall",
        ],
        "protect": [7],
        "colour": "#000000",
    }
    assert sorted(faults(document)) == [
        "colour",
        "concepts[0].colour",
        "concepts[0].concept",
        "concepts[0].strength",
        "concepts[1].change",
        "concepts[2].warmth",
        "concepts[3].area",
        "concepts[3].feather_px",
        "concepts[4].colour",
        "concepts[4].concept",
        "concepts[5]",
        "protect[0]",
    ]


def test_a_rule_without_a_change_or_with_too_many_is_refused() -> None:
    assert faults({"concepts": []}) == ["concepts"]
    assert faults({"concepts": [WALL] * 17}) == ["concepts"]
    assert faults(["wall"]) == ["rule"]
    assert faults({"concepts": [{**WALL, "strength": float("nan")}]}) == ["concepts[0].strength"]


def test_the_schema_in_the_documents_is_the_parsers() -> None:
    documented = json.loads((ROOT / "docs" / "rule.schema.json").read_text())
    assert documented == schema()


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 300), st.floats(-3, 300), st.text(max_size=8)
)


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """A valid change, perhaps with a field too few, too many, or of another value."""
    change = draw(changes())
    field = draw(st.sampled_from([*change, "radius_px", "image"]))
    way = draw(st.sampled_from(["as it is", "missing", "other"]))
    if way == "missing":
        change.pop(field, None)
    elif way == "other":
        change[field] = draw(_VALUES)
    return change


@settings(deadline=None)
@given(st.lists(spoilt(), min_size=1, max_size=2))
def test_the_schema_allows_what_the_parser_takes(concepts: list[dict[str, Any]]) -> None:
    document = {"concepts": concepts, "protect": ["sofa"]}
    allowed = jsonschema.Draft202012Validator(schema()).is_valid(document)
    try:
        parse(document)
    except InvalidRule:
        assert not allowed
    else:
        assert allowed
