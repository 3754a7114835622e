"""Blob port: S3 objects with conditional puts.

The port is synchronous; ``aio`` has its form for asyncio. Every call raises these errors of ``siad.contracts.errors``
and no others, whatever the client library, the network or the operating system raises below it:

- ``TransientError``: the store is unavailable (no connection, time-out, 5xx, slow-down); the same call may be repeated.
- ``DeniedError``, a kind of it: the store denies access or rejects the request (403, wrong keys, region or endpoint).
  The text names operation, bucket, key and what to change; the same call succeeds once that is corrected.
- ``MissingError``: there is no such object or bucket.
- ``ConflictError``: the condition of a put did not hold.
- ``CorruptError``: the bytes differ from their digest or checksum.

``tests/contract/blobs`` proves it for every adapter.

On most stores equal bytes have equal etags, so an object that returns to earlier bytes also passes an earlier
``PutCondition``. Objects that are moved by conditional puts therefore hold a value that never repeats: a revision, or
a lease holder with an expiry.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from siad.contracts.errors import CorruptError
from siad.contracts.ids import sha256_hex


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes of one object, and its etag for a conditional put."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """Description of one object, without its bytes."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime  # UTC, the store's clock


@dataclass(frozen=True, slots=True)
class PutCondition:
    """State that an object must have for a put to be made."""

    etag: str | None  # None: there must be no object


IF_ABSENT: Final = PutCondition(None)


class Blobs(Protocol):
    """One bucket."""

    def uri(self, key: str) -> str:
        """Return the address of ``key``: ``s3://bucket/key``."""
        ...

    def key_of(self, uri: str) -> str:
        """Return the key of an address in this bucket.

        Raises:
            ValueError: the address is in another bucket, or is none.
        """
        ...

    def get(self, key: str) -> Blob:
        """Read one object whole.

        Raises:
            MissingError: there is no object at ``key``.
        """
        ...

    def head(self, key: str) -> BlobInfo | None:
        """Describe one object; None where there is none."""
        ...

    def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        condition: PutCondition | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Write one object and return its etag; readers never see a part.

        Args:
            key: name of the object.
            data: its bytes.
            content_type: media type.
            condition: write only if it holds.
            tags: object tags, for the store's lifecycle rules.

        Raises:
            ConflictError: the condition did not hold; nothing was written.
            TransientError: the store is unavailable; the object may have been written.
        """
        ...

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[BlobInfo]:
        """Yield every object whose key begins with ``prefix``, by key, after ``start_after``.

        Errors may be raised by the call or by the iteration.
        """
        ...

    def delete(self, key: str) -> None:
        """Delete one object; a missing one is no error."""
        ...

    def probe(self) -> None:
        """Return if the bucket responds."""
        ...


def get_verified(blobs: Blobs, key: str, *, sha256: str) -> bytes:
    """Read one object and compare it with its digest.

    Raises:
        MissingError: there is no object at ``key``.
        CorruptError: the bytes have another digest than ``sha256``.
    """
    data = blobs.get(key).data
    if (found := sha256_hex(data)) != sha256:
        msg = f"{blobs.uri(key)} refused: {len(data)} bytes with SHA-256 {found}, expected {sha256}"
        raise CorruptError(msg)
    return data


def key_in(bucket: str, uri: str) -> str:
    """Return the key of an ``s3://`` address that must be in ``bucket``.

    Raises:
        ValueError: the address is in another bucket, or is none.
    """
    head = f"s3://{bucket}/"
    if not uri.startswith(head) or len(uri) == len(head):
        msg = f"{uri!r} is not an address in bucket {bucket!r}"
        raise ValueError(msg)
    return uri[len(head) :]
