"""Objects in S3: bytes travel between clients and storage by presigned requests, not through us."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import io
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.datatypes import PostPolicy
from minio.error import S3Error, ServerError

from kit.config import BlobSettings
from kit.errors import Unavailable

CONNECT_SECONDS = 5
READ_SECONDS = 30
UPLOADS_LISTED_MAX = 1_000
CHUNK_BYTES = 256 << 10
_PASSING = {"InternalError", "ServiceUnavailable", "SlowDown"}


@dataclass(frozen=True)
class Stored:
    """What was written.

    Attributes:
        key: The object's key.
        size_bytes: Its size.
        sha256: Of its bytes, in hex.
    """

    key: str
    size_bytes: int
    sha256: str


def _client(endpoint: str, settings: BlobSettings) -> Minio:
    parts = urlsplit(endpoint)
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        retries=urllib3.Retry(total=3, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
        maxsize=16,
    )
    return Minio(
        parts.netloc,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
        region=settings.s3_region,
        secure=parts.scheme == "https",
        http_client=pool,
    )


@contextmanager
def _reached() -> Iterator[None]:
    """Turns what passes by itself into Unavailable."""
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError, S3Error, ServerError) as error:
        if isinstance(error, S3Error) and error.code not in _PASSING:
            raise
        raise Unavailable("the storage cannot be reached", retry_after_seconds=1) from error


def _copy(key: str, parts: Iterable[bytes], target: BinaryIO, size_bytes_max: int) -> Stored:
    digest, size = hashlib.sha256(), 0
    for part in parts:
        target.write(part)
        digest.update(part)
        size += len(part)
        if size > size_bytes_max:
            break
    target.flush()
    return Stored(key, size, digest.hexdigest())


class Blobs:
    """One bucket. The client is synchronous, so that its calls run in threads."""

    def __init__(self, settings: BlobSettings) -> None:
        self.bucket = settings.s3_bucket
        self._client = _client(settings.s3_endpoint, settings)
        # Presigning is arithmetic on the address that the caller of the URL will use.
        self._public = _client(settings.s3_public_endpoint or settings.s3_endpoint, settings)

    async def ensure_bucket(self) -> None:
        """Makes the bucket unless it exists."""

        def ensure() -> None:
            if not self._client.bucket_exists(bucket_name=self.bucket):
                self._client.make_bucket(bucket_name=self.bucket)

        await asyncio.to_thread(ensure)

    async def put(self, key: str, data: bytes, content_type: str) -> Stored:
        """Writes an object whole."""

        def put() -> None:
            self._client.put_object(
                bucket_name=self.bucket,
                object_name=key,
                data=io.BytesIO(data),
                length=len(data),
                content_type=content_type,
            )

        await asyncio.to_thread(put)
        return Stored(key, len(data), hashlib.sha256(data).hexdigest())

    async def get(self, key: str) -> bytes:
        """Reads an object whole."""

        def get() -> bytes:
            response = self._client.get_object(bucket_name=self.bucket, object_name=key)
            try:
                return bytes(response.read())
            finally:
                response.close()
                response.release_conn()

        return await asyncio.to_thread(get)

    async def fetch(self, key: str, target: BinaryIO, size_bytes_max: int) -> Stored | None:
        """Copies an object into an open file; None where there is none.

        Of a larger one only as much is copied as shows that it is larger.

        Raises:
            Unavailable: The storage cannot be reached.
        """

        def fetch() -> Stored | None:
            with _reached():
                try:
                    response = self._client.get_object(bucket_name=self.bucket, object_name=key)
                except S3Error as error:
                    if error.code == "NoSuchKey":
                        return None
                    raise
                try:
                    return _copy(key, response.stream(CHUNK_BYTES), target, size_bytes_max)
                finally:
                    response.close()
                    response.release_conn()

        return await asyncio.to_thread(fetch)

    async def put_file(self, key: str, source: BinaryIO, content_type: str) -> None:
        """Writes an object from an open file, from its first byte.

        Raises:
            Unavailable: The storage cannot be reached.
        """

        def put() -> None:
            size = source.seek(0, io.SEEK_END)
            source.seek(0)
            with _reached():
                self._client.put_object(
                    bucket_name=self.bucket,
                    object_name=key,
                    data=source,
                    length=size,
                    content_type=content_type,
                )

        await asyncio.to_thread(put)

    async def delete(self, key: str) -> None:
        """Removes an object; a missing one is no error.

        Raises:
            Unavailable: The storage cannot be reached.
        """

        def delete() -> None:
            with _reached():
                self._client.remove_object(bucket_name=self.bucket, object_name=key)

        await asyncio.to_thread(delete)

    async def older(self, prefix: str, before: dt.datetime, limit: int) -> list[str]:
        """Returns keys under a prefix that were last written before a time, the first by name."""

        def older() -> list[str]:
            found = self._client.list_objects(
                bucket_name=self.bucket, prefix=prefix, recursive=True
            )
            keys = (each.object_name for each in found if each.last_modified < before)
            return list(itertools.islice(keys, limit))

        return await asyncio.to_thread(older)

    async def abort_uploads(self, before: dt.datetime, limit: int) -> int:
        """Aborts multipart uploads that were begun before a time; returns how many.

        A process that dies in the middle of one leaves its parts, which no listing shows. The
        client lists and aborts them only by methods that it keeps to itself.
        """

        def abort() -> int:
            listed = self._client._list_multipart_uploads(  # noqa: SLF001
                self.bucket, max_uploads=UPLOADS_LISTED_MAX
            )
            old = [
                (upload.object_name, upload.upload_id)
                for upload in listed.uploads
                if upload.initiated_time and upload.initiated_time < before
            ][:limit]
            for key, upload_id in old:
                self._client._abort_multipart_upload(  # noqa: SLF001
                    self.bucket, key, upload_id or ""
                )
            return len(old)

        return await asyncio.to_thread(abort)

    def presign_get(
        self,
        key: str,
        expires: dt.timedelta,
        *,
        file_name: str = "",
        steady: dt.timedelta | None = None,
    ) -> str:
        """Returns an address for GET.

        Args:
            key: The object.
            expires: How long the address holds at least.
            file_name: Browsers save under that name.
            steady: The same address is given for so long, so that browsers and entity tags may
                keep what it leads to. Default: another one every second.
        """
        signed_at = None
        if steady:
            seconds = int(steady.total_seconds())
            now = int(dt.datetime.now(dt.UTC).timestamp())
            signed_at = dt.datetime.fromtimestamp(now - now % seconds, dt.UTC)
            expires += steady
        headers: dict[str, str | list[str] | tuple[str]] = {}
        if file_name:
            headers["response-content-disposition"] = f'attachment; filename="{file_name}"'
        return self._public.get_presigned_url(
            method="GET",
            bucket_name=self.bucket,
            object_name=key,
            expires=expires,
            response_headers=headers or None,
            request_date=signed_at,
        )

    def presign_put(self, key: str, expires: dt.timedelta) -> str:
        """Returns an address for PUT, which limits neither size nor type: for trusted callers."""
        return self._public.presigned_put_object(
            bucket_name=self.bucket, object_name=key, expires=expires
        )

    @property
    def post_address(self) -> str:
        """Where forms of POST uploads are sent."""
        address = self._public.get_presigned_url(
            method="POST", bucket_name=self.bucket, object_name="x"
        )
        return address.partition("?")[0].removesuffix("/x")

    def presign_post(
        self,
        key: str,
        content_type: str,
        size_bytes_max: int,
        expires: dt.timedelta,
        *,
        size_bytes_min: int = 1,
    ) -> dict[str, str]:
        """Returns the form fields of a POST upload whose size and type the storage enforces."""
        policy = PostPolicy(bucket_name=self.bucket, expiration=dt.datetime.now(dt.UTC) + expires)
        policy.add_equals_condition("key", key)
        policy.add_equals_condition("Content-Type", content_type)
        policy.add_content_length_range_condition(size_bytes_min, size_bytes_max)
        fields: dict[str, str] = self._public.presigned_post_policy(policy)
        return {**fields, "key": key, "Content-Type": content_type}
