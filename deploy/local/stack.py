"""The parts of an installation, and bringing them up in order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from deploy.local import postgres, probes, stores
from deploy.local.layout import SERVICES, Layout, environment_bin
from deploy.local.supervisor import Part, Supervisor

_TARGETS = (*SERVICES, "inference")


def service_environment(layout: Layout, service: str) -> dict[str, str]:
    """Returns the settings of one of our processes."""
    variables = {
        "ATELIER_SERVICE": service,
        "ATELIER_KEYS_DIR": str(layout.keys),
        "ATELIER_LISTEN": layout.socket(service),
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
    )


def gateway_part(layout: Layout, overrides: Mapping[str, str]) -> Part:
    """Describes the gateway, which is ready when every service behind it is."""
    return Part(
        name="gateway",
        command=[str(environment_bin(".venv") / "python"), "-m", "gateway"],
        environment=service_environment(layout, "gateway") | dict(overrides),
        after=SERVICES,
        probe=probes.http(f"{layout.gateway_url}/readyz"),
    )


async def start_stores(supervisor: Supervisor, layout: Layout) -> None:
    """Starts PostgreSQL, NATS and S3, and makes the database."""
    programs = await asyncio.to_thread(postgres.install, layout)
    await supervisor.start(
        [postgres.part(layout, programs), stores.nats(layout), stores.s3(layout)]
    )
    await postgres.bootstrap(layout)


async def start_services(
    supervisor: Supervisor, layout: Layout, overrides: Mapping[str, str] | None = None
) -> None:
    """Starts every process of ours, and Triton, over running stores.

    Args:
        supervisor: Runs them.
        layout: Where everything is.
        overrides: Settings that differ from the installation's own.
    """
    extra = overrides or {}
    await supervisor.start(
        [
            *(service_part(layout, service, extra) for service in SERVICES),
            gateway_part(layout, extra),
        ]
    )


async def start(supervisor: Supervisor, layout: Layout) -> None:
    """Starts everything."""
    await start_stores(supervisor, layout)
    await start_services(supervisor, layout)
