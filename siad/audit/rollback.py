"""Way back: earlier weights put in service again by an operator.

What judges a line is its segmenter, or its teacher where there is none. A rollback moves the pointer of the one that
judges, by conditional put, and records the weights that it leaves as rejected: no plan releases them again, only a
rollback that names them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from siad.audit.captures import require_line
from siad.contracts import keys
from siad.contracts.documents import read_line
from siad.contracts.errors import MissingError
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.runtime.blobs.port import Blobs
from siad.runtime.bus.port import Bus
from siad.runtime.store.registry import Registry
from siad.runtime.store.releases import release_message

log = structlog.get_logger()

NO_WEIGHTS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """One move of a pointer, before it is made."""

    leaves: Pointer
    weights: str  # that the pointer will name
    status: SegmenterStatus  # WITHDRAWN: the teacher judges
    judges: str  # weights that judge the line afterwards

    @property
    def rejects(self) -> str:
        """Weights that leave service; empty where a withdrawn segmenter returns."""
        was_serving = self.leaves.status is SegmenterStatus.SERVING
        return self.leaves.weights if was_serving else ""


def choose_rollback(
    segmenter: Pointer | None, teacher: Pointer | None, *, to: str = "", barred: Collection[str] = NO_WEIGHTS
) -> Rollback:
    """Choose where a line and product go back to.

    Without ``to``: from a segmenter to the newest earlier one that was not left by a rollback, or else to the teacher;
    from a teacher to an earlier teacher.

    Args:
        segmenter: its pointer; None before the first release.
        teacher: likewise.
        to: first digits of the weights to go back to; empty chooses.
        barred: weights in quarantine.

    Raises:
        LookupError: there are no such weights, or none to go back to.
        ValueError: several weights, or those that judge now, are meant; or weights in quarantine.
    """
    if teacher is None:
        msg = "nothing was ever released for it, so it has no way back; siad status shows what is in service"
        raise LookupError(msg)
    serving = segmenter if segmenter is not None and segmenter.status is SegmenterStatus.SERVING else None
    if to:
        return _named(serving or segmenter, teacher, to, barred)
    if serving is not None:
        earlier = _earlier(serving, barred)
        return _move(serving, earlier) if earlier else _withdraw(serving, teacher)
    earlier = _earlier(teacher, barred)
    if not earlier:
        msg = (
            f"teacher {teacher.weights} judges, and no earlier teacher can take its place; nothing was changed. Send "
            f"more normals, from which the labeler fits another: siad send FILES --line {teacher.line} --intent normal"
        )
        raise LookupError(msg)
    return _move(teacher, earlier)


def leave_barred(pointer: Pointer, teacher: Pointer | None, barred: Collection[str]) -> Rollback | None:
    """Choose where a pointer to weights in quarantine goes; None for nowhere.

    Args:
        pointer: of a segmenter or teacher in service.
        teacher: of the same place; a segmenter without earlier weights leaves the line to it.
        barred: weights in quarantine.
    """
    earlier = _earlier(pointer, barred)
    if earlier:
        return _move(pointer, earlier)
    is_segmenter = pointer.kind is WeightsKind.SEGMENTER
    return _withdraw(pointer, teacher) if is_segmenter and teacher is not None else None


def _earlier(pointer: Pointer, barred: Collection[str]) -> str:
    left = {pointer.weights, *pointer.rejected, *barred}
    return next((weights for weights in pointer.history if weights not in left), "")


def _move(pointer: Pointer, weights: str) -> Rollback:
    return Rollback(leaves=pointer, weights=weights, status=SegmenterStatus.SERVING, judges=weights)


def _withdraw(segmenter: Pointer, teacher: Pointer) -> Rollback:
    return Rollback(
        leaves=segmenter, weights=segmenter.weights, status=SegmenterStatus.WITHDRAWN, judges=teacher.weights
    )


def _named(segmenter: Pointer | None, teacher: Pointer, to: str, barred: Collection[str]) -> Rollback:
    pointers = [pointer for pointer in (segmenter, teacher) if pointer is not None]
    known = {weights: pointer for pointer in pointers for weights in (pointer.weights, *pointer.history)}
    found = sorted(weights for weights in known if weights.startswith(to))
    if not found:
        msg = f"no weights that begin with {to} ever served it; nothing was changed. They were: {_listed(known)}"
        raise LookupError(msg)
    if len(found) > 1:
        msg = f"{to} names {len(found)} weights: {_listed(found)}; nothing was changed. Give more digits"
        raise ValueError(msg)
    [weights] = found
    if weights in barred:
        msg = f"weights {weights} are in quarantine; nothing was changed. siad lineage {weights[:12]} says why"
        raise ValueError(msg)
    pointer = known[weights]
    is_serving = segmenter is not None and segmenter.status is SegmenterStatus.SERVING
    judging = segmenter if is_serving and segmenter is not None else teacher
    if weights == judging.weights:
        msg = f"weights {weights} judge now; nothing was changed. Earlier ones: {_listed(judging.history)}"
        raise ValueError(msg)
    if pointer is teacher and weights == teacher.weights:
        return _withdraw(judging, teacher)
    return _move(pointer, weights)


def _listed(weights: Collection[str]) -> str:
    return ", ".join(one[:12] for one in dict.fromkeys(weights)) or "none"


def roll_back(blobs: Blobs, rollback: Rollback, *, now: datetime) -> Pointer:
    """Move the pointer; the caller announces it.

    Raises:
        MissingError: the weights, or a part of them, are no longer stored; nothing was changed.
        CorruptError: their manifest can't be read; nothing was changed.
        ConflictError: a release moved the pointer meanwhile; nothing was changed.
    """
    registry, leaves = Registry(blobs), rollback.leaves
    manifest = registry.manifest(leaves.place, rollback.weights)
    if rollback.status is SegmenterStatus.SERVING:
        _require_parts(blobs, manifest)
    pointer = registry.point(
        manifest, expected=leaves, released_at=now, status=rollback.status, rejecting=rollback.rejects
    )
    log.info(
        "rolled_back",
        line=leaves.line,
        product=leaves.product,
        kind=leaves.kind.value,
        left=leaves.weights,
        weights=pointer.weights,
        status=pointer.status.value,
        revision=pointer.revision,
    )
    return pointer


def _require_parts(blobs: Blobs, manifest: Manifest) -> None:
    missing = [part.name for part in manifest.parts if blobs.head(keys.part_key(part.sha256)) is None]
    if missing:
        msg = f"weights {manifest.weights} lack {', '.join(missing)} in the store; nothing was changed. Name others"
        raise MissingError(msg)


async def announce(bus: Bus, pointers: Sequence[Pointer]) -> None:
    """Publish moved pointers.

    After a crash before this, the stage that owns the pointer announces it, as it does every move it has not announced.

    Raises:
        TransientError: the broker is unavailable.
    """
    async with bus.producer() as producer:
        await producer.publish([release_message(pointer) for pointer in pointers])


def find_place(blobs: Blobs, line: str, product: str | None) -> Place:
    """Name the place that a command means.

    Without ``product`` it is the only product with weights, or the line's present one.

    Raises:
        LookupError: the line is unknown, or it never had weights for the product.
    """
    registry = Registry(blobs)
    products = sorted({pointer.product for pointer in registry.pointers(WeightsKind.TEACHER) if pointer.line == line})
    if not products:
        require_line(blobs, line)
        msg = f"line {line} has no weights yet. siad status shows the lines that have"
        raise LookupError(msg)
    chosen = product or (products[0] if len(products) == 1 else _present_product(blobs, line))
    if chosen not in products:
        msg = f"line {line} has no weights for product {chosen}. Name one with --product: "
        raise LookupError(msg + ", ".join(products))
    return Place(line, chosen)


def _present_product(blobs: Blobs, line: str) -> str:
    return read_line(blobs.get(keys.line_pointer_key(line)).data).settings.product


def read_rollback(blobs: Blobs, place: Place, *, to: str = "", barred: Collection[str] = NO_WEIGHTS) -> Rollback:
    """Read the pointers of a place, and choose; raises like ``choose_rollback``."""
    registry = Registry(blobs)
    segmenter, teacher = (registry.pointer(kind, place) for kind in (WeightsKind.SEGMENTER, WeightsKind.TEACHER))
    return choose_rollback(segmenter, teacher, to=to, barred=barred)
