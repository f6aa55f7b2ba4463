"""The places that the engine runs at, asked the same in the same words."""

from __future__ import annotations

import base64
import io
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np
import pytest
from atelier.inference.v1 import inference_pb2 as pb
from PIL import Image

from kit.rpc import status
from tests.integration.inference.unit import Unit
from tests.integration.inference.worker import Worker

Asked = dict[str, Any]


class Adapter(Protocol):
    """One place that the engine runs at."""

    async def draw(self, asked: Asked) -> tuple[int, np.ndarray]:
        """Draws; returns how many steps were told of, and the pixels."""

    async def refused(self, asked: Asked) -> Refused:
        """Returns how it was refused."""

    async def leave(self, asked: Asked) -> None:
        """Leaves after the first step."""

    @property
    def log(self) -> Path:
        """Where the engine says what it does."""


@dataclass(frozen=True)
class Refused:
    """What a caller is told who gets no picture."""

    reason: str
    field: str
    retry_after_seconds: float | None


@dataclass
class Served:
    """Behind the gRPC service, whichever hosts the engine."""

    unit: Unit

    async def draw(self, asked: Asked) -> tuple[int, np.ndarray]:
        progress, image = await self.unit.draw(**await self._message(asked))
        return len(progress), await self.unit.pixels(image)

    async def refused(self, asked: Asked) -> Refused:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.unit.draw(**await self._message(asked))
        refusal = status.decode(failed.value)
        field = refusal.violations[0].field if refusal.violations else ""
        return Refused(refusal.failure.reason, field, refusal.retry_after_seconds)

    async def leave(self, asked: Asked) -> None:
        call = self.unit.call(**await self._message(asked))
        await anext(aiter(call))
        call.cancel()

    @property
    def log(self) -> Path:
        return self.unit.layout.logs / f"{self.unit.engine}.log"

    async def _message(self, asked: Asked) -> Asked:
        said = dict(asked)
        for name in ("image", "mask"):
            if name in said:
                said[f"{name}_key"] = await self.unit.keep(said.pop(name))
        if "quality" in said:
            said["quality"] = f"QUALITY_{said['quality'].upper()}"
        controls = []
        for each in said.pop("controls", []):
            key = await self.unit.keep(each["image"])
            kind = f"CONTROL_KIND_{each['kind'].upper()}"
            rest = {name: value for name, value in each.items() if name not in {"kind", "image"}}
            controls.append(pb.Control(kind=kind, image_key=key, **rest))
        loras = [pb.Lora(**each) for each in said.pop("loras", [])]
        return said | {"controls": controls, "loras": loras}


@dataclass
class Serverless:
    """The handler, given jobs by its contract."""

    worker: Worker

    async def draw(self, asked: Asked) -> tuple[int, np.ndarray]:
        steps, said = await self.worker.job(asked)
        assert "error" not in said, said
        png = base64.b64decode(said["image"]["png"])
        return steps, np.asarray(Image.open(io.BytesIO(png)))

    async def refused(self, asked: Asked) -> Refused:
        _, said = await self.worker.job(asked)
        assert "error" in said
        assert said["error"].startswith(said["reason"])
        return Refused(said["reason"], said["field"], said["retry_after_seconds"])

    async def leave(self, asked: Asked) -> None:
        async with aclosing(self.worker.begin(asked)) as said:
            await anext(said)

    @property
    def log(self) -> Path:
        return self.worker.log
