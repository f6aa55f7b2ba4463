"""Rate limits: token buckets in this replica, and the headers that tell of them.

The headers are those of draft-ietf-httpapi-ratelimit-headers-11. A bucket holds ``quota`` calls
and is filled again within ``window_seconds``; with n replicas a caller may reach n times as much.
What is counted is a member, a guest, or where nobody is signed in an address.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kit.errors import DomainError

CLASSES = ("read", "write", "submit", "login")
OFF = "off"
# About 200 bytes each. The one that was longest unused goes first: it is most likely full.
BUCKETS_MAX = 50_000
_RATE = re.compile(r"(\w+) (\d{1,9})/(\d{1,6})")


class RateLimited(DomainError):
    """The caller's bucket of this kind of call is empty."""

    reason = "RATE_LIMITED"


@dataclass(frozen=True)
class Rate:
    """So many calls in so many seconds."""

    quota: int
    window_seconds: int

    @property
    def per_second(self) -> float:
        """How fast a bucket fills."""
        return self.quota / self.window_seconds


@dataclass(frozen=True)
class Rates:
    """Rates by class; a class that is missing is not limited."""

    by_class: Mapping[str, Rate]

    @classmethod
    def of(cls, text: str) -> Rates:
        """Reads ``read 600/6, write 300/15``, or ``off``.

        Raises:
            ValueError: It is of another form, or names an unknown class or a zero.
        """
        if text.strip() == OFF:
            return cls({})
        found: dict[str, Rate] = {}
        for part in text.split(","):
            match = _RATE.fullmatch(part.strip())
            if not match or match[1] not in CLASSES or not int(match[2]) or not int(match[3]):
                raise ValueError(
                    f"{part.strip()!r} must be a class ({', '.join(CLASSES)}) and calls/seconds"
                )
            found[match[1]] = Rate(int(match[2]), int(match[3]))
        return cls(found)


@dataclass(slots=True)
class _Bucket:
    calls: float
    at: float


@dataclass(frozen=True)
class Draw:
    """What became of one call.

    Attributes:
        allowed: Whether it may go on.
        headers: RateLimit-Policy and RateLimit.
        retry_after_seconds: Where it may not, how long until one call is free.
    """

    allowed: bool
    headers: tuple[tuple[bytes, bytes], ...]
    retry_after_seconds: float = 0.0


UNLIMITED = Draw(allowed=True, headers=())


def check(draw: Draw, rate_class: str) -> None:
    """Refuses a call whose bucket is empty.

    Raises:
        RateLimited: It is.
    """
    if not draw.allowed:
        raise RateLimited(
            f"too many calls of the class {rate_class}",
            retry_after_seconds=draw.retry_after_seconds,
            policy=rate_class,
        )


class Limiter:
    """The buckets of this replica.

    Args:
        rates: By kind of caller, for example ``member``.
        clock: Seconds that only grow.
        buckets_max: Kept at once; beyond that the longest unused is forgotten.
    """

    def __init__(
        self,
        rates: Mapping[str, Rates],
        clock: Callable[[], float] = time.monotonic,
        buckets_max: int = BUCKETS_MAX,
    ) -> None:
        self._rates = {
            (kind, name): (rate, f'"{name}";q={rate.quota};w={rate.window_seconds}'.encode())
            for kind, by_kind in rates.items()
            for name, rate in by_kind.by_class.items()
        }
        self._clock = clock
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[tuple[str, str, str], _Bucket] = OrderedDict()

    def draw(self, kind: str, caller: str, rate_class: str) -> Draw:
        """Takes one call of a class from a caller's bucket."""
        limited = self._rates.get((kind, rate_class))
        if limited is None:
            return UNLIMITED
        rate, policy = limited
        bucket = self._bucket((kind, caller, rate_class), rate)
        allowed = bucket.calls >= 1
        if allowed:
            bucket.calls -= 1
        full_in = math.ceil((rate.quota - bucket.calls) / rate.per_second)
        left = b'"%b";r=%d;t=%d' % (rate_class.encode(), int(bucket.calls), full_in)
        headers = ((b"ratelimit-policy", policy), (b"ratelimit", left))
        wait = 0.0 if allowed else (1 - bucket.calls) / rate.per_second
        return Draw(allowed, headers, wait)

    def give_back(self, kind: str, caller: str, rate_class: str) -> None:
        """Puts back one call that was drawn and does not count."""
        limited = self._rates.get((kind, rate_class))
        bucket = self._buckets.get((kind, caller, rate_class))
        if limited is not None and bucket is not None:
            bucket.calls = min(limited[0].quota, bucket.calls + 1)

    def _bucket(self, key: tuple[str, str, str], rate: Rate) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(float(rate.quota), now)
            if len(self._buckets) > self._buckets_max:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(key)
        bucket.calls = min(rate.quota, bucket.calls + (now - bucket.at) * rate.per_second)
        bucket.at = now
        return bucket
