"""What the Prometheus of a cluster is told to ask, against the containers that are rendered."""

from __future__ import annotations

import re
from typing import Any

import yaml

from deploy.local.layout import ROOT, SIGNERS
from tests.k8s.rendered import Cluster, Container

(SCRAPED,) = yaml.safe_load((ROOT / "deploy" / "monitoring" / "kubernetes.yaml").read_text())[
    "scrape_configs"
]
PORT = "__meta_kubernetes_pod_container_port_name"
CONTAINER = "__meta_kubernetes_pod_container_name"


def rules(label: str) -> list[dict[str, Any]]:
    return [each for each in SCRAPED["relabel_configs"] if each["source_labels"] == [label]]


def kept(container: Container) -> list[int]:
    """The ports that are asked for metrics."""
    (rule,) = rules(PORT)
    assert rule["action"] == "keep"
    return [
        port["containerPort"]
        for port in container.spec["ports"]
        if re.fullmatch(rule["regex"], port["name"])
    ]


def test_every_container_is_asked_at_the_one_port_that_the_network_opens(cluster: Cluster) -> None:
    policy = cluster.get("NetworkPolicy", "metrics")["spec"]
    opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    for each in cluster.containers():
        (port,) = kept(each)
        assert port in opened, each.name


def test_what_a_container_is_called_is_what_alerts_call_the_process(cluster: Cluster) -> None:
    (rule,) = rules(CONTAINER)
    assert rule["target_label"] == "process"
    names = {each.spec["name"] for each in cluster.containers()}
    assert names == {*SIGNERS, "triton"}


def test_pods_are_looked_for_where_the_overlay_puts_them(cluster: Cluster) -> None:
    (discovery,) = SCRAPED["kubernetes_sd_configs"]
    assert discovery["role"] == "pod"
    placed = {each["metadata"]["namespace"] for each in cluster.all("Deployment")}
    assert set(discovery["namespaces"]["names"]) == placed
