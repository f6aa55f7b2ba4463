"""Settings of the worker."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from kit.config import BlobSettings, ServerSettings
from workflow.specs import Pool

_HERE = Path(__file__).resolve().parent


def _default_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class WorkerSettings(ServerSettings, BlobSettings):
    """What the worker reads beside what every process does."""

    worker_id: str = Field(default_factory=_default_id, description="Tells workers apart in logs")
    pools: str = Field(default="gpu,text,cpu", description="Pools to serve, with commas")
    slots: Annotated[int, Field(ge=1, le=64)] = 4
    jobs_target: str = Field(description="Where jobs serves gRPC")
    inference_target: str = Field(default="", description="The same of inference; pool gpu only")
    nats_url: str = Field(description="nats://host:port")
    heartbeat_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0

    openai_base_url: str = Field(default="", description="An OpenAI-compatible endpoint")
    openai_api_key: str = Field(default="", repr=False)
    openai_model: str = Field(default="", description="Empty, or no endpoint: the offline writer")
    openai_timeout_seconds: Annotated[float, Field(gt=0, le=55)] = 15.0
    openai_input_usd_per_million: Annotated[float, Field(ge=0)] = 0.0
    openai_output_usd_per_million: Annotated[float, Field(ge=0)] = 0.0
    writer_fallback: bool = Field(
        default=False, description="Whether the offline writer steps in where the endpoint failed"
    )
    fonts_dir: Path = _HERE / "media" / "fonts"
    vocabulary: Path | None = Field(
        default=_HERE.parents[1] / "inference" / "bundled" / "sdxl" / "world.json",
        description="What the bundled image model can draw; empty where another model is used",
    )

    @field_validator("pools")
    @classmethod
    def _known_pools(cls, pools: str) -> str:
        unknown = set(_split(pools)) - set(Pool)
        if unknown or not _split(pools):
            raise ValueError("must be some of: " + ", ".join(Pool))
        return pools

    @model_validator(mode="after")
    def _gpu_needs_inference(self) -> Self:
        if Pool.GPU in self.pool_names and not self.inference_target:
            raise ValueError("ATELIER_INFERENCE_TARGET is required where the pool gpu is served")
        return self

    @field_validator("vocabulary", mode="before")
    @classmethod
    def _empty_is_none(cls, path: object) -> object:
        return path or None

    @property
    def pool_names(self) -> list[str]:
        """The pools one by one."""
        return _split(self.pools)

    @property
    def has_endpoint(self) -> bool:
        """Whether a language model is configured."""
        return bool(self.openai_base_url and self.openai_model)


def _split(pools: str) -> list[str]:
    return [pool.strip() for pool in pools.split(",") if pool.strip()]
