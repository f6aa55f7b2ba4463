"""generate@1: a picture from the diffusion model, kept under ``tmp/``."""

from __future__ import annotations

from typing import Any

from atelier.inference.v1 import inference_pb2 as pb

from services.worker.nodes.run import Run, Values


async def run(values: Values, node: Run) -> dict[str, Any]:
    """Raises grpc.aio.AioRpcError as GenerateImage says, or Unavailable."""
    item = node.item
    request = pb.GenerateImageRequest(
        model=values["model"],
        prompt=values["prompt"],
        negative_prompt=values["negative_prompt"],
        aspect=values["aspect"],
        steps=values["steps"],
        seed=values["seed"],
        # The token in the key: what a worker without a lease still writes lies elsewhere.
        object_key=f"tmp/{item.job_id}/{item.token}/{node.content_hash[:16]}.png",
        previews=True,
    )

    def on_step(progress: pb.SamplingProgress) -> None:
        node.advance(progress.step / max(progress.steps, 1), progress.preview)

    image = await node.tools.artist.draw(request, on_step, node.timeout_seconds)
    return {
        "image": image.object_key,
        "model": image.model,
        "seed": image.seed,
        "steps": image.steps,
    }
