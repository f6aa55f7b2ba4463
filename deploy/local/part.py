"""One process of an installation: how it is started, when it is ready, and when it hangs."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Liveness:
    """When a part that was ready hangs, so that only a fresh process helps.

    What it asks must depend on nothing but the part itself: who waits for another is not killed.

    Attributes:
        probe: A question that costs next to nothing; no answer within the period means no.
        period_seconds: How often it is asked.
        failures_max: How often in a row the answer may be no. At the default, machines whose
            processors are busy for a minute kill nobody.
    """

    probe: Probe
    period_seconds: float = 10.0
    failures_max: int = 6


@dataclass(frozen=True)
class Part:
    """One process of the installation.

    Attributes:
        name: Its name, also of its log.
        command: Program and arguments.
        probe: Whether it is ready; asked again and again after each start.
        environment: Its variables, beside a few of ours.
        after: Parts that must be ready before it is started the first time.
        uid: The user to run it as; -1: the same.
        ready_seconds: How long it may take to be ready.
        grace_seconds: How long it may take to end before it is killed.
        restarts: Whether it is started again when it ends.
        stop_signal: What asks it to end.
        kill_signal: What ends it and all below it at once, without its grace.
        liveness: When it is killed, and so started again; None: never.
    """

    name: str
    command: Sequence[str]
    probe: Probe
    environment: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    uid: int = -1
    ready_seconds: float = 180.0
    grace_seconds: float = 15.0
    restarts: bool = True
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    liveness: Liveness | None = None
