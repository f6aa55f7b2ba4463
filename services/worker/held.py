"""An item that a worker has, and why its work was ended from outside."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field

from atelier.jobs.v1 import queue_pb2 as pb


class Fate(enum.Enum):
    """Why an item's work was ended from outside."""

    NONE = enum.auto()
    CANCELED = enum.auto()  # by its owner: reported as stopped
    HANDED_BACK = enum.auto()  # this worker stops: reported, so that nobody waits for the lease
    ABANDONED = enum.auto()  # the lease is lost: nothing is said


@dataclass
class Held:
    """An item that this worker has.

    Attributes:
        item: What was claimed.
        attending: Sees to its work and reports the end.
        work: Makes the output.
        lapse: Lets go when the lease nears its end.
        fate: Why it was ended from outside.
    """

    item: pb.ClaimedItem
    lapse: asyncio.TimerHandle
    fate: Fate = Fate.NONE
    attending: asyncio.Task[None] | None = None
    work: asyncio.Task[pb.Delivery] | None = field(default=None, repr=False)

    @property
    def lease(self) -> pb.Lease:
        """The claim, as every report carries it."""
        return pb.Lease(item_id=self.item.item_id, token=self.item.token)

    @property
    def trace(self) -> dict[str, str]:
        """The W3C trace context of the request that submitted the job."""
        return {"traceparent": self.item.traceparent}

    @property
    def labels(self) -> dict[str, str | int]:
        """What every log line and span of the item carries."""
        item = self.item
        return {
            "item_id": item.item_id,
            "job_id": item.job_id,
            "attempt": item.attempt,
            "output": item.output,
            "category": item.category,
            "template_id": item.template_id,
            "pool": item.pool,
        }

    def end(self, fate: Fate) -> None:
        """Ends the work; the first reason counts."""
        if self.fate is Fate.NONE:
            self.fate = fate
        if self.work:
            self.work.cancel()
