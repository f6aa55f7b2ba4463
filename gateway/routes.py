"""Routes read from google.api.http options: no route is written twice.

Paths are matched on their raw form, segment by segment, so that an encoded slash stays inside its
segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from kit.identity import Kind
from kit.rpc.contract import Policy, policy_of

DESCRIPTORS = Path(__file__).resolve().parents[1] / "gen" / "api.binpb"
# The method in the name of a request that its path does not take: clients send what they like.
OTHER = "OTHER"
_VARIABLE = re.compile(r"\{([a-z_.]+)\}")


@dataclass(frozen=True)
class Route:
    """One binding of an RPC to HTTP.

    Attributes:
        verb: The HTTP method, in capitals.
        path: The template, for example ``/v1/jobs/{job_id}``.
        variables: The fields bound by the path, in its order.
        body: ``*``, the field that takes the body, or empty.
        method: The RPC.
        policy: Its policy.
    """

    verb: str
    path: str
    variables: tuple[str, ...]
    body: str
    method: MethodDescriptor
    policy: Policy

    @property
    def query_fields(self) -> tuple[str, ...]:
        """Fields of the request that come from the query string."""
        if self.body == "*":
            return ()
        bound = {*self.variables, self.body}
        return tuple(f.name for f in self.method.input_type.fields if f.name not in bound)

    @property
    def body_message(self) -> Descriptor | None:
        """What the body is read into; None where there is none."""
        message: Any = self.method.input_type
        if self.body in ("", "*"):
            return message if self.body else None
        field: Any = message.fields_by_name[self.body]
        nested: Descriptor = field.message_type
        return nested


@dataclass
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """Finds the route of a path; literal segments win over variables."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.path.strip("/").split("/"):
            if segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literal.setdefault(segment, _Node())
        if route.verb in node.routes:
            other = node.routes[route.verb].method.full_name
            raise ValueError(f"{route.verb} {route.path} is bound by {other} too")
        node.routes[route.verb] = route

    def match(self, raw_path: bytes) -> tuple[dict[str, Route], list[str]]:
        """Returns the routes of a path by verb and its variables; none for an unknown path."""
        segments = raw_path.decode("ascii", "replace").strip("/").split("/")
        node, values = self._walk(self._root, segments, [])
        return (node.routes if node else {}), values

    def _walk(
        self, node: _Node, segments: list[str], values: list[str]
    ) -> tuple[_Node | None, list[str]]:
        if not segments:
            return (node, values) if node.routes else (None, [])
        head, rest = segments[0], segments[1:]
        if head in node.literal:
            found = self._walk(node.literal[head], rest, values)
            if found[0]:
                return found
        if node.variable and head:
            return self._walk(node.variable, rest, [*values, unquote(head)])
        return None, []


def is_required(field: Any) -> bool:
    """Whether a client must send a field."""
    behavior = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behavior


def load_descriptors() -> descriptor_pb2.FileDescriptorSet:
    """Reads the descriptor set of the protos."""
    return descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


def methods(descriptors: descriptor_pb2.FileDescriptorSet) -> Iterator[MethodDescriptor]:
    """Yields every RPC of the house.

    The descriptors come from the default pool, whose generated classes know our options.
    """
    pool = descriptor_pool.Default()
    for file in sorted(descriptors.file, key=lambda each: each.name):
        if not file.name.startswith("atelier/"):
            continue
        _import(file.name)
        for service in file.service:
            yield from pool.FindServiceByName(f"{file.package}.{service.name}").methods


def _import(proto: str) -> None:
    __import__(proto.removesuffix(".proto").replace("/", ".") + "_pb2")


def routes() -> list[Route]:
    """Returns every route; an RPC without one is for services, or says that it is internal.

    Raises:
        LookupError: An RPC that users may call has no route, or one has no policy.
        ValueError: A path template is of a form that is not supported.
    """
    found: list[Route] = []
    for method in methods(load_descriptors()):
        policy = policy_of(method)
        options = method.GetOptions()
        if not options.HasExtension(annotations_pb2.http):
            if policy.caller is not Kind.SERVICE and not policy.internal:
                raise LookupError(f"{method.full_name} is for users but has no route")
            continue
        found.append(_route(method, policy, options.Extensions[annotations_pb2.http]))
    return found


def _route(method: MethodDescriptor, policy: Policy, rule: Any) -> Route:
    verb = rule.WhichOneof("pattern")
    path = getattr(rule, verb)
    if method.client_streaming or rule.additional_bindings or rule.response_body:
        raise ValueError(f"{method.full_name}: only plain rules are supported")
    variables = tuple(_VARIABLE.findall(path))
    for name in variables:
        if name not in method.input_type.fields_by_name:
            raise ValueError(f"{method.full_name}: no field {name}")
    return Route(verb.upper(), path, variables, rule.body, method, policy)
