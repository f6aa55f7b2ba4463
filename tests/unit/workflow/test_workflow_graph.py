"""Graphs: what is accepted, every kind of fault, order, and what a content hash depends on."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.graph import InvalidGraph, parse
from workflow.specs import SPECS, Pool, Type

FORM = {"text": Type.TEXT, "aspect": Type.TEXT, "steps": Type.INTEGER, "loud": Type.BOOLEAN}
ADVERT: dict[str, Any] = {
    "nodes": {
        "picture": {"type": "store@1", "inputs": {"file": "$jpeg.file"}},
        "jpeg": {"type": "encode@1", "inputs": {"image": "$letter.image"}},
        "letter": {
            "type": "overlay@1",
            "inputs": {"image": "$draw.image", "headline": "$words.headline"},
        },
        "words": {"type": "copy@1", "inputs": {"text": "$inputs.text"}},
        "prompt": {"type": "prompt@1", "inputs": {"text": "$inputs.text", "style": "warm"}},
        "draw": {
            "type": "generate@1",
            "inputs": {"prompt": "$prompt.prompt", "seed": "$item.seed", "steps": "$inputs.steps"},
        },
        "page": {"type": "document@1", "inputs": {"data": "$words.copy"}},
        "text": {"type": "store@1", "inputs": {"file": "$page.file"}},
    },
    "outputs": {"promotional_image": "picture", "marketing_copy": "text"},
}


def advert(**inputs_of_nodes: dict[str, Any]) -> dict[str, Any]:
    """The advert with some inputs of some nodes changed; None takes one away."""
    data = copy.deepcopy(ADVERT)
    for node_id, changes in inputs_of_nodes.items():
        inputs = data["nodes"][node_id]["inputs"]
        inputs.update(changes)
        data["nodes"][node_id]["inputs"] = {k: v for k, v in inputs.items() if v is not None}
    return data


def faults(data: Any) -> dict[str, str]:
    with pytest.raises(InvalidGraph) as refused:
        parse(data, FORM)
    return {fault.path: fault.message for fault in refused.value.faults}


def test_a_node_comes_after_those_it_reads_and_an_output_needs_only_its_own() -> None:
    graph = parse(ADVERT, FORM)
    order = [node.id for node in graph.order("promotional_image")]
    assert set(order) == {"prompt", "draw", "words", "letter", "jpeg", "picture"}
    for before, after in [("prompt", "draw"), ("draw", "letter"), ("words", "letter")]:
        assert order.index(before) < order.index(after)
    assert [node.id for node in graph.order("marketing_copy")] == ["words", "page", "text"]


def test_an_output_needs_the_rarest_pool_and_all_the_time_of_its_nodes() -> None:
    graph = parse(ADVERT, FORM)
    assert graph.pool("promotional_image") is Pool.GPU
    assert graph.pool("marketing_copy") is Pool.TEXT
    expected = sum(SPECS[kind].seconds for kind in ("copy@1", "document@1", "store@1"))
    assert graph.seconds("marketing_copy") == pytest.approx(expected)


def test_ports_that_are_not_wired_have_their_default() -> None:
    inputs = parse(ADVERT, FORM).nodes["jpeg"].inputs
    assert getattr(inputs["quality"], "value", None) == 85


def test_a_doubled_dollar_is_a_literal_dollar() -> None:
    graph = parse(advert(prompt={"style": "$$5 menu"}), FORM)
    assert getattr(graph.nodes["prompt"].inputs["style"], "value", None) == "$5 menu"


@pytest.mark.parametrize(
    ("changes", "path", "said"),
    [
        ({"draw": {"seed": None}}, "nodes.draw.inputs.seed", "is required"),
        ({"draw": {"size": 3}}, "nodes.draw.inputs.size", "has no such input"),
        ({"draw": {"steps": "many"}}, "nodes.draw.inputs.steps", "must be integer"),
        ({"draw": {"steps": True}}, "nodes.draw.inputs.steps", "must be integer"),
        ({"draw": {"aspect": "2:1"}}, "nodes.draw.inputs.aspect", "must be one of: 1:1, 4:3"),
        ({"draw": {"seed": "$inputs.text"}}, "nodes.draw.inputs.seed", "takes integer"),
        ({"draw": {"seed": "$inputs.nope"}}, "nodes.draw.inputs.seed", "$inputs.nope does not"),
        ({"draw": {"seed": "$item.nope"}}, "nodes.draw.inputs.seed", "$item.nope does not"),
        ({"draw": {"prompt": "$ghost.prompt"}}, "nodes.draw.inputs.prompt", "does not exist"),
        ({"jpeg": {"image": "$draw.picture"}}, "nodes.jpeg.inputs.image", "does not exist"),
        ({"jpeg": {"image": "$words.copy"}}, "nodes.jpeg.inputs.image", "takes image"),
        ({"jpeg": {"image": "a.png"}}, "nodes.jpeg.inputs.image", "must be image"),
    ],
)
def test_a_fault_in_an_input_is_named_with_its_place(
    changes: dict[str, dict[str, Any]], path: str, said: str
) -> None:
    found = faults(advert(**changes))
    assert said in found[path]


@pytest.mark.parametrize("kind", ["paint@1", "generate@9", "", None, 7, ["generate@1"]])
def test_an_unknown_node_is_refused_and_the_known_ones_are_named(kind: Any) -> None:
    data = advert()
    data["nodes"]["page"]["type"] = kind
    assert "document@1" in faults(data)["nodes.page.type"]


def test_a_cycle_is_refused_and_its_nodes_are_named() -> None:
    data = advert(draw={"prompt": "$words.headline"}, words={"text": "$prompt.prompt"})
    data["nodes"]["prompt"]["inputs"]["text"] = "$words.headline"
    assert "words" in faults(data)["nodes"]
    assert "prompt" in faults(data)["nodes"]


def test_a_node_that_reads_itself_is_a_cycle() -> None:
    assert "a cycle" in faults(advert(prompt={"text": "$prompt.prompt"}))["nodes"]


def test_a_node_that_no_output_needs_is_refused() -> None:
    data = advert()
    data["nodes"]["idle"] = {"type": "prompt@1", "inputs": {"text": "x"}}
    assert faults(data) == {"nodes.idle": "no output needs it"}


def test_an_output_must_name_a_node_that_delivers() -> None:
    data = advert()
    data["outputs"] = {"promotional_image": "jpeg", "marketing_copy": "ghost", "video_clip": ["x"]}
    found = faults(data)
    assert found["outputs.promotional_image"] == "encode@1 delivers nothing"
    assert "ghost" in found["outputs.marketing_copy"]
    assert "outputs.video_clip" in found


@pytest.mark.parametrize("node", [None, "store@1", {"type": "prompt@1", "inputs": ["x"]}, {"a": 1}])
def test_a_node_of_another_shape_is_refused(node: Any) -> None:
    data = advert()
    data["nodes"]["page"] = node
    assert "must be an object" in faults(data)["nodes.page"]


@pytest.mark.parametrize("node_id", ["inputs", "item", "my node", "a.b", ""])
def test_a_node_cannot_be_named_like_what_references_mean(node_id: str) -> None:
    data = advert()
    data["nodes"][node_id] = data["nodes"]["page"]
    assert "plain word" in faults(data)[f"nodes.{node_id}"]


@pytest.mark.parametrize("data", [None, [], {}, {"nodes": {}}, {"nodes": {}, "outputs": {}}])
def test_a_graph_of_another_shape_is_refused(data: Any) -> None:
    assert faults(data)


def test_a_graph_has_a_limit() -> None:
    data = advert()
    for number in range(70):
        data["nodes"][f"more{number}"] = {"type": "prompt@1", "inputs": {"text": "x"}}
    assert faults(data) == {"nodes": "must be an object with 1 to 64 entries"}


def test_every_fault_is_named_at_once() -> None:
    found = faults(advert(draw={"seed": None}, jpeg={"quality": "high"}, words={"tone": 3}))
    assert {"nodes.draw.inputs.seed", "nodes.jpeg.inputs.quality"} <= found.keys()
    assert "nodes.words.inputs.tone" in found


INPUTS = st.fixed_dictionaries(
    {"text": st.text(max_size=20), "steps": st.integers(0, 60)}, optional={"aspect": st.just("1:1")}
)
ITEM = st.fixed_dictionaries({"seed": st.integers(0, 9), "variation": st.integers(1, 8)})


def hashes(data: dict[str, Any], inputs: dict[str, Any], item: dict[str, Any]) -> dict[str, str]:
    return parse(data, FORM).content_hashes("promotional_image", inputs, item)


@given(INPUTS, ITEM)
def test_equal_reads_have_equal_hashes_however_the_graph_is_written(
    inputs: dict[str, Any], item: dict[str, Any]
) -> None:
    reordered = advert()
    reordered["nodes"] = dict(reversed(reordered["nodes"].items()))
    stated = advert(jpeg={"quality": 85})  # the default, written out
    first = hashes(ADVERT, inputs, item)
    assert first == hashes(reordered, inputs, item) == hashes(stated, inputs, item)


@given(INPUTS, ITEM, INPUTS, ITEM)
def test_a_hash_differs_exactly_where_something_read_differs(
    inputs: dict[str, Any], item: dict[str, Any], others: dict[str, Any], other: dict[str, Any]
) -> None:
    first, second = hashes(ADVERT, inputs, item), hashes(ADVERT, others, other)
    same_text = inputs["text"] == others["text"]
    same_drawing = (
        same_text and inputs["steps"] == others["steps"] and item["seed"] == other["seed"]
    )
    assert (first["prompt"] == second["prompt"]) is same_text
    assert (first["words"] == second["words"]) is same_text
    assert (first["draw"] == second["draw"]) is same_drawing
    assert (first["picture"] == second["picture"]) is same_drawing


def test_a_changed_literal_changes_its_node_and_those_after_it_only() -> None:
    inputs, item = {"text": "카페", "steps": 4}, {"seed": 1, "variation": 1}
    before = hashes(ADVERT, inputs, item)
    after = hashes(advert(letter={"position": "top"}), inputs, item)
    assert {name for name in before if before[name] != after[name]} == {"letter", "jpeg", "picture"}


def test_a_text_that_looks_like_a_reference_is_not_taken_for_one() -> None:
    inputs, item = {"text": "x", "steps": 4}, {"seed": 1, "variation": 1}
    literal = hashes(advert(prompt={"text": "$$inputs.text"}), inputs, item)
    reference = hashes(ADVERT, inputs, item)
    assert literal["prompt"] != reference["prompt"]
