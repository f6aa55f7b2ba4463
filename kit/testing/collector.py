"""An OTLP collector in the test's own process: real exporters, assertions on spans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class Seen:
    """A span as it arrived.

    Attributes:
        service: The process that made it.
        span: The span.
        attributes: Its text attributes.
    """

    service: str
    span: trace_pb2.Span
    attributes: dict[str, str]


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Receives spans over OTLP/gRPC.

    Attributes:
        endpoint: host:port for exporters.
        spans: Everything that arrived.
    """

    endpoint: str = ""
    spans: list[Seen] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        add = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add(self, self._server)  # type: ignore[no-untyped-call]
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"127.0.0.1:{port}"
        await self._server.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.stop(0)

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Takes a batch of spans."""
        for resource_spans in request.resource_spans:
            service = _texts(resource_spans.resource.attributes).get("service.name", "")
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    self.spans.append(Seen(service, span, _texts(span.attributes)))
        return trace_service_pb2.ExportTraceServiceResponse()


def _texts(attributes: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in attributes}
