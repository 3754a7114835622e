"""Weights in service: pointers, manifests, and every part against its digest."""

from collections.abc import Iterator
from typing import Final

from siad.apps.local.doctor.findings import Finding, fault, ok
from siad.contracts.errors import CorruptError, MissingError, UnusableWeightsError
from siad.contracts.events import WeightsKind
from siad.contracts.keys import part_key, weights_pointers_prefix
from siad.contracts.pointer import Pointer
from siad.runtime.blobs.port import Blobs, get_verified
from siad.runtime.store.registry import Registry

CHECK: Final = "weights"
EFFECT: Final = {
    WeightsKind.TEACHER: "{place}: what inference and the scorer have in memory serves on; after a restart "
    "verdicts are UNKNOWN where no segmenter serves, and no pseudo-mask is drawn",
    WeightsKind.SEGMENTER: "{place}: what inference has in memory serves on; after a restart the teacher judges, or "
    "verdicts are UNKNOWN",
}


def read_pointers(blobs: Blobs) -> Iterator[Pointer | Finding]:
    """Read the pointers in service; a finding for each damaged one.

    Raises:
        TransientError: the store is unavailable.
    """
    for kind in EFFECT:
        for info in blobs.list(weights_pointers_prefix(kind.value)):
            try:
                pointer = Pointer.from_json(blobs.get(info.key).data)
            except MissingError:
                continue  # deleted since it was listed
            except CorruptError as error:
                yield fault(
                    CHECK,
                    f"the pointer {blobs.uri(info.key)} is damaged: {error}",
                    effect="its line keeps the weights in memory, and gets none after a restart",
                    remedy="restore the object from the backup",
                )
                continue
            if pointer.in_service:
                yield pointer


def check_weights(blobs: Blobs, pointers: list[Pointer]) -> Iterator[Finding]:
    """Read every part of the weights in service and compare its digest.

    Raises:
        TransientError: the store is unavailable.
    """
    registry, read = Registry(blobs), set[str]()
    for pointer in pointers:
        try:
            manifest = registry.manifest(pointer.place, pointer.weights)
            for part in manifest.parts:
                if part.sha256 not in read:  # teachers of one method share a backbone
                    get_verified(blobs, part_key(part.sha256), sha256=part.sha256)
                    read.add(part.sha256)
        except (MissingError, CorruptError, UnusableWeightsError) as error:
            yield fault(
                CHECK,
                f"{pointer.kind.value} {pointer.weights[:12]} of {pointer.place} can't be read: {error}",
                effect=EFFECT[pointer.kind].format(place=pointer.place),
                remedy=f"do not restart inference; siad rollback {pointer.line}, or restore parts/ and weights/ from "
                "the backup",
            )
        else:
            size_mb = sum(part.size_bytes for part in manifest.parts) / 1e6
            yield ok(
                CHECK, f"{pointer.kind.value} {pointer.weights[:12]} of {pointer.place} is whole ({size_mb:.1f} MB)"
            )


def compare_with_served(pointers: list[Pointer], served: dict[tuple[str, str], str]) -> Iterator[Finding]:
    """Compare what inference serves with what the pointers name. Pure.

    Args:
        pointers: of teachers and segmenters in service.
        served: weights that inference serves, by line and product.
    """
    named = {
        tuple(pointer.place): pointer for pointer in sorted(pointers, key=lambda one: one.kind is WeightsKind.SEGMENTER)
    }
    for place, pointer in named.items():
        serves = served.get((place[0], place[1]), "")
        if serves != pointer.weights:
            yield fault(
                CHECK,
                f"inference serves {serves[:12] or 'no weights'} on {pointer.place}; the pointer names "
                f"{pointer.weights[:12]} since {pointer.released_at:%Y-%m-%d %H:%M} UTC",
                effect=f"{pointer.place} is judged by earlier weights"
                if serves
                else f"{pointer.place}: verdicts are UNKNOWN",
                remedy="within a minute of a release: wait. Otherwise the log event weights_refused of inference has "
                f"the reason; siad rollback {pointer.line} goes back",
            )
