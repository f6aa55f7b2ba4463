"""The engine as a Triton model: requests go in line, a thread of their own samples them."""

from __future__ import annotations

import os

import numpy as np

from inference.engine.errors import EngineError, InvalidRequest
from inference.engine.opening import Options, open_engine
from inference.engine.request import ImageRequest, Picture, Progress
from inference.triton import wire
from inference.triton.serving import Answers, Hosted, answer_each, given, text

NOTHING = np.zeros((0, 0, 3), np.uint8)


class TritonPythonModel:
    """Named and shaped as Triton's python backend wants it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads and warms the default model, then begins to sample."""
        self._hosted = Hosted(args, lambda: open_engine(Options.of(os.environ, served=True)))

    def execute(self, requests: list) -> None:
        """Puts requests in line and returns at once."""
        answer_each(requests, wire.MODEL, self._answer)

    def finalize(self) -> None:
        """Ends the engine; rows that are left fail."""
        self._hosted.close()

    def _answer(self, request, answers: Answers) -> None:
        parts = given(request, wire.REQUEST)
        if parts[0] == wire.PING:
            self._hosted.check()
            answers.end(_event(wire.encode_statuses(self._hosted.engine.statuses())))
        else:
            self._hosted.engine.submit(_decode(parts), _Watcher(answers))


def _decode(parts: np.ndarray) -> ImageRequest:
    try:
        return wire.decode_request(parts)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise InvalidRequest(f"not a request: {error}") from error


class _Watcher:
    """Hands on what becomes of a row."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def cancelled(self) -> bool:
        return self._answers.cancelled()

    def progress(self, progress: Progress) -> None:
        self._answers.send(_event(wire.encode_progress(progress)))

    def finished(self, picture: Picture) -> None:
        self._answers.end(
            _event(wire.encode_result(picture), picture.pixels),
            model=picture.model,
            steps=picture.steps,
            seconds=picture.seconds,
        )

    def failed(self, error: EngineError) -> None:
        self._answers.failed(error)


def _event(said: bytes, pixels: np.ndarray = NOTHING) -> dict[str, np.ndarray]:
    return {wire.EVENT: text(said), wire.IMAGE: pixels}
