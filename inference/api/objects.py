"""Objects that requests name by key."""

from __future__ import annotations

import io

from minio.error import MinioException
from urllib3.exceptions import HTTPError

from inference.api.budget import Share
from inference.engine.pictures.files import FILE_BYTES_MAX
from kit.blobs import Blobs, Stored
from kit.errors import FieldViolation, InvalidArgument, NotFound, Unavailable

KEY_CHARACTERS_MAX = 512
_WRITTEN = "tmp/"


class Objects:
    """Reads what it is told to within a limit, and writes below "tmp/" only."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def read(self, key: str, field: str, share: Share | None = None) -> bytes:
        """Reads a file, within what the call may hold where it has a share.

        Raises:
            InvalidArgument: It is larger than 50 MiB or than the share, or this is no key.
            NotFound: There is none.
            Unavailable: The storage cannot be reached.
        """
        if not 1 <= len(key) <= KEY_CHARACTERS_MAX:
            raise InvalidArgument.of(field, "must be the key of an object")
        file = share.file(field) if share else io.BytesIO()
        stored = await self._blobs.fetch(key, file, FILE_BYTES_MAX)
        if stored is None:
            message = f"there is no object {key!r}"
            raise NotFound(message, violations=(FieldViolation(field, message),))
        if stored.size_bytes > FILE_BYTES_MAX:
            raise InvalidArgument.of(field, f"must have at most {FILE_BYTES_MAX >> 20} MiB")
        return file.getvalue()

    async def write(self, key: str, data: bytes, content_type: str) -> Stored:
        """Writes a file.

        Raises:
            Unavailable: The storage cannot be reached.
        """
        try:
            return await self._blobs.put(key, data, content_type)
        except (MinioException, HTTPError) as error:
            raise Unavailable("the object storage cannot be reached") from error


def written_key(key: str, ending: str, field: str) -> str:
    """Returns a key that may be written.

    Raises:
        InvalidArgument: It does not begin with "tmp/" or has another ending.
    """
    well_formed = key.startswith(_WRITTEN) and key.endswith(ending) and ".." not in key
    if not well_formed or not len(_WRITTEN) < len(key) <= KEY_CHARACTERS_MAX:
        message = f'must begin with "{_WRITTEN}" and end with "{ending}"'
        raise InvalidArgument.of(field, message)
    return key
