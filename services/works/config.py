"""Settings of works."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kit.config import BlobSettings, DatabaseSettings


class WorksSettings(DatabaseSettings, BlobSettings):
    """What works reads beside what every service does."""

    sweep_every_seconds: Annotated[float, Field(gt=0)] = 60.0
    passing_seconds: Annotated[float, Field(gt=0)] = 48 * 3_600.0
