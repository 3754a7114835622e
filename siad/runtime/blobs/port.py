"""THE store, as far as anybody here cares: S3's objects with conditional puts. Synchronous; see ``aio`` for services.

Every call may raise ``TransientError`` while the store is away (no connection, time-out, 5xx, slow-down). A refusal
(403) is ``PermissionError`` with what was asked: waiting does not mend it.

Where equal bytes have equal etags (most stores), an object that goes back to bytes it once had passes for unmoved. So
what is moved by conditional puts holds something that never comes twice: a revision, a holder with an expiry.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from siad.contracts.errors import CorruptError
from siad.contracts.ids import sha256_hex


@dataclass(frozen=True, slots=True)
class Blob:
    """One object's bytes, and the tag that a conditional put must match."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """One object without its bytes."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime  # UTC, the store's clock


class Blobs(Protocol):
    """One bucket."""

    def uri(self, key: str) -> str:
        """The address of ``key``: ``s3://bucket/key``."""
        ...

    def key_of(self, uri: str) -> str:
        """The key behind an address of this bucket.

        Raises:
            ValueError: another bucket's address, or none at all.
        """
        ...

    def get(self, key: str) -> Blob:
        """Read one object whole.

        Raises:
            MissingError: nothing lies under ``key``.
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
        if_match: str | None = None,
        if_absent: bool = False,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Write one object whole and return its etag; nobody ever sees a part of it.

        Args:
            key: where.
            data: the bytes.
            content_type: media type.
            if_match: write only over the object with this etag.
            if_absent: write only where there is none.
            tags: object tags, for the store's lifecycle rules.

        Raises:
            ConflictError: the condition failed; nothing was written.
            TransientError: the store is away; perhaps it was written, perhaps not.
        """
        ...

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[BlobInfo]:
        """Every object whose key begins with ``prefix``, by key, after ``start_after``."""
        ...

    def delete(self, key: str) -> None:
        """Remove one object; a missing one is no error."""
        ...

    def probe(self) -> None:
        """Return if the bucket answers; else raise TransientError or PermissionError."""
        ...


def get_verified(blobs: Blobs, key: str, *, sha256: str) -> bytes:
    """Read one object and hold it against its digest.

    Raises:
        MissingError: nothing lies under ``key``.
        CorruptError: the bytes are not those of ``sha256``.
    """
    data = blobs.get(key).data
    if (found := sha256_hex(data)) != sha256:
        msg = f"{blobs.uri(key)} refused: {len(data)} bytes with SHA-256 {found}, expected {sha256}"
        raise CorruptError(msg)
    return data


def key_in(bucket: str, uri: str) -> str:
    """The key of an ``s3://`` address that must be in ``bucket``.

    Raises:
        ValueError: another bucket's address, or none at all.
    """
    head = f"s3://{bucket}/"
    if not uri.startswith(head) or len(uri) == len(head):
        msg = f"{uri!r} is not an address in bucket {bucket!r}"
        raise ValueError(msg)
    return uri[len(head) :]
