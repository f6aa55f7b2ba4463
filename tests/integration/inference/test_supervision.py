"""Recovery without a hand, and what must not be taken for a fault of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
from prometheus_client.parser import text_string_to_metric_families

from deploy.local import probes, stack, triton
from deploy.local.part import Part
from kit.rpc.client import open_channel
from tests.integration.inference.unit import Unit
from tests.studio import eventually

RECOVERY_SECONDS = 180.0
NOBODY = "http://127.0.0.1:9/judge"  # the port for discarding, which nobody serves


def another(unit: Unit, name: str, **settings: str) -> Part:
    """One more inference beside the unit's, with settings of its own."""
    places = unit.layout
    listen = {"ATELIER_LISTEN": places.socket(name), "ATELIER_METRICS_LISTEN": ""}
    environment = stack.service_environment(places, "inference") | listen | settings
    part = triton.inference_part(places, environment, places.data / "models")
    probe = probes.grpc_health(places.socket(name))
    return replace(part, name=name, probe=probe, liveness=None)


@asynccontextmanager
async def behind_a_check_that_is_down(unit: Unit) -> AsyncIterator[Unit]:
    part = another(unit, "checked", ATELIER_SAFETY="external", ATELIER_SAFETY_URL=NOBODY)
    await unit.supervisor.start([part])
    async with open_channel(unit.layout.socket(part.name)) as channel:
        yield replace(unit, channel=replace(unit.channel, channel=channel), service=part.name)
    await unit.supervisor.stop(part.name)


async def shown(unit: Unit) -> dict[str, float]:
    """What inference counts, by name and labels."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        page = await http.get(f"http://{unit.layout.address('inference_metrics')}/metrics")
    families = text_string_to_metric_families(page.text)
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in families
        for sample in family.samples
    }


async def test_what_the_engine_does_is_counted_where_prometheus_looks(unit: Unit) -> None:
    calls = "atelier_rpc_seconds_count {} atelier.inference.v1.InferenceService/GenerateImage"
    counted = (
        ("atelier_model_steps_total sdxl", 7),
        (calls.format("OK"), 1),
        (calls.format("INVALID_ARGUMENT"), 1),
        ("atelier_inference_refusals_total UNKNOWN_MODEL", 1),
    )
    before = await shown(unit)
    await unit.draw(steps=7)
    await unit.refused(model="nowhere")

    async def all_counted() -> bool:
        now = await shown(unit)
        missing = [name for name, more in counted if now.get(name, 0) < before.get(name, 0) + more]
        return not missing and now["atelier_model_state sdxl ready"] == 1

    await eventually(all_counted)
    now = await shown(unit)
    assert now["atelier_model_loads_total sdxl"] >= 1
    assert now["atelier_model_step_seconds_total sdxl"] > 0
    assert now["atelier_model_bytes sdxl"] > 0


async def test_a_triton_that_hangs_is_ended_and_serves_again(unit: Unit) -> None:
    ends, waits = unit.supervisor.ends("triton"), unit.supervisor.ends("inference")
    unit.supervisor.pause("triton")  # and nobody lets it go on

    async def ended() -> bool:
        return unit.supervisor.ends("triton") > ends

    await eventually(ended, RECOVERY_SECONDS)
    await eventually(unit.serving, RECOVERY_SECONDS)
    await unit.draw(steps=2)
    assert unit.supervisor.ends("inference") == waits


async def test_a_safety_check_that_is_down_refuses_pictures_and_leaves_the_engine_alone(
    unit: Unit,
) -> None:
    ends = unit.supervisor.ends("triton")
    async with behind_a_check_that_is_down(unit) as checked:
        for _ in range(2):
            refusal = await checked.refused(steps=1)
            assert refusal.failure.reason == "CHECK_FAILED"
        assert (await checked.states())["sdxl"] in ("MODEL_STATE_READY", "MODEL_STATE_BUSY")
        assert await checked.serving()
    assert unit.supervisor.ends("triton") == ends
