"""The parts of an installation, and bringing them up in order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local import postgres, probes, stores, triton
from deploy.local.layout import SERVICES, SIGNERS, Layout, environment_bin
from deploy.local.part import Part
from deploy.local.supervisor import Supervisor

_TARGETS = (*SERVICES, "inference")


@dataclass(frozen=True)
class Models:
    """What Triton serves: a folder with one folder per model, and the default one's name."""

    folder: Path
    default: str


BUNDLED = Models(triton.MODELS, triton.DEFAULT_MODEL)


def service_environment(layout: Layout, service: str) -> dict[str, str]:
    """Returns the settings of one of our processes."""
    variables = {
        "ATELIER_SERVICE": service,
        "ATELIER_KEYS_DIR": str(layout.keys),
        "ATELIER_LISTEN": layout.socket(service),
        "ATELIER_METRICS_LISTEN": layout.address(f"{service}_metrics"),
        "ATELIER_NATS_URL": f"nats://{layout.address('nats')}",
        "ATELIER_S3_ENDPOINT": f"http://{layout.address('s3')}",
        "ATELIER_S3_ACCESS_KEY": layout.secrets["s3:access"],
        "ATELIER_S3_SECRET_KEY": layout.secrets["s3:secret"],
        "ATELIER_HTTP_PORT": str(layout.ports["gateway"]),
        **{f"ATELIER_{name.upper()}_TARGET": layout.socket(name) for name in _TARGETS},
    }
    if service in SERVICES:
        variables["ATELIER_DATABASE_URL"] = layout.database_url(service)
        variables["ATELIER_OWNER_DATABASE_URL"] = layout.database_url(f"{service}_owner")
    return variables


def service_part(layout: Layout, service: str, overrides: Mapping[str, str]) -> Part:
    """Describes a service with a schema of its own."""
    return Part(
        name=service,
        command=[str(environment_bin(".venv") / "python"), "-m", f"services.{service}"],
        environment=service_environment(layout, service) | dict(overrides),
        probe=probes.grpc_health(layout.socket(service)),
        liveness=probes.grpc_liveness(layout.socket(service)),
    )


def inference_part(layout: Layout, overrides: Mapping[str, str], models: Models) -> Part:
    """Describes inference; ready when a picture has passed through it and Triton."""
    return triton.inference_part(
        layout,
        service_environment(layout, "inference") | dict(overrides),
        models.folder,
        models.default,
    )


def worker_part(layout: Layout, overrides: Mapping[str, str]) -> Part:
    """Describes the worker, which serves every pool on this machine."""
    return Part(
        name="worker",
        command=[str(environment_bin(".venv") / "python"), "-m", "services.worker"],
        environment=service_environment(layout, "worker") | dict(overrides),
        after=("jobs",),
        probe=probes.grpc_health(layout.socket("worker")),
        liveness=probes.grpc_liveness(layout.socket("worker")),
    )


def gateway_part(layout: Layout, overrides: Mapping[str, str]) -> Part:
    """Describes the gateway, which is ready when every service behind it is."""
    return Part(
        name="gateway",
        command=[str(environment_bin(".venv") / "python"), "-m", "gateway"],
        environment=service_environment(layout, "gateway") | dict(overrides),
        after=SERVICES,
        probe=probes.http(f"{layout.gateway_url}/readyz"),
        liveness=probes.http_liveness(f"{layout.gateway_url}/healthz"),
    )


async def start_stores(supervisor: Supervisor, layout: Layout) -> None:
    """Starts PostgreSQL, NATS and S3, and makes the database."""
    programs = await asyncio.to_thread(postgres.install, layout)
    await supervisor.start(
        [postgres.part(layout, programs), stores.nats(layout), stores.s3(layout)]
    )
    await postgres.bootstrap(layout)


async def start_services(
    supervisor: Supervisor, layout: Layout, overrides: Mapping[str, str], models: Models = BUNDLED
) -> None:
    """Starts every process of ours over running stores.

    Args:
        supervisor: Runs them; Triton is one of its parts already.
        layout: Where everything is.
        overrides: Settings that differ from the installation's own.
        models: What Triton serves.
    """
    await supervisor.start(
        [
            inference_part(layout, overrides, models),
            *(service_part(layout, service, overrides) for service in SERVICES),
            worker_part(layout, overrides),
            gateway_part(layout, overrides),
        ]
    )


async def start_triton(
    supervisor: Supervisor, layout: Layout, overrides: Mapping[str, str], models: Models = BUNDLED
) -> None:
    """Starts Triton, which needs none of the others and takes longest.

    Where its wheel does not run, inference hosts the same engine itself.
    """
    if triton.supported():
        layout.show_metrics(*SIGNERS, "triton")
        await supervisor.start([triton.part(layout, models.folder, models.default, overrides)])


async def start(supervisor: Supervisor, layout: Layout) -> None:
    """Starts everything; ATELIER_ variables of our own environment reach every process."""
    given = {name: value for name, value in os.environ.items() if name.startswith("ATELIER_")}
    folder = Path(given.pop("ATELIER_MODELS_DIR", BUNDLED.folder)).resolve()
    models = Models(folder, given.pop("ATELIER_DEFAULT_MODEL", BUNDLED.default))
    # The port that was asked for may have been taken: the layout knows the one in use.
    given.pop("ATELIER_HTTP_PORT", None)
    async with asyncio.TaskGroup() as starting:
        starting.create_task(start_triton(supervisor, layout, given, models))
        await start_stores(supervisor, layout)
        starting.create_task(start_services(supervisor, layout, given, models))
