"""Rate limits: buckets, what their headers say, and who is counted."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.callers import Caller, Callers, network
from gateway.rates import Limiter, Rates
from kit.identity import Kind, Signer, Verifier, create_key, publish_keys


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limiter(clock: Clock, text: str = "read 10/5", **kwargs: int) -> Limiter:
    return Limiter({"member": Rates.of(text)}, clock, **kwargs)


def test_a_bucket_gives_its_quota_and_then_says_when_to_come_back(clock: Clock) -> None:
    limits = limiter(clock)
    draws = [limits.draw("member", "a", "read") for _ in range(11)]
    assert [draw.allowed for draw in draws] == [True] * 10 + [False]
    assert draws[-1].retry_after_seconds == pytest.approx(0.5)
    clock.now += 0.5
    assert limits.draw("member", "a", "read").allowed
    assert not limits.draw("member", "a", "read").allowed


def test_patience_is_not_saved_up(clock: Clock) -> None:
    limits = limiter(clock)
    limits.draw("member", "a", "read")
    clock.now += 1_000
    assert sum(limits.draw("member", "a", "read").allowed for _ in range(30)) == 10


def test_callers_and_classes_have_buckets_of_their_own(clock: Clock) -> None:
    limits = limiter(clock, "read 1/1, write 1/1")
    drawn = [("a", "read"), ("b", "read"), ("a", "write"), ("a", "read")]
    assert [limits.draw("member", *each).allowed for each in drawn] == [True, True, True, False]


def test_headers_tell_policy_and_rest(clock: Clock) -> None:
    limits = limiter(clock)
    for _ in range(4):
        draw = limits.draw("member", "a", "read")
    assert draw.headers == (
        (b"ratelimit-policy", b'"read";q=10;w=5'),
        (b"ratelimit", b'"read";r=6;t=2'),
    )


def test_a_class_without_a_rate_is_not_limited(clock: Clock) -> None:
    limits = limiter(clock, "off")
    assert all(limits.draw("member", "a", "read").allowed for _ in range(1000))
    assert limits.draw("member", "a", "read").headers == ()


def test_memory_is_bounded_and_the_longest_unused_goes_first(clock: Clock) -> None:
    limits = limiter(clock, "read 1/1", buckets_max=2)
    for caller in ("a", "b", "a", "c"):
        limits.draw("member", caller, "read")
    assert len(limits._buckets) == 2
    assert not limits.draw("member", "a", "read").allowed, "a was used later than b"


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_window_ever_gives_more_than_quota_and_refill(pauses: list[float]) -> None:
    clock = Clock()
    limits = limiter(clock)
    began, given_ = clock.now, 0
    for pause in pauses:
        clock.now += pause
        given_ += limits.draw("member", "a", "read").allowed
        assert given_ <= 10 + (clock.now - began) * 2 + 1e-6


@pytest.mark.parametrize(
    "text", ["read", "read 5", "read 0/1", "read 1/0", "reed 1/1", "read -1/1"]
)
def test_a_rate_that_cannot_be_read_refuses_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Rates.of(text)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("nonsense", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_address_is_counted_by_what_one_subscriber_has(address: str, counted: str) -> None:
    assert network(address) == counted


def test_a_forged_token_counts_for_the_address_and_not_for_its_victim(tmp_path: Path) -> None:
    for issuer in ("accounts", "jobs"):
        create_key(tmp_path, issuer)
    publish_keys(tmp_path)
    victim = uuid.uuid4()
    token = Signer("accounts", tmp_path).user_token(victim, Kind.MEMBER, 60)
    forged = Signer("jobs", tmp_path).user_token(victim, Kind.MEMBER, 60)
    callers = Callers(Verifier("gateway", tmp_path))
    assert callers.of(f"Bearer {token}", "192.0.2.7") == Caller("member", str(victim))
    assert callers.of(f"Bearer {forged}", "192.0.2.7") == Caller("address", "192.0.2.7")
    guest = Signer("accounts", tmp_path).user_token(victim, Kind.GUEST, 60)
    assert callers.of(f"Bearer {guest}", "").kind == "guest"
