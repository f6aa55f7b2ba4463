"""Runs one item: its nodes in order, each step checkpointed where its spec says so."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from atelier.jobs.v1 import queue_pb2 as pb

from kit.crash import crash_point
from services.worker import recipe
from services.worker.failures import StepTimeout
from services.worker.nodes.run import Implementation, Run, Tools
from services.worker.plan import Plan, make_plan
from services.worker.progress import Progress
from services.worker.queue import Queue
from workflow.graph import Node
from workflow.specs import Type

WAIT_SECONDS = (0.2, 1.0)
WAIT_GROWTH = 1.5


@dataclass(frozen=True)
class Executor:
    """Executes items.

    Attributes:
        queue: Keeps the outputs of steps.
        tools: What nodes work with.
        implementations: By node type.
    """

    queue: Queue
    tools: Tools
    implementations: Mapping[str, Implementation]

    async def run(self, item: pb.ClaimedItem, progress: Progress) -> pb.Delivery:
        """Makes the item's output and stores it.

        Raises:
            LeaseLost: The item is somebody else's now.
            Exception: Whatever a node raises; services.worker.failures says what it means.
        """
        plan = make_plan(item)
        execution = _Execution(self, item, plan, progress)
        results: dict[str, Mapping[str, Any]] = {}
        for node, begin, end in plan.shares():
            progress.report(begin, node.spec.name)
            results[node.id] = await execution.step(node, (begin, end), results)
        crash_point("artifact.stored")
        delivery = _delivered(plan.nodes[-1], results)
        delivery.recipe_json = recipe.assemble(plan.nodes, results)
        return delivery


def _delivered(node: Node, results: Mapping[str, Mapping[str, Any]]) -> pb.Delivery:
    port = next(name for name, kind in node.spec.outputs.items() if kind is Type.DELIVERY)
    delivery: pb.Delivery = results[node.id][port]
    return delivery


@dataclass(frozen=True)
class _Execution:
    """One item's execution."""

    executor: Executor
    item: pb.ClaimedItem
    plan: Plan
    progress: Progress

    @property
    def lease(self) -> pb.Lease:
        return pb.Lease(item_id=self.item.item_id, token=self.item.token)

    async def step(
        self,
        node: Node,
        share: tuple[float, float],
        results: Mapping[str, Mapping[str, Any]],
    ) -> Mapping[str, Any]:
        """Runs a node, or takes its kept output."""
        if not node.spec.checkpoint:
            return await self._run(node, share, results)
        content_hash = self.plan.hashes[node.id]
        kept = await self._turn(node, content_hash)
        if kept is not None:
            return kept
        made = await self._run(node, share, results)
        output_json = json.dumps(made, ensure_ascii=False)
        crash_point("step.ran")
        await self.executor.queue.finish_step(self.lease, content_hash, output_json)
        crash_point("step.kept")
        return made

    async def _turn(self, node: Node, content_hash: str) -> Mapping[str, Any] | None:
        """Returns a kept output, or None where it is our turn; waits while another item runs it."""
        pause, longest = WAIT_SECONDS
        async with _limit(node):
            while True:
                reply = await self.executor.queue.begin_step(
                    self.lease, node.spec.name, content_hash
                )
                if reply.turn == pb.STEP_TURN_DONE:
                    kept: Mapping[str, Any] = json.loads(reply.output_json)
                    return kept
                if reply.turn == pb.STEP_TURN_RUN:
                    return None
                await asyncio.sleep(pause * random.uniform(0.75, 1))  # noqa: S311
                pause = min(pause * WAIT_GROWTH, longest)

    async def _run(
        self,
        node: Node,
        share: tuple[float, float],
        results: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        begin, end = share

        def advance(done: float, preview: bytes) -> None:
            self.progress.report(begin + (end - begin) * done, node.spec.name, preview)

        run = Run(
            self.executor.tools,
            self.item,
            self.plan.hashes[node.id],
            node.spec.timeout_seconds,
            advance,
            self.progress.write,
        )
        implementation = self.executor.implementations[node.spec.type]
        async with _limit(node):
            return await implementation(self.plan.bind(node, results), run)


@asynccontextmanager
async def _limit(node: Node) -> AsyncIterator[None]:
    """Ends what runs inside it after the node's time, with StepTimeout."""
    timeout = asyncio.timeout(node.spec.timeout_seconds)
    try:
        async with timeout:
            yield
    except TimeoutError:
        if not timeout.expired():
            raise
        seconds, name = node.spec.timeout_seconds, node.spec.name
        raise StepTimeout(f"The step {name} took longer than {seconds:.0f} s.", step=name) from None
