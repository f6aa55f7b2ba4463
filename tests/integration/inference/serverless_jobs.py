"""Runs jobs by the serverless handler, where torch is: one a line, in and out."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping

from inference.adapters.in_process import InProcess
from inference.adapters.serverless import Handler, Output
from inference.engine.opening import Options


def tell(job: Mapping[str, object], progress: Output) -> None:
    print(json.dumps(progress), flush=True)


async def main() -> None:
    async with InProcess(Options.of(os.environ)) as engine:
        handler = Handler(engine, tell)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await handler.handle(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
