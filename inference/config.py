"""Settings of inference."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from kit.config import BlobSettings, ServerSettings

EXTERNAL = "external"


class InferenceSettings(ServerSettings, BlobSettings):
    """What inference reads beside what every process does."""

    triton_grpc: str = Field(
        default="", description="host:port of Triton's gRPC; empty: the engine runs in this process"
    )
    models_dir: Path = Field(description="Folder with one folder per model, the same as Triton's")
    default_model: str = Field(default="sdxl", description="The model of requests without one")
    waiting_max: int = Field(
        default=64, ge=1, le=10_000, description="Pictures that may wait to be sampled"
    )
    model_bytes_max: int = Field(
        default=0,
        ge=0,
        description="Memory that all image models together may take; 0: half of the card's, "
        "or of the machine's without one",
    )
    safety: Literal["", "off", "local", "external"] = Field(
        default="",
        description="The safety check of pictures: local asks the model in safety_dir where the "
        "engine runs, external asks safety_url; while one is on there are no previews",
    )
    safety_url: str = Field(default="", description="Where the external check takes POSTs")
    safety_dir: Path | None = Field(default=None, description="The model of the local check")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.safety == EXTERNAL and not self.safety_url:
            raise ValueError("safety=external needs safety_url")
        if self.safety == "local" and self.safety_dir is None:
            raise ValueError("safety=local needs safety_dir")
        return self
