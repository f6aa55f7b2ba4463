"""Settings of inference."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from kit.config import BlobSettings, ServerSettings


class InferenceSettings(ServerSettings, BlobSettings):
    """What inference reads beside what every process does."""

    triton_grpc: str = Field(
        default="", description="host:port of Triton's gRPC; empty: the engine runs in this process"
    )
    models_dir: Path = Field(description="Folder with one folder per model, the same as Triton's")
    default_model: str = Field(default="sdxl", description="The model of requests without one")
