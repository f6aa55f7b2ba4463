"""The segmenter as a Triton model: requests go in line, a thread of their own answers them."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import triton_python_backend_utils as triton
from opentelemetry.trace import Span, SpanKind

from inference.engine.errors import Canceled, EngineError, ModelFailed
from inference.engine.segmentation.engine import WAITING_MAX, SegmentEngine
from inference.engine.segmentation.registry import Segmenters, default_device, loader
from inference.engine.segmentation.request import Segmentation
from inference.triton import segment_wire, wire
from inference.triton.predecessors import end_predecessors
from kit import telemetry

JOIN_SECONDS = 5.0


class TritonPythonModel:
    """Named and shaped as Triton's python backend wants it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads and warms every segmenter; there may be none, and every request is then refused."""
        telemetry.configure(
            "triton",
            os.environ.get("ATELIER_LOG_LEVEL", "INFO"),
            os.environ.get("ATELIER_OTLP_ENDPOINT", ""),
        )
        end_predecessors(args["model_instance_name"])
        segmenters = Segmenters.load(
            Path(os.environ["ATELIER_MODELS_DIR"]), loader(default_device())
        )
        waiting_max = int(os.environ.get("ATELIER_SEGMENT_WAITING_MAX", WAITING_MAX))
        self._engine = SegmentEngine(segmenters, waiting_max)
        self._thread = threading.Thread(target=self._engine.run, name="segmenter")
        self._thread.start()

    def execute(self, requests: list) -> None:
        """Puts requests in line and returns at once, so that Triton stays responsive."""
        for request in requests:
            responses = _Responses(request.get_response_sender(), _span(request))
            raw, picture = (
                triton.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)
                for name in (segment_wire.REQUEST, segment_wire.PICTURE)
            )
            try:
                if raw[0] == segment_wire.PING:
                    self._answer_ping(responses)
                else:
                    # A copy: the tensor is Triton's, and lives as long as this call.
                    asked = segment_wire.decode_request(raw[0], picture.tobytes())
                    self._engine.submit(asked, responses)
            except EngineError as error:
                responses.failed(error)

    def _answer_ping(self, responses: _Responses) -> None:
        if not self._thread.is_alive() or self._engine.stalled:
            raise ModelFailed("the engine has ended, or hangs")
        responses.answer(segment_wire.PING)

    def finalize(self) -> None:
        """Ends the engine; requests that are left fail."""
        self._engine.close()
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            # It hangs in the driver. Only with its process it gives back the card.
            os._exit(1)


def _span(request) -> Span:
    """A span from here to the answer, in the trace of whoever asked."""
    carrier = json.loads(request.parameters() or "{}")
    span = telemetry.begin(segment_wire.MODEL, SpanKind.SERVER, carrier)
    span.set_attribute(telemetry.CALLER, "inference")
    return span


class _Responses:
    """Sends what becomes of a request to whoever asked."""

    def __init__(self, sender, span: Span) -> None:
        self._sender = sender
        self._span = span

    def cancelled(self) -> bool:
        return self._sender.is_cancelled()

    def finished(self, segmentation: Segmentation) -> None:
        self.answer(segment_wire.encode_answer(segmentation))

    def answer(self, said: bytes) -> None:
        tensor = triton.Tensor(segment_wire.ANSWER, np.array([said], np.object_))
        self._end(triton.InferenceResponse([tensor]))

    def failed(self, error: EngineError) -> None:
        code = triton.TritonError.INTERNAL
        if isinstance(error, Canceled):
            code = triton.TritonError.CANCELLED
        self._span.set_attribute("reason", error.reason)
        self._end(
            triton.InferenceResponse(error=triton.TritonError(wire.encode_error(error), code))
        )

    def _end(self, response) -> None:
        self._span.end()
        self._sender.send(response, flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
