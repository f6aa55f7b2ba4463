"""Settings of works."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kit.config import BlobSettings, DatabaseSettings


class WorksSettings(DatabaseSettings, BlobSettings):
    """What works reads beside what every service does."""

    sweep_every_seconds: Annotated[float, Field(gt=0)] = 60.0
    passing_seconds: Annotated[float, Field(gt=0)] = 48 * 3_600.0
    storage_bytes: Annotated[int, Field(ge=0)] = Field(
        default=5 << 30, description="What a member may keep, works and uploads together"
    )
    guest_storage_bytes: Annotated[int, Field(ge=0)] = Field(
        default=200 << 20, description="The same for a guest"
    )
    upload_pixels_max: Annotated[int, Field(ge=1, le=100_000_000)] = 25_000_000
    checks_max: Annotated[int, Field(ge=1, le=64)] = Field(
        default=2, description="Uploaded files that are checked at once"
    )
    check_seconds: Annotated[float, Field(gt=0, le=25)] = Field(
        default=20.0, description="By the wall clock; a quarter less on a processor"
    )
    check_memory_bytes: Annotated[int, Field(ge=256 << 20)] = Field(
        default=1 << 30, description="Address space of one check"
    )
