"""Settings of the gateway."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kit.config import Settings


class GatewaySettings(Settings):
    """Where to listen and where the services are."""

    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    accounts_target: str = Field(description="gRPC address of accounts")
    works_target: str = Field(description="gRPC address of works")
    templates_target: str = Field(description="gRPC address of templates")
    jobs_target: str = Field(description="gRPC address of jobs")
