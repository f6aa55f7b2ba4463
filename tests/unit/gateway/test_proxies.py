"""Whose word on a client's address is taken: of the proxies that are named, and of nobody else."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest

from gateway.config import GatewaySettings
from tests.unit.gateway.house import House, opened

# The address of everybody's connection here.
LOOPBACK = "127.0.0.0/8"
ELSEWHERE = "10.42.0.0/16"
ONE_CALL = {"rate_address": "read 1/600"}
ALICE, BOB = "198.51.100.7", "203.0.113.9"
NOT_BELIEVED = "X-Forwarded-For is not believed"


async def read(house: House, forwarded: str) -> httpx.Response:
    """Reads without signing in; the service behind has nothing, which comes after the bucket."""
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    return await house.http.get("/v1/categories", headers=headers)


async def test_behind_a_proxy_that_is_named_every_client_has_a_bucket_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, trusted_proxies=f"10.0.0.1, {LOOPBACK}", **ONE_CALL) as house:
        for client in (ALICE, BOB):
            assert (await read(house, client)).status_code != 429
            assert (await read(house, client)).json()["code"] == "rate_limited"
        # What a client wrote itself stands left of what the proxy added.
        assert (await read(house, f"192.0.2.1, {ALICE}")).status_code == 429
    assert NOT_BELIEVED not in caplog.text


async def test_of_anybody_else_it_is_not_believed_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with opened(tmp_path, trusted_proxies=ELSEWHERE, **ONE_CALL) as house:
            assert (await read(house, "")).status_code != 429
            assert NOT_BELIEVED not in caplog.text
            for client in (ALICE, BOB):
                assert (await read(house, client)).status_code == 429
    assert caplog.text.count(NOT_BELIEVED) == 1


@pytest.mark.parametrize("named", ["*", "10.42.0.1/16", "10.42.0.0/33", "ingress", ""])
def test_what_is_no_address_refuses_the_start(tmp_path: Path, named: str) -> None:
    targets = dict.fromkeys(
        ("accounts_target", "works_target", "templates_target", "jobs_target"), "x"
    )
    with pytest.raises(ValueError, match="trusted_proxies"):
        GatewaySettings(keys_dir=tmp_path, trusted_proxies=named, **targets)
