"""Specs: what holds for every kind of node."""

from __future__ import annotations

import pytest

from workflow.graph import parse
from workflow.specs import SPECS, NodeSpec, Pool, Type

EVERY = pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.type)


@EVERY
def test_a_spec_is_found_under_its_type(spec: NodeSpec) -> None:
    assert SPECS[f"{spec.name}@{spec.version}"] is spec
    assert spec.summary
    assert spec.outputs


@EVERY
def test_a_default_is_one_of_the_choices(spec: NodeSpec) -> None:
    for port in spec.inputs.values():
        if port.choices and not port.required:
            assert port.default in port.choices


@EVERY
def test_a_node_that_is_paid_for_is_never_run_again(spec: NodeSpec) -> None:
    assert spec.checkpoint is (spec.pool is not Pool.CPU)


@EVERY
def test_what_is_kept_can_be_written_down(spec: NodeSpec) -> None:
    if spec.checkpoint:
        assert not {Type.FILE, Type.DELIVERY} & set(spec.outputs.values())


def test_a_graph_of_one_node_is_enough_where_it_delivers() -> None:
    form = {"data": Type.JSON}
    data = {
        "nodes": {
            "page": {"type": "document@1", "inputs": {"data": "$inputs.data"}},
            "text": {"type": "store@1", "inputs": {"file": "$page.file"}},
        },
        "outputs": {"marketing_copy": "text"},
    }
    assert parse(data, form).pool("marketing_copy") is Pool.CPU
