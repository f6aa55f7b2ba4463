"""API keys as text: recognisable, and proof against typing errors before anybody is asked.

``atl_``, 256 random bits as 43 characters of base 62, and a CRC-32 of all before it as 6 more: the
form of GitHub's tokens (GitHub, "Behind GitHub's new authentication token formats", 2021), which
secret scanners find by the prefix and confirm by the checksum.
"""

from __future__ import annotations

import hashlib
import re
import string
import zlib
from collections.abc import Mapping

from kit.errors import DomainError

MARK = "atl_"
RANDOM_BYTES = 32
PREFIX_LENGTH = 12
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY_LENGTH = 43  # 62^43 > 2^256
_CHECKSUM_LENGTH = 6  # 62^6 > 2^32
_FORM = re.compile(rf"{MARK}[0-9A-Za-z]{{{_BODY_LENGTH + _CHECKSUM_LENGTH}}}", re.ASCII)


class ApiKeyUnknown(DomainError):
    """The key is none of ours."""

    reason = "API_KEY_UNKNOWN"


class ApiKeyExpired(DomainError):
    """The key's time is over."""

    reason = "API_KEY_EXPIRED"


class ApiKeyRevoked(DomainError):
    """The key was revoked by its member."""

    reason = "API_KEY_REVOKED"


class AccountSuspended(DomainError):
    """The account may do nothing at present."""

    reason = "ACCOUNT_SUSPENDED"


# Why a key is not taken, by reason.
REFUSALS: Mapping[str, type[DomainError]] = {
    refusal.reason: refusal
    for refusal in (ApiKeyUnknown, ApiKeyExpired, ApiKeyRevoked, AccountSuspended)
}


def encode(random: bytes) -> str:
    """Writes 32 random bytes as a key of 53 characters."""
    body = MARK + _base62(int.from_bytes(random, "big"), _BODY_LENGTH)
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether a text is a key whose checksum agrees: of mistyped ones all but 1 in 2^32 are not."""
    if not _FORM.fullmatch(key):
        return False
    body, checksum = key[:-_CHECKSUM_LENGTH], key[-_CHECKSUM_LENGTH:]
    return _checksum(body) == checksum


def digest(key: str) -> bytes:
    """Returns the SHA-256 by which a key is kept and found.

    A slow, salted hash is for secrets that can be guessed: from 112 bits of entropy on, a plain
    one-way function is what is asked for (NIST SP 800-63B-3, 5.1.2.2).
    """
    return hashlib.sha256(key.encode()).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
