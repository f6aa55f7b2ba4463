"""docs/architecture.md names every edge between processes: held against recorded traces."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1 import trace_pb2

from kit.telemetry import CALLER
from kit.testing.collector import Collector, Seen
from tests.acceptance.test_advert import settled, submit, works_of
from tests.conftest import Installation
from tests.studio import Member, eventually

ARCHITECTURE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
Edge = tuple[str, str, str]


def drawn() -> set[Edge]:
    row = re.compile(r"^\| (\w+) \| (\w+) \| (?:gRPC|event) \| (\S+) \|$", re.MULTILINE)
    return set(row.findall(ARCHITECTURE.read_text()))


def recorded(collector: Collector) -> set[Edge]:
    edges = set()
    for seen in collector.spans:
        name = seen.span.name
        if seen.span.kind == trace_pb2.Span.SPAN_KIND_CONSUMER:
            edges.add((name.split(".")[1], seen.service, name))
        elif CALLER in seen.attributes:
            edges.add((seen.attributes[CALLER], seen.service, name.removeprefix("atelier.")))
    return {(source, target, re.sub(r"^\w+\.v1\.", "", what)) for source, target, what in edges}


async def test_the_table_of_edges_is_what_an_advert_does(
    member: Member, collector: Collector
) -> None:
    await member.get("/v1/projects")
    await member.get("/v1/credits")
    job = await submit(member, category="eats", inputs={"text": "딸기 라떼"})
    async for _ in member.events(f"/v1/jobs/{job['id']}/events"):
        pass
    done = await member.finished(job["id"])
    for work in await works_of(member, done):
        await member.get(f"/v1/works/{work['id']}")
        await member.get(f"/v1/works/{work['id']}/download")
    await settled(member, job["id"])

    async def all_seen() -> bool:
        return drawn() <= recorded(collector)

    try:
        await eventually(all_seen)
    except TimeoutError:
        assert drawn() - recorded(collector) == set()
    inside = {edge for edge in recorded(collector) if edge[0] != "gateway"}
    assert inside - drawn() == set(), "an edge that the table does not name"


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS_SPAN = "00f067aa0ba902b7"
# The longest way of an advert: where each step of it is done, and what it is.
WAY = [
    ("triton", "generate"),
    ("inference", "atelier.inference.v1.InferenceService/GenerateImage"),
    ("worker", "worker/item"),
    ("jobs", "atelier.jobs.v1.JobsService/SubmitJob"),
    ("gateway", "POST /v1/jobs"),
]
WAY_OF_THE_END = [
    ("accounts", "evt.jobs.item.finished.v1"),
    ("jobs", "atelier.jobs.v1.QueueService/FinishItem"),
    ("worker", "worker/item"),
    ("jobs", "atelier.jobs.v1.JobsService/SubmitJob"),
    ("gateway", "POST /v1/jobs"),
]


def way_back(spans: list[Seen], start: tuple[str, str]) -> list[tuple[str, str]]:
    """From a span to its parent and so on, up to the caller's own."""
    by_id = {seen.span.span_id.hex(): seen for seen in spans}
    at = next((s for s in spans if (s.service, s.span.name) == start), None)
    way = []
    while at is not None:
        way.append((at.service, at.span.name))
        parent = at.span.parent_span_id.hex()
        if parent == CALLERS_SPAN:
            return way
        at = by_id.get(parent)
    return way  # the next has not arrived yet


async def test_one_trace_leads_from_the_request_to_the_sampler_and_to_the_settlement(
    member: Member, collector: Collector, installation: Installation
) -> None:
    reply = await member.post(
        "/v1/jobs",
        headers={"idempotency-key": "t", "traceparent": f"00-{TRACE}-{CALLERS_SPAN}-01"},
        json={"template_id": "general-picture", "inputs": {"text": "빨간 꽃병"}},
    )
    assert reply.status_code == 202
    assert reply.headers["traceresponse"].split("-")[1] == TRACE
    job = await member.finished(reply.json()["id"])

    def ways() -> list[list[tuple[str, str]]]:
        mine = [seen for seen in collector.spans if seen.span.trace_id.hex() == TRACE]
        return [way_back(mine, way[0]) for way in (WAY, WAY_OF_THE_END)]

    async def followed() -> bool:
        return ways() == [WAY, WAY_OF_THE_END]

    with suppress(TimeoutError):
        await eventually(followed)
    assert ways() == [WAY, WAY_OF_THE_END]
    assert_logged(installation.layout.logs / "worker.log", job)


def assert_logged(file: Path, job: dict[str, Any]) -> None:
    """Every line of the item's work says which job it was, and of which trace."""
    lines = [json.loads(line) for line in file.read_text().splitlines() if TRACE in line]
    assert lines, "the worker wrote no line in this trace"
    expected = {"job_id": job["id"], "category": "general", "pool": "gpu"}
    expected["template_id"] = "general-picture"
    for line in lines:
        assert expected.items() <= line.items(), line
