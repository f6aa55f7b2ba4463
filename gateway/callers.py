"""Who is counted: a member, a guest, or the address of somebody who is not signed in."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kit.errors import ScopeMissing, Unauthenticated
from kit.identity import CLOCK_SKEW_SECONDS, Identity, Kind, Verifier

KEPT_MAX = 10_000
KEPT_SECONDS = 60.0
_IPV6_PREFIX = 64  # what one household or server is usually given


@dataclass(frozen=True)
class Caller:
    """Whom a rate limit counts.

    Attributes:
        kind: ``member``, ``guest`` or ``address``.
        name: The user's id or the address.
    """

    kind: str
    name: str


@dataclass(frozen=True)
class Holder:
    """Who opened a stream, and for how long.

    Attributes:
        name: The user's id.
        seconds: Until the token or ticket is accepted no more.
    """

    name: str
    seconds: float


class Callers:
    """Tells callers apart; a token is verified once and then known for a minute.

    Only limits are drawn by it: whether a token is let in is for the services to say.
    """

    def __init__(
        self,
        verifier: Verifier,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._clock = clock
        self._now = now
        self._known: OrderedDict[str, tuple[Identity, float]] = OrderedDict()

    def of(self, authorization: str, address: str) -> Caller:
        """Returns the caller of a request."""
        identity = self._identity(authorization) if authorization else None
        if identity is None:
            return Caller("address", network(address))
        return Caller("guest" if identity.kind is Kind.GUEST else "member", str(identity.user_id))

    def holder(self, authorization: str, ticket: str) -> Holder | None:
        """Returns who comes with a token, or with a ticket alone; None with neither."""
        identity = self._identity(authorization) if authorization else self._of_ticket(ticket)
        if identity is None or identity.user_id is None:
            return None
        seconds = identity.expires_at + CLOCK_SKEW_SECONDS - self._now()
        return Holder(str(identity.user_id), max(seconds, 0.0))

    def _of_ticket(self, ticket: str) -> Identity | None:
        try:
            return self._verifier.holder(ticket) if ticket else None
        except Unauthenticated:  # as its service will say
            return None

    def check_scopes(self, authorization: str, needed: Iterable[str]) -> None:
        """Checks that a key's token may all that a request will do, before it does the first.

        Raises:
            ScopeMissing: It lacks a scope.
        """
        identity = self._identity(authorization)
        if identity is None or identity.scopes is None:
            return
        for scope in needed:
            if scope not in identity.scopes:
                raise ScopeMissing(f"the API key lacks the scope {scope}", scope=scope)

    def _identity(self, authorization: str) -> Identity | None:
        now = self._clock()
        known = self._known.get(authorization)
        if known and now < known[1]:
            return known[0]
        try:
            identity = self._verifier.verify(authorization.partition(" ")[2])
        except Unauthenticated:
            return None
        if identity.user_id is None:
            return None
        self._known[authorization] = (identity, now + KEPT_SECONDS)
        if len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)
        return identity


def network(address: str) -> str:
    """Returns what is counted of an address: IPv4 whole, of IPv6 the first 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    if parsed.version == 6:
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return str(parsed)
