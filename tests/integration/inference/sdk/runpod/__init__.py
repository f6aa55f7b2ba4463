"""As much of RunPod's SDK as its local test mode: one job, handled and printed, and its exit.

The SDK itself brings dozens of packages along; the worker was tried with it by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Handle = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class serverless:  # noqa: N801  # a module of the SDK
    @staticmethod
    def start(config: dict[str, Any]) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--test_input")
        job = json.loads(parser.parse_args().test_input) | {"id": "local_test"}
        handle: Handle = config["handler"]
        assert config["concurrency_modifier"](1) > 1

        async def run() -> dict[str, Any]:
            return await handle(job)

        output = asyncio.run(run())
        print(f"INFO   | local_test | Run result: {json.dumps(output)}")
        sys.exit(int("error" in output))
