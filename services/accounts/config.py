"""Settings of accounts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kit.config import DatabaseSettings


class AccountsSettings(DatabaseSettings):
    """What accounts reads beside what every service does."""

    welcome_credits: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    guest_credits: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    administrators: str = Field(
        default="", description="Login ids, separated by commas, that sign up as administrators"
    )
    sweep_every_seconds: Annotated[float, Field(gt=0)] = 60.0
    overdue_seconds: Annotated[float, Field(gt=0)] = 3_600.0
