"""Weights in the store: bundles of parts and manifest, and the pointers that say which of them serve.

A release is parts, verify, manifest, pointer, in this order, so that whatever dies in between leaves nothing that
points at something missing; done again, it finds what is there and goes on. Truth is kept by the pointer's
conditional put: of two racing releases one wins, and nothing is torn.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import structlog

from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.ids import WeightsId, sha256_hex
from siad.contracts.keys import manifest_key, part_key, weights_pointer_key, weights_pointers_prefix
from siad.contracts.manifest import Manifest
from siad.contracts.pointer import Pointer
from siad.runtime.blobs.port import Blob, Blobs, PutCondition, get_verified

log = structlog.get_logger()

HISTORY_MAX = 50  # earlier weights that a pointer remembers; what it names is never collected


class Registry:
    """Bundles and pointers over one store. Stateless: safe to share between threads."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def store(self, manifest: Manifest, parts: Mapping[str, bytes]) -> WeightsId:
        """Put a bundle into the store, where nothing points at it yet.

        Args:
            manifest: describes the bundle; names every part.
            parts: bytes by part name.

        Raises:
            CorruptError: a part is not what the manifest says; nothing that names it was written.
        """
        for part in manifest.parts:
            data = parts.get(part.name)
            if data is None or len(data) != part.size_bytes or sha256_hex(data) != part.sha256:
                found = "missing" if data is None else f"{len(data)} bytes, SHA-256 {sha256_hex(data)}"
                msg = f"part {part.name} is {found}; the manifest says {part.size_bytes} bytes, {part.sha256}"
                raise CorruptError(msg)
            self._store_part(part.sha256, data)
        weights = manifest.weights
        key = manifest_key(manifest.line, manifest.product, weights)
        self._blobs.put(key, manifest.to_json(), content_type="application/json")
        return weights

    def manifest(self, line: str, product: str, weights: str) -> Manifest:
        """Read a manifest, held against the digest by which it is named.

        Raises:
            MissingError: there is none.
            CorruptError: the bytes are not those of ``weights``.
        """
        return Manifest.from_json(get_verified(self._blobs, manifest_key(line, product, weights), sha256=weights))

    def parts(self, manifest: Manifest) -> dict[str, bytes]:
        """Read every part of a bundle, each held against its digest: bytes by part name.

        Raises:
            MissingError: a part is not there.
            CorruptError: a part is not what the manifest says.
        """
        return {
            part.name: get_verified(self._blobs, part_key(part.sha256), sha256=part.sha256) for part in manifest.parts
        }

    def pointer(self, kind: WeightsKind, line: str, product: str) -> Pointer | None:
        """Where the pointer stands; None before the first release.

        Raises:
            CorruptError: what lies there is no pointer, or another one's.
        """
        key = weights_pointer_key(kind.value, line, product)
        try:
            blob = self._blobs.get(key)
        except MissingError:
            return None
        return _read_pointer(blob, key, where=self._blobs.uri(key))

    def pointers(self, kind: WeightsKind) -> list[Pointer]:
        """Every pointer of one kind; one that can't be read is logged and left out, for the others' sake."""
        found = []
        for info in self._blobs.list(weights_pointers_prefix(kind.value)):
            try:
                blob = self._blobs.get(info.key)
                found.append(_read_pointer(blob, info.key, where=self._blobs.uri(info.key)))
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
    ) -> Pointer:
        """Move the pointer of the manifest's kind, line and product to it. Rolling back is such a move too.

        Args:
            manifest: the weights; already stored.
            expected: where the caller saw the pointer; None where it saw none.
            released_at: the moment of the move, UTC.
            status: SERVING, or WITHDRAWN to take a segmenter back.

        Raises:
            ConflictError: somebody else moved it; nothing was changed.
            MissingError: the manifest was never stored; nothing was changed.
        """
        at = weights_pointer_key(manifest.kind.value, manifest.line, manifest.product)
        assert expected is None or at == weights_pointer_key(expected.kind.value, expected.line, expected.product)
        weights = manifest.weights
        key = manifest_key(manifest.line, manifest.product, weights)
        if self._blobs.head(key) is None:
            msg = f"{self._blobs.uri(key)} is not there, so nothing may point at it; store the bundle first"
            raise MissingError(msg)
        history = () if expected is None else (expected.weights, *expected.history)[:HISTORY_MAX]
        pointer = Pointer(
            kind=manifest.kind,
            line=manifest.line,
            product=manifest.product,
            revision=1 if expected is None else expected.revision + 1,
            weights=weights,
            released_at=released_at,
            status=status,
            history=history,
        )
        etag = self._blobs.put(
            at,
            pointer.to_json(),
            content_type="application/json",
            condition=PutCondition(expected.etag if expected else None),
        )
        return replace(pointer, etag=etag)

    def _store_part(self, sha256: str, data: bytes) -> None:
        """Write one file of a bundle unless it is there already; either way see that it is, whole."""
        key = part_key(sha256)
        there = self._blobs.head(key)
        if there is not None and there.size_bytes == len(data):
            try:
                get_verified(self._blobs, key, sha256=sha256)
            except CorruptError as error:
                log.error("part_written_again", key=key, reason=str(error))
            else:
                return
        self._blobs.put(key, data)
        get_verified(self._blobs, key, sha256=sha256)


def _read_pointer(blob: Blob, key: str, *, where: str) -> Pointer:
    try:
        pointer = replace(Pointer.from_json(blob.data), etag=blob.etag)
    except CorruptError as error:
        msg = f"{where} is not a pointer: {error}; the line keeps the weights that serve it"
        raise CorruptError(msg) from error
    if weights_pointer_key(pointer.kind.value, pointer.line, pointer.product) != key:
        msg = (
            f"{where} is the {pointer.kind} pointer of {pointer.line}/{pointer.product}; "
            "the line keeps the weights that serve it"
        )
        raise CorruptError(msg)
    return pointer
