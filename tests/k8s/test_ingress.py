"""What the gateway believes of its clients' addresses when an ingress stands before it."""

from __future__ import annotations

import ipaddress

import pytest
from starlette.types import Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from deploy.local.layout import ROOT
from tests.k8s.rendered import Cluster, render

CLIENT = "198.51.100.7"
# As k3s, kubeadm with flannel, and Cilium number their pods.
INGRESSES = ("10.42.0.9", "10.244.1.9", "10.0.1.9")


def of_the_base() -> str:
    (settings,) = (
        each
        for each in render(ROOT / "k8s" / "base")
        if each["kind"] == "ConfigMap" and each["metadata"]["name"].startswith("gateway-")
    )
    return str(settings["data"]["ATELIER_TRUSTED_PROXIES"])


def of_the_overlay(cluster: Cluster) -> str:
    (gateway,) = (each for each in cluster.containers() if each.module == "gateway")
    return gateway.environment["ATELIER_TRUSTED_PROXIES"]


async def seen(trusted: str, peer: str) -> str:
    """The client's address as the application sees it, through a connection from a peer."""
    found = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope["client"][0])

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    headers = [(b"x-forwarded-for", CLIENT.encode())]
    scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": headers}
    await ProxyHeadersMiddleware(application, trusted)(scope, receive, send)  # type: ignore[arg-type]
    return str(found[0])


@pytest.mark.parametrize("peer", INGRESSES)
async def test_the_base_believes_an_ingress_wherever_clusters_have_their_pods(peer: str) -> None:
    assert await seen(of_the_base(), peer) == CLIENT


async def test_the_overlay_believes_its_ingress_and_no_client_of_the_network_around(
    cluster: Cluster,
) -> None:
    trusted = of_the_overlay(cluster)
    assert await seen(trusted, "10.42.0.9") == CLIENT
    for peer in ("10.1.2.3", "192.168.1.20", "203.0.113.5"):
        assert await seen(trusted, peer) == peer


def test_nobody_outside_a_private_network_is_believed(cluster: Cluster) -> None:
    for trusted in (of_the_base(), of_the_overlay(cluster)):
        networks = [ipaddress.ip_network(each) for each in trusted.split(",")]
        assert networks
        assert all(each.is_private and not each.is_loopback for each in networks)
