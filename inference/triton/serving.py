"""What the models of the repository share: an engine on a thread of its own, and its answers.

Importable within a model process of Triton only, whose python backend brings its utilities along.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import triton_python_backend_utils as triton
from numpy.typing import NDArray
from opentelemetry.trace import SpanKind

from inference.engine.errors import Canceled, EngineError, ModelFailed
from inference.engine.loop import Runs
from inference.triton import wire
from inference.triton.predecessors import end_predecessors
from kit import telemetry

log = logging.getLogger(__name__)

JOIN_SECONDS = 5.0


Engine = TypeVar("Engine", bound=Runs)


class Hosted(Generic[Engine]):
    """An engine in a model process of Triton.

    Args:
        args: Of the model's ``initialize``.
        open_engine: Makes the engine; called when nothing else holds its memory any more.
    """

    def __init__(self, args: Mapping[str, str], open_engine: Callable[[], Engine]) -> None:
        telemetry.configure(
            "triton",
            os.environ.get("ATELIER_LOG_LEVEL", "INFO"),
            os.environ.get("ATELIER_OTLP_ENDPOINT", ""),
        )
        end_predecessors(args["model_instance_name"])
        self.engine = open_engine()
        self._thread = threading.Thread(target=self.engine.run, name=args["model_name"])
        self._thread.start()

    def check(self) -> None:
        """Answers a ping.

        Raises:
            ModelFailed: The engine has ended, or hangs.
        """
        if not self._thread.is_alive() or self.engine.stalled:
            raise ModelFailed("the engine has ended, or hangs")

    def close(self) -> None:
        """Ends the engine; what is left in it fails."""
        hangs = self.engine.stalled
        self.engine.close()
        self._thread.join(JOIN_SECONDS)
        if hangs or self._thread.is_alive():
            # A step or a load hangs in the driver. Only with its process it gives back the card.
            os._exit(1)


class Answers:
    """Sends what becomes of a request to whoever asked, within a span of that one's trace.

    Args:
        request: Of Triton.
        model: Name of the span.
    """

    def __init__(self, request: Any, model: str) -> None:
        self._sender = request.get_response_sender()
        carrier = json.loads(request.parameters() or "{}")
        self._span = telemetry.begin(model, SpanKind.SERVER, carrier)
        self._span.set_attribute(telemetry.CALLER, "inference")

    def cancelled(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return bool(self._sender.is_cancelled())

    def send(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Sends an answer that others will follow."""
        self._sender.send(_response(tensors))

    def end(self, tensors: Mapping[str, NDArray[Any]], **said: str | float) -> None:
        """Sends the last answer.

        Args:
            tensors: By name.
            said: Attributes of the span.
        """
        self._span.set_attributes(said)
        self._end(_response(tensors))

    def failed(self, error: EngineError) -> None:
        """Says that there is no answer."""
        code = triton.TritonError.INTERNAL
        if isinstance(error, Canceled):
            code = triton.TritonError.CANCELLED
        self._span.set_attribute("reason", error.reason)
        said = triton.TritonError(wire.encode_error(error), code)
        self._end(triton.InferenceResponse(error=said))

    def _end(self, response: Any) -> None:
        self._sender.send(response, flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        self._span.end()


def answer_each(
    requests: Sequence[Any], model: str, answer: Callable[[Any, Answers], None]
) -> None:
    """Has requests answered, and returns at once so that Triton stays responsive.

    Args:
        requests: Of Triton.
        model: Who answers.
        answer: Puts a request in line; what it raises is the answer.
    """
    for request in requests:
        answers = Answers(request, model)
        try:
            answer(request, answers)
        except EngineError as error:
            answers.failed(error)
        except Exception as error:
            log.exception("a request could not be taken")
            answers.failed(ModelFailed(f"the request could not be taken: {type(error).__name__}"))


def given(request: Any, name: str) -> NDArray[Any]:
    """Returns an input of a request as a vector; it lives as long as the call of the model."""
    tensor: NDArray[Any] = triton.get_input_tensor_by_name(request, name).as_numpy()
    return tensor.reshape(-1)


def text(said: bytes) -> NDArray[Any]:
    """Makes an output of one byte string."""
    return np.array([said], np.object_)


def _response(tensors: Mapping[str, NDArray[Any]]) -> Any:
    made = [triton.Tensor(name, np.ascontiguousarray(one)) for name, one in tensors.items()]
    return triton.InferenceResponse(made)
