"""Leases: work for one process at a time, by conditional puts.

They only save double work. Two holders at once do no harm: pointers and write-once records decide what counts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.contracts.json_codec import JsonRecord, JsonStyle
from siad.contracts.keys import lease_key
from siad.runtime.blobs.port import Blob, Blobs, PutCondition
from siad.runtime.clock import SYSTEM_CLOCK, Clock

EXPIRED_AT: Final = datetime.fromtimestamp(0, UTC)  # of a released lease: past by every process's clock


@dataclass(frozen=True, slots=True)
class Lease:
    """Right to do some work until ``expires_at``."""

    name: str
    holder: str
    expires_at: datetime
    etag: str
    ttl_s: float  # duration that it was acquired for


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeaseDocument(JsonRecord):
    """Stored form of a lease."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    holder: str
    expires_at: datetime


class Leases:
    """Leases of one holder in one store.

    Args:
        blobs: the store.
        holder: name of this process, unique among all.
        clock: the time of day; clocks of holders may differ by less than the duration of a lease.
    """

    def __init__(self, blobs: Blobs, *, holder: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._blobs = blobs
        self._holder = holder
        self._clock = clock

    def acquire(self, name: str, ttl_s: float) -> Lease | None:
        """Acquire a lease that is free, expired or ours; otherwise return None."""
        try:
            blob: Blob | None = self._blobs.get(lease_key(name))
        except MissingError:
            blob = None
        if blob is not None and not self._is_free(blob):
            return None
        try:
            return self._write(name, self._after(ttl_s), ttl_s=ttl_s, etag=blob.etag if blob else None)
        except ConflictError:
            return None

    def renew(self, lease: Lease, ttl_s: float | None = None) -> Lease | None:
        """Extend a lease by ``ttl_s`` or its first duration; None if lost."""
        ttl_s = lease.ttl_s if ttl_s is None else ttl_s
        try:
            return self._write(lease.name, self._after(ttl_s), ttl_s=ttl_s, etag=lease.etag)
        except ConflictError:
            return None

    def release(self, lease: Lease) -> None:
        """Release a lease at once; no effect where it was lost."""
        try:
            self._write(lease.name, EXPIRED_AT, ttl_s=0.0, etag=lease.etag)
        except ConflictError:
            return

    def _is_free(self, blob: Blob) -> bool:
        try:
            found = _LeaseDocument.from_json(blob.data)
        except CorruptError:
            return True  # not a lease, so it has no holder
        return found.holder == self._holder or found.expires_at <= self._clock.now()

    def _after(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)

    def _write(self, name: str, expires_at: datetime, *, ttl_s: float, etag: str | None) -> Lease:
        data = _LeaseDocument(holder=self._holder, expires_at=expires_at).to_json()
        new = self._blobs.put(lease_key(name), data, content_type="application/json", condition=PutCondition(etag))
        return Lease(name, self._holder, expires_at, new, ttl_s)
