"""What a process counts, for Prometheus to read.

Names follow Prometheus' conventions: a unit at the end, ``_total`` for what only grows. What a
replica reads from its database, every replica reads: such gauges are shown by their maximum.
"""

from __future__ import annotations

import logging

from prometheus_client import Counter, Gauge, Histogram, start_http_server

log = logging.getLogger(__name__)

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_STREAM_SECONDS = (60, 120, 300, 660)  # a picture waits in line for ten minutes and is drawn in one

HTTP_SECONDS = Histogram(
    "atelier_http_request_seconds", "HTTP requests", ["route", "status"], buckets=_SECONDS
)
HTTP_REFUSALS = Counter(
    "atelier_http_refusals_total", "Requests that were refused, by the code of the answer", ["code"]
)
HTTP_STREAMS = Gauge("atelier_http_streams", "Event streams that are open")
RPC_SECONDS = Histogram(
    "atelier_rpc_seconds",
    "gRPC calls served, streams until their end",
    ["rpc", "code"],
    buckets=_SECONDS + _STREAM_SECONDS,
)
EVENTS = Counter(
    "atelier_events_total", "Events consumed, by what came of them", ["subject", "end"]
)
OUTBOX_UNSENT = Gauge("atelier_outbox_unsent", "Events that wait to be sent")
OUTBOX_OLDEST = Gauge("atelier_outbox_oldest_seconds", "Age of the oldest event that waits")
DEAD_EVENTS = Gauge("atelier_dead_events", "Events that no handler could take")
QUEUE_ITEMS = Gauge("atelier_queue_items", "Items that wait or run", ["category", "pool", "state"])
QUEUE_OLDEST = Gauge(
    "atelier_queue_oldest_seconds", "How long the first runnable item waits", ["category", "pool"]
)
JOBS_CREATED_OLDEST = Gauge(
    "atelier_jobs_created_oldest_seconds", "Age of the oldest submission that is not queued yet"
)
HOLDS_OPEN = Gauge("atelier_holds_open", "Holds that are not settled")
HOLDS_OLDEST = Gauge("atelier_holds_oldest_seconds", "Age of the oldest hold that is not settled")
CREDITS = Gauge("atelier_credits", "Credits in all wallets that have not lapsed", ["pool"])
SLOTS = Gauge("atelier_worker_slots", "Items that this worker may run at once")
SLOTS_BUSY = Gauge("atelier_worker_slots_busy", "Items that this worker runs")
ITEMS = Counter(
    "atelier_worker_items_total",
    "Attempts that ended here",
    ["category", "template", "pool", "end"],
)
FILE_CHECKS = Counter(
    "atelier_file_checks_total", "Uploaded files that were checked", ["content_type", "end"]
)
MODEL_STATE = Gauge(
    "atelier_model_state", "1 in the state that the model or segmenter is in", ["model", "state"]
)
MODEL_ROWS = Gauge("atelier_model_rows", "Pictures that a model's steps take along", ["model"])
MODEL_ROWS_WAITING = Gauge("atelier_model_rows_waiting", "Pictures in line for a model", ["model"])
MODEL_BYTES = Gauge("atelier_model_bytes", "Memory of a model's weights", ["model"])
MODEL_STEPS = Counter("atelier_model_steps_total", "Steps, of any number of rows", ["model"])
MODEL_STEP_SECONDS = Counter(
    "atelier_model_step_seconds_total", "What a model's steps took together", ["model"]
)
MODEL_HALVINGS = Counter(
    "atelier_model_halvings_total", "Steps done in halves for want of memory", ["model"]
)
MODEL_LOADS = Counter("atelier_model_loads_total", "How often a model was loaded", ["model"])
INFERENCE_REFUSALS = Counter(
    "atelier_inference_refusals_total", "Pictures and masks that were not made", ["reason"]
)
SWEPT = Counter("atelier_swept_total", "Rows or objects that a sweeper ended", ["sweep"])
SWEEP_FAILURES = Counter("atelier_sweep_failures_total", "Sweeps that failed", ["sweep"])


def serve(listen: str) -> None:
    """Serves ``GET /metrics`` on ``host:port`` from a thread of its own; empty: not at all.

    A process whose port is taken goes on without: users come before metrics.
    """
    if not listen:
        return
    host, _, port = listen.rpartition(":")
    try:
        start_http_server(int(port), host)
    except OSError as error:
        log.error("no metrics", extra={"listen": listen, "error": str(error)})
        return
    log.info("metrics", extra={"listen": listen})
