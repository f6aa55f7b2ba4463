"""Settings of the gateway."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field, field_validator

from gateway.rates import Rates
from kit.config import Settings


class GatewaySettings(Settings):
    """Where to listen, where the services are, and how much one caller may ask for."""

    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    accounts_target: str = Field(description="gRPC address of accounts")
    works_target: str = Field(description="gRPC address of works")
    templates_target: str = Field(description="gRPC address of templates")
    jobs_target: str = Field(description="gRPC address of jobs")
    cors_origins: str = Field(
        default="", description="Origins of frontends, comma-separated; * allows any; empty: none"
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Addresses and networks (CIDR), comma-separated, whose X-Forwarded-For and "
        "-Proto are believed",
    )
    rate_member: str = Field(
        default="read 600/6, write 300/15, submit 120/24, login 120/60",
        description="Calls of a member by class: calls/seconds; off: no limit",
    )
    rate_guest: str = Field(
        default="read 300/5, write 100/10, submit 30/30, login 60/60",
        description="The same for a guest",
    )
    rate_address: str = Field(
        default="read 600/6, write 200/20, submit 60/60, login 240/120",
        description="The same for an address, where nobody is signed in",
    )
    key_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        default=5.0, description="How long an API key is not asked after again: so late is its end"
    )
    key_stream_seconds: Annotated[float, Field(gt=0, le=3_600)] = Field(
        default=60.0, description="When a stream ends that an API key opened, to be opened anew"
    )
    openai_wait_seconds: Annotated[float, Field(gt=0, le=590)] = Field(
        default=300.0, description="How long a request below /openai/v1 waits for its job"
    )
    s3_endpoint: str = Field(
        default="", description="Where pictures for b64_json are read; empty: none are"
    )
    header_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    body_seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    write_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    requests_max: Annotated[int, Field(ge=1)] = Field(
        default=1_000, description="Requests in work at once; streams are counted apart"
    )
    streams_max: Annotated[int, Field(ge=1)] = 4_000
    streams_per_caller_max: Annotated[int, Field(ge=1)] = 100

    @field_validator("rate_member", "rate_guest", "rate_address")
    @classmethod
    def _is_rates(cls, value: str) -> str:
        Rates.of(value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _is_addresses(cls, value: str) -> str:
        """Refuses what uvicorn would take for a name that nobody has, and ``*``.

        Believing everybody, it takes the address that the client itself wrote.
        """
        for each in value.split(","):
            ipaddress.ip_network(each.strip())
        return value

    @property
    def origins(self) -> list[str]:
        """The origins of ``cors_origins``."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]
