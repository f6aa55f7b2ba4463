"""Logs as JSON lines and traces over OTLP; both carry the same trace id."""

from __future__ import annotations

import datetime as dt
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

import orjson
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind

CALLER = "atelier.caller"  # on server spans: the process that called
_tracer = trace.get_tracer("atelier")
_labels: ContextVar[Mapping[str, str | int]] = ContextVar("labels", default=MappingProxyType({}))
_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, object] = {
            "at": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "message": record.getMessage(),
        }
        line |= _labels.get()
        line |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = f"{context.trace_id:032x}"
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return orjson.dumps(line, default=str).decode()


def configure(service: str, log_level: str, otlp_endpoint: str) -> None:
    """Sets up logging to standard error and, where an endpoint is given, tracing."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(service))
    logging.basicConfig(level=log_level, handlers=[handler], force=True)
    _spare_unused()
    # Without a collector spans only carry ids, for logs and for whoever is called: those are cheap.
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=sampling.DEFAULT_ON if otlp_endpoint else sampling.ALWAYS_OFF,
    )
    if otlp_endpoint:
        exporter = OTLPSpanExporter(endpoint=otlp_endpoint, insecure=True)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def _spare_unused() -> None:
    """Has records not gather what our lines do not show: a third of a line's cost.

    As Python's logging HOWTO advises under "Optimization".
    """
    logging._srcfile = None  # noqa: SLF001
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


@contextmanager
def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, carrier: Mapping[str, str] | None = None
) -> Iterator[Span]:
    """Opens a span, as a child of the W3C context in ``carrier`` where one is given."""
    with trace.use_span(begin(name, kind, carrier), end_on_exit=True) as current:
        yield current


def begin(
    name: str, kind: SpanKind = SpanKind.INTERNAL, carrier: Mapping[str, str] | None = None
) -> Span:
    """Opens a span that the caller ends, for work that passes from thread to thread."""
    context = propagate.extract(carrier) if carrier is not None else None
    return _tracer.start_span(name, context, kind, attributes=dict(_labels.get()))


def traceresponse() -> str:
    """Returns the current span as a ``traceresponse`` header (W3C Trace Context, level 2 draft)."""
    context = trace.get_current_span().get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextmanager
def labelled(labels: Mapping[str, str | int]) -> Iterator[None]:
    """Gives every line and span of this task, and of those that it starts, the same labels."""
    token = _labels.set(labels)
    try:
        yield
    finally:
        _labels.reset(token)


def carrier() -> dict[str, str]:
    """Returns the current W3C trace context as headers, to be sent along."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
