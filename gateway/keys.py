"""API keys at the door: each is traded at accounts for a token that lives a minute.

A token is kept for a few seconds by the key's hash, so that a revoked key is refused everywhere
within them, and so is a refusal. Services see the token alone, and its scopes.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
from atelier.accounts.v1 import keys_pb2
from atelier.accounts.v1.keys_pb2_grpc import ApiKeysServiceStub

from gateway.callers import network
from gateway.exchange import Exchange
from gateway.rates import Limiter, RateLimited
from kit import api_keys, telemetry
from kit.errors import DomainError
from kit.rpc import status
from kit.rpc.client import bridged

KEPT_MAX = 10_000
EXCHANGE_SECONDS = 10.0
_LOGIN = ("address", "login")

Trade = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class _Kept:
    until: float
    token: str
    refusal: type[DomainError] | None = None
    message: str = ""

    def open(self) -> str:
        if self.refusal is not None:
            raise self.refusal(self.message)
        return self.token


class Keys:
    """Turns API keys into tokens.

    Args:
        trade: Trades a key at accounts.
        limiter: A key that is refused there counts as an attempt at signing in.
        kept_seconds: How long an answer holds: within this time a revoked key is refused.
        stream_seconds: How long a stream holds that a key opened; then it is opened anew.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        trade: Trade,
        limiter: Limiter,
        kept_seconds: float,
        stream_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream_seconds = stream_seconds
        self._trade = trade
        self._limiter = limiter
        self._kept_seconds = kept_seconds
        self._clock = clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._trading: dict[bytes, asyncio.Task[_Kept]] = {}

    async def open(self, exchange: Exchange) -> Exception | None:
        """Puts the key's token in its place; returns why not, where it is not taken.

        Again, later, it puts a fresh token there.
        """
        key = exchange.api_key or key_of(exchange)
        if not key:
            return None
        try:
            token = await self.token(key, exchange.address)
        except (DomainError, grpc.aio.AioRpcError) as error:
            return error
        exchange.headers = {**exchange.headers, "authorization": f"Bearer {token}"}
        exchange.api_key = key
        return None

    async def token(self, key: str, address: str) -> str:
        """Returns an access token for a key.

        Raises:
            DomainError: Of ``api_keys.REFUSALS``.
            RateLimited: Too many keys from this address were refused.
            grpc.aio.AioRpcError: Accounts cannot be asked.
        """
        if not api_keys.is_well_formed(key):
            raise api_keys.ApiKeyUnknown("this is no API key: mistyped or cut off?")
        digest = api_keys.digest(key)
        kept = self._kept.get(digest)
        if kept is None or self._clock() >= kept.until:
            kept = await self._ask_once(digest, key, address)
        return kept.open()

    async def _ask_once(self, digest: bytes, key: str, address: str) -> _Kept:
        """Asks accounts, one question at a time for a key however many wait for it."""
        task = self._trading.get(digest)
        if task is None:
            task = asyncio.create_task(self._ask(digest, key, address), name="api-key")
            self._trading[digest] = task
            task.add_done_callback(lambda done: self._asked(digest, done))
        return await asyncio.shield(task)  # who goes away leaves the others their answer

    def _asked(self, digest: bytes, done: asyncio.Task[_Kept]) -> None:
        del self._trading[digest]
        if not done.cancelled():
            done.exception()  # that nobody waited for it any more is no fault

    async def _ask(self, digest: bytes, key: str, address: str) -> _Kept:
        counted = network(address)
        draw = self._limiter.draw(_LOGIN[0], counted, _LOGIN[1])
        if not draw.allowed:
            message = "too many refused keys came from here"
            raise RateLimited(message, retry_after_seconds=draw.retry_after_seconds, policy="login")
        # From before the question: what accounts saw is at most this old when it lapses.
        until = self._clock() + self._kept_seconds
        try:
            kept = _Kept(until, await self._trade(key))
        except grpc.aio.AioRpcError as error:
            refused = status.decode(error)
            refusal = api_keys.REFUSALS.get(refused.failure.reason)
            if refusal is None:  # nothing was said of the key: an outage is no guess
                self._limiter.give_back(_LOGIN[0], counted, _LOGIN[1])
                raise
            kept = _Kept(until, "", refusal, refused.message)
        if kept.refusal is None:
            self._limiter.give_back(_LOGIN[0], counted, _LOGIN[1])
        self._keep(digest, kept)
        return kept

    def _keep(self, digest: bytes, kept: _Kept) -> None:
        self._kept[digest] = kept
        self._kept.move_to_end(digest)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)


def key_of(exchange: Exchange) -> str:
    """Returns the API key that a request carries, or nothing."""
    authorization = exchange.headers.get("authorization", "")
    if api_keys.MARK not in authorization:
        return ""
    scheme, _, token = authorization.partition(" ")
    return token if scheme.lower() == "bearer" and token.startswith(api_keys.MARK) else ""


def trade_at(accounts: grpc.aio.Channel) -> Trade:
    """Returns what trades keys over a channel to accounts."""
    stub = ApiKeysServiceStub(accounts)

    async def trade(key: str) -> str:
        request = keys_pb2.ExchangeApiKeyRequest(secret=key)
        metadata = tuple(telemetry.carrier().items())
        _, answer = await bridged(
            accounts,
            lambda: stub.ExchangeApiKey(request, metadata=metadata, timeout=EXCHANGE_SECONDS),
        )
        return str(answer.access_token)

    return trade
