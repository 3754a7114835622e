"""Blob store in memory, for tests and for single-process runs. Thread-safe."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from siad.contracts.errors import ConflictError, DeniedError, MissingError, TransientError
from siad.runtime.blobs.port import Blob, BlobInfo, PutCondition, key_in


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    info: BlobInfo
    content_type: str
    tags: Mapping[str, str]


@dataclass(slots=True)
class MemoryBlobs:
    """One bucket.

    While ``down`` is set every call raises TransientError, as in an outage; while ``denied`` is set, DeniedError.
    """

    bucket: str = "siad"
    down: bool = False
    denied: bool = False
    _objects: dict[str, _Object] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def uri(self, key: str) -> str:
        """Return the address of ``key``."""
        return f"s3://{self.bucket}/{key}"

    def key_of(self, uri: str) -> str:
        """Return the key of an address in this bucket."""
        return key_in(self.bucket, uri)

    def get(self, key: str) -> Blob:
        """Read one object whole."""
        with self._lock:
            self._require_access("read", key)
            if (found := self._objects.get(key)) is None:
                msg = f"there is no object at {self.uri(key)}"
                raise MissingError(msg)
            return Blob(found.data, found.info.etag)

    def head(self, key: str) -> BlobInfo | None:
        """Describe one object; None where there is none."""
        with self._lock:
            self._require_access("describe", key)
            found = self._objects.get(key)
            return found.info if found else None

    def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        condition: PutCondition | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Write one object whole and return its etag."""
        with self._lock:
            self._require_access("write", key)
            found = self._objects.get(key)
            present = found.info.etag if found else None
            if condition is not None and condition.etag != present:
                msg = f"{self.uri(key)} has etag {present}, not {condition.etag} (None: no object); nothing was written"
                raise ConflictError(msg)
            etag = hashlib.md5(data, usedforsecurity=False).hexdigest()  # as S3 does for one part
            info = BlobInfo(key, len(data), etag, datetime.now(UTC))
            self._objects[key] = _Object(bytes(data), info, content_type, dict(tags or {}))
            return etag

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[BlobInfo]:
        """Yield every object whose key begins with ``prefix``, by key, after ``start_after``."""
        with self._lock:
            self._require_access("list", prefix)
            keys = sorted(key for key in self._objects if key.startswith(prefix) and key > start_after)
            return iter([self._objects[key].info for key in keys])

    def delete(self, key: str) -> None:
        """Delete one object; a missing one is no error."""
        with self._lock:
            self._require_access("delete", key)
            self._objects.pop(key, None)

    def probe(self) -> None:
        """Return unless ``down`` or ``denied``."""
        self._require_access("reach")

    def _require_access(self, operation: str, key: str = "") -> None:
        failure = f"could not {operation} {self.uri(key)}"
        if self.down:
            msg = f"store in memory is unavailable, {failure}"
            raise TransientError(msg)
        if self.denied:
            msg = f"{failure}: access denied; set denied to False"
            raise DeniedError(msg)
