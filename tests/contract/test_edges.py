"""docs/architecture.md names every edge between processes: held against recorded traces."""

from __future__ import annotations

import re
from pathlib import Path

from opentelemetry.proto.trace.v1 import trace_pb2

from kit.telemetry import CALLER
from kit.testing.collector import Collector
from tests.acceptance.test_advert import settled, submit, works_of
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
        await eventually(all_seen, 30)
    except TimeoutError:
        assert drawn() - recorded(collector) == set()
    inside = {edge for edge in recorded(collector) if edge[0] != "gateway"}
    assert inside - drawn() == set(), "an edge that the table does not name"


async def test_one_trace_leads_from_the_request_to_the_hold(
    member: Member, collector: Collector
) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    reply = await member.post(
        "/v1/jobs",
        headers={"idempotency-key": "t", "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"},
        json={"template_id": "general-picture", "inputs": {"text": "빨간 꽃병"}},
    )
    assert reply.status_code == 202

    async def followed() -> bool:
        mine = [s.service for s in collector.spans if s.span.trace_id.hex() == trace_id]
        return {"gateway", "jobs", "templates", "works", "accounts"} <= set(mine)

    assert await eventually(followed, 30)
    await member.finished(reply.json()["id"])
