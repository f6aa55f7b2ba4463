"""What a submission becomes before it is queued."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

SEED_BITS = 31


@dataclass(frozen=True)
class NewItem:
    """One output that is to be made."""

    id: uuid.UUID
    work_id: uuid.UUID
    work_type: str
    variation: int
    credits: int
    estimated_seconds: int
    pool: str


@dataclass(frozen=True)
class NewJob:
    """A checked and priced submission."""

    id: uuid.UUID
    user_id: uuid.UUID
    payer_id: uuid.UUID
    project_id: uuid.UUID
    batch_id: uuid.UUID
    template_id: str
    template_version: int
    category: str
    inputs_json: str
    graph_json: str
    text: str
    seed: int
    idempotency_key: str
    items: Sequence[NewItem]

    @property
    def quoted(self) -> int:
        """The price in credits."""
        return sum(item.credits for item in self.items)


def seed_of(inputs: dict[str, object], random_seed: int) -> int:
    """Returns the seed that the form names, or a random one."""
    given = inputs.get("seed")
    return given if isinstance(given, int) and not isinstance(given, bool) else random_seed


def text_of(inputs: dict[str, object]) -> str:
    """Returns the text of the request, from which titles and tags are made."""
    text = inputs.get("text", "")
    return text if isinstance(text, str) else ""
