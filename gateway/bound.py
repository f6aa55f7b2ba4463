"""Routes bound to their gRPC calls: everything about one that does not change, compiled once."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway import encoding
from gateway.routes import Route, is_required
from kit.rpc.contract import Deprecation

_AFTER = "after_"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Bound:
    """A route and how it is called.

    Attributes:
        route: The route.
        request: The class of its request.
        response: The class of its response, or of the messages of its stream.
        call: The gRPC call; a unary one answers bytes, which are decoded only where needed.
        encode: The response as what orjson can write.
        query_fields: Those that come from the query.
        required: Names that the body must have.
        cursor: Of a stream, the field of its messages that Last-Event-ID repeats; the request's
            field of that name after ``after_`` takes it.
        headers: What every answer carries.
    """

    route: Route
    request: type[Message]
    response: type[Message]
    call: Any
    encode: encoding.EncodeMessage
    query_fields: frozenset[str]
    required: tuple[str, ...]
    cursor: str
    headers: Headers

    @property
    def domain(self) -> str:
        """The domain that answers, for example ``accounts``."""
        return str(self.route.method.full_name.split(".")[1])


def bind(route: Route, channels: Mapping[str, grpc.aio.Channel]) -> Bound:
    """Binds a route to the channel of its domain."""
    method = route.method
    channel = channels[method.full_name.split(".")[1]]
    request = GetMessageClass(method.input_type)
    response = GetMessageClass(method.output_type)
    name = f"/{method.containing_service.full_name}/{method.name}"
    if method.server_streaming:
        call: Any = channel.unary_stream(name, request.SerializeToString, response.FromString)
    else:
        call = channel.unary_unary(name, request.SerializeToString)
    return Bound(
        route,
        request,
        response,
        call,
        encoding.encoder(method.output_type),
        frozenset(route.query_fields),
        _required(route),
        _cursor(route),
        deprecation_headers(route.policy.deprecation),
    )


def _required(route: Route) -> tuple[str, ...]:
    message: Any = route.body_message
    fields = message.fields if message else ()
    return tuple(f.name for f in fields if is_required(f) and f.name not in route.variables)


def _cursor(route: Route) -> str:
    if not route.method.server_streaming:
        return ""
    names = [field.name for field in route.method.input_type.fields]
    cursors = [name.removeprefix(_AFTER) for name in names if name.startswith(_AFTER)]
    if len(cursors) != 1 or cursors[0] not in route.method.output_type.fields_by_name:
        raise LookupError(f"{route.method.full_name} is a stream that cannot be resumed")
    return cursors[0]


def deprecation_headers(announced: Deprecation | None) -> Headers:
    """Returns Deprecation (RFC 9745), Sunset (RFC 8594) and a link to the successor."""
    if announced is None:
        return ()
    headers = [(b"deprecation", f"@{int(_midnight(announced.since).timestamp())}".encode())]
    if announced.sunset:
        date = format_datetime(_midnight(announced.sunset), usegmt=True)
        headers.append((b"sunset", date.encode()))
    if announced.successor:
        headers.append((b"link", f'<{announced.successor}>; rel="successor-version"'.encode()))
    return tuple(headers)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def fill(template: str, body: Mapping[str, Any]) -> str:
    """Fills ``{fields}`` of a path from an answer."""
    return _PLACEHOLDER.sub(lambda found: str(body[found.group(1)]), template)
