"""Taint: quarantine of a root and of what descends from it.

The record of the root is written first, then those of the weights that descend from it, then the pointers move. From
the first record on, trainer and labeler neither learn from the root nor release what did, so an interrupted command is
completed by running it again.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from siad.audit.captures import find_matches, parse_prefix, require_one
from siad.audit.lineage import LineLineage, WeightsLineage, find_weights, read_lineage
from siad.audit.rollback import Rollback, leave_barred, roll_back
from siad.contracts import keys
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.pointer import Pointer
from siad.contracts.quarantine import QuarantineRecord, TaintedKind, correction_name
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.quarantine import Quarantine

log = structlog.get_logger()

WEIGHTS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TaintRoot:
    """What an operator names: weights, a capture, or one correction of it."""

    line: str
    kind: TaintedKind
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaintPlan:
    """What a taint does, before it is done."""

    root: TaintRoot
    descendants: tuple[WeightsLineage, ...]
    moves: tuple[Rollback, ...]
    stay: tuple[Pointer, ...]  # weights in quarantine that nothing can replace yet

    @property
    def retrained(self) -> tuple[str, ...]:
        """Products whose segmenters learned from it."""
        segmenters = (one.product for one in self.descendants if one.kind is WeightsKind.SEGMENTER)
        return tuple(sorted(set(segmenters)))


def find_root(blobs: Blobs, text: str, *, line: str | None = None) -> TaintRoot:
    """Find the weights, capture or correction that an operator means.

    By the first digits of weights or of a capture, or as ``CAPTURE-REVISION``.

    Raises:
        LookupError: nothing has such a name, or more than one thing; names them.
        ValueError: it is no name.
    """
    corrected = re.fullmatch(r"([0-9a-f]+)[-/]([0-9]{1,9})", text.strip().lower())
    prefix = parse_prefix(corrected[1] if corrected else text)
    if corrected is None:
        weights = find_weights(blobs, prefix, line=line)
        if len(weights) == 1:
            place, name = weights[0]
            return TaintRoot(line=place.line, kind=TaintedKind.WEIGHTS, subject=name)
        if weights:
            shown = ", ".join(f"{name[:16]} of {place}" for place, name in weights[:WEIGHTS_SHOWN])
            msg = f"{text!r} names {len(weights)} weights: {shown}. Give more digits of one, or its --line"
            raise LookupError(msg)
    match = require_one(find_matches(blobs, prefix, line=line), prefix)
    if corrected is None:
        return TaintRoot(line=match.line, kind=TaintedKind.CAPTURE, subject=match.capture_id)
    revision = int(corrected[2])
    if revision < 1 or blobs.head(keys.correction_key(match.line, match.capture_id, revision)) is None:
        msg = f"capture {match.capture_id} has no correction {revision}; siad lineage lists those that it has"
        raise LookupError(msg)
    subject = correction_name(match.capture_id, revision)
    return TaintRoot(line=match.line, kind=TaintedKind.CORRECTION, subject=subject)


def plan_taint(blobs: Blobs, root: TaintRoot) -> TaintPlan:
    """List what a taint does; nothing is changed."""
    lineage = read_lineage(blobs, root.line)
    subject = [root.subject]
    descendants = lineage.descendants(
        weights=subject if root.kind is TaintedKind.WEIGHTS else (),
        captures=subject if root.kind is TaintedKind.CAPTURE else (),
        corrections=subject if root.kind is TaintedKind.CORRECTION else (),
    )
    barred = {*lineage.quarantine.weights, *(one.weights for one in descendants)}
    if root.kind is TaintedKind.WEIGHTS:
        barred.add(root.subject)
    moves, stay = _moves(lineage, barred)
    return TaintPlan(root=root, descendants=tuple(descendants), moves=tuple(moves), stay=tuple(stay))


def _moves(lineage: LineLineage, barred: set[str]) -> tuple[list[Rollback], list[Pointer]]:
    """Leave every pointer to weights in quarantine, teachers first."""
    moves: list[Rollback] = []
    stay: list[Pointer] = []
    for kind in (WeightsKind.TEACHER, WeightsKind.SEGMENTER):
        for (of, product), pointer in sorted(lineage.pointers.items(), key=lambda item: item[0][1]):
            if of is not kind or pointer.weights not in barred or pointer.status is not SegmenterStatus.SERVING:
                continue
            move = leave_barred(pointer, lineage.pointers.get((WeightsKind.TEACHER, product)), barred)
            if move is None:
                stay.append(pointer)
                continue
            if move.status is SegmenterStatus.WITHDRAWN:  # to the teacher, which may move too
                judges = next((one.weights for one in moves if one.leaves.product == product), move.judges)
                move = replace(move, judges=judges)
            moves.append(move)
    return moves, stay


def find_taint(blobs: Blobs, plan: TaintPlan) -> QuarantineRecord | None:
    """Find the record of an earlier, complete taint."""
    if plan.moves or not all(one.in_quarantine for one in plan.descendants):
        return None
    return Quarantine(blobs).record(plan.root.line, plan.root.kind, plan.root.subject)


def apply_taint(blobs: Blobs, plan: TaintPlan, *, reason: str, now: datetime) -> list[Pointer]:
    """Write the records, then move the pointers; the caller announces them.

    Raises:
        ConflictError: a release moved a pointer meanwhile; the records are written. Run it again.
        MissingError, CorruptError: the weights to go back to can't be read; likewise.
    """
    quarantine, root = Quarantine(blobs), plan.root
    subjects = [(root.kind, root.subject), *((TaintedKind.WEIGHTS, one.weights) for one in plan.descendants)]
    for kind, subject in subjects:
        quarantine.put(
            QuarantineRecord(
                line=root.line, kind=kind, subject=subject, root=root.subject, reason=reason, tainted_at=now
            )
        )
    log.info("tainted", line=root.line, kind=root.kind.value, subject=root.subject, weights=len(plan.descendants))
    return [roll_back(blobs, move, now=now) for move in plan.moves]
