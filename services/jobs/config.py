"""Settings of jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kit.config import DatabaseSettings


class JobsSettings(DatabaseSettings):
    """What jobs reads beside what every service does."""

    accounts_target: str = Field(description="gRPC address of accounts")
    works_target: str = Field(description="gRPC address of works")
    templates_target: str = Field(description="gRPC address of templates")
    lease_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    sweep_every_seconds: Annotated[float, Field(gt=0)] = 5.0
    drive_seconds: Annotated[float, Field(gt=0)] = 30.0
    created_seconds_max: Annotated[float, Field(gt=0)] = 3_600.0
