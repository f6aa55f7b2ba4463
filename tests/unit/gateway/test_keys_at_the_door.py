"""API keys at the door: asked after once for a while, whoever and however many wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest

from gateway.keys import Keys
from gateway.rates import Limiter, RateLimited, Rates
from kit import api_keys
from kit.rpc import status

KEY = api_keys.encode(bytes(range(32)))
KEPT = 5.0
HERE = "192.0.2.7"


class Accounts:
    """Answers one question after another; a test says what."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[], Awaitable[str]] = self.token

    async def trade(self, key: str) -> str:
        self.asked.append(key)
        return await self.answer()

    async def token(self) -> str:
        return f"token {len(self.asked)}"

    async def revoked(self) -> str:
        raise refused(api_keys.ApiKeyRevoked("this API key is revoked"))


def refused(error: api_keys.DomainError) -> grpc.aio.AioRpcError:
    encoded = status.encode(error)
    details = grpc.aio.Metadata(("grpc-status-details-bin", encoded.SerializeToString()))
    return grpc.aio.AioRpcError(
        grpc.StatusCode.UNAUTHENTICATED, grpc.aio.Metadata(), details, encoded.message
    )


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(accounts: Accounts, clock: Clock) -> Keys:
    limiter = Limiter({"address": Rates.of("login 3/300")}, clock)
    return Keys(accounts.trade, limiter, KEPT, clock=clock)


async def test_a_key_is_asked_after_once_in_a_while(
    keys: Keys, accounts: Accounts, clock: Clock
) -> None:
    assert [await keys.token(KEY, HERE) for _ in range(3)] == ["token 1"] * 3
    clock.now = KEPT - 0.1
    assert await keys.token(KEY, HERE) == "token 1"
    clock.now = KEPT
    assert await keys.token(KEY, HERE) == "token 2"


async def test_a_key_that_is_revoked_is_refused_within_the_bound(
    keys: Keys, accounts: Accounts, clock: Clock
) -> None:
    await keys.token(KEY, HERE)
    accounts.answer = accounts.revoked
    clock.now = KEPT
    for _ in range(3):
        with pytest.raises(api_keys.ApiKeyRevoked, match="revoked"):
            await keys.token(KEY, HERE)
    assert len(accounts.asked) == 2, "a refusal is kept as long as a token"


async def test_the_bound_counts_from_before_the_question(
    keys: Keys, accounts: Accounts, clock: Clock
) -> None:
    async def slowly() -> str:
        clock.now += 2.0
        return "old"

    accounts.answer = slowly
    await keys.token(KEY, HERE)
    accounts.answer = accounts.token
    clock.now = KEPT
    assert await keys.token(KEY, HERE) == "token 2"


async def test_many_who_wait_for_one_key_ask_once_and_one_who_leaves_takes_nothing(
    keys: Keys, accounts: Accounts
) -> None:
    gate = asyncio.Event()

    async def wait() -> str:
        await gate.wait()
        return "the token"

    accounts.answer = wait
    waiting = [asyncio.create_task(keys.token(KEY, HERE)) for _ in range(5)]
    while not accounts.asked:  # noqa: ASYNC110
        await asyncio.sleep(0)
    waiting[0].cancel()
    gate.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == ["the token"] * 4
    assert len(accounts.asked) == 1


async def test_what_is_mistyped_is_refused_without_asking(keys: Keys, accounts: Accounts) -> None:
    with pytest.raises(api_keys.ApiKeyUnknown):
        await keys.token(KEY[:-1] + ("0" if KEY[-1] != "0" else "1"), HERE)
    assert accounts.asked == []


async def test_an_absent_accounts_is_not_remembered(keys: Keys, accounts: Accounts) -> None:
    async def away() -> str:
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()
        )

    accounts.answer = away
    for _ in range(5):
        with pytest.raises(grpc.aio.AioRpcError):
            await keys.token(KEY, HERE)
    accounts.answer = accounts.token
    assert await keys.token(KEY, HERE) == "token 6", "nor counted as a guess"


async def test_who_tries_key_after_key_is_slowed_and_who_has_good_ones_is_not(
    keys: Keys, accounts: Accounts
) -> None:
    several = [api_keys.encode(bytes([number]) * 32) for number in range(10)]
    for key in several[:6]:
        await keys.token(key, HERE)
    accounts.answer = accounts.revoked
    seen: list[type[Exception]] = []
    for number in range(5):
        guess = api_keys.encode(bytes([100 + number]) * 32)
        with pytest.raises((api_keys.ApiKeyRevoked, RateLimited)) as error:
            await keys.token(guess, HERE)
        seen.append(error.type)
    assert seen == [api_keys.ApiKeyRevoked] * 3 + [RateLimited] * 2
    assert await keys.token(several[0], HERE) == "token 1", "what is known already goes on"
    accounts.answer = accounts.token
    assert await keys.token(several[9], "198.51.100.1"), "elsewhere nobody is slowed"
