"""The engine as a Triton model: requests go in line, a thread of their own samples them."""

from __future__ import annotations

import json
import os
import threading

import numpy as np
import triton_python_backend_utils as triton
from opentelemetry.trace import Span, SpanKind

from inference.engine.errors import Canceled, EngineError, InvalidRequest, ModelFailed
from inference.engine.opening import Options, open_engine
from inference.engine.request import Picture, Progress
from inference.triton import wire
from inference.triton.predecessors import end_predecessors
from kit import telemetry

JOIN_SECONDS = 5.0
NOTHING = np.zeros((0, 0, 3), np.uint8)


class TritonPythonModel:
    """Named and shaped as Triton's python backend wants it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads and warms the default model, then begins to sample."""
        telemetry.configure(
            "triton",
            os.environ.get("ATELIER_LOG_LEVEL", "INFO"),
            os.environ.get("ATELIER_OTLP_ENDPOINT", ""),
        )
        end_predecessors(args["model_instance_name"])
        self._engine = open_engine(Options.of(os.environ))
        self._thread = threading.Thread(target=self._engine.run, name="engine")
        self._thread.start()

    def execute(self, requests: list) -> None:
        """Puts requests in line and returns at once, so that Triton stays responsive."""
        for request in requests:
            responses = _Responses(request.get_response_sender(), _span(request))
            parts = triton.get_input_tensor_by_name(request, wire.REQUEST).as_numpy().reshape(-1)
            try:
                if parts[0] == wire.PING:
                    self._answer_ping(responses)
                else:
                    self._engine.submit(_decode(parts), responses)
            except EngineError as error:
                responses.failed(error)

    def _answer_ping(self, responses: _Responses) -> None:
        if not self._thread.is_alive():
            raise ModelFailed("the engine has ended")
        responses.pong(wire.encode_statuses(self._engine.statuses()))

    def finalize(self) -> None:
        """Ends the engine; rows that are left fail."""
        self._engine.close()
        self._thread.join(JOIN_SECONDS)


def _decode(parts: np.ndarray):
    try:
        return wire.decode_request(parts)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise InvalidRequest(f"not a request: {error}") from error


def _span(request) -> Span:
    """A span from here to the answer, in the trace of whoever asked."""
    carrier = json.loads(request.parameters() or "{}")
    span = telemetry.begin(wire.MODEL, SpanKind.SERVER, carrier)
    span.set_attribute(telemetry.CALLER, "inference")
    return span


class _Responses:
    """Sends what becomes of a row to whoever asked for it."""

    def __init__(self, sender, span: Span) -> None:
        self._sender = sender
        self._span = span

    def cancelled(self) -> bool:
        return self._sender.is_cancelled()

    def progress(self, progress: Progress) -> None:
        self._sender.send(_response(wire.encode_progress(progress), NOTHING))

    def pong(self, statuses: bytes) -> None:
        response = _response(statuses, NOTHING)
        self._sender.send(response, flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def finished(self, picture: Picture) -> None:
        said = {"model": picture.model, "steps": picture.steps, "seconds": picture.seconds}
        self._span.set_attributes(said)
        self._span.end()
        response = _response(wire.encode_result(picture), picture.pixels)
        self._sender.send(response, flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def failed(self, error: EngineError) -> None:
        self._span.set_attribute("reason", error.reason)
        self._span.end()
        code = triton.TritonError.INTERNAL
        if isinstance(error, Canceled):
            code = triton.TritonError.CANCELLED
        response = triton.InferenceResponse(
            error=triton.TritonError(wire.encode_error(error), code)
        )
        self._sender.send(response, flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _response(event: bytes, pixels: np.ndarray):
    tensors = [
        triton.Tensor(wire.EVENT, np.array([event], np.object_)),
        triton.Tensor(wire.IMAGE, np.ascontiguousarray(pixels)),
    ]
    return triton.InferenceResponse(tensors)
