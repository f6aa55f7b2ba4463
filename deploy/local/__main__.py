"""``python -m deploy.local run`` serves until Ctrl-C; ``demo`` makes one advert and ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from deploy.local import demo, layout, preflight, stack
from deploy.local.layout import ROOT, Layout
from deploy.local.preflight import NotFit
from deploy.local.supervisor import PartFailed, Supervisor

DATA = Path(os.environ.get("ATELIER_DATA", ROOT / "data"))
OUT = ROOT / "out"
TELL_SECONDS = 5


async def _run(places: Layout, command: str) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopping.set)
    async with Supervisor(places.logs, on_ready=_say_ready) as supervisor:
        starting = asyncio.create_task(stack.start(supervisor, places))
        telling = asyncio.create_task(_say_waiting(supervisor))
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
        telling.cancel()
        if starting.done():
            starting.result()
            if command == "demo":
                await demo.make_advert(places.gateway_url, OUT)
            else:
                _say_addresses(places)
                await waiting
        starting.cancel()
        waiting.cancel()
        _say("stop: every part")


async def _say_waiting(supervisor: Supervisor) -> None:
    """Says every few seconds what the start still waits for."""
    seconds = 0
    while True:
        await asyncio.sleep(TELL_SECONDS)
        seconds += TELL_SECONDS
        if waiting := supervisor.waiting():
            _say(f"start: waiting for {', '.join(waiting)} ({seconds} s)")


def _say_ready(part: str, seconds: float) -> None:
    _say(f"start: {part} is ready after {seconds:.1f} s")


def _say_addresses(places: Layout) -> None:
    _say(
        f"\nAtelier is running.\n"
        f"  studio    {places.gateway_url}/\n"
        f"  API       {places.gateway_url}/v1/\n"
        f"  API docs  {places.gateway_url}/docs\n"
        f"  logs      {places.logs}\n"
        f"Ctrl-C stops everything; data stays in {places.data}.\n"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Runs a command; 2 where the machine is not fit, 1 where a part failed."""
    if arguments not in (["run"], ["demo"]):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    logging.basicConfig(level="WARNING", format="%(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel("WARNING")
    try:
        preflight.check(DATA)
        with preflight.sole_use(DATA):
            asyncio.run(_run(layout.prepare(DATA), arguments[0]))
    except NotFit as lack:
        sys.stderr.write(f"{lack}\n")
        return 2
    except (PartFailed, RuntimeError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
