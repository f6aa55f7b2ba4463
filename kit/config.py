"""Settings: typed, read once from the environment, refused at start with one line per fault."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What every process reads; each service adds its own.

    The variable of a field is its name in capitals after ``ATELIER_``.
    """

    model_config = SettingsConfigDict(env_prefix="ATELIER_", extra="ignore", frozen=True)

    service: str = Field(default="", description="The name of this process in logs and traces")
    keys_dir: Path = Field(description="Folder with <service>.pem and jwks.json")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    otlp_endpoint: str = Field(default="", description="host:port of an OTLP collector; empty: off")
    metrics_listen: str = Field(
        default="",
        pattern=r"^(.*:\d+)?$",
        description="host:port of Prometheus metrics; empty: off",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=120)] = 0.0
    grace_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    reflection: bool = False
    crash_orders: Path | None = Field(
        default=None, description="Folder of crash orders, obeyed at SIGUSR2; for tests only"
    )


class ServerSettings(Settings):
    """Settings of a process that serves gRPC."""

    listen: str = Field(description="unix:/path or host:port to serve gRPC on")
    calls_max: Annotated[int, Field(ge=1)] = Field(
        default=64, description="Calls in work at once, of reads, writes and services each"
    )
    streams_max: Annotated[int, Field(ge=1)] = 4_000


class DatabaseSettings(ServerSettings):
    """Settings of a service with a schema of its own."""

    database_url: str = Field(description="postgresql://user:password@/db?host=… of the service")
    owner_database_url: str = Field(description="The same for the role that owns the schema")
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 8
    nats_url: str = Field(description="nats://host:port")


class BlobSettings(Settings):
    """Settings of a process that reads or writes objects."""

    s3_endpoint: str = Field(description="http(s)://host:port of the object storage")
    s3_public_endpoint: str = Field(default="", description="As clients reach it; empty: the same")
    s3_access_key: str
    s3_secret_key: str
    s3_region: str = "us-east-1"
    s3_bucket: str = "atelier"


AnySettings = TypeVar("AnySettings", bound=Settings)


def load(settings: type[AnySettings]) -> AnySettings:
    """Reads settings from the environment.

    Ends the process with status 2 and one line per fault where they are not valid.
    """
    try:
        return settings()  # type: ignore[call-arg]  # the fields come from the environment
    except ValidationError as error:
        for fault in error.errors():
            name = "ATELIER_" + "_".join(str(part) for part in fault["loc"]).upper()
            sys.stderr.write(f"{name}: {fault['msg']}\n")
        raise SystemExit(2) from None
