"""``Prefer: wait=N`` (RFC 7240): an answer that may come later is waited for, within bounds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping
from typing import Any

import grpc

from gateway.exchange import Exchange

WAIT_SECONDS_MAX = 60
_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)


def wait_seconds(headers: Mapping[str, str]) -> int | None:
    """Returns how long the client would wait, at most ``WAIT_SECONDS_MAX``.

    A preference that cannot be read is no preference.
    """
    found = _WAIT.search(headers.get("prefer", ""))
    return min(int(found[1]), WAIT_SECONDS_MAX) if found else None


async def within(
    seconds: float, outcome: Coroutine[Any, Any, dict[str, object]], exchange: Exchange
) -> dict[str, object] | None:
    """Returns an outcome if it comes in time and the client stays, else None.

    What fails meanwhile is no failure of the request: it was accepted, and its answer says so.
    """
    waiting = asyncio.ensure_future(outcome)
    leaving = asyncio.ensure_future(exchange.gone())
    try:
        await asyncio.wait({waiting, leaving}, timeout=seconds, return_when="FIRST_COMPLETED")
        return waiting.result() if waiting.done() else None
    except grpc.aio.AioRpcError:
        return None
    finally:
        waiting.cancel()
        leaving.cancel()
