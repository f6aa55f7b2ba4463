"""Runs jobs by the serverless handler, where torch is: one a line, in and out, several at once.

A line ``{"cancel": "1"}`` gives a job up, as the platform does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from inference.adapters.in_process import InProcess
from inference.adapters.jobs.said import Output
from inference.adapters.segment_in_process import SegmenterInProcess
from inference.adapters.serverless import Handler
from inference.engine.opening import Options


def tell(job: Mapping[str, Any], said: Output) -> None:
    print(json.dumps({"id": job["id"]} | said), flush=True)


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    options = Options.of(os.environ)
    segmenter = SegmenterInProcess(options.models)
    async with InProcess(options) as engine:
        handler = Handler(engine, segmenter, tell)

        async def answer(job: Mapping[str, Any]) -> None:
            tell(job, await handler.handle(job))

        running: dict[str, asyncio.Task[None]] = {}
        while line := await asyncio.to_thread(sys.stdin.readline):
            said = json.loads(line)
            if "cancel" in said:
                running[said["cancel"]].cancel()
            else:
                running[said["id"]] = asyncio.create_task(answer(said))
        await asyncio.gather(*running.values(), return_exceptions=True)
    segmenter.close()


if __name__ == "__main__":
    asyncio.run(main())
