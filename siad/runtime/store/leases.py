"""Leases: an expiry in a conditional put. They save double work and guard no truth: two holders do no harm."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.contracts.json_codec import JsonRecord, JsonStyle
from siad.contracts.keys import lease_key
from siad.runtime.blobs.port import Blob, Blobs, PutCondition
from siad.runtime.clock import SYSTEM_CLOCK, Clock

LONG_AGO: Final = datetime.fromtimestamp(0, UTC)  # given back: free by everybody's clock


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do some work until ``expires_at``."""

    name: str
    holder: str
    expires_at: datetime
    etag: str
    ttl_s: float  # what it was taken for


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeaseDocument(JsonRecord):
    """A lease as it is stored."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    holder: str
    expires_at: datetime


class Leases:
    """Leases of one holder over one store.

    Args:
        blobs: the store.
        holder: who asks; unique to the process.
        clock: the time of day; holders' clocks may differ by less than a lease's length.
    """

    def __init__(self, blobs: Blobs, *, holder: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._blobs = blobs
        self._holder = holder
        self._clock = clock

    def acquire(self, name: str, ttl_s: float) -> Lease | None:
        """Take the lease if it is free, expired or ours already; None where somebody else holds it."""
        try:
            blob: Blob | None = self._blobs.get(lease_key(name))
        except MissingError:
            blob = None
        if blob is not None and not self._takeable(blob):
            return None
        try:
            return self._write(name, self._in(ttl_s), ttl_s=ttl_s, etag=blob.etag if blob else None)
        except ConflictError:
            return None

    def renew(self, lease: Lease, ttl_s: float | None = None) -> Lease | None:
        """Hold on for another ``ttl_s`` seconds, or as long as it was taken for; None where somebody took it over."""
        ttl_s = lease.ttl_s if ttl_s is None else ttl_s
        try:
            return self._write(lease.name, self._in(ttl_s), ttl_s=ttl_s, etag=lease.etag)
        except ConflictError:
            return None

    def release(self, lease: Lease) -> None:
        """Give it back at once; harmless where it was lost."""
        try:
            self._write(lease.name, LONG_AGO, ttl_s=0.0, etag=lease.etag)
        except ConflictError:
            return

    def _takeable(self, blob: Blob) -> bool:
        try:
            found = _LeaseDocument.from_json(blob.data)
        except CorruptError:
            return True  # not a lease, so it has no holder
        return found.holder == self._holder or found.expires_at <= self._clock.now()

    def _in(self, ttl_s: float) -> datetime:
        return self._clock.now() + timedelta(seconds=ttl_s)

    def _write(self, name: str, expires_at: datetime, *, ttl_s: float, etag: str | None) -> Lease:
        data = _LeaseDocument(holder=self._holder, expires_at=expires_at).to_json()
        new = self._blobs.put(lease_key(name), data, content_type="application/json", condition=PutCondition(etag))
        return Lease(name, self._holder, expires_at, new, ttl_s)
