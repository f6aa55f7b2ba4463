"""The engine as a handler of RunPod's serverless workers; see docs/serverless.md.

``python -m inference.adapters.serverless --test_input '{"input": {"prompt": "a red mug"}}'`` runs
one job here: by the SDK's test mode where the package ``runpod`` is installed, else by our own,
which prints progress and result, a line of JSON each. Without a job the SDK is needed, and takes
jobs from the platform's queue. Imports torch.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, contextmanager
from typing import Any

from inference.adapters.hosting import EngineThread
from inference.adapters.in_process import InProcess
from inference.adapters.jobs import masks, pictures, rules
from inference.adapters.jobs.said import Output, Said
from inference.adapters.segment_in_process import SegmenterInProcess
from inference.api.together import on_a_thread
from inference.engine.errors import EngineError, InvalidRequest, ModelFailed
from inference.engine.opening import Options
from inference.engine.request import Picture
from kit.cores import cores

JOBS_MAX = 8  # at once on one worker: they share the engine's steps
TASKS = ("image", "segment", "apply_rule")

Job = Mapping[str, Any]
Tell = Callable[[Job, Output], None]


class Handler:
    """Does what jobs ask for; as many at once as the platform gives it.

    Args:
        engine: Opened or opening.
        segmenter: Begun by the first job that needs it.
        tell: Is told of a job's progress after each step.
    """

    def __init__(self, engine: InProcess, segmenter: SegmenterInProcess, tell: Tell) -> None:
        self._engine = engine
        self._segmenter = segmenter
        self._tell = tell
        self._threads = ThreadPoolExecutor(max(1, cores() // 2), "rules")
        self._tasks: dict[str, Callable[[Job, Said], Awaitable[Output]]] = {
            "image": self._draw,
            "segment": lambda _, said: self._segment(said),
            "apply_rule": lambda _, said: self._apply(said),
        }

    async def handle(self, job: Job) -> Output:
        """Handles one job; giving it up stops the sampler at its next step.

        Args:
            job: ``input`` has a ``task``, one of :data:`TASKS` (absent: the first), and the fields
                of that task as its module in :mod:`inference.adapters.jobs` reads them.

        Returns:
            ``image``, ``segmentation`` or ``result``; or ``error``, by which the platform knows a
            failed job, with ``reason``, ``field`` and ``retry_after_seconds``, and with
            ``refresh_worker``, by which it replaces this one, where an engine is lost.
        """
        try:
            said = job.get("input")
            task = said.get("task", TASKS[0]) if isinstance(said, dict) else None
            if not isinstance(said, dict) or task not in self._tasks:
                message = f"input: must be an object with task {' or '.join(TASKS)}"
                raise InvalidRequest(message, field="input")
            fields = {name: value for name, value in said.items() if name != "task"}
            return await self._tasks[task](job, fields)
        except EngineError as error:
            lost = self._engine.lost or self._segmenter.lost
            return {
                "error": f"{error.reason}: {error}",
                "reason": error.reason,
                "field": error.field,
                "retry_after_seconds": error.retry_after_seconds,
            } | ({"refresh_worker": True} if lost else {})

    async def _draw(self, job: Job, said: Said) -> Output:
        request = await asyncio.to_thread(pictures.request, said)
        await self._engine.opened()
        with _faults_of(self._engine):
            async with aclosing(self._engine.sample(request)) as events:
                async for event in events:
                    if isinstance(event, Picture):
                        return await asyncio.to_thread(pictures.output, event)
                    self._tell(job, pictures.progress(event))
        raise ModelFailed("the engine said nothing")

    async def _segment(self, said: Said) -> Output:
        request = await asyncio.to_thread(masks.request, said)
        self._segmenter.start()
        await self._segmenter.opened()
        with _faults_of(self._segmenter):
            return masks.output(await self._segmenter.segment(request))

    async def _apply(self, said: Said) -> Output:
        stopped = threading.Event()

        def work() -> Output:
            return rules.output(rules.work(said)(stopped.is_set))

        return await on_a_thread(self._threads, work, stopped)


@contextmanager
def _faults_of(engine: EngineThread[Any]) -> Iterator[None]:
    """Tells an engine of what fails within the block."""
    try:
        yield
    except ModelFailed:
        engine.faulted()
        raise


async def _try_out(options: Options, job: Job) -> int:
    """Runs one job; the exit status says how it ended, as with the SDK."""

    def tell(_: Job, progress: Output) -> None:
        print(json.dumps(progress), flush=True)

    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(InProcess(options))
        segmenter = SegmenterInProcess(options.models)
        stack.callback(segmenter.close)
        output = await Handler(engine, segmenter, tell).handle(job)
    print(json.dumps(output), flush=True)
    return int("error" in output)


def main(arguments: Sequence[str]) -> int:
    """Runs the worker, or one job; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test_input", help='a job as JSON, {"input": {...}}')
    asked = parser.parse_known_args(arguments)[0]
    try:
        options = Options.of(os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if importlib.util.find_spec("runpod") is not None:
        return _serve(options, trying=bool(asked.test_input))
    if asked.test_input:
        return asyncio.run(_try_out(options, json.loads(asked.test_input)))
    print("the package runpod is not installed; --test_input runs a job here", file=sys.stderr)
    return 2


def _serve(options: Options, trying: bool) -> int:
    """Has the SDK run jobs, until it ends."""
    runpod = importlib.import_module("runpod")

    def tell(job: Job, progress: Output) -> None:
        if not trying:  # then there is nobody to tell
            runpod.serverless.progress_update(job, progress)

    engine, segmenter = InProcess(options), SegmenterInProcess(options.models)
    engine.start()
    try:
        runpod.serverless.start(
            {
                "handler": Handler(engine, segmenter, tell).handle,
                "concurrency_modifier": lambda _: JOBS_MAX,
            }
        )
    finally:
        engine.close()
        segmenter.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
