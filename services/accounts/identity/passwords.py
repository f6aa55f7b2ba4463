"""Argon2id in a bounded pool of threads: hashing costs memory and CPU by intent."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

# RFC 9106, second recommendation: 64 MiB, 3 passes. About 0.15 s of one core.
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
THREADS_MAX = 2


class Passwords:
    """Hashes and verifies passwords.

    Verifying against no user takes as long as against one, so that the time does not tell which
    logins exist.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="argon2")
        self._decoy = _HASHER.hash("a password that nobody has")

    async def hash(self, password: str) -> str:
        """Returns the encoded hash of a password."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, _HASHER.hash, password
        )

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether a password matches an encoded hash; with None it never does."""
        matches = await asyncio.get_running_loop().run_in_executor(
            self._threads, _verify, encoded or self._decoy, password
        )
        return matches and encoded is not None


def _verify(encoded: str, password: str) -> bool:
    try:
        return _HASHER.verify(encoded, password)
    except VerificationError:
        return False
