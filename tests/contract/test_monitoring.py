"""Alerts and the dashboard speak of metrics that exist, and each alert fires for its fault."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import REGISTRY, Metric

from deploy.local import triton
from kit import metrics
from tests.conftest import Installation
from tests.studio import Member, eventually

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "monitoring"
NAME = re.compile(r"atelier_[a-z_]+")


def known() -> set[str]:
    """Every series that our processes show, by name."""
    assert metrics
    collected: list[Metric] = list(REGISTRY.collect())
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    return {
        metric.name + suffix
        for metric in collected
        if metric.name.startswith("atelier_")
        for suffix in suffixes.get(metric.type, ("",))
    }


@pytest.mark.parametrize("file", ["alerts.yaml", "alerts_test.yaml", "dashboard.json"])
def test_what_is_asked_for_exists(file: str) -> None:
    assert set(NAME.findall((FOLDER / file).read_text())) <= known()


def test_every_metric_is_on_the_dashboard() -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    shown = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    bases = {re.sub(r"_(bucket|count|sum)$", "", name) for name in known()}
    assert [base for base in sorted(bases) if base not in shown] == []


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    names = {rule["alert"] for group in rules for rule in group["rules"]}
    groups = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
    cases = [case for group in groups for case in group["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is in Debian's prometheus")
def test_each_alert_fires_for_its_fault_and_for_nothing_else() -> None:
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        ran = subprocess.run(
            ["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


async def test_every_process_shows_its_metrics_where_prometheus_is_told_to_look(
    installation: Installation, member: Member
) -> None:
    reply = await member.submit(
        template_id="general-advert", outputs=["marketing_copy"], inputs={"text": "빨간 꽃병"}
    )
    await member.finished(reply.json()["id"])
    told = json.loads((installation.layout.data / "prometheus.json").read_text())
    addresses = {each["labels"]["process"]: each["targets"][0] for each in told}
    assert ("triton" in addresses) == triton.supported(), "who is not there is not dead"
    wanted = {
        "accounts": 'atelier_rpc_seconds_count{code="OK",rpc="atelier.accounts.v1.CreditsService',
        "works": 'atelier_events_total{end="done",subject="evt.jobs.item.finished.v1"}',
        "jobs": "atelier_outbox_unsent",
        "templates": "atelier_dead_events 0.0",
        "worker": 'atelier_worker_items_total{category="general",end="delivered"',
        "gateway": "atelier_http_request_seconds_count",
        "inference": 'atelier_model_state{model="sdxl",state="ready"} 1.0',
    }
    missing = dict(wanted)

    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:

        async def all_shown() -> bool:
            for process, text in list(missing.items()):
                if text in (await http.get(f"http://{addresses[process]}/metrics")).text:
                    del missing[process]
            return not missing

        with contextlib.suppress(TimeoutError):
            await eventually(all_shown)
    assert missing == {}
