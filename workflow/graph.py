"""Typed graphs: parsing, validation, order, content hashes.

A graph is JSON: ``{"nodes": {id: {"type": "generate@1", "inputs": {port: value}}}, "outputs":
{work_type: id}}``. A value is a literal, or a reference: ``$node.port``, ``$inputs.field`` (the
form), ``$item.seed``, ``$item.variation``. A literal text that begins with ``$`` is written ``$$``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workflow.specs import SPECS, Input, NodeSpec, Pool, Type

NODES_MAX = 64
OUTPUTS_MAX = 8
ITEM_FIELDS: Mapping[str, Type] = {"seed": Type.INTEGER, "variation": Type.INTEGER}
_PYTHON: Mapping[Type, tuple[type, ...]] = {
    Type.TEXT: (str,),
    Type.INTEGER: (int,),
    Type.NUMBER: (int, float),
    Type.BOOLEAN: (bool,),
    Type.JSON: (dict, list, str, int, float, bool),
}


@dataclass(frozen=True)
class Reference:
    """Where a value comes from: ``inputs``, ``item`` or a node, and which of its values."""

    source: str
    name: str


@dataclass(frozen=True)
class Literal:
    """A value that stands in the graph itself."""

    value: Any


@dataclass(frozen=True)
class Node:
    """A node with every port bound, defaults included."""

    id: str
    spec: NodeSpec
    inputs: Mapping[str, Reference | Literal]


@dataclass(frozen=True)
class Graph:
    """A valid graph.

    Attributes:
        nodes: By id.
        outputs: The node that delivers each work type.
    """

    nodes: Mapping[str, Node]
    outputs: Mapping[str, str]

    def order(self, output: str) -> list[Node]:
        """Returns the nodes that an output needs, each after those it reads."""
        found: dict[str, Node] = {}
        self._visit(self.outputs[output], found)
        return list(found.values())

    def _visit(self, node_id: str, found: dict[str, Node]) -> None:
        if node_id in found:
            return
        for source in _sources(self.nodes[node_id]):
            self._visit(source, found)
        found[node_id] = self.nodes[node_id]

    def pool(self, output: str) -> Pool:
        """Returns the rarest pool that an output needs."""
        rank = list(Pool)
        return max((node.spec.pool for node in self.order(output)), key=rank.index)

    def seconds(self, output: str) -> float:
        """Estimates what an output takes on an idle machine."""
        return sum(node.spec.seconds for node in self.order(output))

    def content_hashes(
        self, output: str, inputs: Mapping[str, Any], item: Mapping[str, Any]
    ) -> dict[str, str]:
        """Returns a hash of each node's kind and of everything that it reads.

        Equal hashes mean equal results, so that items share steps and a retry resumes.
        """
        hashes: dict[str, str] = {}
        for node in self.order(output):
            read = {
                port: _identify(value, inputs, item, hashes) for port, value in node.inputs.items()
            }
            content = json.dumps([node.spec.type, read], sort_keys=True, ensure_ascii=False)
            hashes[node.id] = hashlib.sha256(content.encode()).hexdigest()
        return hashes


def _identify(
    value: Reference | Literal,
    inputs: Mapping[str, Any],
    item: Mapping[str, Any],
    hashes: Mapping[str, str],
) -> list[Any]:
    if isinstance(value, Literal):
        return ["value", value.value]
    if value.source == "inputs":
        return ["value", inputs.get(value.name)]
    if value.source == "item":
        return ["value", item[value.name]]
    return ["node", hashes[value.source], value.name]


@dataclass(frozen=True)
class Fault:
    """What is wrong with a graph, and where, for example ``nodes.draw.inputs.seed``."""

    path: str
    message: str


class InvalidGraph(ValueError):
    """A graph is not valid.

    Attributes:
        faults: Every fault that was found.
    """

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = faults


def parse(data: Any, form: Mapping[str, Type]) -> Graph:
    """Reads and validates a graph.

    Args:
        data: Parsed JSON.
        form: The fields of the form and their types.

    Raises:
        InvalidGraph: With every fault: unknown node, port or reference, wrong type, missing input,
            cycle, an output that delivers nothing, a node that no output needs.
    """
    shape = list(_shape_faults(data))
    if shape:
        raise InvalidGraph(shape)
    faults: list[Fault] = []
    nodes = {
        node_id: node
        for node_id, given in data["nodes"].items()
        if (node := _node(node_id, given, faults))
    }
    graph = Graph(nodes, dict(data["outputs"]))
    for node in nodes.values():
        faults += _wiring_faults(node, nodes, form)
    faults += _output_faults(graph)
    faults = faults or list(_order_faults(graph))
    if faults:
        raise InvalidGraph(faults)
    return graph


def _shape_faults(data: Any) -> Iterator[Fault]:
    if not isinstance(data, dict) or set(data) != {"nodes", "outputs"}:
        yield Fault("graph", 'must be an object with "nodes" and "outputs"')
        return
    for key, most in (("nodes", NODES_MAX), ("outputs", OUTPUTS_MAX)):
        if not isinstance(data[key], dict) or not 1 <= len(data[key]) <= most:
            yield Fault(key, f"must be an object with 1 to {most} entries")


def _node(node_id: str, given: Any, faults: list[Fault]) -> Node | None:
    path = f"nodes.{node_id}"
    if node_id in ("inputs", "item") or not node_id.isidentifier():
        faults.append(Fault(path, "a node's id must be a plain word other than inputs and item"))
        return None
    wired = given.get("inputs", {}) if isinstance(given, dict) else None
    if not isinstance(wired, dict) or not set(given) <= {"type", "inputs"}:
        faults.append(Fault(path, 'must be an object with "type" and "inputs", an object too'))
        return None
    spec = SPECS.get(str(given.get("type")))
    if spec is None:
        faults.append(Fault(f"{path}.type", "must be one of: " + ", ".join(sorted(SPECS))))
        return None
    bound: dict[str, Reference | Literal] = {}
    faults += [
        Fault(f"{path}.inputs.{port}", f"{spec.type} has no such input")
        for port in wired
        if port not in spec.inputs
    ]
    for port, expected in spec.inputs.items():
        if port in wired:
            bound[port] = _value(wired[port])
        elif expected.required:
            faults.append(Fault(f"{path}.inputs.{port}", "is required"))
        else:
            bound[port] = Literal(expected.default)
    return Node(node_id, spec, bound)


def _value(given: Any) -> Reference | Literal:
    if not isinstance(given, str) or not given.startswith("$"):
        return Literal(given)
    if given.startswith("$$"):
        return Literal(given[1:])
    source, _, name = given[1:].partition(".")
    return Reference(source, name)


def _sources(node: Node) -> list[str]:
    return [
        value.source
        for value in node.inputs.values()
        if isinstance(value, Reference) and value.source not in ("inputs", "item")
    ]


def _wiring_faults(
    node: Node, nodes: Mapping[str, Node], form: Mapping[str, Type]
) -> Iterator[Fault]:
    for port, value in node.inputs.items():
        expected = node.spec.inputs[port]
        fault = (
            _literal_fault(value.value, expected)
            if isinstance(value, Literal)
            else _reference_fault(value, expected, nodes, form)
        )
        if fault:
            yield Fault(f"nodes.{node.id}.inputs.{port}", fault)


def _literal_fault(value: Any, expected: Input) -> str:
    if value is None and not expected.required:
        return ""
    kinds = _PYTHON.get(expected.type, ())
    is_boolean = isinstance(value, bool) and bool not in kinds
    if not isinstance(value, kinds) or is_boolean:
        return f"must be {expected.type}"
    if expected.choices and value not in expected.choices:
        return "must be one of: " + ", ".join(expected.choices)
    return ""


def _reference_fault(
    value: Reference, expected: Input, nodes: Mapping[str, Node], form: Mapping[str, Type]
) -> str:
    if value.source == "inputs":
        given = form.get(value.name)
    elif value.source == "item":
        given = ITEM_FIELDS.get(value.name)
    else:
        source = nodes.get(value.source)
        given = source.spec.outputs.get(value.name) if source else None
    if given is None:
        return f"${value.source}.{value.name} does not exist"
    if given is expected.type or (given is Type.INTEGER and expected.type is Type.NUMBER):
        return ""
    return f"takes {expected.type}, and ${value.source}.{value.name} is {given}"


def _output_faults(graph: Graph) -> Iterator[Fault]:
    for output, node_id in graph.outputs.items():
        node = graph.nodes.get(str(node_id))
        if node is None:
            yield Fault(f"outputs.{output}", f"there is no node {node_id}")
        elif Type.DELIVERY not in node.spec.outputs.values():
            yield Fault(f"outputs.{output}", f"{node.spec.type} delivers nothing")


def _order_faults(graph: Graph) -> Iterator[Fault]:
    remaining = {node.id: set(_sources(node)) for node in graph.nodes.values()}
    while ready := [node_id for node_id, sources in remaining.items() if not sources]:
        for node_id in ready:
            del remaining[node_id]
        for sources in remaining.values():
            sources.difference_update(ready)
    if remaining:
        yield Fault("nodes", "a cycle runs through " + ", ".join(sorted(remaining)))
        return
    needed = {node.id for output in graph.outputs for node in graph.order(output)}
    for node_id in graph.nodes.keys() - needed:
        yield Fault(f"nodes.{node_id}", "no output needs it")
