"""What an item asks to be run: its graph read, ordered, hashed and bound to values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.jobs.v1 import queue_pb2 as pb

from kit.errors import InvalidArgument
from services.worker.failures import BadGraph
from workflow.graph import Graph, Literal, Node, Reference, parse
from workflow.specs import SPECS, Type


@dataclass(frozen=True)
class Plan:
    """The nodes of one output, in order.

    Attributes:
        nodes: Each after those that it reads; the last one delivers.
        hashes: Content hashes by node id.
        inputs: The form's values.
        item: The item's own values: seed and variation.
    """

    nodes: tuple[Node, ...]
    hashes: Mapping[str, str]
    inputs: Mapping[str, Any]
    item: Mapping[str, Any]

    def shares(self) -> Iterator[tuple[Node, float, float]]:
        """Yields each node with the share of the item's time at its beginning and at its end."""
        total, passed = sum(node.spec.seconds for node in self.nodes), 0.0
        for node in self.nodes:
            begin, passed = passed, passed + node.spec.seconds
            yield node, begin / total, passed / total

    def bind(self, node: Node, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Returns the value of every port of a node.

        Raises:
            InvalidArgument: A value is missing or not one of the port's choices.
        """
        bound = {}
        for port, source in node.inputs.items():
            expected = node.spec.inputs[port]
            value = self._value(source, results)
            value = expected.default if value is None else value
            if value is None and expected.required:
                raise InvalidArgument.of(f"{node.id}.{port}", "is required")
            if expected.choices and value not in expected.choices:
                choices = ", ".join(expected.choices)
                raise InvalidArgument.of(f"{node.id}.{port}", f"must be one of: {choices}")
            bound[port] = value
        return bound

    def _value(self, source: Reference | Literal, results: Mapping[str, Mapping[str, Any]]) -> Any:
        if isinstance(source, Literal):
            return source.value
        if source.source == "inputs":
            return self.inputs.get(source.name)
        if source.source == "item":
            return self.item[source.name]
        return results[source.source][source.name]


def make_plan(item: pb.ClaimedItem) -> Plan:
    """Reads a claimed item.

    Raises:
        BadGraph: The graph or the inputs are no JSON, or the graph has no such output.
        InvalidGraph: The graph is not valid.
    """
    try:
        data, inputs = json.loads(item.graph_json), json.loads(item.inputs_json or "{}")
    except ValueError:
        raise BadGraph("The workflow or its inputs are no JSON.") from None
    graph = parse(data, form_of(data))
    if item.output not in graph.outputs:
        raise BadGraph(f"The workflow makes no {item.output}.", output=item.output)
    # A variation is the job's seed and its own number, so that the first one has the seed itself.
    own = {"seed": item.seed + item.variation - 1, "variation": item.variation}
    return _planned(graph, item.output, inputs, own)


def _planned(graph: Graph, output: str, inputs: Mapping[str, Any], own: Mapping[str, Any]) -> Plan:
    hashes = graph.content_hashes(output, inputs, own)
    return Plan(tuple(graph.order(output)), hashes, inputs, own)


def form_of(data: Any) -> dict[str, Type]:
    """Returns the form that a graph's references imply.

    The form itself is known to templates, which validated graph and inputs against it; here a
    field has the type of the port that reads it.
    """
    form: dict[str, Type] = {}
    for name, expected in _field_references(data):
        known = form.setdefault(name, expected)
        if {known, expected} == {Type.INTEGER, Type.NUMBER}:
            form[name] = Type.INTEGER  # which a port for numbers takes too
    return form


def _field_references(data: Any) -> Iterator[tuple[str, Type]]:
    nodes = data.get("nodes") if isinstance(data, dict) else None
    for node in nodes.values() if isinstance(nodes, dict) else ():
        spec = SPECS.get(node.get("type", "")) if isinstance(node, dict) else None
        wired = node.get("inputs", {}) if spec else {}
        for port, value in wired.items():
            if spec and port in spec.inputs and str(value).startswith("$inputs."):
                yield str(value).partition(".")[2], spec.inputs[port].type
