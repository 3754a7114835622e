"""Teachers in service elsewhere, which a new threshold may start from."""

from collections.abc import Iterator
from typing import Final

import structlog

from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import WeightsKind
from siad.contracts.keys import part_key
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.models.teachers.normals_summary import SUMMARY, read_summary
from siad.runtime.blobs.port import Blobs, get_verified
from siad.runtime.store.quarantine import Quarantine
from siad.runtime.store.registry import Registry
from siad.runtime.store.thresholds import stored_threshold_set
from siad.vision.nearest_teacher import OtherTeacher

log = structlog.get_logger()

OTHERS_MAX: Final = 500  # teachers that are read, those released last; each takes three reads


def read_other_teachers(blobs: Blobs, place: Place) -> Iterator[OtherTeacher]:
    """Read the teachers of all other lines and products.

    Without those in quarantine, those that cannot be read, and those of versions that summarised no normals.

    Raises:
        TransientError: the store is unavailable or denies access.
    """
    pointers = [pointer for pointer in Registry(blobs).pointers(WeightsKind.TEACHER) if pointer.place != place]
    newest = sorted(pointers, key=lambda pointer: (pointer.released_at, pointer.place), reverse=True)
    if len(newest) > OTHERS_MAX:
        log.warning("other_teachers_left_out", line=place.line, product=place.product, count=len(newest) - OTHERS_MAX)
    for pointer in newest[:OTHERS_MAX]:
        try:
            other = _read(blobs, pointer)
        except (CorruptError, MissingError) as error:  # deleted since, or damaged: another one may serve as start
            log.warning("other_teacher_left_out", line=pointer.line, product=pointer.product, reason=str(error))
            continue
        if other is not None:
            yield other


def _read(blobs: Blobs, pointer: Pointer) -> OtherTeacher | None:
    manifest = Registry(blobs).manifest(pointer.place, pointer.weights)
    summary = next((part for part in manifest.parts if part.name == SUMMARY), None)
    if summary is None or pointer.weights in Quarantine(blobs).read(pointer.line).weights:
        return None
    return OtherTeacher(
        manifest=manifest,
        mean_D=read_summary(get_verified(blobs, part_key(summary.sha256), sha256=summary.sha256)),
        in_use=stored_threshold_set(blobs, pointer.place, pointer.weights),
    )
