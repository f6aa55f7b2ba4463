"""Rules of files: buckets and their limits, states, names, why a file is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kit.errors import DomainError, FieldViolation, InvalidArgument, PermissionDenied

MIB = 1 << 20
NAME_LENGTH_MAX = 200
TYPE_LENGTH_MAX = 100
RESOLVED_MAX = 50
BUSY_SECONDS = 2.0

KINDS: Mapping[str, str] = {
    "image/jpeg": "picture",
    "image/png": "picture",
    "image/gif": "picture",
    "image/webp": "picture",
    "application/pdf": "document",
    "image/svg+xml": "vector",
}
_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/svg+xml": "svg",
    "application/pdf": "pdf",
}
# What a check may say of a file; that is final.
REFUSALS = frozenset(
    {
        *("FILE_TYPE_NOT_ALLOWED", "FILE_TYPE_MISMATCH", "FILE_TOO_LARGE", "FILE_DAMAGED"),
        *("FILE_DIMENSIONS_TOO_LARGE", "FILE_ANIMATED", "FILE_HAS_EXTRA_DATA", "FILE_ENCRYPTED"),
        *("FILE_ACTIVE_CONTENT", "FILE_TOO_COMPLEX"),
    }
)
_PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_RANKS = {"nobody": 0, "guest": 1, "member": 2, "administrator": 3}
_NO_NAME = re.compile(r"[\x00-\x1f\x7f/\\]")

# Each state and the states that may follow it; drawn in docs/states.md.
TRANSITIONS: dict[str, frozenset[str]] = {
    "pending": frozenset({"ready", "refused", "expired"}),
    "ready": frozenset(),
    "refused": frozenset(),
    "expired": frozenset(),
}


@dataclass(frozen=True)
class Bucket:
    """What files of one purpose may be.

    Attributes:
        bytes_max: Of one file, as sent and as stored.
        types: MIME types that may be sent.
        filled_by: The least privileged caller who may upload into it; empty: nobody.
    """

    bytes_max: int
    types: tuple[str, ...]
    filled_by: str


# Sizes and types of the first system's storage. Its video types are not taken yet: there is no
# check that could read them.
BUCKETS: Mapping[str, Bucket] = {
    "avatars": Bucket(5 * MIB, _PICTURES, "member"),
    "uploads": Bucket(50 * MIB, (*_PICTURES, "application/pdf"), "guest"),
    "works": Bucket(100 * MIB, (), ""),
    "templates": Bucket(50 * MIB, _PICTURES, "administrator"),
    "assets": Bucket(200 * MIB, (*_PICTURES, "image/svg+xml"), "administrator"),
}


class FileRefused(DomainError):
    """A file that is not let in; the reason says why."""

    def __init__(self, reason: str, message: str, **metadata: str | int) -> None:
        super().__init__(message)
        self.metadata = {key: str(value) for key, value in metadata.items()}
        self.reason = reason  # type: ignore[misc]  # of the class elsewhere; here of the file


class FileInCheck(DomainError):
    """Another confirmation of the file is running."""

    reason = "FILE_IN_CHECK"


class UploadNotReceived(DomainError):
    """The storage has no bytes of the file."""

    reason = "UPLOAD_NOT_RECEIVED"


class UploadExpired(DomainError):
    """The file was not confirmed in time."""

    reason = "UPLOAD_EXPIRED"


class QuotaExceeded(DomainError):
    """The owner's files would be larger than he may keep."""

    reason = "STORAGE_QUOTA_EXCEEDED"


@dataclass(frozen=True)
class NewFile:
    """A checked announcement of a file.

    Attributes:
        bucket: What it is for.
        content_type: As declared, without parameters.
        size_bytes: As declared.
        name: Without folders.
    """

    bucket: str
    content_type: str
    size_bytes: int
    name: str

    @property
    def kind(self) -> str:
        """What the declared type is."""
        return KINDS[self.content_type]


def announce(caller: str, bucket: str, content_type: str, size_bytes: int, name: str) -> NewFile:
    """Checks what somebody wants to upload.

    Args:
        caller: guest, member or administrator.
        bucket: By name; empty: uploads.
        content_type: As declared.
        size_bytes: As declared.
        name: As given; what a folder would be is cut off.

    Raises:
        InvalidArgument: With one violation per field.
        PermissionDenied: The bucket is not the caller's to fill.
        FileRefused: FILE_TYPE_NOT_ALLOWED or FILE_TOO_LARGE.
    """
    bare = _NO_NAME.sub("", re.split(r"[/\\]", name)[-1]).strip()
    violations = []
    if len(name) > NAME_LENGTH_MAX or not bare:
        violations.append(FieldViolation("name", f"must be 1 to {NAME_LENGTH_MAX} characters"))
    if not 1 <= len(content_type) <= TYPE_LENGTH_MAX:
        violations.append(FieldViolation("content_type", "must be a MIME type, as image/jpeg"))
    if size_bytes < 1:
        violations.append(FieldViolation("size_bytes", "must be at least 1"))
    if violations:
        raise InvalidArgument("the file is not valid", violations=tuple(violations))
    new = NewFile(bucket or "uploads", content_type.lower(), size_bytes, bare)
    _check_bucket(caller, new)
    return new


def _check_bucket(caller: str, new: NewFile) -> None:
    bucket = BUCKETS[new.bucket]
    if not bucket.filled_by or _RANKS[caller] < _RANKS[bucket.filled_by]:
        raise PermissionDenied(f"your account may not upload into {new.bucket}", bucket=new.bucket)
    if new.content_type not in bucket.types:
        raise FileRefused(
            "FILE_TYPE_NOT_ALLOWED",
            f"{new.bucket} takes {', '.join(bucket.types)}",
            bucket=new.bucket,
            allowed=", ".join(bucket.types),
        )
    if new.size_bytes > bucket.bytes_max:
        raise FileRefused(
            "FILE_TOO_LARGE",
            f"a file in {new.bucket} has at most {bucket.bytes_max} bytes",
            bytes_max=bucket.bytes_max,
        )


def check_quota(quota_bytes: int, used_bytes: int, required_bytes: int) -> None:
    """Refuses what does not fit beside what an owner keeps.

    Raises:
        QuotaExceeded: It does not fit.
    """
    if used_bytes + required_bytes > quota_bytes:
        raise QuotaExceeded(
            f"{required_bytes} bytes do not fit: {used_bytes} of {quota_bytes} are used",
            quota=quota_bytes,
            used=used_bytes,
            required=required_bytes,
        )


def file_name(name: str, file_id: object, content_type: str) -> str:
    """Makes an ASCII name to save a file under."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", name.rpartition(".")[0] or name).strip("-").lower()
    extension = _EXTENSIONS.get(content_type, "bin")
    return f"{words or 'file'}-{str(file_id)[-8:]}.{extension}"
