"""Starts containers as processes here: as rendered, but for addresses, ports and paths."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local import probes, triton
from deploy.local.layout import ROOT, Layout, environment_bin
from deploy.local.part import Part, Probe
from tests.k8s.rendered import Cluster, Container

DATABASE = "k8s"
BUCKET = "k8s"
# The folder of the images that the repository is copied to.
HOME = "/opt/atelier"
# What a rendered variable may be changed to; every other reaches the process as it is.
SUBSTITUTED = {
    "ATELIER_KEYS_DIR",
    "ATELIER_LISTEN",
    "ATELIER_METRICS_LISTEN",
    "ATELIER_HTTP_PORT",
    "ATELIER_DATABASE_URL",
    "ATELIER_OWNER_DATABASE_URL",
    "ATELIER_NATS_URL",
    "ATELIER_S3_ENDPOINT",
    "ATELIER_S3_PUBLIC_ENDPOINT",
    "ATELIER_S3_BUCKET",
    "ATELIER_S3_ACCESS_KEY",
    "ATELIER_S3_SECRET_KEY",
    "ATELIER_ACCOUNTS_TARGET",
    "ATELIER_WORKS_TARGET",
    "ATELIER_TEMPLATES_TARGET",
    "ATELIER_JOBS_TARGET",
    "ATELIER_INFERENCE_TARGET",
    "ATELIER_TRITON_GRPC",
    "ATELIER_MODELS_DIR",
}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Loopback:
    """One machine in the place of a cluster.

    Attributes:
        cluster: What was rendered.
        stores: Where PostgreSQL, S3 and a NATS of this cluster's own are.
        scratch: For files that Secrets and ConfigMaps show.
    """

    cluster: Cluster
    stores: Layout
    scratch: Path
    _ports: dict[tuple[str, int], int] = field(default_factory=dict)

    def port(self, deployment: str, rendered: int | str) -> int:
        """The port of this machine that stands for one of a pod."""
        key = (deployment, int(rendered))
        if key not in self._ports:
            self._ports[key] = _free_port()
        return self._ports[key]

    def part(self, container: Container, after: tuple[str, ...] = ()) -> Part:
        """Describes a container's process; ready when all its rendered probes say so."""
        asked = [self._probe(container, probe) for probe in container.probes.values()]

        async def ready() -> bool:
            return all([await ask() for ask in asked])

        part = Part(
            name=container.name.replace("/", "-"),
            command=container.spec["command"],
            environment=self._path(container) | self.environment(container),
            probe=ready,
            after=after,
            ready_seconds=max(_seconds(probe) for probe in container.probes.values()),
            grace_seconds=container.pod["terminationGracePeriodSeconds"],
        )
        return part if container.module else self._triton(container, part)

    def environment(self, container: Container) -> dict[str, str]:
        """A container's variables with this machine's addresses in them."""
        rendered = container.environment
        changed = {name: self._local(container, name, value) for name, value in rendered.items()}
        others = {name for name in rendered if changed[name] != rendered[name]} - SUBSTITUTED
        assert not others, others
        return changed

    def _local(self, container: Container, name: str, value: str) -> str:
        if name == "ATELIER_KEYS_DIR":
            return str(self._files(container, value))
        if name.endswith("_LISTEN"):
            host, _, port = value.rpartition(":")
            return f"{host}:{self.port(container.deployment, port)}"
        if name == "ATELIER_HTTP_PORT":
            return str(self.port(container.deployment, value))
        if name.endswith(("_TARGET", "_GRPC")):
            return self._target(container, value)
        if name.endswith("DATABASE_URL"):
            role = urlsplit(value).username or ""
            return self.stores.database_url(role).replace("/atelier?", f"/{DATABASE}?")
        return {
            "ATELIER_NATS_URL": f"nats://{self.stores.address('nats')}",
            "ATELIER_S3_ENDPOINT": f"http://{self.stores.address('s3')}",
            "ATELIER_S3_PUBLIC_ENDPOINT": f"http://{self.stores.address('s3')}",
            "ATELIER_S3_BUCKET": BUCKET,
            "ATELIER_S3_ACCESS_KEY": self.stores.secrets["s3:access"],
            "ATELIER_S3_SECRET_KEY": self.stores.secrets["s3:secret"],
            "ATELIER_MODELS_DIR": value.replace(HOME, str(ROOT)),
        }.get(name, value)

    def _target(self, container: Container, value: str) -> str:
        """``dns:///jobs:50051`` is another pod, ``127.0.0.1:50052`` the same."""
        host, _, port = value.rpartition(":")
        if host == "127.0.0.1":
            return f"{host}:{self.port(container.deployment, port)}"
        scheme, _, name = host.rpartition("/")
        return f"{scheme}/localhost:{self.port(name, port)}"

    def _files(self, container: Container, path: str) -> Path:
        (mount,) = (m for m in container.spec["volumeMounts"] if m["mountPath"] == path)
        folder = self.scratch / container.name
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.cluster.files(container, mount["name"]).items():
            (folder / name).write_text(content)
        return folder

    def _path(self, container: Container) -> dict[str, str]:
        """What the image says of itself: which environment its ``python`` is of."""
        name = ".venv-models" if container.module == "inference" else ".venv"
        return {"PATH": f"{environment_bin(name)}:{os.defpath}"}

    def _probe(self, container: Container, probe: dict[str, Any]) -> Probe:
        name = container.deployment
        if "grpc" in probe:
            asked = probe["grpc"]
            return _health(f"127.0.0.1:{self.port(name, asked['port'])}", asked.get("service", ""))
        if "httpGet" in probe:
            asked = probe["httpGet"]
            return probes.http(f"http://127.0.0.1:{self.port(name, asked['port'])}{asked['path']}")
        return _command([self._reported(name, word) for word in probe["exec"]["command"]])

    def _reported(self, deployment: str, word: str) -> str:
        """Puts this machine's port into an option or a URL."""

        def local(found: re.Match[str]) -> str:
            return found[1] + str(self.port(deployment, found[2]))

        return re.sub(r"(-port=|127\.0\.0\.1:)(\d+)", local, word)

    def _triton(self, container: Container, part: Part) -> Part:
        """Triton lies elsewhere here than in the vendor's image, and the backend beside it."""
        site = triton._site_packages()
        words = [
            self._reported(container.deployment, word).replace(HOME, str(ROOT))
            for word in container.spec["command"][1:]
        ]
        image = {"PATH", "LD_LIBRARY_PATH"}  # ENV of the Dockerfile
        ours = triton._environment(site, ROOT, "")
        return replace(
            part,
            command=[
                str(site / "pytriton" / "tritonserver" / "bin" / container.spec["command"][0]),
                f"--backend-directory={triton._backends(self.stores)}",
                *words,
            ],
            environment={name: ours[name] for name in image} | self.environment(container),
        )


def _seconds(probe: dict[str, Any]) -> float:
    return float(probe["periodSeconds"] * probe["failureThreshold"])


def _health(address: str, service: str) -> Probe:
    async def ask() -> bool:
        async with grpc.aio.insecure_channel(address) as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            reply = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=2)
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    return ask


def _command(words: list[str]) -> Probe:
    async def ask() -> bool:
        quiet = asyncio.subprocess.DEVNULL
        asking = await asyncio.create_subprocess_exec(*words, stdout=quiet, stderr=quiet)
        return await asking.wait() == 0

    return ask
