"""What a process counts, for Prometheus to read.

Names follow Prometheus' conventions: a unit at the end, ``_total`` for what only grows.
"""

from __future__ import annotations

import logging

from prometheus_client import Counter, start_http_server

log = logging.getLogger(__name__)

SWEPT = Counter("atelier_swept_total", "Rows or objects that a sweeper ended", ["sweep"])
SWEEP_FAILURES = Counter("atelier_sweep_failures_total", "Sweeps that failed", ["sweep"])


def serve(listen: str) -> None:
    """Serves ``GET /metrics`` on ``host:port`` from a thread of its own; empty: not at all."""
    if not listen:
        return
    host, _, port = listen.rpartition(":")
    start_http_server(int(port), host)
    log.info("metrics", extra={"listen": listen})
