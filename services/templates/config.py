"""Settings of templates."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from kit.config import DatabaseSettings

BUILT_IN = Path(__file__).parent / "data"


class TemplatesSettings(DatabaseSettings):
    """What templates reads beside what every service does."""

    catalogue_dir: Path = Field(
        default=BUILT_IN, description="Folder with fields.json, categories/ and templates/"
    )
    unknown_category: Literal["reject", "default"] = Field(
        default="reject", description="What becomes of a category that does not exist"
    )
