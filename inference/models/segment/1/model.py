"""The segmenter as a Triton model: requests go in line, a thread of their own answers them."""

from __future__ import annotations

import os
from pathlib import Path

from inference.engine.device import default_device
from inference.engine.errors import EngineError
from inference.engine.segmentation.engine import WAITING_MAX, SegmentEngine
from inference.engine.segmentation.registry import Segmenters, loader
from inference.engine.segmentation.request import Segmentation
from inference.triton import segment_wire, wire
from inference.triton.serving import Answers, Hosted, answer_each, given, text


class TritonPythonModel:
    """Named and shaped as Triton's python backend wants it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads and warms segmenters; there may be none, and every request is then refused."""
        self._hosted = Hosted(args, _open_engine)

    def execute(self, requests: list) -> None:
        """Puts requests in line and returns at once."""
        answer_each(requests, segment_wire.MODEL, self._answer)

    def finalize(self) -> None:
        """Ends the engine; requests that are left fail."""
        self._hosted.close()

    def _answer(self, request, answers: Answers) -> None:
        said = given(request, segment_wire.REQUEST)[0]
        if said == segment_wire.PING:
            self._hosted.check()
            said = wire.encode_statuses(self._hosted.engine.statuses())
            answers.end({segment_wire.ANSWER: text(said)})
            return
        # A copy: the tensor is Triton's, and lives as long as this call.
        picture = given(request, segment_wire.PICTURE).tobytes()
        asked = segment_wire.decode_request(said, picture)
        self._hosted.engine.submit(asked, _Watcher(answers))


def _open_engine() -> SegmentEngine:
    folder = Path(os.environ["ATELIER_MODELS_DIR"])
    waiting_max = int(os.environ.get("ATELIER_SEGMENT_WAITING_MAX", WAITING_MAX))
    return SegmentEngine(Segmenters.load(folder, loader(default_device())), waiting_max)


class _Watcher:
    """Hands on what becomes of a request."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def cancelled(self) -> bool:
        return self._answers.cancelled()

    def finished(self, segmentation: Segmentation) -> None:
        self._answers.end({segment_wire.ANSWER: text(segment_wire.encode_answer(segmentation))})

    def failed(self, error: EngineError) -> None:
        self._answers.failed(error)
