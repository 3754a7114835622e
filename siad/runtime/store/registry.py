"""Registry of weights: bundles, and the pointers that select them.

A release stores the parts, verifies them, stores the manifest, then moves the pointer. In this order a crash never
leaves a reference to something missing, and a repeat continues where the crash was. The conditional put of the pointer
decides races: of two releases at once one wins, and the other changes nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import structlog

from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.ids import WeightsId, sha256_hex
from siad.contracts.keys import manifest_key, part_key, weights_pointer_key, weights_pointers_prefix
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.runtime.blobs.port import Blob, Blobs, PutCondition, get_verified

log = structlog.get_logger()

HISTORY_MAX = 50  # earlier weights that a pointer remembers, for rolling back


class DigestCache(Protocol):
    """Copies of objects that are named by their digest."""

    def read(self, sha256: str) -> bytes | None:
        """Return verified bytes; None where there is no intact copy."""
        ...

    def write(self, sha256: str, data: bytes) -> None:
        """Keep verified bytes; a failure costs the copy and raises nothing."""
        ...


class Registry:
    """Bundles and pointers in one store. Safe to share between threads.

    Args:
        blobs: the store.
        cache: is asked for manifests and parts before the store; None: there is none.
    """

    def __init__(self, blobs: Blobs, *, cache: DigestCache | None = None) -> None:
        self._blobs, self._cache = blobs, cache

    def store(self, manifest: Manifest, parts: Mapping[str, bytes]) -> WeightsId:
        """Store a bundle; no pointer moves.

        Args:
            manifest: describes the bundle; names every part.
            parts: bytes by part name.

        Raises:
            CorruptError: a part differs from its description; the manifest was not written.
        """
        for part in manifest.parts:
            data = parts.get(part.name)
            if data is None or len(data) != part.size_bytes or sha256_hex(data) != part.sha256:
                found = "missing" if data is None else f"{len(data)} bytes, SHA-256 {sha256_hex(data)}"
                msg = f"part {part.name} is {found}; the manifest says {part.size_bytes} bytes, {part.sha256}"
                raise CorruptError(msg)
            self._store_part(part.sha256, data)
        weights = manifest.weights
        key = manifest_key(*manifest.place, weights)
        self._blobs.put(key, manifest.to_json(), content_type="application/json")
        return weights

    def manifest(self, place: Place, weights: str) -> Manifest:
        """Read a manifest and compare it with its digest.

        Raises:
            MissingError: there is none.
            CorruptError: the bytes are not those of ``weights``.
        """
        return Manifest.from_json(self._read(manifest_key(*place, weights), sha256=weights))

    def parts(self, manifest: Manifest) -> dict[str, bytes]:
        """Read the parts of a bundle, by name, and compare their digests.

        Raises:
            MissingError: a part is missing.
            CorruptError: a part differs from its description.
        """
        return {part.name: self._read(part_key(part.sha256), sha256=part.sha256) for part in manifest.parts}

    def pointer(self, kind: WeightsKind, place: Place) -> Pointer | None:
        """Read a pointer; None before the first release.

        Raises:
            CorruptError: the object at its key is not this pointer.
        """
        key = weights_pointer_key(kind.value, *place)
        try:
            blob = self._blobs.get(key)
        except MissingError:
            return None
        return _read_pointer(blob, key, uri=self._blobs.uri(key))

    def pointers(self, kind: WeightsKind) -> list[Pointer]:
        """Read every pointer of one kind; log and omit unreadable ones."""
        found = []
        for info in self._blobs.list(weights_pointers_prefix(kind.value)):
            try:
                blob = self._blobs.get(info.key)
                found.append(_read_pointer(blob, info.key, uri=self._blobs.uri(info.key)))
            except MissingError:
                continue  # deleted since it was listed
            except CorruptError as error:
                log.error("pointer_refused", key=info.key, reason=str(error))
        return found

    def point(
        self,
        manifest: Manifest,
        *,
        expected: Pointer | None,
        released_at: datetime,
        status: SegmenterStatus = SegmenterStatus.SERVING,
        rejecting: str = "",
    ) -> Pointer:
        """Point a kind and place to stored weights; also to roll back.

        Args:
            manifest: describes stored weights.
            expected: the pointer as the caller read it; None where there was none.
            released_at: the time of the move, UTC.
            status: SERVING, or WITHDRAWN to take a segmenter out of service.
            rejecting: weights that no plan may release again; empty for none.

        Raises:
            ConflictError: another process moved it since; nothing was changed.
            MissingError: the manifest is not stored; nothing was changed.
        """
        pointer_key = weights_pointer_key(manifest.kind.value, *manifest.place)
        assert expected is None or (expected.kind, expected.place) == (manifest.kind, manifest.place)
        weights = manifest.weights
        key = manifest_key(*manifest.place, weights)
        if self._blobs.head(key) is None:
            msg = f"{self._blobs.uri(key)} does not exist; no pointer was moved. Store the bundle first"
            raise MissingError(msg)
        history = () if expected is None else (expected.weights, *expected.history)[:HISTORY_MAX]
        rejected = () if expected is None else expected.rejected
        kept = (one for one in rejected if one not in (rejecting, weights if status is SegmenterStatus.SERVING else ""))
        pointer = Pointer(
            kind=manifest.kind,
            line=manifest.line,
            product=manifest.product,
            revision=1 if expected is None else expected.revision + 1,
            weights=weights,
            released_at=released_at,
            status=status,
            history=history,
            rejected=(*((rejecting,) if rejecting else ()), *kept)[:HISTORY_MAX],
        )
        etag = self._blobs.put(
            pointer_key,
            pointer.to_json(),
            content_type="application/json",
            condition=PutCondition(expected.etag if expected else None),
        )
        return replace(pointer, etag=etag)

    def _read(self, key: str, *, sha256: str) -> bytes:
        if self._cache is not None and (copy := self._cache.read(sha256)) is not None:
            return copy
        data = get_verified(self._blobs, key, sha256=sha256)
        if self._cache is not None:
            self._cache.write(sha256, data)
        return data

    def _store_part(self, sha256: str, data: bytes) -> None:
        """Write and verify one file, unless it is stored intact."""
        key = part_key(sha256)
        stored = self._blobs.head(key)
        if stored is not None and stored.size_bytes == len(data):
            try:
                get_verified(self._blobs, key, sha256=sha256)
            except CorruptError as error:
                log.error("part_written_again", key=key, reason=str(error))
            else:
                return
        self._blobs.put(key, data)
        get_verified(self._blobs, key, sha256=sha256)


def _read_pointer(blob: Blob, key: str, *, uri: str) -> Pointer:
    try:
        pointer = replace(Pointer.from_json(blob.data), etag=blob.etag)
    except CorruptError as error:
        msg = f"{uri} is not a pointer: {error}; the line keeps the weights that serve it"
        raise CorruptError(msg) from error
    if weights_pointer_key(pointer.kind.value, *pointer.place) != key:
        msg = f"{uri} is the {pointer.kind} pointer of {pointer.place}; the line keeps the weights that serve it"
        raise CorruptError(msg)
    return pointer
