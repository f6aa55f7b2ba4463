"""Who may speak with whom: the network policies against the table of edges and the settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from deploy.local.layout import ROOT
from tests.k8s.rendered import NAME, Cluster, Container

ARCHITECTURE = ROOT / "docs" / "architecture.md"
GRPC = 50051
Edge = tuple[str, str]


def drawn() -> set[Edge]:
    """The pairs of processes between which calls go."""
    rows = re.findall(r"^\| (\w+) \| (\w+) \| gRPC \|", ARCHITECTURE.read_text(), re.MULTILINE)
    return set(rows)


def pods(cluster: Cluster, process: str) -> list[str]:
    """The Deployments that run a process."""
    return [
        each.deployment
        for each in cluster.containers()
        if each.module.removeprefix("services.") == process
    ]


def edges(cluster: Cluster) -> set[Edge]:
    """The pairs of Deployments between which the table draws calls."""
    return {
        (source, target)
        for caller, callee in drawn()
        if callee != "inference"  # called within its own pod only
        for source in pods(cluster, caller)
        for target in pods(cluster, callee)
    }


def targets(cluster: Cluster) -> set[Edge]:
    """The pairs of Deployments that the settings name."""
    return {
        (each.deployment, urlsplit(value).path.lstrip("/").partition(":")[0])
        for each in cluster.containers()
        for name, value in each.environment.items()
        if name.endswith("_TARGET") and value.startswith("dns:")
    }


def selected(policy: dict[str, Any]) -> list[str]:
    """The names that a policy's selector takes; empty: every pod."""
    selector = policy["spec"]["podSelector"]
    if "matchLabels" in selector:
        return [selector["matchLabels"][NAME]]
    return [value for each in selector.get("matchExpressions", []) for value in each["values"]]


def rules(cluster: Cluster, direction: str) -> Iterator[tuple[str, str, int]]:
    """Yields (pod, peer, port) of every rule between pods."""
    side = {"egress": "to", "ingress": "from"}[direction]
    for policy in cluster.all("NetworkPolicy"):
        for rule in policy["spec"].get(direction, []):
            for peer in rule.get(side, []):
                if "podSelector" not in peer:
                    continue
                for port in rule["ports"]:
                    for pod in selected(policy):
                        yield pod, peer["podSelector"]["matchLabels"][NAME], port["port"]


def test_nothing_speaks_unless_it_is_named(cluster: Cluster) -> None:
    spec = cluster.get("NetworkPolicy", "default-deny")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in cluster.all("NetworkPolicy"):
        declared = {name.lower() for name in policy["spec"]["policyTypes"]}
        assert {"ingress", "egress"} & set(policy["spec"]) <= declared, policy["metadata"]["name"]


def test_who_is_told_of_a_service_is_let_out_and_in_and_nobody_else(cluster: Cluster) -> None:
    wanted = {(source, target, GRPC) for source, target in targets(cluster)}
    assert wanted
    assert {(pod, peer, port) for pod, peer, port in rules(cluster, "egress")} == wanted
    assert {(peer, pod, port) for pod, peer, port in rules(cluster, "ingress")} == wanted


def test_who_calls_by_the_table_is_told_of_whom(cluster: Cluster) -> None:
    assert edges(cluster)
    assert edges(cluster) <= targets(cluster)
    services = {each["metadata"]["name"] for each in cluster.all("Service")}
    assert {target for _, target in targets(cluster)} <= services


def test_inference_is_called_within_its_pod(cluster: Cluster) -> None:
    told = {each.name: each.environment for each in cluster.containers()}
    port = told["worker-gpu/inference"]["ATELIER_LISTEN"].rpartition(":")[2]
    assert told["worker-gpu/worker"]["ATELIER_INFERENCE_TARGET"] == f"127.0.0.1:{port}"
    callers = [name for name, env in told.items() if "ATELIER_INFERENCE_TARGET" in env]
    assert callers == ["worker-gpu/worker"]


def dependencies(container: Container) -> Iterator[tuple[str, int]]:
    """Yields host and port of every store that a container is told of."""
    for name in (
        "ATELIER_DATABASE_URL",
        "ATELIER_OWNER_DATABASE_URL",
        "ATELIER_NATS_URL",
        "ATELIER_S3_ENDPOINT",
    ):
        if name in container.environment:
            url = urlsplit(container.environment[name])
            assert url.hostname, (container.name, name)
            assert url.port, (container.name, name)
            yield url.hostname, url.port
    if endpoint := container.environment.get("ATELIER_OTLP_ENDPOINT"):
        host, _, port = endpoint.rpartition(":")
        yield host, int(port)


def test_the_ways_to_the_stores_are_those_that_settings_name(cluster: Cluster) -> None:
    wanted = {
        (each.deployment, host, port)
        for each in cluster.containers()
        for host, port in dependencies(each)
    }
    opened = {
        (pod, peer["ipBlock"]["cidr"].removesuffix("/32"), port["port"])
        for policy in cluster.all("NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        for peer in rule.get("to", [])
        if "ipBlock" in peer
        for port in rule["ports"]
        for pod in selected(policy)
    }
    assert opened == wanted


def test_prometheus_reaches_the_metrics_of_every_process(cluster: Cluster) -> None:
    policy = cluster.get("NetworkPolicy", "metrics")["spec"]
    assert policy["podSelector"] == {}
    opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    served = set()
    for each in cluster.containers():
        ports = {port["name"]: port["containerPort"] for port in each.spec["ports"]}
        (metrics,) = (port for name, port in ports.items() if name.endswith("metrics"))
        if each.module:
            assert each.environment["ATELIER_METRICS_LISTEN"] == f"0.0.0.0:{metrics}", each.name
        served.add(metrics)
    assert opened == served


def test_no_two_containers_of_a_pod_open_one_port(cluster: Cluster) -> None:
    for deployment in cluster.all("Deployment"):
        name = deployment["metadata"]["name"]
        ports = [
            port["containerPort"]
            for each in cluster.containers()
            if each.deployment == name
            for port in each.spec["ports"]
        ]
        assert len(set(ports)) == len(ports), name


def test_nobody_outside_the_pod_reaches_triton(cluster: Cluster) -> None:
    """It takes models, which are code, from whoever asks."""
    (triton,) = (each for each in cluster.containers() if each.spec["name"] == "triton")
    for door in ("http", "grpc"):
        assert f"--{door}-address=127.0.0.1" in triton.spec["command"]
