"""Which files may be announced, by whom, and under which names."""

from __future__ import annotations

import pytest

from kit.errors import InvalidArgument, PermissionDenied
from kit.rpc.contract import failures
from services.works.files.domain import (
    BUCKETS,
    KINDS,
    MIB,
    REFUSALS,
    FileRefused,
    QuotaExceeded,
    announce,
    check_quota,
    file_name,
)


@pytest.mark.parametrize(
    ("caller", "bucket", "lets_in"),
    [
        ("guest", "uploads", True),
        ("guest", "avatars", False),
        ("member", "avatars", True),
        ("member", "uploads", True),
        ("member", "templates", False),
        ("member", "assets", False),
        ("administrator", "templates", True),
        ("administrator", "assets", True),
        ("administrator", "works", False),
    ],
)
def test_a_bucket_is_filled_by_whom_it_is_for(caller: str, bucket: str, lets_in: bool) -> None:
    if lets_in:
        assert announce(caller, bucket, "image/png", 1, "a.png").bucket == bucket
        return
    with pytest.raises(PermissionDenied):
        announce(caller, bucket, "image/png", 1, "a.png")


@pytest.mark.parametrize(
    ("bucket", "content_type", "lets_in"),
    [
        ("uploads", "application/pdf", True),
        ("avatars", "application/pdf", False),
        ("assets", "image/svg+xml", True),
        ("uploads", "image/svg+xml", False),
        ("assets", "video/mp4", False),
        ("uploads", "text/html", False),
        ("uploads", "IMAGE/PNG", True),
        ("uploads", "image/png; charset=utf-8", False),
    ],
)
def test_a_bucket_takes_its_types_only(bucket: str, content_type: str, lets_in: bool) -> None:
    if lets_in:
        assert announce("administrator", bucket, content_type, 1, "a")
        return
    with pytest.raises(FileRefused) as refused:
        announce("administrator", bucket, content_type, 1, "a")
    assert refused.value.reason == "FILE_TYPE_NOT_ALLOWED"
    assert "image/png" in refused.value.metadata["allowed"]


@pytest.mark.parametrize(
    ("bucket", "megabytes"), [("avatars", 5), ("uploads", 50), ("assets", 200)]
)
def test_a_bucket_has_a_limit_of_size(bucket: str, megabytes: int) -> None:
    announce("administrator", bucket, "image/png", megabytes * MIB, "a")
    with pytest.raises(FileRefused) as refused:
        announce("administrator", bucket, "image/png", megabytes * MIB + 1, "a")
    assert refused.value.reason == "FILE_TOO_LARGE"


def test_every_field_at_fault_is_named() -> None:
    with pytest.raises(InvalidArgument) as refused:
        announce("member", "", "", 0, "../..//")
    assert [each.field for each in refused.value.violations] == [
        "name",
        "content_type",
        "size_bytes",
    ]


def test_a_name_is_kept_without_folders_and_control_characters() -> None:
    given = {"사진.png": "사진.png", "../../etc/passwd": "passwd", "C:\\a\\b.png": "b.png"}
    for name, kept in given.items():
        assert announce("member", "", "image/png", 1, name).name == kept
    assert announce("member", "", "image/png", 1, "a\r\n\x00b.png").name == "ab.png"


def test_a_file_is_saved_under_a_plain_name() -> None:
    assert file_name("My Logo (2).PNG", "0197-12345678", "image/png") == "my-logo-2-12345678.png"
    assert file_name("사진.gif", "0197-12345678", "image/png") == "file-12345678.png"


def test_a_quota_is_full_when_nothing_more_fits() -> None:
    check_quota(100, 90, 10)
    with pytest.raises(QuotaExceeded) as refused:
        check_quota(100, 91, 10)
    assert refused.value.metadata == {"quota": "100", "used": "91", "required": "10"}


def test_every_type_of_a_bucket_has_a_kind_and_every_refusal_its_texts() -> None:
    assert {each for bucket in BUCKETS.values() for each in bucket.types} == set(KINDS)
    assert set(failures()) >= REFUSALS
    assert all(failures()[reason].remedy_ko for reason in REFUSALS)
