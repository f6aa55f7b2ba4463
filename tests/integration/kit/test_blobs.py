"""Presigned requests on a real S3: what is signed is what is possible."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from kit.blobs import Blobs
from kit.config import BlobSettings
from kit.errors import Unavailable
from tests.conftest import Installation

SOON = dt.timedelta(minutes=5)


@pytest.fixture
async def blobs(data_stores: Installation) -> Blobs:
    places = data_stores.layout
    settings = BlobSettings(
        keys_dir=Path(),
        s3_endpoint=f"http://{places.address('s3')}",
        s3_access_key=places.secrets["s3:access"],
        s3_secret_key=places.secrets["s3:secret"],
        s3_bucket="tests",
    )
    opened = Blobs(settings)
    await opened.ensure_bucket()
    return opened


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield client


async def test_what_is_put_is_got_and_what_is_deleted_is_gone(
    blobs: Blobs, http: httpx.AsyncClient
) -> None:
    data = "딸기".encode()
    stored = await blobs.put("a/b.txt", data, "text/plain")
    assert (stored.size_bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert await blobs.get("a/b.txt") == data
    reply = await http.get(blobs.presign_get("a/b.txt", SOON, file_name="latte.txt"))
    assert reply.content == data
    assert "latte.txt" in reply.headers["content-disposition"]
    await blobs.delete("a/b.txt")
    await blobs.delete("a/b.txt")
    assert (await http.get(blobs.presign_get("a/b.txt", SOON))).status_code == 404


async def test_without_a_signature_nothing_is_read_or_written(
    blobs: Blobs, http: httpx.AsyncClient
) -> None:
    await blobs.put("private.txt", b"x", "text/plain")
    address = blobs.presign_get("private.txt", SOON).partition("?")[0]
    assert (await http.get(address)).status_code == 403
    assert (await http.put(address, content=b"y")).status_code == 403
    tampered = blobs.presign_get("private.txt", SOON).replace("private", "another")
    assert (await http.get(tampered)).status_code == 403


async def test_a_presigned_put_writes_its_key(blobs: Blobs, http: httpx.AsyncClient) -> None:
    reply = await http.put(blobs.presign_put("up/load.bin", SOON), content=b"123")
    assert reply.status_code == 200
    assert await blobs.get("up/load.bin") == b"123"


async def test_a_post_policy_limits_size_type_and_key(
    blobs: Blobs, http: httpx.AsyncClient
) -> None:
    address = blobs.presign_put("x", SOON).partition("/x?")[0]
    form = blobs.presign_post("up/photo.png", "image/png", 10, SOON)

    async def upload(content: bytes, **changes: str) -> int:
        files = {"file": ("photo.png", content, "image/png")}
        return (await http.post(address, data=form | changes, files=files)).status_code

    assert await upload(b"0123456789") in (200, 201, 204)
    assert await upload(b"0123456789+") in (400, 403)
    assert await upload(b"1", key="up/other.png") in (400, 403)
    assert await upload(b"1", **{"Content-Type": "text/html"}) in (400, 403)


async def test_an_object_is_copied_as_far_as_it_may_be_long(blobs: Blobs) -> None:
    data = bytes(range(256)) * 4_096
    with tempfile.TemporaryFile() as source:
        source.write(data)
        await blobs.put_file("copied.bin", source, "application/octet-stream")
    for most in (len(data), 1_000):
        with tempfile.TemporaryFile() as target:
            copied = await blobs.fetch("copied.bin", target, most)
            target.seek(0)
            assert copied is not None
            assert len(target.read()) == copied.size_bytes
            assert (copied.size_bytes > most) == (most < len(data))
            assert most < len(data) or copied.sha256 == hashlib.sha256(data).hexdigest()
    with tempfile.TemporaryFile() as target:
        assert await blobs.fetch("there is none", target, 10) is None


async def test_storage_that_is_away_is_unavailable(blobs: Blobs) -> None:
    nowhere = Blobs(
        BlobSettings(
            keys_dir=Path(),
            s3_endpoint="http://127.0.0.1:9",
            s3_access_key="a",
            s3_secret_key="b",
        )
    )
    with tempfile.TemporaryFile() as target:
        for attempt in (
            nowhere.fetch("x", target, 10),
            nowhere.put_file("x", target, "text/plain"),
            nowhere.delete("x"),
        ):
            with pytest.raises(Unavailable):
                await attempt
