"""What a worker needs of RunPod's SDK in its local test mode, with the words of version 1.12.

The SDK itself brings dozens of packages along. Where ATELIER_RUNPOD_SDK names the folder that it
was installed in, the tests run with it too.
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
        if error := output.pop("error", None):
            print(f"ERROR  | Job local_test failed with error: {error}")
            sys.exit(1)
        print(f"INFO   | Job result: { ({'output': output}) }")
        sys.exit(0)
