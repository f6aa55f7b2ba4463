"""Usage of external services: every call, failed ones too."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Protocol

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Usage:
    """One external call.

    Attributes:
        service: Who was called, for example ``openai``.
        operation: What for, with the version of its prompt, for example ``advert_copy.v1``.
        model: The model that was asked.
        units_in: Tokens sent; 0 where the answer did not say.
        units_out: Tokens received.
        duration_seconds: Of the call.
        status: ``ok``, ``invalid`` (an answer that could not be used), ``filtered``, ``timeout``,
            ``unreachable``, or the HTTP status.
        cost_micro_usd: Millionths of a US dollar.
    """

    service: str
    operation: str
    model: str
    units_in: int
    units_out: int
    duration_seconds: float
    status: str
    cost_micro_usd: int


class UsageLog(Protocol):
    """Where usage is recorded."""

    def record(self, usage: Usage) -> None:
        """Notes one call; never fails and never waits."""


class LoggedUsage:
    """Records usage as structured log lines."""

    def record(self, usage: Usage) -> None:
        """See UsageLog."""
        log.info("usage", extra=asdict(usage))


@dataclass(frozen=True)
class Prices:
    """What a model costs.

    Attributes:
        input_usd_per_million: US dollars per million tokens sent.
        output_usd_per_million: The same for tokens received.
    """

    input_usd_per_million: float = 0.0
    output_usd_per_million: float = 0.0

    def cost_micro_usd(self, tokens_in: int, tokens_out: int) -> int:
        """Returns the price of a call: a dollar per million is a micro-dollar per token."""
        cost = tokens_in * self.input_usd_per_million + tokens_out * self.output_usd_per_million
        return round(cost)
