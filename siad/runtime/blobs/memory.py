"""The store in memory: for tests, and for whoever wants the loop in one process. Thread-safe."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from siad.contracts.errors import ConflictError, MissingError, TransientError
from siad.runtime.blobs.port import Blob, BlobInfo, key_in


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    info: BlobInfo
    content_type: str
    tags: Mapping[str, str]


@dataclass(slots=True)
class MemoryBlobs:
    """One bucket. ``down`` plays an outage: every call raises TransientError while it is set."""

    bucket: str = "siad"
    down: bool = False
    _objects: dict[str, _Object] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def uri(self, key: str) -> str:
        """The address of ``key``."""
        return f"s3://{self.bucket}/{key}"

    def key_of(self, uri: str) -> str:
        """The key behind an address of this bucket."""
        return key_in(self.bucket, uri)

    def get(self, key: str) -> Blob:
        """Read one object whole."""
        with self._lock:
            self._answer()
            if (found := self._objects.get(key)) is None:
                msg = f"nothing lies at {self.uri(key)}"
                raise MissingError(msg)
            return Blob(found.data, found.info.etag)

    def head(self, key: str) -> BlobInfo | None:
        """Describe one object; None where there is none."""
        with self._lock:
            self._answer()
            found = self._objects.get(key)
            return found.info if found else None

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
        """Write one object whole and return its etag."""
        with self._lock:
            self._answer()
            found = self._objects.get(key)
            if if_absent and found is not None:
                msg = f"{self.uri(key)} is there already; nothing was written"
                raise ConflictError(msg)
            if if_match is not None and (found is None or found.info.etag != if_match):
                has = found.info.etag if found else "none"
                msg = f"{self.uri(key)} has etag {has}, not {if_match}; nothing was written"
                raise ConflictError(msg)
            etag = hashlib.md5(data, usedforsecurity=False).hexdigest()  # as S3 does for one part
            info = BlobInfo(key, len(data), etag, datetime.now(UTC))
            self._objects[key] = _Object(bytes(data), info, content_type, dict(tags or {}))
            return etag

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[BlobInfo]:
        """Every object whose key begins with ``prefix``, by key, after ``start_after``."""
        with self._lock:
            self._answer()
            keys = sorted(key for key in self._objects if key.startswith(prefix) and key > start_after)
            return iter([self._objects[key].info for key in keys])

    def delete(self, key: str) -> None:
        """Remove one object; a missing one is no error."""
        with self._lock:
            self._answer()
            self._objects.pop(key, None)

    def probe(self) -> None:
        """Return unless ``down``."""
        self._answer()

    def _answer(self) -> None:
        if self.down:
            msg = f"store {self.bucket} is down"
            raise TransientError(msg)
